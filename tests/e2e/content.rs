//! What is sent to a service is kept as it is, and goes with its document.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::genie::with_articles;
use crate::service::Service;

const TEXT: &str = "# Canary\n\nThe zebra finch of Antananarivo hums at dawn.\n";
const SENTENCE: &[u8] = b"zebra finch of Antananarivo";

/// Files of a home that hold the sentence. The index in process is left out:
/// its engine gives the space of what was removed back in its own time
/// (docs/security.md).
fn holding(home: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![home.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && path != home.join("index") {
                waiting.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes.windows(SENTENCE.len()).any(|part| part == SENTENCE)
            {
                found.push(path);
            }
        }
    }
    found
}

fn sent(service: &Service) -> String {
    let body = json!({"uri": "canary.md", "text": TEXT});
    let reply = service.post("/api/v1/documents", &body);
    assert_eq!(reply.status, 201, "{}", reply.text);
    reply.json()["id"].as_str().expect("an id").to_owned()
}

#[test]
fn what_was_sent_is_kept_certified_and_erased() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    let service = Service::start(&genie);
    let id = sent(&service);
    let get = |part: &str| service.get(&format!("/api/v1/documents/{id}{part}"));
    assert_eq!(get("/content").ok().text, TEXT);
    let text = get("/text").ok().json();
    assert_eq!(text["results"][0]["section"], json!(["Canary"]), "{text}");
    let certificate = get("/certificate").ok().json();
    assert_eq!(certificate["statement"]["document"]["id"], json!(id));
    let again = service.post(&format!("/api/v1/documents/{id}/reindex"), &json!({}));
    assert_eq!(again.status, 202, "{}", again.text);
    let job = again.json()["id"].as_str().expect("an id").to_owned();
    let done: Value = loop {
        let job = service.get(&format!("/api/v1/jobs/{job}")).ok().json();
        if job["state"] != "queued" && job["state"] != "running" {
            break job;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(holding(genie.home()).len(), 1, "the bytes are kept once");
    let url = json!({"url": "https://example.org/a.md"});
    let closed = service.post("/api/v1/documents", &url);
    assert_eq!(closed.status, 403, "the way out is closed: {}", closed.text);
    service.stop().ended(0);

    let file = scratch.path("backup.tar");
    let file = file.to_str().expect("Unicode");
    let made = genie.json(&["backup", "create", file, "--json"]);
    let original = json!(format!("originals/{id}"));
    let files = made["files"].as_array().expect("a list");
    assert!(files.iter().any(|file| file["path"] == original), "{made}");
    // Without a service too.
    genie.run(&["doc", "delete", &id, "--yes"]).ended(0);
    assert_eq!(holding(genie.home()), Vec::<PathBuf>::new());
}

#[test]
fn a_newer_version_takes_the_place_of_the_kept_bytes() {
    let Some((_scratch, genie)) = with_articles() else {
        return;
    };
    let service = Service::start(&genie);
    sent(&service);
    let newer = json!({"uri": "canary.md", "text": "# Canary\n\nIt has flown away.\n"});
    let replaced = service.post("/api/v1/documents", &newer);
    assert_eq!(replaced.json()["status"], "replaced", "{}", replaced.text);
    assert_eq!(holding(genie.home()), Vec::<PathBuf>::new());
    service.stop().ended(0);
}
