//! Text to vectors.

use crate::{BackendError, ContentHash, Language, Span};

/// What a text is to the embedding model, which decides its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextRole {
    /// Something asked.
    Query,
    /// Something indexed.
    Passage,
}

/// What makes vectors comparable: two identities that differ in any field
/// must not share an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingIdentity {
    /// The registry name of the model.
    pub model: String,
    /// SHA-256 of the weights.
    pub hash: ContentHash,
    /// Components of a vector.
    pub dimension: usize,
    /// Put in front of a query.
    pub query_prefix: String,
    /// Put in front of a passage.
    pub passage_prefix: String,
}

/// A dense vector of length one, and what became of its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// `dimension` components, L2-normalised.
    pub vector: Vec<f32>,
    /// Tokens of the text with prefix and special tokens, before truncation.
    pub tokens: usize,
    /// Whether the text was longer than the model reads.
    pub truncated: bool,
}

/// A text of which some parts get a vector of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextParts {
    /// The text, without prefix.
    pub text: String,
    /// Parts of `text`, in any order; they may overlap.
    pub parts: Vec<Span>,
}

/// The vectors of a text and of its parts.
#[derive(Debug, Clone, PartialEq)]
pub struct PartsEmbedding {
    /// What the text alone would get.
    pub whole: Embedding,
    /// One L2-normalised vector for each part, in the order of the parts;
    /// empty where the model read nothing of the part.
    pub parts: Vec<Vec<f32>>,
}

/// A sparse vector: indices strictly ascending, one value each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SparseVector {
    /// Term identities.
    pub indices: Vec<u32>,
    /// Term weights, positive.
    pub values: Vec<f32>,
}

impl SparseVector {
    /// Whether no term is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// An embedding failed.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The worker that owns the model has more waiting than it accepts.
    #[error("the embedding queue is full; try again in a moment")]
    Busy,
    /// The worker has ended.
    #[error("the embedding worker has stopped")]
    Stopped,
    /// The model or its tokenizer failed.
    #[error("the embedding model failed")]
    Backend(#[source] BackendError),
}

/// A dense embedding model.
pub trait Embed: Send + Sync {
    /// What makes its vectors comparable.
    fn identity(&self) -> &EmbeddingIdentity;

    /// One embedding per text, in their order. Texts come without prefix.
    ///
    /// # Errors
    ///
    /// Fails when the queue is full, the worker has ended or the model fails.
    fn embed(&self, role: TextRole, texts: &[String]) -> Result<Vec<Embedding>, EmbedError>;

    /// One embedding for each text and one for each of its parts. A model
    /// reads the text once and averages the vectors of the tokens that
    /// overlap a part, so that a part is understood in its surroundings
    /// (late pooling). A part without tokens, or behind the end of what the
    /// model reads, gets an empty vector.
    ///
    /// Unless it is overridden, parts are embedded by themselves.
    ///
    /// # Errors
    ///
    /// As [`Embed::embed`].
    fn embed_parts(
        &self,
        role: TextRole,
        texts: &[TextParts],
    ) -> Result<Vec<PartsEmbedding>, EmbedError> {
        let mut alone: Vec<String> = texts.iter().map(|text| text.text.clone()).collect();
        let slices = texts.iter().map(slices).collect::<Vec<_>>();
        alone.extend(
            slices
                .iter()
                .flatten()
                .filter(|part| is_read(part))
                .cloned(),
        );
        let mut embeddings = self.embed(role, &alone)?.into_iter();
        let wholes: Vec<_> = embeddings.by_ref().take(texts.len()).collect();
        let mut vectors = embeddings.map(|embedding| embedding.vector);
        let mut part = |slice: &String| {
            let vector = is_read(slice).then(|| vectors.next());
            vector.flatten().unwrap_or_default()
        };
        let parts = slices
            .iter()
            .map(|slices| slices.iter().map(&mut part).collect());
        Ok(wholes
            .into_iter()
            .zip(parts)
            .map(|(whole, parts)| PartsEmbedding { whole, parts })
            .collect())
    }

    /// Tokens of this text alone, without prefix and special tokens.
    fn count_tokens(&self, text: &str) -> usize;
}

/// The characters of each part that are there.
fn slices(text: &TextParts) -> Vec<String> {
    let slice = |part: &Span| {
        let characters = text.text.chars().skip(part.start());
        characters.take(part.len()).collect()
    };
    text.parts.iter().map(slice).collect()
}

fn is_read(part: &str) -> bool {
    !part.trim().is_empty()
}

/// A lexical analyser: text to weighted terms for a store that applies IDF.
pub trait Lexical: Send + Sync {
    /// Names the analysis; vectors of different versions must not be mixed.
    fn version(&self) -> &str;

    /// Terms of a passage weighted by saturated frequency (BM25 without IDF),
    /// or terms of a query weighted by their count.
    fn lexical(&self, role: TextRole, text: &str, language: Option<Language>) -> SparseVector;
}
