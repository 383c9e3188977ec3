//! What the tensors of an encoder are called in each kind of file.

/// A tensor of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// `[vocabulary, hidden]`.
    Tokens,
    /// `[positions, hidden]`.
    Positions,
    /// `[token types, hidden]`.
    TokenTypes,
    /// `[hidden]`, scale of the first norm.
    EmbeddingNormWeight,
    /// `[hidden]`, shift of the first norm.
    EmbeddingNormBias,
    /// A tensor of a layer.
    Layer(usize, LayerPart),
}

/// A tensor of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LayerPart {
    /// `[hidden, hidden]`.
    Query(Role),
    /// `[hidden, hidden]`.
    Key(Role),
    /// `[hidden, hidden]`.
    Value(Role),
    /// `[hidden, hidden]`.
    AttentionOutput(Role),
    /// `[hidden]`.
    AttentionNorm(Role),
    /// `[intermediate, hidden]`.
    Up(Role),
    /// `[hidden, intermediate]`.
    Down(Role),
    /// `[hidden]`.
    OutputNorm(Role),
}

/// Each linear layer and each norm has two tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The matrix, or the scale of a norm.
    Weight,
    /// The bias, or the shift of a norm.
    Bias,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
        }
    }
}

impl Part {
    /// llama.cpp's name, as its converter writes it for `BertModel`.
    pub(crate) fn gguf(self) -> String {
        match self {
            Self::Tokens => "token_embd.weight".to_owned(),
            Self::Positions => "position_embd.weight".to_owned(),
            Self::TokenTypes => "token_types.weight".to_owned(),
            Self::EmbeddingNormWeight => "token_embd_norm.weight".to_owned(),
            Self::EmbeddingNormBias => "token_embd_norm.bias".to_owned(),
            Self::Layer(layer, part) => {
                let (stem, role) = part.named(|names| names.0);
                format!("blk.{layer}.{stem}.{}", role.name())
            }
        }
    }

    /// The hub's name, as transformers' `BertModel` and `XLMRobertaModel`
    /// write it, without the model's own prefix.
    pub(crate) fn hub(self) -> String {
        match self {
            Self::Tokens => "embeddings.word_embeddings.weight".to_owned(),
            Self::Positions => "embeddings.position_embeddings.weight".to_owned(),
            Self::TokenTypes => "embeddings.token_type_embeddings.weight".to_owned(),
            Self::EmbeddingNormWeight => "embeddings.LayerNorm.weight".to_owned(),
            Self::EmbeddingNormBias => "embeddings.LayerNorm.bias".to_owned(),
            Self::Layer(layer, part) => {
                let (stem, role) = part.named(|names| names.1);
                format!("encoder.layer.{layer}.{stem}.{}", role.name())
            }
        }
    }
}

impl LayerPart {
    /// Picks one of (GGUF name, hub name).
    fn named(self, pick: fn((&'static str, &'static str)) -> &'static str) -> (&'static str, Role) {
        let (names, role) = match self {
            Self::Query(role) => (("attn_q", "attention.self.query"), role),
            Self::Key(role) => (("attn_k", "attention.self.key"), role),
            Self::Value(role) => (("attn_v", "attention.self.value"), role),
            Self::AttentionOutput(role) => (("attn_output", "attention.output.dense"), role),
            Self::AttentionNorm(role) => (("attn_output_norm", "attention.output.LayerNorm"), role),
            Self::Up(role) => (("ffn_up", "intermediate.dense"), role),
            Self::Down(role) => (("ffn_down", "output.dense"), role),
            Self::OutputNorm(role) => (("layer_output_norm", "output.LayerNorm"), role),
        };
        (pick(names), role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_two_ecosystems() {
        let part = Part::Layer(3, LayerPart::AttentionNorm(Role::Bias));
        assert_eq!(part.gguf(), "blk.3.attn_output_norm.bias");
        assert_eq!(
            part.hub(),
            "encoder.layer.3.attention.output.LayerNorm.bias"
        );
        let part = Part::Layer(0, LayerPart::Up(Role::Weight));
        assert_eq!(part.gguf(), "blk.0.ffn_up.weight");
        assert_eq!(part.hub(), "encoder.layer.0.intermediate.dense.weight");
    }
}
