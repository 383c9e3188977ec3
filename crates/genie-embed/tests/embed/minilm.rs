//! all-MiniLM-L6-v2 from the hub's safetensors, against a plain
//! implementation in Python (`tests/reference/bert_plain.py`).

use genie_core::{Embed, TextRole};
use genie_embed::{Precision, TextEmbedder};
use serde::Deserialize;

use crate::files::{self, cosine};

#[derive(Deserialize)]
struct Golden {
    text: String,
    vector: Vec<f32>,
}

#[test]
fn vectors_equal_a_plain_implementation() {
    let Some(folder) = files::model("all-minilm-l6-v2", "model.safetensors") else {
        return;
    };
    let mut options = files::options("", "");
    options.precision = Precision::Single;
    let files = files::files(&folder, "model.safetensors");
    let model = TextEmbedder::load(&files, options).expect("the model loads");
    assert_eq!(model.identity().dimension, 384);
    let golden: Vec<Golden> =
        serde_json::from_str(include_str!("minilm.json")).expect("the fixture is JSON");
    let texts: Vec<String> = golden.iter().map(|golden| golden.text.clone()).collect();
    // All in one pack: what lies beside a text must not reach into it.
    let found = model.embed(TextRole::Passage, &texts).expect("embedded");
    // The same on weights that were rounded to eight bits.
    let rounded = TextEmbedder::load(&files, files::options("", "")).expect("the model loads");
    let rounded = rounded.embed(TextRole::Passage, &texts).expect("embedded");
    for ((found, rounded), golden) in found.iter().zip(&rounded).zip(&golden) {
        let cosine = cosine(&rounded.vector, &golden.vector);
        assert!(cosine > 0.999, "{cosine}: {}", golden.text);
        assert_eq!(found.tokens, golden.text.split(' ').count() + 2);
        assert_eq!(model.count_tokens(&golden.text), found.tokens - 2);
        for (found, wanted) in found.vector.iter().zip(&golden.vector) {
            assert!((found - wanted).abs() < 1e-4, "{}", golden.text);
        }
    }
}
