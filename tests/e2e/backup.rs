//! Backups: what comes back is what was there, and nothing else is taken for
//! one.

use std::fs;

use serde_json::{Value, json};

use crate::genie::{Genie, with_articles};
use crate::material::Scratch;
use crate::service::Service;

#[test]
fn a_restored_backup_gives_the_same_answers() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    scratch.write("home/config.toml", "[retrieval]\nmin_similarity = 0.1\n");
    genie.run(&["ingest", "docs"]).ended(0);
    genie.run(&["workspace", "create", "health"]).ended(0);
    let question = ["ask", "What does a repair ship do?", "--json"];
    let before = genie.json(&question);
    let documents = genie.index().documents;
    let file = scratch.path("backup.tar");
    let file = file.to_str().unwrap();
    let made = genie.json(&["backup", "create", file, "--json"]);
    let paths: Vec<_> = made["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["path"].as_str().unwrap())
        .collect();
    for path in ["config.toml", "state/genie.db", "index/identity.json"] {
        assert!(paths.contains(&path), "no {path} in {paths:?}");
    }
    genie.run(&["backup", "create", file]).refused(&["exists"]);
    genie.run(&["backup", "verify", file]).ended(0);
    // What happens after a backup is not in it.
    genie.run(&["workspace", "create", "later"]).ended(0);

    let other = genie.clone().at(&scratch.path("other"));
    other.run(&["backup", "restore", file]).ended(0);
    assert_eq!(other.index().documents, documents);
    let after = other.json(&question);
    for part in ["text", "citations", "passages"] {
        assert_eq!(after[part], before[part], "{part}");
    }
    let workspaces = other.json(&["workspace", "list", "--json"]);
    let ids: Vec<_> = workspaces
        .as_array()
        .unwrap()
        .iter()
        .map(|workspace| workspace["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["default", "health"]);
    assert_eq!(other.json(&["audit", "verify", "--json"])["records"], 1);
    other
        .run(&["backup", "restore", file])
        .refused(&["not empty"]);
}

#[test]
fn a_backup_is_made_while_the_service_runs() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    scratch.write("home/config.toml", "[retrieval]\nmin_similarity = 0.1\n");
    genie.run(&["ingest", "docs"]).ended(0);
    genie.run(&["workspace", "create", "health"]).ended(0);
    // What a service left that was killed while it made one.
    scratch.write("home/.backup-x/backup.tar", "half of one");
    let service = Service::start(&genie);
    assert!(!scratch.path("home/.backup-x").exists());
    let text = json!({"uri": "ward.md", "text": "# Wards\n\nThe ward has twelve beds."});
    let path = "/api/v1/workspaces/health/documents";
    assert_eq!(service.post(path, &text).status, 201);
    let asked = json!({"query": "How many beds does the ward have?"});
    let search = "/api/v1/workspaces/health/search";
    let before = service.post(search, &asked).ok().json();
    assert_eq!(before["passages"][0]["document"], "ward.md", "{before}");
    let documents = genie.json(&["doc", "list", "--json"]);
    let file = scratch.path("backup.tar");
    let file = file.to_str().unwrap();
    genie.run(&["backup", "create", file]).ended(0);
    genie.run(&["backup", "create", file]).refused(&["exists"]);
    assert!(!scratch.path("backup.tar.part").exists());
    let left: Vec<_> = fs::read_dir(scratch.home())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".backup"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // It goes on as before.
    assert_eq!(
        service
            .post(path, &json!({"uri": "b.md", "text": "A second one."}))
            .status,
        201
    );
    service.stop().ended(0);

    let other = genie.clone().at(&scratch.path("other"));
    other.run(&["backup", "restore", file]).ended(0);
    assert_eq!(other.json(&["doc", "list", "--json"]), documents);
    let service = Service::start(&other);
    let after = service.post(search, &asked).ok().json();
    assert_eq!(after["passages"], before["passages"]);
    let kept = service.get(path).ok().json();
    assert_eq!(kept["results"].as_array().unwrap().len(), 1, "{kept}");
    let trail = service.get("/api/v1/audit/verify").ok().json();
    assert_eq!(trail["whole"], true);
    service.stop().ended(0);
}

#[test]
fn a_damaged_backup_is_found_and_restores_nothing() {
    let scratch = Scratch::new();
    let genie = Genie::bare(&scratch.home());
    genie.run(&["workspace", "create", "health"]).ended(0);
    let file = scratch.path("backup.tar");
    genie
        .run(&["backup", "create", file.to_str().unwrap()])
        .ended(0);
    let sound = fs::read(&file).unwrap();
    let other = genie.clone().at(&scratch.path("other"));
    let refuses = |what: &str, bytes: &[u8]| {
        let bad = scratch.write("bad.tar", bytes);
        let bad = bad.to_str().unwrap();
        genie.run(&["backup", "verify", bad]).refused(&["bad.tar"]);
        other.run(&["backup", "restore", bad]).refused(&["bad.tar"]);
        assert!(!scratch.path("other").exists(), "{what} left something");
    };
    // In the state, which is the first file.
    let mut flipped = sound.clone();
    flipped[512 + 5000] ^= 1;
    refuses("a flipped byte", &flipped);
    refuses("half of it", &sound[..sound.len() / 2]);
    refuses("no archive", b"this is no archive, it is a sentence");
    refuses("nothing", b"");
    // A name that leads out of the home.
    let inside = b"state/genie.db";
    let at = sound
        .windows(inside.len())
        .position(|window| window == inside)
        .unwrap();
    let mut outside = sound.clone();
    outside[at..at + inside.len()].copy_from_slice(b"../genie-db-db");
    let header = at / 512 * 512;
    let sum: u32 = outside[header..header + 512]
        .iter()
        .enumerate()
        .map(|(index, byte)| {
            if (148..156).contains(&index) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    outside[header + 148..header + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    refuses("a name that leads out", &outside);
    assert!(!scratch.path("genie-db-db").exists());
    genie
        .run(&["backup", "verify", "nowhere.tar"])
        .refused(&["nowhere.tar"]);
    let empty = genie.clone().at(&scratch.path("nothing"));
    empty
        .run(&["backup", "create", scratch.path("n.tar").to_str().unwrap()])
        .refused(&["nothing"]);
    let checked = genie.json(&["backup", "verify", file.to_str().unwrap(), "--json"]);
    assert_ne!(checked["files"], Value::Null);
}
