//! Chunks with their vectors, and how they are found again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    BackendError, Chunk, Date, DateRange, DocumentId, EmbeddingIdentity, Language, MediaType,
    SparseVector, TokenCodes,
};

/// What an index was made with; opening it with anything else is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexIdentity {
    /// The dense model.
    pub embedding: EmbeddingIdentity,
    /// The lexical analysis.
    pub lexical_version: String,
    /// The chunker.
    pub chunker_version: String,
    /// The form of the codes of tokens, or `none`.
    pub tokens_version: String,
}

/// What the index knows of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRecord {
    /// SHA-256 of its bytes.
    pub id: DocumentId,
    /// Path or URI as ingested.
    pub uri: String,
    /// Its title.
    pub title: String,
    /// The format it was read from.
    pub media_type: MediaType,
    /// Size of the file.
    pub bytes: u64,
    /// Its main language.
    pub language: Option<Language>,
    /// Its labels.
    pub labels: Vec<String>,
    /// Its date, where it says one.
    pub date: Option<Date>,
    /// How many chunks it has.
    pub chunks: u32,
}

/// A chunk with its vectors, as it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The chunk.
    pub chunk: Chunk,
    /// Its dense vector.
    pub dense: Vec<f32>,
    /// Its lexical vector.
    pub lexical: SparseVector,
    /// The codes of its tokens; empty where the index keeps none.
    pub tokens: TokenCodes,
}

/// Restricts a search; an empty list restricts nothing, entries of a list are
/// alternatives, fields are joined by "and".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these documents.
    pub documents: Vec<DocumentId>,
    /// Only chunks in these languages.
    pub languages: Vec<Language>,
    /// Only documents with one of these labels or with a label below one of
    /// them (`infrastructure` covers `infrastructure/fibre`).
    pub labels: Vec<String>,
    /// Only documents of these days; a document without a date is only in the
    /// range that is open on both sides.
    pub dates: DateRange,
}

/// How the two sides of a hybrid query are joined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fusion {
    /// By ranks: a weight over the rank and sixty (Cormack, Clarke and
    /// Büttcher, "Reciprocal Rank Fusion", SIGIR 2009).
    #[default]
    Rrf,
    /// By scores: each side's are put on one scale by their mean and three
    /// standard deviations to both sides of it, then summed by weight.
    Dbsf,
}

impl Fusion {
    /// Its name in settings and results.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rrf => "rrf",
            Self::Dbsf => "dbsf",
        }
    }
}

/// What each side adds to a fused score.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Shares {
    /// By meaning.
    pub dense: f32,
    /// By words.
    pub lexical: f32,
}

/// How much each side of a hybrid query counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FusionWeights {
    /// The dense side.
    pub dense: f32,
    /// The lexical side.
    pub lexical: f32,
}

/// A query by meaning and by words.
#[derive(Debug, Clone, PartialEq)]
pub struct HybridQuery {
    /// The query's dense vector.
    pub dense: Vec<f32>,
    /// The query's terms; empty for a purely dense query.
    pub lexical: SparseVector,
    /// Restricts both sides.
    pub filter: Filter,
    /// How the sides are joined.
    pub fusion: Fusion,
    /// How much each side counts.
    pub weights: FusionWeights,
    /// Candidates that each side contributes.
    pub candidates: usize,
    /// Hits wanted.
    pub limit: usize,
    /// Whether hits come with the codes of their tokens.
    pub with_tokens: bool,
}

/// A chunk that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The chunk.
    pub chunk: Chunk,
    /// Its document.
    pub document: DocumentRecord,
    /// The fused score; only its order means something.
    pub score: f32,
    /// What each side adds to the fused score.
    pub shares: Shares,
    /// Cosine of the query's and the chunk's dense vectors.
    pub similarity: f32,
    /// The score by words, where the chunk is among that side's candidates.
    pub lexical: Option<f32>,
    /// The chunk's dense vector.
    pub vector: Vec<f32>,
    /// The codes of its tokens, where they were asked for and exist.
    pub tokens: TokenCodes,
}

/// The index failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The index was made with something else.
    #[error(
        "the index at {location} was made with {field} {found:?}, but the configuration says \
         {expected:?}; go back to the old setting, or remove the index and ingest again"
    )]
    IdentityMismatch {
        /// Where the index is.
        location: String,
        /// Which part of the identity differs.
        field: &'static str,
        /// What the index was made with.
        found: String,
        /// What is configured.
        expected: String,
    },
    /// Another process has the index open.
    #[error("the index at {location} is in use by {holder}; stop it, or send the work to it")]
    Locked {
        /// Where the index is.
        location: String,
        /// Who holds it: process id and, for a server, its address.
        holder: String,
    },
    /// The disk is full.
    #[error("the disk that holds {location} is full; free some space and run the command again")]
    DiskFull {
        /// Where the index is.
        location: String,
    },
    /// The server can't be reached.
    #[error(
        "the Qdrant server at {url} can't be reached; check that it runs and that the URL is right"
    )]
    Unreachable {
        /// The configured URL.
        url: String,
        /// Why.
        #[source]
        source: BackendError,
    },
    /// A file of the index can't be read or written.
    #[error("the index at {location} can't be read or written")]
    Io {
        /// The file or folder.
        location: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A stored point does not have the shape that this version writes.
    #[error(
        "the index at {location} holds a point that can't be read ({reason}); ingest again into an empty index"
    )]
    Corrupt {
        /// Where the index is.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The engine failed.
    #[error("the vector engine failed at {location}")]
    Backend {
        /// Where the index is.
        location: String,
        /// Why.
        #[source]
        source: BackendError,
    },
}

/// A vector index: Qdrant in process or on a server.
///
/// Writes of one document are visible together or not at all: a document whose
/// points were only partly written before a crash is not listed and not found,
/// and the next [`Store::put`] of it repairs it.
pub trait Store: Send + Sync {
    /// What the index was made with.
    fn identity(&self) -> &IndexIdentity;

    /// Writes a document with all of its points, replacing what the index
    /// held of it. Returns when the write is durable.
    ///
    /// # Errors
    ///
    /// Fails when the engine, the disk or the connection does.
    fn put(&self, document: &DocumentRecord, points: Vec<Point>) -> Result<(), StoreError>;

    /// Writes several documents, each as [`Store::put`] does. A store where
    /// making a write durable costs more than the write itself does that once
    /// for all of them; after a failure some may be written.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    fn put_all(&self, documents: Vec<(DocumentRecord, Vec<Point>)>) -> Result<(), StoreError> {
        documents
            .into_iter()
            .try_for_each(|(document, points)| self.put(&document, points))
    }

    /// Removes a document with all of its points; `false` where there was
    /// none. Returns when the removal is durable.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    fn delete(&self, document: &DocumentId) -> Result<bool, StoreError>;

    /// Takes what was deleted off the disk, for stores that first only mark it
    /// as deleted; `false` where there was nothing to do. It takes as long as
    /// writing the index anew at worst, during which writes wait and searches
    /// don't, so it is not part of each deletion.
    ///
    /// # Errors
    ///
    /// As [`Store::put`]. What was deleted then stays on the disk, unfound,
    /// until the next call.
    fn purge(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Much is about to be written: what only makes searches faster may wait
    /// for [`Store::end_bulk_load`]. All that is written is found meanwhile,
    /// and a process that ends before leaves nothing undone for good.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    fn begin_bulk_load(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Does what has waited since [`Store::begin_bulk_load`]; takes as long as
    /// writing the index anew at worst, during which writes wait and searches
    /// don't.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    fn end_bulk_load(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// All documents, ordered by URI.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    fn documents(&self) -> Result<Vec<DocumentRecord>, StoreError>;

    /// The documents that came from this path or URI: one, but more while a
    /// changed file replaces its earlier version.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    fn documents_from(&self, uri: &str) -> Result<Vec<DocumentRecord>, StoreError> {
        let mut documents = self.documents()?;
        documents.retain(|document| document.uri == uri);
        Ok(documents)
    }

    /// One document.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    fn document(&self, id: &DocumentId) -> Result<Option<DocumentRecord>, StoreError>;

    /// The chunks of one document in their order, for pages that show a
    /// document and for tests that compare indexes.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    fn chunks(&self, id: &DocumentId) -> Result<Vec<Chunk>, StoreError>;

    /// How many chunks there are in all.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    fn count(&self) -> Result<usize, StoreError>;

    /// The best hits for a query, best first.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    fn search(&self, query: &HybridQuery) -> Result<Vec<Hit>, StoreError>;

    /// Writes a snapshot into `folder` and returns its path. The folder is on
    /// this machine for the engine in process; for a server the snapshot is
    /// downloaded there.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    fn snapshot(&self, folder: &Path) -> Result<PathBuf, StoreError>;
}
