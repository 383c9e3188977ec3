//! Files that can't be indexed are named and skipped; the rest goes on and
//! the index is unharmed.

use std::path::PathBuf;

use crate::genie::{Genie, MINILM, models};
use crate::material::Scratch;

/// Ingests the articles, then the bad file together with a sound one, then
/// the bad file alone.
#[track_caller]
fn is_skipped(make: impl Fn(&Scratch, &str) -> PathBuf, name: &str, reason: &[&str]) {
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let scratch = Scratch::new();
    let genie = Genie::quick(&scratch.home(), &models);
    let bad = make(&scratch, name);
    let bad = bad.to_str().unwrap();
    scratch.articles();
    genie.run(&["ingest", "docs"]).ended(0);
    let before = genie.index();
    assert_eq!(before.len(), 3);

    let sound = scratch.another("fibre.md");
    let mixed = genie
        .run(&["ingest", "--json", bad, sound.to_str().unwrap()])
        .ended(3);
    let lines = mixed.lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0]["status"], "skipped");
    let said = lines[0]["reason"].as_str().unwrap();
    for part in reason.iter().chain([&name]) {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
    assert!(
        !said.contains('\n') && !mixed.err.contains("panicked"),
        "{}",
        mixed.err
    );
    assert_eq!(lines[1]["status"], "indexed");
    let after = genie.index();
    assert_eq!(after.len(), 4);
    assert!(after.find("fibre.md").is_some() && after.find(name).is_none());
    for document in before.documents.as_array().unwrap() {
        assert!(after.documents.as_array().unwrap().contains(document));
    }

    let alone = genie
        .run(&["ingest", bad])
        .refused(&["no file was indexed"]);
    assert!(alone.err.contains(name), "{}", alone.err);
    assert_eq!(genie.index(), after);
}

#[test]
fn an_empty_file() {
    is_skipped(Scratch::empty, "nothing.txt", &["is empty"]);
}

#[test]
fn a_text_file_of_200_megabytes() {
    is_skipped(
        Scratch::huge,
        "log.txt",
        &["200", "67108864 bytes", "split it"],
    );
}

#[test]
fn a_truncated_pdf() {
    is_skipped(Scratch::half_a_pdf, "half.pdf", &["complete copy"]);
}

#[test]
fn a_zip_bomb() {
    is_skipped(Scratch::zip_bomb, "bomb.docx", &["zip bomb", "limit"]);
}

#[test]
fn invalid_utf8() {
    is_skipped(
        Scratch::not_utf8,
        "latin.txt",
        &["not valid UTF-8 at byte 1"],
    );
}

#[test]
fn a_file_of_another_format() {
    let png = |scratch: &Scratch, name: &str| scratch.write(name, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    is_skipped(png, "picture.md", &["picture.md"]);
}

#[test]
fn a_whole_pdf_is_none_of_them() {
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let scratch = Scratch::new();
    let genie = Genie::quick(&scratch.home(), &models);
    let pdf = scratch.pdf("whole.pdf");
    genie.run(&["ingest", pdf.to_str().unwrap()]).ended(0);
    let found = genie.json(&["search", "submarine cable", "--json"]);
    assert_eq!(found["passages"][0]["page"], 1, "{found}");
}

#[test]
fn a_path_that_is_not_there() {
    let scratch = Scratch::new();
    let genie = Genie::bare(&scratch.home());
    genie
        .run(&["ingest", "no-such-folder/report.pdf"])
        .refused(&["no-such-folder/report.pdf", "does not exist"]);
}
