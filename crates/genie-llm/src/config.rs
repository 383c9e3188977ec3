//! What tells one family of decoders from another, read from the file.

use crate::FileProblem;
use crate::gguf::{Gguf, Value};

const MAX_LAYERS: usize = 1024;
const MAX_WIDTH: usize = 1 << 17;
const MAX_HEADS: usize = 1024;
const MAX_CONTEXT: usize = 1 << 24;

/// Which two numbers of a head are turned together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RopeStyle {
    /// Neighbours. Files of the llama family have their query and key rows
    /// permuted for this.
    Interleaved,
    /// One of the first half with one of the second half.
    Halves,
}

/// Rotary positions (<https://arxiv.org/abs/2104.09864>).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RopeConfig {
    pub(crate) style: RopeStyle,
    pub(crate) base: f64,
    /// Positions are divided by this.
    pub(crate) scale: f64,
    /// Each layer whose number, counted from 1, is a multiple of this is left
    /// without positions (<https://arxiv.org/abs/2501.18795>).
    pub(crate) skipped: Option<usize>,
}

/// Where the two halves of a layer are normalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormOrder {
    /// What they read.
    Before,
    /// What they add, and queries and keys over all heads together
    /// (OLMo 2, <https://arxiv.org/abs/2501.00656>).
    After,
}

/// A decoder with grouped-query attention and a gated feed-forward part: what
/// llama, qwen2, qwen3, smollm3 and olmo2 are. Biases, norms of queries and
/// keys and a separate output matrix are there when the file has them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DecoderConfig {
    pub(crate) layers: usize,
    /// Width of the residual stream.
    pub(crate) hidden: usize,
    /// Width inside of the feed-forward part.
    pub(crate) inner: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    /// Tokens that the model was trained to read at most.
    pub(crate) context: usize,
    pub(crate) norm_eps: f32,
    pub(crate) norms: NormOrder,
    pub(crate) rope: RopeConfig,
    pub(crate) vocabulary: usize,
}

impl DecoderConfig {
    /// Bytes of the keys and values of one token.
    pub(crate) const fn token_bytes(&self) -> usize {
        2 * self.layers * self.kv_heads * self.head_dim * size_of::<f32>()
    }

    pub(crate) fn read(gguf: &Gguf) -> Result<Self, FileProblem> {
        let family = gguf
            .text("general.architecture")?
            .ok_or_else(|| FileProblem::MissingKey("general.architecture".to_owned()))?;
        let style = match family {
            "llama" | "smollm3" => RopeStyle::Interleaved,
            "qwen2" | "qwen3" | "olmo2" => RopeStyle::Halves,
            other => {
                return Err(FileProblem::Architecture(other.chars().take(40).collect()));
            }
        };
        let key = |name: &str| format!("{family}.{name}");
        let count = |name: &str, most: usize| {
            let key = key(name);
            match gguf.count(&key, most)? {
                Some(0) => Err(FileProblem::BadValue(key)),
                Some(number) => Ok(number),
                None => Err(FileProblem::MissingKey(key)),
            }
        };
        if gguf.count(&key("expert_count"), MAX_WIDTH)?.unwrap_or(0) > 0 {
            return Err(FileProblem::Unsupported("a mixture of experts"));
        }

        if gguf
            .count(&key("attention.sliding_window"), MAX_CONTEXT)?
            .is_some_and(|window| family == "olmo2" && window > 0)
        {
            return Err(FileProblem::Unsupported("attention to a sliding window"));
        }

        let hidden = count("embedding_length", MAX_WIDTH)?;
        let heads = count("attention.head_count", MAX_HEADS)?;
        let kv_heads = gguf
            .count(&key("attention.head_count_kv"), MAX_HEADS)?
            .unwrap_or(heads);
        if kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            return Err(FileProblem::BadValue(key("attention.head_count_kv")));
        }
        let head_dim = gguf
            .count(&key("attention.key_length"), MAX_WIDTH)?
            .unwrap_or(hidden / heads);
        let value_dim = gguf
            .count(&key("attention.value_length"), MAX_WIDTH)?
            .unwrap_or(head_dim);
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            return Err(FileProblem::BadValue(key("attention.key_length")));
        }
        if value_dim != head_dim {
            return Err(FileProblem::Unsupported("values wider than keys"));
        }
        let rotated = gguf
            .count(&key("rope.dimension_count"), MAX_WIDTH)?
            .unwrap_or(head_dim);
        if rotated != head_dim {
            return Err(FileProblem::Unsupported(
                "rotary positions on part of a head",
            ));
        }
        let norm_eps = gguf
            .positive(&key("attention.layer_norm_rms_epsilon"))?
            .ok_or_else(|| FileProblem::MissingKey(key("attention.layer_norm_rms_epsilon")))?;

        Ok(Self {
            layers: count("block_count", MAX_LAYERS)?,
            hidden,
            inner: count("feed_forward_length", MAX_WIDTH * 8)?,
            heads,
            kv_heads,
            head_dim,
            context: count("context_length", MAX_CONTEXT)?,
            // Epsilons are far inside of what f32 holds.
            norm_eps: norm_eps as f32,
            norms: if family == "olmo2" {
                NormOrder::After
            } else {
                NormOrder::Before
            },
            rope: RopeConfig {
                style,
                base: gguf.positive(&key("rope.freq_base"))?.unwrap_or(10_000.0),
                scale: rope_scale(gguf, family)?,
                // Files don't say it: the family has this one number.
                skipped: (family == "smollm3").then_some(4),
            },
            vocabulary: gguf.rows("token_embd.weight")?,
        })
    }
}

fn rope_scale(gguf: &Gguf, family: &str) -> Result<f64, FileProblem> {
    let factor = gguf
        .positive(&format!("{family}.rope.scaling.factor"))?
        .unwrap_or(1.0);
    match gguf.value(&format!("{family}.rope.scaling.type")) {
        None => Ok(1.0),
        Some(Value::Text(kind)) if kind == "none" => Ok(1.0),
        Some(Value::Text(kind)) if kind == "linear" => Ok(factor),
        Some(_) => Err(FileProblem::Unsupported("this scaling of rotary positions")),
    }
}
