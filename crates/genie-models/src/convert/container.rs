//! A packed encoder becomes `model.gguf` and `tokenizer.json`.
//!
//! The weights follow llama.cpp's conventions for its `bert` architecture,
//! so that its embedding server loads the same file. Q4_0 blocks, norms and
//! biases are copied bit for bit. Positions start at 0 and the table is
//! copied whole: although the tokenizer is XLM-R's, the encoder was trained
//! as a plain BERT, without RoBERTa's offset by the padding id, and the
//! package's own program counts from 0 too.

use std::io::{self, Write};

use super::charsmap;
use super::packed::{Numbers, PackedEncoder, PackedError};
use super::tokenizer::write_tokenizer;
use crate::gguf::{self, Tensor, TensorType, Value};

/// Writing a standard container failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContainerError {
    /// The packed model is not what its layout says.
    #[error(transparent)]
    Packed(#[from] PackedError),
    /// The output can't be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Where the converted files go.
pub(crate) struct Outputs<'a> {
    pub(crate) weights: &'a mut dyn Write,
    pub(crate) tokenizer: &'a mut dyn Write,
}

/// Writes `model.gguf` and `tokenizer.json` of a packed encoder.
///
/// The same input gives the same bytes, so that both can be pinned by hash.
pub(crate) fn write_standard_container(
    encoder: &PackedEncoder<'_>,
    name: &str,
    out: Outputs<'_>,
) -> Result<(), ContainerError> {
    let charsmap = charsmap::build(&encoder.normalization).ok_or(PackedError::Size {
        field: "a normalization map of",
        value: encoder.normalization.len() as i64,
    })?;
    let tensors = tensors(encoder)?;
    gguf::write(
        out.weights,
        &metadata(encoder, name, charsmap.clone()),
        &tensors,
    )?;
    write_tokenizer(encoder, &charsmap, out.tokenizer)?;
    Ok(())
}

/// llama.cpp's token kinds.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

fn metadata(
    encoder: &PackedEncoder<'_>,
    name: &str,
    charsmap: Vec<u8>,
) -> Vec<(&'static str, Value)> {
    let sizes = &encoder.sizes;
    let number = |value: usize| Value::U32(u32::try_from(value).unwrap_or(u32::MAX));
    let text = |value: &str| Value::String(value.to_owned());
    let mut tokens = Vec::with_capacity(sizes.vocabulary);
    let mut scores = Vec::with_capacity(sizes.vocabulary);
    let mut kinds = Vec::with_capacity(sizes.vocabulary);
    for (id, (piece, score)) in encoder.pieces.iter().enumerate() {
        tokens.push((*piece).to_owned());
        scores.push(*score);
        kinds.push(match id {
            id if id == encoder.special.unk => UNKNOWN,
            id if is_control(encoder, id) => CONTROL,
            _ => NORMAL,
        });
    }
    // The embedding table has more rows than the vocabulary has pieces; the
    // rest gets names that no text contains.
    for id in encoder.pieces.len()..sizes.vocabulary {
        tokens.push(format!("[PAD{id}]"));
        scores.push(-10_000.0);
        kinds.push(UNUSED);
    }
    let mut metadata = vec![
        ("general.architecture", text("bert")),
        ("general.type", text("model")),
        ("general.name", text(name)),
        ("general.file_type", Value::U32(2)),
        ("general.quantization_version", Value::U32(2)),
        ("bert.vocab_size", number(sizes.vocabulary)),
        ("bert.block_count", number(sizes.layers)),
        ("bert.context_length", number(sizes.positions)),
        ("bert.embedding_length", number(sizes.width)),
        ("bert.feed_forward_length", number(sizes.feed_forward)),
        ("bert.attention.head_count", number(sizes.heads)),
        (
            "bert.attention.layer_norm_epsilon",
            Value::F32(sizes.epsilon),
        ),
        ("bert.attention.causal", Value::Bool(false)),
        // 1 is the mean of all token vectors.
        ("bert.pooling_type", Value::U32(1)),
        ("tokenizer.ggml.model", text("t5")),
        ("tokenizer.ggml.pre", text("default")),
        ("tokenizer.ggml.tokens", Value::Strings(tokens)),
        ("tokenizer.ggml.scores", Value::F32s(scores)),
        ("tokenizer.ggml.token_type", Value::I32s(kinds)),
        ("tokenizer.ggml.token_type_count", number(sizes.token_types)),
        ("tokenizer.ggml.bos_token_id", number(encoder.special.bos)),
        ("tokenizer.ggml.eos_token_id", number(encoder.special.eos)),
        (
            "tokenizer.ggml.unknown_token_id",
            number(encoder.special.unk),
        ),
        (
            "tokenizer.ggml.seperator_token_id",
            number(encoder.special.eos),
        ),
        (
            "tokenizer.ggml.padding_token_id",
            number(encoder.special.pad),
        ),
        ("tokenizer.ggml.add_bos_token", Value::Bool(true)),
        ("tokenizer.ggml.add_eos_token", Value::Bool(true)),
        ("tokenizer.ggml.add_space_prefix", Value::Bool(true)),
        ("tokenizer.ggml.remove_extra_whitespaces", Value::Bool(true)),
    ];
    if let Some(mask) = encoder.special.mask {
        metadata.push(("tokenizer.ggml.mask_token_id", number(mask)));
    }
    metadata.push((
        "tokenizer.ggml.precompiled_charsmap",
        Value::Bytes(charsmap),
    ));
    metadata
}

fn is_control(encoder: &PackedEncoder<'_>, id: usize) -> bool {
    let special = &encoder.special;
    id == special.bos || id == special.eos || id == special.pad || special.mask == Some(id)
}

fn tensors<'a>(encoder: &PackedEncoder<'a>) -> Result<Vec<Tensor<'a>>, PackedError> {
    let sizes = &encoder.sizes;
    let mut tensors = Vec::new();
    let mut matrix = |name: String, from: &str, columns: usize, rows: usize| {
        let bytes = encoder.tensor(from, Numbers::Q4_0, columns * rows)?;
        tensors.push(Tensor {
            name,
            dimensions: vec![columns as u64, rows as u64],
            kind: TensorType::Q4_0,
            bytes,
        });
        Ok::<_, PackedError>(())
    };
    let width = sizes.width;
    matrix(
        "token_embd.weight".to_owned(),
        "emb.word",
        width,
        sizes.vocabulary,
    )?;
    for layer in 0..sizes.layers {
        for (to, from, columns, rows) in [
            ("attn_q", "q", width, width),
            ("attn_k", "k", width, width),
            ("attn_v", "v", width, width),
            ("attn_output", "ao", width, width),
            ("ffn_up", "fi", width, sizes.feed_forward),
            ("ffn_down", "fo", sizes.feed_forward, width),
        ] {
            matrix(
                format!("blk.{layer}.{to}.weight"),
                &format!("l{layer}.{from}.w"),
                columns,
                rows,
            )?;
        }
    }
    let mut plain = |name: String, from: &str, dimensions: &[usize]| {
        let bytes = encoder.tensor(from, Numbers::F32, dimensions.iter().product())?;
        tensors.push(Tensor {
            name,
            dimensions: dimensions.iter().map(|size| *size as u64).collect(),
            kind: TensorType::F32,
            bytes,
        });
        Ok::<_, PackedError>(())
    };
    for (to, from, dimensions) in [
        (
            "position_embd.weight",
            "emb.pos",
            &[width, sizes.positions][..],
        ),
        (
            "token_types.weight",
            "emb.type",
            &[width, sizes.token_types],
        ),
        ("token_embd_norm.weight", "emb.ln.w", &[width]),
        ("token_embd_norm.bias", "emb.ln.b", &[width]),
    ] {
        plain(to.to_owned(), from, dimensions)?;
    }
    for layer in 0..sizes.layers {
        for (to, from, length) in [
            ("attn_q.bias", "q.b", width),
            ("attn_k.bias", "k.b", width),
            ("attn_v.bias", "v.b", width),
            ("attn_output.bias", "ao.b", width),
            ("attn_output_norm.weight", "aln.w", width),
            ("attn_output_norm.bias", "aln.b", width),
            ("ffn_up.bias", "fi.b", sizes.feed_forward),
            ("ffn_down.bias", "fo.b", width),
            ("layer_output_norm.weight", "oln.w", width),
            ("layer_output_norm.bias", "oln.b", width),
        ] {
            plain(
                format!("blk.{layer}.{to}"),
                &format!("l{layer}.{from}"),
                &[length],
            )?;
        }
    }
    Ok(tensors)
}
