use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::tiny::Tiny;
use crate::{ChatModel, ChatModelOptions};
use genie_core::ContentHash;

fn load(bytes: &[u8]) -> Result<ChatModel, LlmError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, bytes).expect("written");
    ChatModel::load(&path, ChatModelOptions::new("tiny", ContentHash::of(bytes)))
}

fn problem(bytes: &[u8]) -> FileProblem {
    match load(bytes).expect_err("the file is broken") {
        LlmError::File { problem, path } => {
            assert!(path.ends_with("model.gguf"));
            problem
        }
        other => panic!("another error: {other:?}"),
    }
}

/// A header of these metadata entries and no tensors.
fn header(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.extend((entries.len() as u64).to_le_bytes());
    for (key, code, value) in entries {
        bytes.extend((key.len() as u64).to_le_bytes());
        bytes.extend(key.as_bytes());
        bytes.extend(code.to_le_bytes());
        bytes.extend(*value);
    }
    bytes
}

#[test]
fn a_file_cut_in_half_says_so_and_names_the_way_out() {
    let bytes = Tiny::default().bytes();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("half.gguf");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("written");
    let options = ChatModelOptions::new("tiny", ContentHash::of(&bytes));
    let error = ChatModel::load(&path, options).expect_err("half a file");
    let message = error.to_string();
    for part in [
        "half.gguf",
        "cut short",
        "genie models verify",
        "genie models pull",
    ] {
        assert!(message.contains(part), "{message}");
    }
    assert!(matches!(
        problem(&bytes[..bytes.len() - 1]),
        FileProblem::TensorCut { .. }
    ));
    assert!(matches!(
        problem(&bytes[..1000]),
        FileProblem::HeaderCut { .. }
    ));
}

#[test]
fn other_files_are_told_apart() {
    assert_eq!(problem(b""), FileProblem::NotGguf);
    assert_eq!(problem(b"PK\x03\x04 and more"), FileProblem::NotGguf);
    assert_eq!(problem(b"GGUF\x09\0\0\0 and more"), FileProblem::Version(9));
    let missing = ChatModel::load(
        Path::new("no-such-file.gguf"),
        ChatModelOptions::new("none", ContentHash::of(b"")),
    );
    assert!(matches!(missing, Err(LlmError::Io { .. })));
}

#[test]
fn declared_sizes_are_not_believed() {
    let huge = u64::MAX.to_le_bytes();
    let mut bytes = header(&[]);
    bytes[8..16].copy_from_slice(&huge);
    assert!(matches!(problem(&bytes), FileProblem::TooMany { .. }));

    let mut array = 4u32.to_le_bytes().to_vec();
    array.extend((1u64 << 22).to_le_bytes());
    let bytes = header(&[("numbers", 9, &array)]);
    assert!(matches!(problem(&bytes), FileProblem::HeaderCut { .. }));

    let mut text = (1u64 << 20).to_le_bytes().to_vec();
    text.extend(b"short");
    let bytes = header(&[("text", 8, &text)]);
    assert!(matches!(problem(&bytes), FileProblem::HeaderCut { .. }));

    let bytes = header(&[("general.alignment", 4, &[0; 4])]);
    assert!(matches!(problem(&bytes), FileProblem::BadValue(_)));
}

#[test]
fn an_unknown_family_is_named() {
    let mut name = 5u64.to_le_bytes().to_vec();
    name.extend(b"mamba");
    let bytes = header(&[("general.architecture", 8, &name)]);
    // The tokenizer is looked at first; a file without one has none to name.
    assert_eq!(problem(&bytes), FileProblem::TokenizerModel(String::new()));
    let bytes = Tiny {
        family: "mamba",
        ..Tiny::default()
    }
    .bytes();
    assert_eq!(problem(&bytes), FileProblem::Architecture("mamba".into()));
}

#[test]
fn tensors_of_another_shape_are_named() {
    let bytes = Tiny::default().bytes();
    let key = b"llama.feed_forward_length";
    let start = bytes
        .windows(key.len())
        .position(|window| window == key)
        .expect("the key is there");
    let mut bytes = bytes;
    // Behind the key stand its type and the number.
    bytes[start + key.len() + 4] = 96;
    assert!(matches!(problem(&bytes), FileProblem::TensorShape { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_damaged_header_never_panics(
        gemma in any::<bool>(),
        changes in prop::collection::vec((0usize..9000, any::<u8>()), 1..8),
        cut in prop::option::of(0usize..9000),
    ) {
        let mut bytes = BYTES.with(|files| files[usize::from(gemma)].clone());
        for (position, byte) in changes {
            let length = bytes.len();
            bytes[position % length] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut);
        }
        // Whether it loads depends on what was hit; a number in a weight is
        // as good as another.
        match load(&bytes) {
            Ok(model) => drop(model),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }
}

thread_local! {
    static BYTES: [Vec<u8>; 2] = ["llama", "gemma3"].map(|family| {
        Tiny {
            family,
            ..Tiny::default()
        }
        .bytes()
    });
}
