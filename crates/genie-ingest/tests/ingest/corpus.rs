//! Real documents.

use std::path::{Path, PathBuf};

use genie_core::Language;
use genie_ingest::LanguageDetector;

use crate::{assert_sound, chunks, count, read};

/// The folder beside the checkout, or `None` with the reason printed.
fn shared(part: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared")
        .join(part);
    if folder.exists() {
        return Some(folder);
    }
    eprintln!("skipped: {} does not exist", folder.display());
    None
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

#[test]
fn every_document_is_cut_soundly() {
    let Some(corpus) = shared("corpus") else {
        return;
    };
    let mut sizes = Vec::new();
    for path in files(&corpus.join("itu"))
        .iter()
        .chain(&files(&corpus.join("govstack")))
    {
        let bytes = std::fs::read(path).expect("readable");
        let uri = path.file_name().expect("a name").to_string_lossy();
        let document = read(&uri, &bytes).expect("sound");
        assert_eq!(document.text.as_bytes(), bytes, "{uri} is its own text");
        let expected = if uri.ends_with(".txt") {
            Language::French
        } else {
            Language::English
        };
        assert_eq!(document.language, Some(expected), "{uri}");
        let chunks = chunks(&document);
        assert_sound(&document, &chunks);
        sizes.extend(chunks.iter().map(|chunk| count(&chunk.text)));
    }
    sizes.sort_unstable();
    assert!(sizes.len() > 400, "{}", sizes.len());
    let median = sizes[sizes.len() / 2];
    assert!((250..=350).contains(&median), "median {median}");
    let largest = sizes[sizes.len() - 1];
    assert!(largest <= 380, "largest {largest}");
}

#[test]
fn reports_have_titles_and_sections() {
    let Some(corpus) = shared("corpus/itu") else {
        return;
    };
    let bytes = std::fs::read(corpus.join("000_12d49f0f1eeb1cd5.txt")).expect("readable");
    let document = read("000_12d49f0f1eeb1cd5.txt", &bytes).expect("sound");
    assert!(
        document
            .title
            .starts_with("RAPPORT SUR LA RÉSOLUTION 214 (BUCAREST, 2022)"),
        "{}",
        document.title
    );
    let chunks = chunks(&document);
    let chunk = chunks
        .iter()
        .find(|chunk| chunk.text.contains("729"))
        .expect("the number of projects");
    assert!(chunk.text.contains("406"));
    assert!(
        chunk
            .section_path()
            .contains("Pôle de ressources en intelligence artificielle"),
        "{}",
        chunk.section_path()
    );
    assert_eq!(chunk.language, Some(Language::French));
}

#[test]
fn questions_are_told_apart() {
    let Some(path) = shared("eval/itu-dev.jsonl") else {
        return;
    };
    let lines = std::fs::read_to_string(path).expect("readable");
    let field = |line: &str, name: &str| {
        let start = line.find(&format!("\"{name}\": \"")).expect("the field") + name.len() + 5;
        let end = line[start..].find("\", \"").expect("its end");
        line[start..start + end].replace("\\\"", "\"")
    };
    let mut wrong = Vec::new();
    let mut all = 0;
    for line in lines.lines() {
        all += 1;
        let question = field(line, "question");
        let found = LanguageDetector.detect(&question);
        if found.map(Language::code) != Some(field(line, "lang").as_str()) {
            wrong.push((question, found));
        }
    }
    assert!(all >= 80);
    assert!(wrong.len() <= 1, "{wrong:#?}");
}
