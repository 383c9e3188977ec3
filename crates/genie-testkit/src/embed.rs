//! Vectors that depend on words alone.

use genie_core::{
    ContentHash, Embed, EmbedError, Embedding, EmbeddingIdentity, Language, LateInteraction,
    Lexical, SparseVector, TextRole, TokenCodes, TokenVectors, Tongues,
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

    fn least_dimension(&self) -> Option<usize> {
        Some(DIMENSION / 4)
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

/// A token is a word and its vector is its term; two are as near as they are
/// equal.
impl LateInteraction for FakeEmbed {
    fn version(&self) -> &str {
        "fake-tokens"
    }

    fn passages(&self, texts: &[String]) -> Result<Vec<(Embedding, TokenCodes)>, EmbedError> {
        let codes = texts
            .iter()
            .map(|text| TokenCodes(words(text).flat_map(u32::to_le_bytes).collect()));
        Ok(self
            .embed(TextRole::Passage, texts)?
            .into_iter()
            .zip(codes)
            .collect())
    }

    fn query(&self, text: &str) -> Result<(Embedding, TokenVectors), EmbedError> {
        let mut embeddings = self.embed(TextRole::Query, &[text.to_owned()])?;
        let vectors: Vec<f32> = words(text).map(f32::from_bits).collect();
        let tokens = TokenVectors {
            dimension: 1,
            weights: vec![1.0; vectors.len()],
            vectors,
        };
        Ok((embeddings.remove(0), tokens))
    }

    fn scores(
        &self,
        query: &TokenVectors,
        passages: &[&TokenCodes],
        _: Tongues,
    ) -> Vec<Option<f32>> {
        let score = |codes: &&TokenCodes| {
            let words = codes.0.as_chunks::<4>().0;
            let found = query
                .vectors
                .iter()
                .filter(|vector| words.contains(&vector.to_bits().to_le_bytes()));
            let comparable = !words.is_empty() && !query.vectors.is_empty();
            comparable.then(|| found.count() as f32 / query.vectors.len() as f32)
        };
        passages.iter().map(score).collect()
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
