//! Layouts of SQuAD, good and malformed.

use std::fs;

use super::super::load;
use super::*;

const EN: &str = r#"{"data": [{"title": "Cables", "paragraphs": [
    {"context": "A cable lies on the sea floor.", "qas": [{"id": "q1", "question": "Where does it lie?"}]},
    {"context": "A ship repairs it.", "qas": [{"id": "q2", "question": "What repairs it?"}]}]}]}"#;
const FR: &str = r#"{"data": [{"title": "Cables", "paragraphs": [
    {"context": "Un câble repose au fond de la mer.", "qas": [{"id": "q1", "question": "Où repose-t-il ?"}]},
    {"context": "Un navire le répare.", "qas": [{"id": "q2", "question": "Qu'est-ce qui le répare ?"}]}]}]}"#;

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn refused(name: &str, text: &str) -> String {
    let folder = folder(&[(name, text)]);
    load(&folder.path().join(name), &LoadOptions::default())
        .unwrap_err()
        .to_string()
}

#[test]
fn one_file_asks_over_its_own_paragraphs() {
    let folder = folder(&[("en.json", EN)]);
    let suite = load(&folder.path().join("en.json"), &LoadOptions::default()).unwrap();
    assert_eq!(suite.layout, Layout::Squad);
    assert_eq!(suite.collections[0].texts.len(), 2);
    let item = &suite.items[1];
    assert_eq!(
        (item.id.as_str(), item.language.as_str()),
        ("en-en/q2", "en")
    );
    assert_eq!(item.kinds, ["within", "en-en"]);
    let Target::Texts(relevant) = &item.target else {
        panic!("{item:?}")
    };
    assert_eq!(relevant[0].any_of, [suite.collections[0].texts[1].id()]);
}

#[test]
fn a_folder_of_parallel_files_is_asked_within_across_and_pooled() {
    let folder = folder(&[("en.json", EN), ("fr.json", FR)]);
    let suite = load(folder.path(), &LoadOptions::default()).unwrap();
    let ids: Vec<_> = suite.items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "en-en/q1",
            "en-en/q2",
            "fr-en/q1",
            "fr-en/q2",
            "en-fr/q1",
            "en-fr/q2",
            "fr-fr/q1",
            "fr-fr/q2",
            "en-pooled/q1",
            "en-pooled/q2",
            "fr-pooled/q1",
            "fr-pooled/q2",
        ]
    );
    let sizes: Vec<_> = suite
        .collections
        .iter()
        .map(|collection| (collection.name.as_str(), collection.texts.len()))
        .collect();
    assert_eq!(sizes, [("en", 2), ("fr", 2), ("pooled", 4)]);
    let Target::Texts(relevant) = &suite.items[9].target else {
        panic!("{:?}", suite.items[9])
    };
    assert_eq!(
        relevant[0].any_of,
        [
            suite.collections[0].texts[1].id(),
            suite.collections[1].texts[1].id()
        ]
    );
}

#[test]
fn kinds_and_limits_restrict_what_is_asked() {
    let folder = folder(&[("en.json", EN), ("fr.json", FR)]);
    let options = LoadOptions {
        kinds: vec!["fr-en".to_owned(), "pooled".to_owned()],
        limit: Some(1),
        ..LoadOptions::default()
    };
    let suite = load(folder.path(), &options).unwrap();
    let ids: Vec<_> = suite.items.iter().map(|item| item.id.as_str()).collect();
    assert_eq!(ids, ["fr-en/q1", "en-pooled/q1", "fr-pooled/q1"]);
    let names: Vec<_> = suite.collections.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["en", "pooled"]);
    assert_eq!(suite.items[0].collection, Some(0));
    assert_eq!(suite.items[1].collection, Some(1));
    let options = LoadOptions {
        kinds: vec!["xx-en".to_owned()],
        ..LoadOptions::default()
    };
    let error = load(folder.path(), &options).unwrap_err().to_string();
    assert!(
        error.contains("xx-en") && error.contains("fr-en"),
        "{error}"
    );
}

#[test]
fn in_a_collection_of_two_languages_every_other_article_is_in_the_other() {
    let two = |text: &str| {
        text.replace(
            "]},\n    {\"context\"",
            "]}]}, {\"title\": \"Ships\", \"paragraphs\": [\n    {\"context\"",
        )
    };
    let folder = folder(&[("en.json", &two(EN)), ("fr.json", &two(FR))]);
    let options = LoadOptions {
        kinds: vec!["mixed".to_owned()],
        ..LoadOptions::default()
    };
    let suite = load(folder.path(), &options).unwrap();
    let [english_first, french_first] = suite.collections.as_slice() else {
        panic!("{:?}", suite.collections)
    };
    assert_eq!(english_first.name, "en-mixed-fr");
    assert!(english_first.texts[0].text.starts_with("A cable"));
    assert!(english_first.texts[1].text.starts_with("Un navire"));
    assert!(french_first.texts[0].text.starts_with("Un câble"));
    assert!(french_first.texts[1].text.starts_with("A ship"));
    let asked: Vec<_> = suite
        .items
        .iter()
        .map(|item| (item.id.as_str(), item.collection.unwrap()))
        .collect();
    assert_eq!(
        asked,
        [
            ("en-mixed-fr/own/q1", 0),
            ("en-mixed-fr/foreign/q2", 0),
            ("fr-mixed-en/foreign/q1", 0),
            ("fr-mixed-en/own/q2", 0),
            ("en-mixed-fr/foreign/q1", 1),
            ("en-mixed-fr/own/q2", 1),
            ("fr-mixed-en/own/q1", 1),
            ("fr-mixed-en/foreign/q2", 1),
        ]
    );
    assert_eq!(
        suite.items[1].kinds,
        ["mixed", "en-mixed-fr", "mixed-foreign"]
    );
    for item in &suite.items {
        let Target::Texts(relevant) = &item.target else {
            panic!("{item:?}")
        };
        let texts = &suite.collections[item.collection.unwrap()].texts;
        let there = relevant[0]
            .any_of
            .iter()
            .filter(|id| texts.iter().any(|text| text.id() == **id));
        assert_eq!(there.count(), 1, "{}", item.id);
    }
    let options = LoadOptions {
        kinds: vec!["mixed-foreign".to_owned()],
        ..LoadOptions::default()
    };
    let foreign = load(folder.path(), &options).unwrap();
    assert_eq!(foreign.items.len(), 4);
}

#[test]
fn other_paragraphs_have_to_be_parallel() {
    let folder = folder(&[("en.json", EN), ("fr.json", FR)]);
    let options = LoadOptions {
        paragraphs: Some(folder.path().join("en.json")),
        ..LoadOptions::default()
    };
    let suite = load(&folder.path().join("fr.json"), &options).unwrap();
    assert_eq!(suite.items[0].id, "fr-en/q1");
    assert_eq!(suite.items[0].kinds, ["cross", "fr-en"]);
    assert!(suite.collections[0].texts[0].text.starts_with("A cable"));
    fs::write(
        folder.path().join("fr.json"),
        FR.replace("\"q2\"", "\"q9\""),
    )
    .unwrap();
    let error = load(folder.path(), &LoadOptions::default()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("fr.json: data[0].paragraphs[1].qas[0]") && text.contains("q9"),
        "{text}"
    );
}

#[test]
fn malformed_files_are_refused_with_the_place() {
    for (text, place) in [
        (
            "{\"data\": [\n{\"paragraphs\": [\n{\"context\": \"a\"}]}]}",
            "en.json:3:",
        ),
        ("{\"data\": [\n", "en.json:2:"),
        (
            &EN.replace("A ship repairs it.", " - "),
            "data[0].paragraphs[1].context",
        ),
        (
            &EN.replace("What repairs it?", " "),
            "data[0].paragraphs[1].qas[0].question",
        ),
        (
            &EN.replace("\"q2\"", "\"q1\""),
            "data[0].paragraphs[1].qas[0].id",
        ),
        ("{\"data\": []}", "no question"),
    ] {
        let error = refused("en.json", text);
        assert!(error.contains(place), "{place}: {error}");
    }
}
