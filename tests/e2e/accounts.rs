//! Workspaces, keys, members, conversations and the audit trail on the command
//! line.

use std::fs;

use serde_json::{Value, json};

use crate::genie::{Genie, MINILM, models, with_articles};
use crate::material::Scratch;
use crate::service::Service;

fn installation() -> (Scratch, Genie) {
    let scratch = Scratch::new();
    let genie = Genie::bare(&scratch.home());
    (scratch, genie)
}

#[test]
fn a_workspace_is_made_changed_and_deleted() {
    let (_scratch, genie) = installation();
    let made = genie.json(&[
        "workspace",
        "create",
        "health",
        "--name",
        "Santé",
        "--language",
        "fr",
        "--top-k",
        "8",
        "--json",
    ]);
    assert_eq!(
        (&made["id"], &made["name"], &made["version"]),
        (&json!("health"), &json!("Santé"), &json!(1))
    );
    assert_eq!(made["settings"]["languages"], json!(["fr"]));
    let changed = genie.json(&[
        "workspace",
        "set",
        "health",
        "--unset",
        "top-k",
        "--answers",
        "quoted",
        "--style",
        "list",
        "--json",
    ]);
    assert_eq!(changed["settings"]["top_k"], Value::Null);
    assert_eq!(changed["settings"]["answers"], "quoted");
    assert_eq!(changed["settings"]["style"], "list");
    assert_eq!(changed["settings"]["languages"], json!(["fr"]));
    let history = changed["history"].as_array().unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(history[1]["settings"]["top_k"], 8);
    let shown = genie.run(&["workspace", "show", "health"]).ended(0).out;
    assert!(
        shown.contains("Santé") && shown.contains("quoted"),
        "{shown}"
    );
    genie
        .run(&["workspace", "set", "health"])
        .refused(&["nothing is to be changed"]);
    genie
        .run(&["workspace", "create", "health"])
        .refused(&["health", "taken"]);
    genie
        .run(&["workspace", "set", "health", "--model", "other"])
        .refused(&["other", "chat_models"]);
    genie
        .run(&["workspace", "delete", "health"])
        .refused(&["--yes"]);
    genie
        .run(&["workspace", "delete", "default", "--yes"])
        .refused(&["default"]);
    let kept = genie.run(&["workspace", "delete", "health", "--keep-days", "7", "--yes"]);
    assert!(kept.ended(0).out.contains("genie workspace restore health"));
    genie
        .run(&["workspace", "show", "health"])
        .refused(&["health", "genie workspace list"]);
    let deleted = genie.json(&["workspace", "list", "--deleted", "--json"]);
    assert_eq!(deleted[0]["id"], "health");
    let restored = genie.json(&["workspace", "restore", "health", "--json"]);
    assert_eq!(restored["settings"], changed["settings"]);
    genie
        .run(&["workspace", "restore", "health"])
        .refused(&["--deleted"]);
    genie
        .run(&["workspace", "delete", "health", "--yes"])
        .ended(0);
    genie
        .run(&["workspace", "show", "health"])
        .refused(&["health", "genie workspace list"]);
    // The trail speaks of it, so the name is gone for good.
    genie
        .run(&["workspace", "create", "health"])
        .refused(&["taken, or was"]);
    let all = genie.json(&["workspace", "list", "--json"]);
    assert_eq!(all.as_array().unwrap().len(), 1);
    for wrong in [
        &["workspace", "create", "Health"][..],
        &["workspace", "create", "x", "--top-k", "51"],
        &["workspace", "create", "x", "--min-similarity", "2"],
        &["workspace", "create", "x", "--answers", "sung"],
        &["workspace", "create", "x", "--style", "ornate"],
    ] {
        genie.run(wrong).ended(2);
    }
}

#[test]
fn a_secret_is_shown_once_and_kept_nowhere() {
    let (scratch, genie) = installation();
    genie.run(&["workspace", "create", "health"]).ended(0);
    let made = genie.run(&[
        "key",
        "create",
        "--name",
        "intranet",
        "--workspace",
        "health",
        "--role",
        "editor",
        "--scope",
        "search",
        "--expires",
        "90d",
    ]);
    let made = made.ended(0);
    let secret = made.out.trim();
    assert!(secret.starts_with("gk_") && secret.len() == 55, "{secret}");
    assert!(!made.err.contains(secret), "{}", made.err);
    let listed = genie.json(&["key", "list", "--workspace", "health", "--json"]);
    let key = &listed[0];
    assert_eq!(
        (&key["name"], &key["role"]),
        (&json!("intranet"), &json!("editor"))
    );
    assert_eq!(key["scopes"], json!(["search"]));
    assert!(key["expires"].is_string() && key["revoked"].is_null());
    assert!(!listed.to_string().contains(&secret[12..]));
    for entry in fs::read_dir(scratch.home().join("state")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let secret = &secret.as_bytes()[12..];
        let found = bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!found, "{}", path.display());
    }
    let prefix = key["prefix"].as_str().unwrap();
    let rotated = genie.json(&["key", "rotate", prefix, "--json"]);
    assert_eq!(rotated["id"], key["id"]);
    assert_ne!(rotated["secret"], secret);
    genie.run(&["key", "revoke", prefix]).refused(&["--yes"]);
    genie.run(&["key", "revoke", prefix, "--yes"]).ended(0);
    genie
        .run(&["key", "revoke", prefix, "--yes"])
        .refused(&["revoked already"]);
    genie.run(&["key", "rotate", prefix]).refused(&["revoked"]);
    let shown = genie.run(&["key", "list"]).ended(0).out;
    assert!(shown.contains("revoked"), "{shown}");

    let operator = genie.json(&["key", "create", "--name", "ops", "--operator", "--json"]);
    assert_eq!(
        (&operator["workspace"], &operator["role"]),
        (&Value::Null, &json!("owner"))
    );
    genie
        .run(&["key", "create", "--name", "x", "--workspace", "nowhere"])
        .refused(&["nowhere"]);
    genie
        .run(&["key", "revoke", "gk_00000000", "--yes"])
        .refused(&["genie key list"]);
    for wrong in [
        &["key", "create", "--name", "x", "--expires", "soon"][..],
        &["key", "create", "--name", "x", "--scope", "everything"],
        &[
            "key",
            "create",
            "--name",
            "x",
            "--operator",
            "--role",
            "reader",
        ],
        &["key", "create"],
    ] {
        genie.run(wrong).ended(2);
    }
}

#[test]
fn members_have_roles() {
    let (_scratch, genie) = installation();
    let ana = "user:0f3a:ana@example.org";
    genie.run(&["user", "set", ana, "reader"]).ended(0);
    genie.run(&["user", "set", ana, "editor"]).ended(0);
    let members = genie.json(&["user", "list", "--json"]);
    assert_eq!(members.as_array().unwrap().len(), 1);
    assert_eq!(
        (&members[0]["subject"], &members[0]["role"]),
        (&json!(ana), &json!("editor"))
    );
    genie.run(&["user", "remove", ana]).ended(0);
    genie.run(&["user", "remove", ana]).refused(&[ana]);
    genie
        .run(&["user", "set", ana, "reader", "--workspace", "nowhere"])
        .refused(&["nowhere"]);
    genie.run(&["user", "set", ana, "king"]).ended(2);
}

#[test]
fn what_was_done_is_in_the_trail_and_a_flipped_byte_is_named() {
    let (scratch, genie) = installation();
    genie.run(&["workspace", "create", "health"]).ended(0);
    genie
        .run(&["key", "create", "--name", "k", "--workspace", "health"])
        .ended(0);
    genie.run(&["user", "set", "somebody", "reader"]).ended(0);
    let records = genie.json(&["audit", "list", "--json"]);
    let actions: Vec<_> = records
        .as_array()
        .unwrap()
        .iter()
        .map(|record| record["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["member.set", "key.create", "workspace.create"]);
    let health = genie.json(&["audit", "list", "--workspace", "health", "--json"]);
    assert_eq!(health.as_array().unwrap().len(), 2);
    let anchor = genie.run(&["audit", "anchor"]).ended(0);
    let anchor: Value = serde_json::from_str(&anchor.out).unwrap();
    assert_eq!(anchor["records"], 3);
    let head = anchor["head"].as_str().unwrap();

    let exported = scratch.path("trail.jsonl");
    let exported = exported.to_str().unwrap();
    genie.run(&["audit", "export", "--out", exported]).ended(0);
    genie
        .run(&["audit", "export", "--out", exported])
        .refused(&["trail.jsonl"]);
    let lines = fs::read_to_string(exported).unwrap();
    assert_eq!(lines.lines().count(), 3);
    // The export was recorded as well.
    assert_eq!(genie.run(&["audit", "export"]).ended(0).lines().len(), 4);
    let verdict = genie.json(&["audit", "verify", "--anchor", head, "--json"]);
    assert_eq!(verdict["whole"], true);
    let other = "ab".repeat(32);
    let missing = genie.run(&["audit", "verify", "--anchor", &other]).ended(3);
    assert!(missing.out.contains(&other), "{}", missing.out);
    genie
        .run(&["audit", "verify", "--anchor", "short"])
        .refused(&["64"]);

    let file = scratch.home().join("state/genie.db");
    let mut bytes = fs::read(&file).unwrap();
    let action = b"key.create";
    let places: Vec<_> = (0..bytes.len() - action.len())
        .filter(|at| bytes[*at..].starts_with(action))
        .collect();
    assert_eq!(
        places.len(),
        1,
        "where the second record says what it is of"
    );
    bytes[places[0]] ^= 1;
    fs::write(&file, bytes).unwrap();
    let broken = genie.run(&["audit", "verify", "--json"]).ended(3);
    let broken: Value = serde_json::from_str(&broken.out).unwrap();
    assert_eq!(
        (&broken["whole"], &broken["broken_at"]),
        (&json!(false), &json!(2))
    );
    let shown = genie.run(&["audit", "verify"]).ended(3).out;
    assert!(shown.contains("record 2"), "{shown}");
    let nothing = genie.run(&["audit", "anchor"]).ended(3);
    assert!(nothing.out.is_empty(), "{}", nothing.out);
}

#[test]
fn conversations_are_read_exported_and_deleted() {
    let Some((_scratch, genie)) = with_articles() else {
        return;
    };
    genie.run(&["ingest", "docs"]).ended(0);
    let service = Service::start(&genie);
    let base = "/api/v1/workspaces/default/conversations";
    let made = service.post(base, &json!({ "title": "About cables" }));
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let question = json!({ "question": "What does a repair ship do?" });
    let answered = service.post(&format!("{base}/{id}/messages"), &question);
    assert!(matches!(answered.status, 200 | 201), "{}", answered.text);
    // The same state is read while the service runs.
    let list = genie.json(&["conversation", "list", "--json"]);
    assert_eq!(
        (&list[0]["id"], &list[0]["message_count"]),
        (&json!(id), &json!(2))
    );
    // What is thought of the answer, at the service and beside it.
    let shown = genie.json(&["conversation", "show", &id, "--json"]);
    let answer = shown["messages"][1]["id"].as_str().unwrap().to_owned();
    let there = genie.clone().set("GENIE_SERVER", &service.url);
    let bad = ["feedback", "give", &answer, "--rating", "2"];
    there.run(&bad).ended(0);
    let opinions = there.json(&["feedback", "list", "--json"]);
    assert_eq!(opinions, genie.json(&["feedback", "list", "--json"]));
    assert_eq!(opinions[0]["rating"], 2);
    let wrong = ["feedback", "give", &answer, "--wrong-citation", "1"];
    let given = genie.json(&[&wrong[..], &["--comment", "not\u{1b}[2J there", "--json"]].concat());
    assert_eq!(
        (&given["rating"], &given["wrong_citation"]),
        (&Value::Null, &json!(1))
    );
    for place in [&genie, &there] {
        let listed = place.run(&["feedback", "list"]).ended(0).out;
        assert!(listed.contains(&answer), "{listed}");
        assert!(!listed.contains('\u{1b}'), "{listed:?}");
    }
    genie.run(&["feedback", "give", &answer]).ended(2);
    let unknown = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let nobodys = ["feedback", "give", unknown, "--rating", "5"];
    genie.run(&nobodys).refused(&[unknown]);
    there.run(&nobodys).refused(&["404"]);
    assert!(service.stop().out.contains("ready"));

    let used = genie.json(&["usage", "--json"]);
    assert_eq!(
        (
            &used[0]["workspace"],
            &used[0]["subject"],
            &used[0]["answers"]
        ),
        (&json!("default"), &json!("local"), &json!(1)),
        "{used}"
    );
    let table = genie.run(&["usage", "--workspace", "default"]).ended(0).out;
    assert!(
        table.starts_with("DAY") && table.contains("local"),
        "{table}"
    );
    let before = genie.json(&["usage", "--to", "2020-01-31", "--json"]);
    assert_eq!(before, json!([]));
    genie
        .run(&["usage", "--workspace", "nowhere"])
        .refused(&["nowhere"]);

    let shown = genie.json(&["conversation", "show", &id, "--json"]);
    assert_eq!(shown["messages"][0]["text"], "What does a repair ship do?");
    assert_eq!(shown["messages"][1]["author"], "assistant");
    let text = genie.run(&["conversation", "show", &id]).ended(0).out;
    assert!(
        text.contains("About cables") && text.contains("person ("),
        "{text}"
    );
    let export = genie.json(&["conversation", "export"]);
    assert_eq!(
        export["conversations"][0]["messages"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    genie
        .run(&["conversation", "show", &id, "--subject", "another"])
        .refused(&["another", &id]);
    genie
        .run(&["conversation", "delete", &id])
        .refused(&["--yes"]);
    genie.run(&["conversation", "erase"]).refused(&["--yes"]);
    genie
        .run(&["conversation", "erase", "--subject", "another", "--yes"])
        .ended(0);
    let list = genie.json(&["conversation", "list", "--json"]);
    assert_eq!(list.as_array().unwrap().len(), 1);
    let erased = genie.run(&["conversation", "erase", "--yes"]).ended(0).out;
    assert!(erased.contains("erased 1 conversations"), "{erased}");
    let list = genie.json(&["conversation", "list", "--json"]);
    assert!(list.as_array().unwrap().is_empty());
    let jobs = genie.run(&["job", "list"]).ended(0).out;
    assert!(jobs.starts_with("ID"), "{jobs}");
    genie.run(&["job", "cancel", unknown]).refused(&[unknown]);
}

#[test]
fn settings_are_shown_with_their_source_and_without_secrets() {
    let (scratch, genie) = installation();
    scratch.write(
        "home/config.toml",
        "threads = 2\n[retrieval]\nmin_similarity = 0.5\n",
    );
    let genie = genie
        .set("GENIE_CHAT_MODEL", "none")
        .set("GENIE_DATABASE_URL", "postgres://ana:hunter2@127.0.0.1:1/d")
        .set("GENIE_QDRANT_API_KEY", "hunter3");
    genie.run(&["config", "check"]).ended(0);
    let shown = genie.run(&["config", "show", "--device", "cpu", "--json"]);
    let shown = shown.ended(0).out;
    assert!(!shown.contains("hunter"), "{shown}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    for (name, value, source) in [
        ("threads", json!(2), "config.toml"),
        ("retrieval.min_similarity", json!(0.5), "config.toml"),
        ("retrieval.top_k", json!(6), "default"),
        ("chat_model", json!("none"), "GENIE_CHAT_MODEL"),
        ("device", json!("cpu"), "--device"),
        (
            "database_url",
            json!("postgres://ana:(hidden)@127.0.0.1:1/d"),
            "GENIE_DATABASE_URL",
        ),
        (
            "GENIE_QDRANT_API_KEY",
            json!("(hidden)"),
            "GENIE_QDRANT_API_KEY",
        ),
    ] {
        let found = shown
            .as_array()
            .unwrap()
            .iter()
            .find(|setting| setting["name"] == name)
            .unwrap_or_else(|| panic!("no {name}"));
        assert_eq!(
            (&found["value"], &found["source"]),
            (&value, &json!(source))
        );
    }
    let refused = genie.run(&["workspace", "list"]).refused(&["state"]);
    assert!(!refused.err.contains("hunter"), "{}", refused.err);
    scratch.write("home/config.toml", "thread = 2\n");
    genie.run(&["config", "check"]).refused(&["config.toml"]);
}

#[test]
fn every_command_has_a_manual_page() {
    let (scratch, genie) = installation();
    let folder = scratch.path("man");
    genie.run(&["man", folder.to_str().unwrap()]).ended(0);
    for page in ["genie.1", "genie-ask.1", "genie-key-create.1"] {
        let text = fs::read_to_string(folder.join(page)).unwrap();
        assert!(text.contains(".SH NAME"), "{page}");
    }
}

#[test]
fn a_service_takes_what_a_command_makes() {
    if models(&[MINILM]).is_none() {
        return;
    }
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    scratch.write(
        "home/config.toml",
        "[server]\nauthentication = \"required\"\n",
    );
    genie.run(&["workspace", "create", "health"]).ended(0);
    let key = genie.json(&[
        "key",
        "create",
        "--name",
        "k",
        "--workspace",
        "health",
        "--json",
    ]);
    let service = Service::start(&genie);
    assert_eq!(service.get("/api/v1/workspaces/health").status, 401);
    let secret = key["secret"].as_str().unwrap();
    assert_eq!(
        service
            .get_with_key("/api/v1/workspaces/health", secret)
            .status,
        200
    );
    assert_eq!(
        service
            .get_with_key("/api/v1/workspaces/default", secret)
            .status,
        404
    );
    // Revoked beside the running service, it stops at once.
    let prefix = key["prefix"].as_str().unwrap();
    genie.run(&["key", "revoke", prefix, "--yes"]).ended(0);
    assert_eq!(
        service
            .get_with_key("/api/v1/workspaces/health", secret)
            .status,
        401
    );
    genie
        .run(&["workspace", "delete", "health", "--yes"])
        .refused(&["401"]);
    // The service has its index open, so it is the one who deletes it.
    let operator = ["key", "create", "--name", "o", "--operator"];
    let operator = genie.run(&operator).ended(0).out.trim().to_owned();
    genie
        .clone()
        .set("GENIE_API_KEY", operator)
        .run(&["workspace", "delete", "health", "--yes"])
        .ended(0);
    genie
        .run(&["workspace", "show", "health"])
        .refused(&["no workspace health"]);
}
