//! Text to vectors.

use crate::{BackendError, ContentHash, Language};

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

/// The vectors of a passage's telling tokens as an index keeps them: bytes
/// that only the model that made them can read. Empty where there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenCodes(pub Vec<u8>);

/// The vectors of a query's tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenVectors {
    /// Components of a vector.
    pub dimension: usize,
    /// How much each token counts, positive.
    pub weights: Vec<f32>,
    /// `[tokens, dimension]`, each L2-normalised.
    pub vectors: Vec<f32>,
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

    /// The fewest components that its vectors may be cut to, before they are
    /// normalised again, where the model was trained for that (Kusupati et
    /// al., "Matryoshka Representation Learning", NeurIPS 2022).
    fn least_dimension(&self) -> Option<usize> {
        None
    }

    /// Whether it can still be asked; once it can't, it never can again.
    fn is_running(&self) -> bool {
        true
    }

    /// One embedding per text, in their order. Texts come without prefix.
    ///
    /// # Errors
    ///
    /// Fails when the queue is full, the worker has ended or the model fails.
    fn embed(&self, role: TextRole, texts: &[String]) -> Result<Vec<Embedding>, EmbedError>;

    /// Tokens of this text alone, without prefix and special tokens.
    fn count_tokens(&self, text: &str) -> usize;
}

/// Whether a query and the passages that it is compared with are in one
/// language. Vectors of tokens of one language have something in common that
/// tells nothing across languages, and something within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tongues {
    /// All of them are.
    One,
    /// They are not, or that of the query is not known, or that of no passage.
    /// Passages whose language is not known decide nothing beside others.
    Several,
}

/// Late interaction: a query is compared with a passage token by token. Each
/// token of the query looks for the token of the passage that is nearest to
/// it, and the score is the weighted mean of what they find (Khattab and
/// Zaharia, "ColBERT", SIGIR 2020). One vector for a whole passage blurs the
/// one sentence that answers; this does not.
pub trait LateInteraction: Send + Sync {
    /// Names the form of the codes; codes of different versions must not be
    /// mixed.
    fn version(&self) -> &str;

    /// One embedding for each passage, and the codes of its tokens, of one
    /// reading.
    ///
    /// # Errors
    ///
    /// As [`Embed::embed`].
    fn passages(&self, texts: &[String]) -> Result<Vec<(Embedding, TokenCodes)>, EmbedError>;

    /// The embedding of a query, and the vectors of its tokens.
    ///
    /// # Errors
    ///
    /// As [`Embed::embed`].
    fn query(&self, text: &str) -> Result<(Embedding, TokenVectors), EmbedError>;

    /// How near each passage is to the query, at most 1; `None` for codes
    /// that are empty or not of this version. Scores by one value of `tongues`
    /// don't compare with those by the other, but spread as far.
    fn scores(
        &self,
        query: &TokenVectors,
        passages: &[&TokenCodes],
        tongues: Tongues,
    ) -> Vec<Option<f32>>;
}

/// A lexical analyser: text to weighted terms for a store that applies IDF.
pub trait Lexical: Send + Sync {
    /// Names the analysis; vectors of different versions must not be mixed.
    fn version(&self) -> &str;

    /// Terms of a passage weighted by saturated frequency (BM25 without IDF),
    /// or terms of a query weighted by their count.
    fn lexical(&self, role: TextRole, text: &str, language: Option<Language>) -> SparseVector;
}
