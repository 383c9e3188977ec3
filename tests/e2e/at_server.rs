//! Commands that another machine's service does: `--server`.

use std::fs;

use serde_json::Value;

use crate::genie::{Genie, Running, with_articles};
use crate::material::Scratch;

/// A service over TLS, and an installation that knows nothing but its address.
struct Far {
    running: Running,
    here: Genie,
    holder: Genie,
    scratch: Scratch,
    url: String,
}

fn far() -> Option<Far> {
    let (scratch, holder) = with_articles()?;
    scratch.write("home/config.toml", "[retrieval]\nmin_similarity = 0.1\n");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let chain = scratch.write("chain.pem", made.cert.pem());
    let key = scratch.write("key.pem", made.signing_key.serialize_pem());
    let operator = ["key", "create", "--name", "o", "--operator"];
    let secret = holder.run(&operator).ended(0).out.trim().to_owned();
    let arguments = [
        "serve",
        "--listen",
        "0.0.0.0:0",
        "--tls-certificate",
        chain.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ];
    let mut running = holder.start(&arguments);
    let port = running.until("it was ready", |out| {
        let line = out
            .split_inclusive('\n')
            .find(|line| line.ends_with('\n'))?;
        let port = line.split("https://0.0.0.0:").nth(1)?;
        Some(port.split_whitespace().next()?.to_owned())
    });
    let url = format!("https://localhost:{port}");
    let here = Genie::bare(&scratch.path("here"))
        .within(scratch.home().parent().unwrap())
        .set("GENIE_SERVER", &url)
        .set("GENIE_CA_CERTIFICATE", chain.to_str().unwrap())
        .set("GENIE_API_KEY", &secret);
    let holder = holder.set("GENIE_API_KEY", &secret);
    Some(Far {
        running,
        here,
        holder,
        scratch,
        url,
    })
}

#[test]
fn every_command_about_what_is_kept_goes_to_the_server() {
    let Some(Far {
        running,
        here,
        holder,
        scratch,
        url,
    }) = far()
    else {
        return;
    };
    here.run(&["health"]).ended(0);
    here.run(&["ingest", "docs"]).ended(0);
    let documents = here.json(&["doc", "list", "--json"]);
    assert_eq!(documents.as_array().unwrap().len(), 3);
    let answer = here.json(&["ask", "What does a repair ship do?", "--json"]);
    assert_eq!(answer["citations"][0]["document"], "docs/cable.md");
    // The holder of the index reaches its own service, whatever name the
    // certificate is for.
    let found = holder.json(&["search", "repair ship", "--json"]);
    assert_eq!(found["passages"][0]["document"], "docs/cable.md", "{found}");

    // Usage is written down every few seconds.
    let begun = std::time::Instant::now();
    loop {
        let used = here.json(&["usage", "--json"]);
        let answers = used.pointer("/0/answers").and_then(Value::as_u64);
        if answers == Some(1) {
            assert_eq!(used[0]["workspace"], "default");
            let table = here.run(&["usage", "--workspace", "default"]).ended(0).out;
            assert!(table.starts_with("DAY"), "{table}");
            break;
        }
        assert!(begun.elapsed().as_secs() < 60, "{used}");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }

    let made = here.json(&["workspace", "create", "health", "--top-k", "8", "--json"]);
    assert_eq!(made["settings"]["top_k"], 8);
    let set = ["workspace", "set", "health", "--name", "Santé", "--json"];
    let changed = here.json(&set);
    assert_eq!(
        (&changed["name"], &changed["settings"]["top_k"]),
        (&"Santé".into(), &8.into())
    );
    let shown = here.run(&["workspace", "show", "health"]).ended(0).out;
    assert!(
        shown.contains("Santé") && shown.contains("settings.top_k"),
        "{shown}"
    );
    let both = here.json(&["workspace", "list", "--json"]);
    assert_eq!(both.as_array().unwrap().len(), 2);
    // The same as on its own machine.
    assert_eq!(both, holder.json(&["workspace", "list", "--json"]));

    let create = [
        "key",
        "create",
        "--name",
        "k",
        "--workspace",
        "health",
        "--role",
        "owner",
    ];
    let kiosk = [
        "key",
        "create",
        "--name",
        "kiosk",
        "--answers-per-day",
        "500",
        "--json",
    ];
    assert_eq!(here.json(&kiosk)["quotas"]["answers_per_day"], 500);
    let listed = here.run(&["key", "list"]).ended(0).out;
    assert!(listed.contains("answers_per_day 500"), "{listed}");
    let secret = here.run(&create).ended(0).out.trim().to_owned();
    let owner = here.clone().set("GENIE_API_KEY", &secret);
    let keys = owner.json(&["key", "list", "--json"]);
    assert_eq!((&keys[0]["name"], &keys[1]), (&"k".into(), &Value::Null));
    let prefix = keys[0]["prefix"].as_str().unwrap();
    let rotated = here.json(&["key", "rotate", prefix, "--json"]);
    owner.run(&["key", "list"]).refused(&["401"]);
    let owner = owner.set("GENIE_API_KEY", rotated["secret"].as_str().unwrap());
    owner
        .run(&["workspace", "show", "default"])
        .refused(&["404"]);
    here.run(&["key", "revoke", prefix]).refused(&["--yes"]);
    here.run(&["key", "revoke", prefix, "--yes"]).ended(0);
    owner.run(&["key", "list"]).refused(&["401"]);

    let who = "user:0f3a:ana@example.org";
    let member = ["user", "set", who, "editor", "--workspace", "health"];
    here.run(&member).ended(0);
    let members = here.json(&["user", "list", "--workspace", "health", "--json"]);
    assert_eq!(members[0]["subject"], who);
    here.run(&["user", "remove", who, "--workspace", "health"])
        .ended(0);
    here.run(&["user", "remove", who, "--workspace", "health"])
        .refused(&["404"]);

    assert_eq!(
        here.json(&["conversation", "list", "--json"]),
        Value::Array(Vec::new())
    );
    here.run(&["conversation", "list", "--subject", who])
        .refused(&["without --server"]);
    here.run(&["conversation", "export"]).ended(0);
    assert_eq!(
        here.json(&["job", "list", "--json"]),
        Value::Array(Vec::new())
    );
    let trail = here.json(&["audit", "list", "--json"]);
    assert!(trail.as_array().unwrap().len() > 5, "{trail}");
    here.run(&["audit", "verify"]).ended(0);
    here.run(&["audit", "anchor"]).ended(0);
    let lines = here.run(&["audit", "export"]).ended(0).out;
    assert!(lines.lines().count() > 5, "{lines}");
    // An operator gets all of the chain, refusals too.
    let records: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (at, record) in records.iter().enumerate() {
        assert_eq!(record["sequence"], at as u64 + 1);
        let before = at.checked_sub(1).map(|before| &records[before]["hash"]);
        assert!(before.is_none_or(|before| *before == record["previous"]));
    }
    assert!(records.iter().any(|record| record["outcome"] == "denied"));

    let file = scratch.path("far.tar");
    here.run(&["backup", "create", file.to_str().unwrap()])
        .ended(0);
    here.run(&["workspace", "delete", "health", "--yes"])
        .ended(0);
    here.run(&["workspace", "show", "health"]).refused(&["404"]);
    // Nothing of this was done on the asking machine.
    let left: Vec<_> = fs::read_dir(scratch.path("here"))
        .map(|entries| entries.map(|entry| entry.unwrap().file_name()).collect())
        .unwrap_or_default();
    assert!(left.is_empty(), "{left:?}");

    // A certificate that nobody vouches for, and a key in the clear.
    let unknown = here.clone().set("GENIE_CA_CERTIFICATE", "docs/cable.md");
    unknown.run(&["doc", "list"]).refused(&["no certificate"]);
    let plain = here.clone().set("GENIE_SERVER", "http://192.0.2.7:8080");
    plain
        .run(&["doc", "list"])
        .refused(&["https only", "192.0.2.7"]);
    here.run(&["--server", &format!("{url}/"), "models", "list"])
        .refused(&["this machine alone"]);
    here.clone()
        .set("GENIE_SERVER", "localhost")
        .run(&["doc", "list"])
        .refused(&["no address"]);
    running.signal("TERM");
    running.wait(std::time::Duration::from_secs(60)).ended(0);
}
