//! Vectors that depend on words alone.

use genie_core::{
    ContentHash, Embed, EmbedError, Embedding, EmbeddingIdentity, Language, Lexical, SparseVector,
    TextRole,
};

const DIMENSION: usize = 128;

/// A bag of words hashed into 128 components.
#[derive(Debug, Clone)]
pub struct FakeEmbed {
    identity: EmbeddingIdentity,
}

impl FakeEmbed {
    /// The one model of this kind.
    #[must_use]
    pub fn new() -> Self {
        Self {
            identity: EmbeddingIdentity {
                model: "fake-embed".to_owned(),
                hash: ContentHash::of(b"fake-embed"),
                dimension: DIMENSION,
                query_prefix: String::new(),
                passage_prefix: String::new(),
            },
        }
    }
}

impl Default for FakeEmbed {
    fn default() -> Self {
        Self::new()
    }
}

impl Embed for FakeEmbed {
    fn identity(&self) -> &EmbeddingIdentity {
        &self.identity
    }

    fn embed(&self, _role: TextRole, texts: &[String]) -> Result<Vec<Embedding>, EmbedError> {
        Ok(texts
            .iter()
            .map(|text| {
                let mut vector = vec![0.0_f32; DIMENSION];
                for word in words(text) {
                    vector[word as usize % DIMENSION] += 1.0;
                }
                let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
                vector.iter_mut().for_each(|x| *x /= length);
                Embedding {
                    vector,
                    tokens: self.count_tokens(text),
                    truncated: false,
                }
            })
            .collect())
    }

    fn count_tokens(&self, text: &str) -> usize {
        text.split_whitespace().count()
    }
}

/// One term a word, weighted 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct FakeLexical;

impl FakeLexical {
    /// The one analyser of this kind.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Lexical for FakeLexical {
    fn version(&self) -> &str {
        "fake-lexical"
    }

    fn lexical(&self, _role: TextRole, text: &str, _language: Option<Language>) -> SparseVector {
        let mut indices: Vec<u32> = words(text).collect();
        indices.sort_unstable();
        indices.dedup();
        SparseVector {
            values: vec![1.0; indices.len()],
            indices,
        }
    }
}

/// FNV-1a of each lower-cased word.
fn words(text: &str) -> impl Iterator<Item = u32> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| {
            word.to_lowercase()
                .bytes()
                .fold(2_166_136_261, |hash, byte| {
                    (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
                })
        })
}

#[cfg(test)]
mod tests {
    use genie_core::{Span, TextParts};

    use super::*;

    #[test]
    fn parts_have_vectors_and_what_is_not_there_has_none() {
        let part = |start, end| Span::new(start, end).expect("a span");
        let text = TextParts {
            text: "Où est le câble? In the sea.".to_owned(),
            parts: vec![part(17, 28), part(0, 16), part(16, 17), part(28, 40)],
        };
        let model = FakeEmbed::new();
        let alone = |text: &str| {
            let found = model.embed(TextRole::Passage, &[text.to_owned()]);
            found.expect("never fails").remove(0).vector
        };
        let texts = [text.clone(), text];
        let found = model.embed_parts(TextRole::Passage, &texts);
        for found in found.expect("never fails") {
            assert_eq!(found.whole.vector, alone("Où est le câble? In the sea."));
            let wanted = [
                alone("In the sea."),
                alone("Où est le câble?"),
                vec![],
                vec![],
            ];
            assert_eq!(found.parts, wanted);
        }
    }
}
