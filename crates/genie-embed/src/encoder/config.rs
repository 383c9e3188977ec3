//! The shape of an encoder, from GGUF metadata or from `config.json`.

use std::collections::HashMap;
use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use genie_compute::Heads;
use serde::Deserialize;

use crate::EncoderError;

/// The shape of a BERT or XLM-R encoder: all in which the two differ.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EncoderConfig {
    /// Components of a token's vector.
    pub(crate) hidden: usize,
    /// Layers.
    pub(crate) layers: usize,
    /// Attention heads; they divide `hidden`.
    pub(crate) heads: usize,
    /// Width between the two linear layers of a feed-forward block.
    pub(crate) intermediate: usize,
    /// Tokens that the model can tell the position of.
    pub(crate) positions: usize,
    /// The row of the position table that the first token takes. XLM-R counts
    /// from the row after its padding token, BERT (and every GGUF file, where
    /// the rows before are cut off) from 0.
    pub(crate) position_offset: usize,
    /// Added to the variance in layer norms.
    pub(crate) epsilon: f32,
}

/// The part of a hub `config.json` that decides the shape.
#[derive(Debug, Deserialize)]
struct HubConfig {
    model_type: String,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    max_position_embeddings: usize,
    layer_norm_eps: f32,
    #[serde(default)]
    pad_token_id: usize,
    #[serde(default = "gelu")]
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
}

fn gelu() -> String {
    "gelu".to_owned()
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl EncoderConfig {
    /// Reads the metadata of a GGUF file with llama.cpp's `bert` keys.
    pub(crate) fn from_gguf(
        file: &Path,
        metadata: &HashMap<String, Value>,
    ) -> Result<Self, EncoderError> {
        let setting = |key: &'static str, found: String, wanted: &'static str| {
            let file = file.to_owned();
            EncoderError::Setting {
                file,
                key,
                found,
                wanted,
            }
        };
        let missing = |key| setting(key, "missing".to_owned(), "there");
        let number = |key: &'static str| {
            let value = metadata.get(key).ok_or_else(|| missing(key))?;
            value
                .to_u64()
                .or_else(|_| value.to_u32().map(u64::from))
                .ok()
                .and_then(|value| usize::try_from(value).ok())
                .ok_or_else(|| setting(key, format!("{value:?}"), "a whole number"))
        };
        let architecture = metadata
            .get("general.architecture")
            .and_then(|value| value.to_string().ok())
            .ok_or_else(|| missing("general.architecture"))?;
        if architecture != "bert" {
            let found = format!("{architecture:?}");
            return Err(setting("general.architecture", found, "bert"));
        }
        // llama.cpp's `LLAMA_POOLING_TYPE_MEAN` is 1; a file that doesn't say
        // is taken at the registry's word.
        if let Some(pooling) = metadata.get("bert.pooling_type")
            && pooling.to_u32().ok() != Some(1)
        {
            let found = format!("{pooling:?}");
            return Err(setting("bert.pooling_type", found, "1 (mean)"));
        }
        let epsilon_key = "bert.attention.layer_norm_epsilon";
        let epsilon = metadata
            .get(epsilon_key)
            .and_then(|value| value.to_f32().ok())
            .ok_or_else(|| missing(epsilon_key))?;
        Self {
            hidden: number("bert.embedding_length")?,
            layers: number("bert.block_count")?,
            heads: number("bert.attention.head_count")?,
            intermediate: number("bert.feed_forward_length")?,
            positions: number("bert.context_length")?,
            position_offset: 0,
            epsilon,
        }
        .checked(file)
    }

    /// Reads a hub `config.json`.
    pub(crate) fn from_json(file: &Path, text: &[u8]) -> Result<Self, EncoderError> {
        let hub: HubConfig =
            serde_json::from_slice(text).map_err(|error| EncoderError::Damaged {
                file: file.to_owned(),
                source: Box::new(error),
            })?;
        let refuse = |key, found: &str, wanted| {
            Err(EncoderError::Setting {
                file: file.to_owned(),
                key,
                found: format!("{found:?}"),
                wanted,
            })
        };
        let position_offset = match hub.model_type.as_str() {
            "bert" => 0,
            "xlm-roberta" | "roberta" => hub.pad_token_id + 1,
            other => return refuse("model_type", other, "bert, roberta or xlm-roberta"),
        };
        if hub.hidden_act != "gelu" {
            return refuse("hidden_act", &hub.hidden_act, "gelu");
        }
        if hub.position_embedding_type != "absolute" {
            let found = &hub.position_embedding_type;
            return refuse("position_embedding_type", found, "absolute");
        }
        Self {
            hidden: hub.hidden_size,
            layers: hub.num_hidden_layers,
            heads: hub.num_attention_heads,
            intermediate: hub.intermediate_size,
            positions: hub.max_position_embeddings.saturating_sub(position_offset),
            position_offset,
            epsilon: hub.layer_norm_eps,
        }
        .checked(file)
    }

    /// How a row is divided.
    pub(crate) fn heads(&self) -> Heads {
        Heads {
            count: self.heads,
            width: self.hidden / self.heads,
        }
    }

    /// Checks the ranges, so that nothing later divides by zero or asks for
    /// absurd amounts of memory.
    fn checked(self, file: &Path) -> Result<Self, EncoderError> {
        let within = |key, value: usize, most: usize, wanted| {
            if (1..=most).contains(&value) {
                return Ok(());
            }
            Err(EncoderError::Setting {
                file: file.to_owned(),
                key,
                found: value.to_string(),
                wanted,
            })
        };
        within("hidden size", self.hidden, 16_384, "from 1 to 16384")?;
        within("number of layers", self.layers, 256, "from 1 to 256")?;
        within("number of heads", self.heads, 256, "from 1 to 256")?;
        within(
            "feed-forward size",
            self.intermediate,
            65_536,
            "from 1 to 65536",
        )?;
        within("context length", self.positions, 1 << 20, "from 1 to 2^20")?;
        if !self.hidden.is_multiple_of(self.heads) {
            return Err(EncoderError::Setting {
                file: file.to_owned(),
                key: "number of heads",
                found: self.heads.to_string(),
                wanted: "a divisor of the hidden size",
            });
        }
        if !(self.epsilon > 0.0 && self.epsilon < 0.1) {
            return Err(EncoderError::Setting {
                file: file.to_owned(),
                key: "layer norm epsilon",
                found: self.epsilon.to_string(),
                wanted: "above 0 and below 0.1",
            });
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(model_type: &str, heads: usize) -> String {
        format!(
            r#"{{"model_type": "{model_type}", "hidden_size": 384, "num_hidden_layers": 12,
                "num_attention_heads": {heads}, "intermediate_size": 1536,
                "max_position_embeddings": 514, "layer_norm_eps": 1e-5, "pad_token_id": 1}}"#
        )
    }

    fn read(text: &str) -> Result<EncoderConfig, EncoderError> {
        EncoderConfig::from_json(Path::new("config.json"), text.as_bytes())
    }

    #[test]
    fn xlm_r_counts_positions_after_its_padding_token() {
        let config = read(&json("xlm-roberta", 12)).expect("sound");
        assert_eq!((config.position_offset, config.positions), (2, 512));
        let config = read(&json("bert", 12)).expect("sound");
        assert_eq!((config.position_offset, config.positions), (0, 514));
    }

    #[test]
    fn what_this_encoder_is_not_is_refused_by_name() {
        let error = read(&json("gpt2", 12)).expect_err("not an encoder");
        assert!(
            error.to_string().starts_with("model_type in config.json"),
            "{error}"
        );
        for heads in [0, 7, 1000] {
            let error = read(&json("bert", heads)).expect_err("heads don't divide the width");
            assert!(error.to_string().contains("number of heads"), "{error}");
        }
        assert!(matches!(
            read("{}").expect_err("empty"),
            EncoderError::Damaged { .. }
        ));
    }

    #[test]
    fn gguf_metadata_needs_its_keys() {
        let mut metadata = HashMap::from([(
            "general.architecture".to_owned(),
            Value::String("bert".to_owned()),
        )]);
        let file = Path::new("model.gguf");
        let error = EncoderConfig::from_gguf(file, &metadata).expect_err("no keys");
        assert!(error.to_string().contains("bert.attention"), "{error}");
        for (key, value) in [
            ("bert.embedding_length", 384),
            ("bert.block_count", 12),
            ("bert.attention.head_count", 12),
            ("bert.feed_forward_length", 1536),
            ("bert.context_length", 512),
        ] {
            metadata.insert(key.to_owned(), Value::U32(value));
        }
        let epsilon = "bert.attention.layer_norm_epsilon".to_owned();
        metadata.insert(epsilon, Value::F32(1e-12));
        let config = EncoderConfig::from_gguf(file, &metadata).expect("complete");
        assert_eq!((config.hidden, config.positions), (384, 512));
        metadata.insert("bert.pooling_type".to_owned(), Value::U32(2));
        assert!(EncoderConfig::from_gguf(file, &metadata).is_err());
    }
}
