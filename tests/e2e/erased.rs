//! What was deleted is in no file of the installation.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::json;

use crate::genie::{LIMIT, with_articles};
use crate::service::Service;

/// Nothing in it comes twice, so a compressor that only looks for that keeps it.
const CANARY: &str = "kanari qZ7vW3xJ9gH2mB5";

fn canary() -> String {
    format!("# Birds of the harbour\n\nA passage with {CANARY} in it, about birds.\n")
}

/// How a text compressed by Zstandard begins (RFC 8878).
const FRAME: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// A file's bytes, and behind them what is compressed in it.
fn unpacked(path: &Path) -> Vec<u8> {
    // A running service removes files while they are looked at.
    let mut bytes = fs::read(path).unwrap_or_default();
    let begins = |at: &usize| bytes[*at..].starts_with(&FRAME);
    let frames: Vec<usize> = (0..bytes.len()).filter(begins).collect();
    for at in frames {
        let mut text = Vec::new();
        let frame = zstd::Decoder::new(&bytes[at..]).unwrap().single_frame();
        // What only looks like a frame ends with an error.
        let _ = frame.take(1 << 20).read_to_end(&mut text);
        bytes.extend(text);
    }
    bytes
}

/// The files below `folder` that hold the canary, as UTF-8 or as UTF-16.
fn files_with_it(folder: &Path) -> Vec<PathBuf> {
    let wide: Vec<u8> = CANARY.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with_it(&path));
            continue;
        }
        let bytes = unpacked(&path);
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
        if holds(CANARY.as_bytes()) || holds(&wide) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_document_deleted_by_command_is_in_no_file() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    scratch.write("docs/birds.md", canary());
    genie.run(&["ingest", "docs"]).ended(0);
    let before = files_with_it(genie.home());
    assert!(
        before
            .iter()
            .any(|path| path.starts_with(genie.home().join("index")))
            && before
                .iter()
                .any(|path| path.starts_with(genie.home().join("originals"))),
        "the test can't see what is written: {before:?}"
    );
    let index = genie.index();
    let id = index.find("birds.md").unwrap()["id"].as_str().unwrap();
    genie.run(&["doc", "delete", id, "--yes"]).ended(0);
    assert_eq!(files_with_it(genie.home()), Vec::<PathBuf>::new());

    // A version that was replaced is gone as well.
    scratch.write("docs/birds.md", canary());
    genie.run(&["ingest", "docs"]).ended(0);
    assert!(!files_with_it(genie.home()).is_empty());
    scratch.write(
        "docs/birds.md",
        "# Birds\n\nThe amber heron stands in the harbour.\n",
    );
    genie.run(&["ingest", "docs"]).ended(0);
    assert_eq!(files_with_it(genie.home()), Vec::<PathBuf>::new());
    let found = genie.json(&["search", "repair ship splices a cable", "--json"]);
    assert!(
        found["passages"].to_string().contains("cable.md"),
        "{found}"
    );
    let found = genie.json(&["search", "amber heron", "--json"]);
    assert!(
        found["passages"].to_string().contains("amber heron"),
        "{found}"
    );
}

#[test]
fn a_document_kept_for_days_is_out_of_the_index_and_comes_back() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    scratch.write("docs/birds.md", canary());
    genie.run(&["ingest", "docs"]).ended(0);
    let id = |list: &serde_json::Value| {
        let found = list.as_array().unwrap().iter().find(|one| {
            let uri = one["uri"].as_str().unwrap();
            uri.ends_with("birds.md")
        });
        found.map(|one| one["id"].as_str().unwrap().to_owned())
    };
    let birds = id(&genie.json(&["doc", "list", "--json"])).unwrap();
    let kept = genie.run(&["doc", "delete", &birds, "--keep-days", "30", "--yes"]);
    let said = kept.ended(0).out;
    assert!(said.contains("genie doc restore"), "{said}");
    assert_eq!(id(&genie.json(&["doc", "list", "--json"])), None);
    let left = files_with_it(genie.home());
    let [aside] = &left[..] else {
        panic!("one file: {left:?}");
    };
    assert!(aside.starts_with(genie.home().join("originals")));
    let found = genie.json(&["search", CANARY, "--json"]);
    assert!(
        !found["passages"].to_string().contains("birds.md"),
        "{found}"
    );
    let removed = genie.json(&["doc", "list", "--deleted", "--json"]);
    assert_eq!(id(&removed).as_ref(), Some(&birds), "{removed}");

    genie.run(&["doc", "restore", &birds[..12]]).ended(0);
    let found = genie.json(&["search", CANARY, "--json"]);
    assert!(
        found["passages"].to_string().contains("birds.md"),
        "{found}"
    );
    assert_eq!(
        genie.json(&["doc", "list", "--deleted", "--json"]),
        json!([])
    );
    genie.run(&["doc", "restore", &birds]).ended(1);

    // A service restores as well, and erases what was only removed.
    let service = Service::start(&genie);
    let days = ["doc", "delete", &birds, "--keep-days", "1", "--yes"];
    genie.run(&days).ended(0);
    genie.run(&["doc", "restore", &birds]).ended(0);
    let found = service
        .post("/api/v1/search", &json!({"query": CANARY}))
        .ok();
    assert!(found.text.contains("birds.md"), "{}", found.text);
    genie.run(&days).ended(0);
    genie.run(&days).ended(1);
    genie.run(&["doc", "delete", &birds, "--yes"]).ended(0);
    service.stop().ended(0);
    assert_eq!(files_with_it(genie.home()), Vec::<PathBuf>::new());
}

#[test]
fn a_document_deleted_from_a_service_is_soon_in_no_file() {
    let Some((_scratch, genie)) = with_articles() else {
        return;
    };
    genie.run(&["ingest", "docs"]).ended(0);
    let service = Service::start(&genie);
    let added = service.post(
        "/api/v1/documents",
        &json!({"uri": "birds.md", "text": canary()}),
    );
    assert_eq!(added.status, 201, "{}", added.text);
    assert!(!files_with_it(genie.home()).is_empty());
    let id = added.json()["id"].as_str().unwrap().to_owned();
    // Kept answers quote it by now.
    let talk = service.post("/api/v1/conversations", &json!({"title": "Harbour"}));
    let talk = talk.json()["id"].as_str().unwrap().to_owned();
    let talk = format!("/api/v1/conversations/{talk}/messages");
    let asked = json!({"question": "Which passage is about birds of the harbour?"});
    let answered = service.post(&talk, &asked);
    assert!(answered.text.contains(CANARY), "{}", answered.text);
    let cables = json!({"question": "What does a repair ship do?"});
    let other = service.post(&talk, &cables).json();
    genie.run(&["doc", "delete", &id, "--yes"]).ended(0);
    let begin = Instant::now();
    loop {
        let left = files_with_it(genie.home());
        if left.is_empty() {
            break;
        }
        assert!(begin.elapsed() < LIMIT, "it is still in {left:?}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let found = service
        .post(
            "/api/v1/search",
            &json!({"query": "repair ship splices a cable"}),
        )
        .ok();
    assert!(found.text.contains("cable.md"), "{}", found.text);
    let left = service.get(&talk).json();
    assert_eq!(left["results"][1]["text"], "[…]", "{left}");
    assert_eq!(
        left["results"][3]["text"], other["answer"]["text"],
        "{left}"
    );
    service.stop().ended(0);
    assert_eq!(files_with_it(genie.home()), Vec::<PathBuf>::new());
}

#[test]
fn a_conversation_kept_for_days_comes_back_here_and_from_afar() {
    let Some((_scratch, genie)) = with_articles() else {
        return;
    };
    let service = Service::start(&genie);
    let body = json!({"title": format!("About {CANARY}")});
    let begun = service.post("/api/v1/conversations", &body).json();
    let id = begun["id"].as_str().unwrap();
    let far = genie.clone().set("GENIE_SERVER", &service.url);
    for side in [&genie, &far] {
        let listed = side.run(&["conversation", "list"]).ended(0).out;
        assert!(listed.contains("  0         About kanari"), "{listed}");
        let days = ["conversation", "delete", id, "--keep-days", "5", "--yes"];
        let said = side.run(&days).ended(0).out;
        assert!(said.contains("genie conversation restore"), "{said}");
        side.run(&["conversation", "show", id]).ended(1);
        side.run(&days).ended(1);
        let deleted = side.json(&["conversation", "list", "--deleted", "--json"]);
        assert_eq!(deleted[0]["id"], id, "{deleted}");
        assert!(!files_with_it(genie.home()).is_empty());
        side.run(&["conversation", "restore", id]).ended(0);
        side.run(&["conversation", "restore", id]).ended(1);
    }
    let gone = ["conversation", "delete", id, "--yes"];
    genie.run(&gone).ended(0);
    service.stop().ended(0);
    assert_eq!(files_with_it(genie.home()), Vec::<PathBuf>::new());
}
