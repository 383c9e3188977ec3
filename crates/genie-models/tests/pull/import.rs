//! Files that somebody brings.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use genie_core::ContentHash;
use genie_models::{FileName, Imported, ModelError};

use crate::fixture::{Fixture, hf, name, noise};
use crate::happy::whole_gguf;

#[test]
fn a_known_file_is_recognised_whatever_its_name() {
    let mut fixture = Fixture::new();
    let weights = whole_gguf();
    fixture.add_model("m", &weights, &hf("w.gguf"));
    let brought = fixture.home.path().join("from a stick.bin");
    fs::write(&brought, &weights).unwrap();
    let imported = fixture.store().import(&brought, &()).unwrap();
    let Imported::Installed(model) = imported else {
        panic!("{imported:?}");
    };
    assert_eq!(fs::read(&model.weights).unwrap(), weights);
    assert_eq!(fs::read(&brought).unwrap(), weights);
    assert!(!fixture.models().join(".partial").exists());
}

#[test]
fn a_model_of_two_files_is_installed_with_the_second() {
    let mut fixture = Fixture::new();
    let (weights, tokenizer) = (whole_gguf(), b"{\"a\":1}".to_vec());
    fixture.add_model_as(
        "m",
        &format!(
            "{{ name = \"model.gguf\", sha256 = \"{}\" }}, \
             {{ name = \"tokenizer.json\", sha256 = \"{}\" }}",
            ContentHash::of(&weights),
            ContentHash::of(&tokenizer)
        ),
        "[[model.source]]\nkind = \"path\"\nfiles = [\
         { file = \"model.gguf\", path = \"a\" }, { file = \"tokenizer.json\", path = \"b\" }]\n",
    );
    let store = fixture.store();
    let import = |name: &str, bytes: &[u8]| {
        let path = fixture.home.path().join(name);
        fs::write(&path, bytes).unwrap();
        store.import(&path, &()).unwrap()
    };
    assert_eq!(
        import("t", &tokenizer),
        Imported::Waiting {
            name: name("m"),
            missing: vec![FileName::Gguf]
        }
    );
    assert!(matches!(import("w", &weights), Imported::Installed(_)));
    // The same two files by the `path` source of the registry's own folder.
    store.remove(&name("m")).unwrap();
    fs::write(fixture.home.path().join("a"), &weights).unwrap();
    fs::write(fixture.home.path().join("b"), &tokenizer).unwrap();
    fixture.pull("m").unwrap();
}

#[test]
fn an_unknown_file_is_told_its_hash_and_a_cut_one_that_it_is_cut() {
    let fixture = Fixture::new();
    let path = fixture.home.path().join("x.gguf");
    fs::write(&path, b"something else").unwrap();
    let text = fixture.store().import(&path, &()).unwrap_err().to_string();
    let hash = ContentHash::of(b"something else").to_string();
    assert!(text.contains(&hash), "{text}");

    let mut long = whole_gguf();
    // One metadata entry of a thousand bytes is announced, and cut off.
    long[16] = 1;
    long.truncate(24);
    long.extend(3_u64.to_le_bytes());
    long.extend(b"key");
    long.extend(8_u32.to_le_bytes());
    long.extend(1_000_u64.to_le_bytes());
    long.extend([b'x'; 400]);
    fs::write(&path, &long).unwrap();
    let text = fixture.store().import(&path, &()).unwrap_err().to_string();
    assert!(text.contains("cut off"), "{text}");
    assert!(text.contains(&format!("it has {}", long.len())), "{text}");
    assert!(fixture.left().is_empty());
}

#[test]
fn a_changed_file_is_found_out() {
    let mut fixture = Fixture::new();
    let weights = whole_gguf();
    fixture.add_model("m", &weights, &hf("w.gguf"));
    let brought = fixture.home.path().join("w");
    fs::write(&brought, &weights).unwrap();
    let store = fixture.store();
    store.import(&brought, &()).unwrap();
    let file = fixture.models().join("m/model.gguf");
    fs::remove_file(&file).unwrap();

    // Another length: seen without reading.
    fs::write(&file, &weights[..weights.len() / 2]).unwrap();
    let text = store.locate(&name("m")).unwrap_err().to_string();
    assert!(text.contains("has 16 bytes instead of 32"), "{text}");

    // The same length and the same time: only `verify` reads it.
    let time = |path: &std::path::Path| fs::metadata(path).unwrap().modified().unwrap();
    fs::write(&file, &weights).unwrap();
    let set = |at: SystemTime| {
        let options = File::options().write(true).open(&file).unwrap();
        options.set_modified(at).unwrap();
    };
    store.locate(&name("m")).unwrap();
    let known = time(&file);
    fs::write(&file, noise(weights.len(), 1)).unwrap();
    set(known);
    assert!(store.locate(&name("m")).is_ok());
    let error = store.verify(&name("m"), &()).unwrap_err();
    assert!(matches!(error, ModelError::Damaged { .. }), "{error}");

    // The same length and another time: hashed again before it is used.
    set(known + Duration::from_secs(3));
    let text = store.locate(&name("m")).unwrap_err().to_string();
    assert!(text.contains("instead of"), "{text}");
    assert!(text.contains("genie models rm m"), "{text}");
}

#[test]
fn what_is_not_there_is_said_with_the_way_to_it() {
    let mut fixture = Fixture::new();
    fixture.add_model("m", b"w", &hf("w.gguf"));
    let store = fixture.store();
    let text = store.locate(&name("m")).unwrap_err().to_string();
    assert!(text.contains("genie models pull m"), "{text}");
    let text = store.locate(&name("unheard-of")).unwrap_err().to_string();
    assert!(text.contains("genie models list"), "{text}");
}
