//! Files that can't be used end in one clear sentence.

use std::path::Path;

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use genie_embed::{EncoderError, TextEmbedder};

use crate::files;

fn load(folder: &Path, weights: &str) -> EncoderError {
    match TextEmbedder::load(&files::files(folder, weights), files::options("", "")) {
        Ok(_) => panic!("{weights} should not load"),
        Err(error) => error,
    }
}

fn tiny_gguf(file: &Path) {
    let matrix = Tensor::zeros((8, 32), candle_core::DType::F32, &Device::Cpu).expect("zeros");
    let tensor = QTensor::quantize(&matrix, GgmlDType::Q4_0).expect("quantized");
    let metadata = [
        ("general.architecture", Value::String("bert".to_owned())),
        ("bert.embedding_length", Value::U32(32)),
        ("bert.block_count", Value::U32(1)),
        ("bert.attention.head_count", Value::U32(4)),
        ("bert.feed_forward_length", Value::U32(64)),
        ("bert.context_length", Value::U32(16)),
        ("bert.attention.layer_norm_epsilon", Value::F32(1e-12)),
    ];
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (*key, value)).collect();
    let mut out = std::fs::File::create(file).expect("a file in a temporary folder");
    gguf_file::write(&mut out, &metadata, &[("token_embd.weight", &tensor)]).expect("written");
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let error = load(folder.path(), "model.gguf");
    assert!(matches!(error, EncoderError::Read { .. }), "{error}");
    assert!(error.to_string().contains("model.gguf"), "{error}");
}

#[test]
fn a_gguf_file_cut_short_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("model.gguf");
    tiny_gguf(&file);
    let bytes = std::fs::read(&file).expect("just written");
    std::fs::write(&file, &bytes[..bytes.len() - 20]).expect("written");
    let error = load(folder.path(), "model.gguf");
    assert!(matches!(error, EncoderError::CutShort { .. }), "{error}");
    // Within the header, the reader of the format speaks.
    std::fs::write(&file, &bytes[..100]).expect("written");
    let error = load(folder.path(), "model.gguf");
    assert!(matches!(error, EncoderError::Damaged { .. }), "{error}");
}

#[test]
fn a_model_that_lacks_a_tensor_names_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    tiny_gguf(&folder.path().join("model.gguf"));
    let error = load(folder.path(), "model.gguf");
    assert!(
        error.to_string().contains("token_embd_norm.weight"),
        "{error}"
    );
}

#[test]
fn what_is_no_weights_file_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = r#"{"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 16,
        "layer_norm_eps": 1e-12}"#;
    std::fs::write(folder.path().join("config.json"), config).expect("written");
    for content in [
        &b"<html>404, not found, sorry for that</html>"[..],
        b"\x08\0\0\0\0\0\0\0not json",
        b"short",
        b"",
    ] {
        std::fs::write(folder.path().join("model.safetensors"), content).expect("written");
        let error = load(folder.path(), "model.safetensors");
        assert!(
            matches!(
                error,
                EncoderError::Damaged { .. } | EncoderError::Read { .. }
            ),
            "{error}"
        );
    }
}
