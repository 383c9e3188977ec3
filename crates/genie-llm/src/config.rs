//! What tells one family of decoders from another, read from the file.

use genie_compute::Gate;

use crate::FileProblem;
use crate::gguf::Gguf;
use crate::header::Value;

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
    /// Both (Gemma, <https://arxiv.org/abs/2503.19786>).
    Both,
}

impl NormOrder {
    pub(crate) const fn before(self) -> bool {
        matches!(self, Self::Before | Self::Both)
    }

    pub(crate) const fn after(self) -> bool {
        matches!(self, Self::After | Self::Both)
    }
}

/// What tells layers apart that look at the nearest positions only.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LocalConfig {
    /// Positions that one sees, itself counted.
    pub(crate) window: usize,
    pub(crate) rope: RopeConfig,
    /// For each layer whether it is one of them.
    pub(crate) layers: Vec<bool>,
}

/// A decoder with grouped-query attention and a gated feed-forward part: what
/// llama, qwen2, qwen3, smollm3, olmo2 and gemma3 are. Biases, norms of queries and
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
    pub(crate) gate: Gate,
    /// Rows of the embedding are multiplied by this.
    pub(crate) embedding_scale: f64,
    /// Queries are multiplied by this beside what the width of a head calls
    /// for.
    pub(crate) query_scale: f64,
    pub(crate) rope: RopeConfig,
    /// `None` where all layers look at everything.
    pub(crate) local: Option<LocalConfig>,
    pub(crate) vocabulary: usize,
}

impl DecoderConfig {
    pub(crate) fn read(gguf: &Gguf) -> Result<Self, FileProblem> {
        let family = gguf
            .text("general.architecture")?
            .ok_or_else(|| FileProblem::MissingKey("general.architecture".to_owned()))?;
        let style = match family {
            "llama" | "smollm3" => RopeStyle::Interleaved,
            "qwen2" | "qwen3" | "olmo2" | "gemma3" => RopeStyle::Halves,
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

        for capped in ["final_logit_softcapping", "attn_logit_softcapping"] {
            if gguf.value(&key(capped)).is_some() {
                return Err(FileProblem::Unsupported("a cap on logits"));
            }
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

        let layers = count("block_count", MAX_LAYERS)?;
        let is_gemma = family == "gemma3";
        let rope = RopeConfig {
            style,
            base: gguf.positive(&key("rope.freq_base"))?.unwrap_or(10_000.0),
            scale: rope_scale(gguf, family)?,
            // Files don't say it: the family has this one number.
            skipped: (family == "smollm3").then_some(4),
        };
        Ok(Self {
            layers,
            hidden,
            inner: count("feed_forward_length", MAX_WIDTH * 8)?,
            heads,
            kv_heads,
            head_dim,
            context: count("context_length", MAX_CONTEXT)?,
            // Epsilons are far inside of what f32 holds.
            norm_eps: norm_eps as f32,
            norms: match family {
                "olmo2" => NormOrder::After,
                "gemma3" => NormOrder::Both,
                _ => NormOrder::Before,
            },
            gate: if is_gemma { Gate::GeluTanh } else { Gate::Silu },
            embedding_scale: if is_gemma {
                (hidden as f64).sqrt()
            } else {
                1.0
            },
            // Files don't say it: of the family's sizes the one of 62 layers
            // is trained as if heads were as wide as their share of the
            // residual stream.
            query_scale: if is_gemma && layers == 62 {
                (head_dim as f64 / (hidden / heads).max(1) as f64).sqrt()
            } else {
                1.0
            },
            local: if is_gemma {
                local(gguf, &rope, layers)?
            } else {
                None
            },
            rope,
            vocabulary: gguf.rows("token_embd.weight")?,
        })
    }
}

/// Every sixth layer of gemma3 looks at everything, the others at a window,
/// with positions that turn faster and are not stretched.
fn local(
    gguf: &Gguf,
    rope: &RopeConfig,
    layers: usize,
) -> Result<Option<LocalConfig>, FileProblem> {
    const PATTERN: &str = "gemma3.attention.sliding_window_pattern";
    let window = gguf.count("gemma3.attention.sliding_window", MAX_CONTEXT)?;
    let Some(window) = window.filter(|window| *window > 0) else {
        return Ok(None);
    };
    let every = |period: usize| -> Vec<bool> {
        (1..=layers)
            .map(|layer| !layer.is_multiple_of(period))
            .collect()
    };
    let layers = match gguf.value(PATTERN) {
        None => every(6),
        Some(Value::Bools(local)) if local.len() == layers => local.clone(),
        Some(Value::Bools(_)) => return Err(FileProblem::BadValue(PATTERN.to_owned())),
        Some(_) => match gguf.count(PATTERN, MAX_LAYERS)? {
            Some(period) if period > 0 => every(period),
            _ => return Err(FileProblem::BadValue(PATTERN.to_owned())),
        },
    };
    Ok(Some(LocalConfig {
        window,
        rope: RopeConfig {
            base: gguf
                .positive("gemma3.rope.freq_base_swa")?
                .unwrap_or(10_000.0),
            scale: 1.0,
            ..rope.clone()
        },
        layers,
    }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::{Tiny, WINDOW};

    /// What is read of the small gemma3 with other numbers in its header.
    fn read(changes: &[(&str, u32)]) -> Result<DecoderConfig, FileProblem> {
        let tiny = Tiny {
            family: "gemma3",
            ..Tiny::default()
        };
        let mut bytes = tiny.bytes();
        for (key, number) in changes {
            let place = bytes
                .windows(key.len())
                .position(|window| window == key.as_bytes());
            // Behind the key stand its type and the number.
            let start = place.expect("the key is there") + key.len() + 4;
            bytes[start..start + 4].copy_from_slice(&number.to_le_bytes());
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tiny.gguf");
        std::fs::write(&path, bytes).expect("written");
        DecoderConfig::read(&Gguf::open(&path).expect("opened"))
    }

    #[test]
    fn five_of_six_layers_of_gemma3_look_at_a_window() {
        let config = read(&[]).expect("read");
        let local = config.local.expect("a window");
        assert_eq!(local.window, WINDOW);
        assert_eq!(local.layers, [true, true, true, true, true, false, true]);
        assert_eq!((config.rope.base, config.rope.scale), (1e6, 4.0));
        assert_eq!((local.rope.base, local.rope.scale), (1e4, 1.0));
        assert_eq!(config.query_scale, 1.0);
        assert_eq!(config.embedding_scale, 8.0);
        let config = read(&[("gemma3.attention.sliding_window", 0)]).expect("read");
        assert_eq!(config.local, None);
    }

    #[test]
    fn the_largest_gemma3_has_a_scale_of_its_own() {
        let wide = ("gemma3.embedding_length", 128);
        let config = read(&[wide]).expect("read");
        assert_eq!(config.query_scale, 1.0);
        // Heads of 16, and 128 / 4 of the residual stream for each.
        let config = read(&[wide, ("gemma3.block_count", 62)]).expect("read");
        assert!((config.query_scale - 0.5f64.sqrt()).abs() < 1e-12);
    }
}
