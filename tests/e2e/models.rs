//! Model files that are not what they should be.

use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use crate::genie::{Genie, MINILM, SMOLLM, models};
use crate::material::{Scratch, copy_folder};

/// A folder with copies of these models, which the test may damage.
fn copies(scratch: &Scratch, models: &Path, names: &[&str]) -> std::path::PathBuf {
    let folder = scratch.path("models");
    for name in names {
        copy_folder(&models.join(name), &folder.join(name));
    }
    folder
}

#[test]
fn the_list_says_what_is_here() {
    let scratch = Scratch::new();
    let list = Genie::bare(&scratch.home()).json(&["models", "list", "--json"]);
    let list = list.as_array().unwrap();
    assert!(list.len() >= 10, "{} models", list.len());
    for model in list {
        assert!(
            ["chat", "embedding"].contains(&model["role"].as_str().unwrap()),
            "{model}"
        );
        assert!(!model["licence"].as_str().unwrap().is_empty(), "{model}");
        assert_eq!(model["state"], "absent", "{model}");
    }
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let genie = Genie::quick(&scratch.home(), &models);
    let list = genie.json(&["models", "list", "--json"]);
    let here = list.as_array().unwrap().iter();
    let here = here.clone().find(|model| model["name"] == MINILM).unwrap();
    assert_eq!(here["state"], "installed");
    let path = genie.run(&["models", "path", MINILM]).ended(0).out;
    assert_eq!(Path::new(path.trim()), models.join(MINILM));
}

#[test]
fn an_unknown_model_is_refused() {
    let scratch = Scratch::new();
    let genie = Genie::bare(&scratch.home());
    for command in ["pull", "path"] {
        genie
            .run(&["models", command, "no-such-model"])
            .refused(&["no-such-model", "genie models list"]);
    }
    // Some of the models to verify may be sound.
    let verify = genie.run(&["models", "verify", "no-such-model"]).ended(3);
    assert!(
        verify.sentence().contains("no-such-model"),
        "{}",
        verify.err
    );
}

#[test]
fn half_a_gguf_is_not_imported() {
    let Some(models) = models(&[SMOLLM]) else {
        return;
    };
    let scratch = Scratch::new();
    let whole = fs::read(models.join(SMOLLM).join("model.gguf")).unwrap();
    let half = scratch.write("half.gguf", &whole[..whole.len() / 2]);
    let genie = Genie::bare(&scratch.home()).set(
        "GENIE_MODELS",
        scratch.path("models").to_string_lossy().into_owned(),
    );
    genie
        .run(&["models", "import", half.to_str().unwrap()])
        .refused(&["half.gguf", "can't be imported"]);
    assert!(nothing_in(&scratch.path("models")), "half a model was kept");

    // The whole file is taken.
    let file = models.join(SMOLLM).join("model.gguf");
    genie
        .run(&["models", "import", file.to_str().unwrap()])
        .ended(0);
    genie.run(&["models", "verify", SMOLLM]).ended(0);
}

#[test]
fn a_file_of_no_known_model_is_not_imported() {
    let scratch = Scratch::new();
    let file = scratch.write("other.gguf", "no model at all, only a few words");
    let genie = Genie::bare(&scratch.home());
    genie
        .run(&["models", "import", file.to_str().unwrap()])
        .refused(&["other.gguf", "SHA-256", "registry"]);
    assert!(nothing_in(&scratch.path("home/no-models")));
}

#[test]
fn an_installed_model_cut_in_half_is_named() {
    let Some(models) = models(&[MINILM, SMOLLM]) else {
        return;
    };
    let scratch = Scratch::new();
    let folder = copies(&scratch, &models, &[MINILM, SMOLLM]);
    let genie = Genie::quick(&scratch.home(), &folder).set("GENIE_CHAT_MODEL", SMOLLM);
    scratch.articles();
    genie.run(&["ingest", "docs"]).ended(0);
    let before = genie.index();
    let file = folder.join(SMOLLM).join("model.gguf");
    let length = fs::metadata(&file).unwrap().len();
    OpenOptions::new()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(length / 2)
        .unwrap();
    genie.run(&["ask", "What is a submarine cable?"]).refused(&[
        "model.gguf",
        &(length / 2).to_string(),
        "genie models rm smollm2-135m-instruct",
    ]);
    assert_eq!(genie.index(), before);
}

#[test]
fn an_altered_model_is_found_by_its_hash() {
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let scratch = Scratch::new();
    let sound = Genie::quick(&scratch.home(), &models);
    scratch.articles();
    sound.run(&["ingest", "docs"]).ended(0);
    let before = sound.index();

    let folder = copies(&scratch, &models, &[MINILM]);
    let genie = Genie::quick(&scratch.home(), &folder);
    genie.run(&["models", "verify"]).ended(0);
    let weights = fs::read_dir(folder.join(MINILM))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_stem().is_some_and(|stem| stem == "model"))
        .expect("weights");
    let mut file = OpenOptions::new().write(true).open(&weights).unwrap();
    file.seek(SeekFrom::End(-1000)).unwrap();
    file.write_all(b"four").unwrap();
    drop(file);
    let verify = genie.run(&["models", "verify"]).ended(3);
    for part in [
        "SHA-256",
        "genie models rm all-minilm-l6-v2",
        "genie models pull",
    ] {
        assert!(verify.sentence().contains(part), "{}", verify.err);
    }
    genie
        .run(&["search", "cable"])
        .refused(&["SHA-256", "genie models pull"]);
    assert_eq!(sound.index(), before);
}

#[test]
fn a_download_with_a_wrong_hash_leaves_nothing() {
    let scratch = Scratch::new();
    scratch.write("arrived.gguf", [0x47, 0x47, 0x55, 0x46].repeat(64));
    let registry = scratch.write(
        "registry.toml",
        format!(
            r#"
[[model]]
name = "swapped"
title = "Swapped on the way"
role = "chat"
architecture = "llama"
licence = "MIT"
openness = {{ weights = "open", training_data = "open", code = "open" }}
context = 2048
languages = ["en"]
verified = true
file = [{{ name = "model.gguf", size = 256, sha256 = "{}" }}]

[[model.source]]
kind = "path"
files = [{{ file = "model.gguf", path = "arrived.gguf" }}]
"#,
            "ab".repeat(32)
        ),
    );
    let genie =
        Genie::bare(&scratch.home()).set("GENIE_REGISTRY", registry.to_string_lossy().into_owned());
    genie
        .run(&["models", "pull", "swapped"])
        .refused(&["swapped", "SHA-256", "nothing was kept"]);
    assert!(nothing_in(&scratch.path("home/no-models")));
}

/// Whether there is no file in a folder, at any depth.
fn nothing_in(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return true;
    };
    entries.map(Result::unwrap).all(|entry| {
        let is_lock = entry.path().extension().is_some_and(|end| end == "lock");
        is_lock || (entry.file_type().unwrap().is_dir() && nothing_in(&entry.path()))
    })
}
