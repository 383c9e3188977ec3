//! Where model files lie, and how tests load them.

use std::path::{Path, PathBuf};

use candle_core::Device;
use genie_core::ContentHash;
use genie_embed::{EmbedderOptions, EncoderFiles, Precision, TextEmbedder};

/// The folder of a model, or `None` with a word about it.
pub(crate) fn model(name: &str, weights: &str) -> Option<PathBuf> {
    for variable in ["GENIE_TEST_MODELS", "GENIE_MODELS"] {
        let Some(root) = std::env::var_os(variable) else {
            continue;
        };
        let folder = Path::new(&root).join(name);
        if folder.join(weights).is_file() {
            return Some(folder);
        }
    }
    eprintln!("skipped: no {name}/{weights} in GENIE_TEST_MODELS or GENIE_MODELS");
    None
}

pub(crate) fn files(folder: &Path, weights: &str) -> EncoderFiles {
    EncoderFiles {
        weights: folder.join(weights),
        tokenizer: folder.join("tokenizer.json"),
        config: None,
    }
}

pub(crate) fn options(query_prefix: &str, passage_prefix: &str) -> EmbedderOptions {
    EmbedderOptions {
        model: "test".to_owned(),
        hash: ContentHash::of(b"test"),
        query_prefix: query_prefix.to_owned(),
        passage_prefix: passage_prefix.to_owned(),
        max_tokens: None,
        dimension: None,
        least_dimension: None,
        device: Device::Cpu,
        precision: Precision::Rounded,
        queue: 4,
    }
}

pub(crate) fn e5(files: &EncoderFiles) -> TextEmbedder {
    TextEmbedder::load(files, options("query: ", "passage: ")).expect("the model loads")
}

pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
