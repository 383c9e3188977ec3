//! What the protocol needs of Qdrant, wherever it runs.

use genie_core::{SparseVector, StoreError};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The name of the dense vector.
pub(crate) const DENSE: &str = "dense";
/// The name of the sparse vector.
pub(crate) const LEXICAL: &str = "lexical";

/// A payload: a JSON object.
pub(crate) type Fields = Map<String, Value>;

/// A point as it is written.
#[derive(Debug, Clone)]
pub(crate) struct RawPoint {
    pub(crate) id: Uuid,
    pub(crate) payload: Fields,
    /// Dense and lexical vector; a document point has none.
    pub(crate) vectors: Option<(Vec<f32>, SparseVector)>,
}

/// A point as it is read.
#[derive(Debug, Clone)]
pub(crate) struct RawRecord {
    pub(crate) id: Uuid,
    pub(crate) payload: Fields,
    /// The dense vector, where it was asked for and exists.
    pub(crate) dense: Option<Vec<f32>>,
}

/// One condition on a payload field that holds a keyword or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The field is this.
    Is(&'static str, String),
    /// The field is not this.
    IsNot(&'static str, String),
    /// The field is one of these.
    AnyOf(&'static str, Vec<String>),
}

/// Conditions that hold together.
pub(crate) type Selector = Vec<Condition>;

/// What is read of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The payload.
    Payload,
    /// The payload and the dense vector.
    PayloadAndDense,
    /// Only the payload fields that tell whether a chunk is committed.
    Commit,
}

/// Both sides of a hybrid query; a side that is `None` is not asked.
#[derive(Debug, Clone)]
pub(crate) struct Sides<'a> {
    pub(crate) dense: Option<&'a [f32]>,
    pub(crate) lexical: Option<&'a SparseVector>,
    pub(crate) only: Selector,
    /// Candidates per side.
    pub(crate) limit: usize,
}

/// A candidate with its score on one side.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) record: RawRecord,
    pub(crate) score: f32,
}

/// The best candidates of both sides, best first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Candidates {
    pub(crate) dense: Vec<Candidate>,
    pub(crate) lexical: Vec<Candidate>,
}

/// Qdrant, in process or on a server.
pub(crate) trait Engine: Send + Sync {
    /// Where it is, for errors.
    fn location(&self) -> String;

    /// Makes sure that about this many bytes can still be written.
    fn reserve(&self, bytes: u64) -> Result<(), StoreError>;

    /// Writes points over those of the same id.
    fn upsert(&self, points: Vec<RawPoint>) -> Result<(), StoreError>;

    /// Removes all points that the selector covers.
    fn remove(&self, which: Selector) -> Result<(), StoreError>;

    /// Returns when everything written so far is durable.
    fn settle(&self) -> Result<(), StoreError>;

    /// Called after a document was written, for upkeep.
    fn tend(&self, points: usize) -> Result<(), StoreError>;

    /// All points that the selector covers, in the order of their ids.
    fn scroll(&self, which: Selector, detail: Detail) -> Result<Vec<RawRecord>, StoreError>;

    /// Those of these points that exist.
    fn retrieve(&self, ids: &[Uuid], detail: Detail) -> Result<Vec<RawRecord>, StoreError>;

    /// Runs a hybrid query's sides; records carry [`Detail::Commit`].
    fn candidates(&self, sides: Sides<'_>) -> Result<Candidates, StoreError>;
}
