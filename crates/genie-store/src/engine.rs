//! What the protocol needs of Qdrant, wherever it runs.

use genie_core::{DocumentId, Point, SparseVector, StoreError};
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
    /// A document point has none.
    pub(crate) vectors: Option<Vectors>,
}

/// The named vectors of a chunk.
#[derive(Debug, Clone)]
pub(crate) struct Vectors {
    pub(crate) dense: Vec<f32>,
    pub(crate) lexical: SparseVector,
}

/// A point as it is read.
#[derive(Debug, Clone)]
pub(crate) struct RawRecord {
    pub(crate) id: Uuid,
    pub(crate) payload: Fields,
    /// The dense vector, where it was asked for and exists.
    pub(crate) dense: Option<Vec<f32>>,
}

/// One condition on a payload field. A field that holds a list fulfils it
/// where one of its entries does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// The keyword is this.
    Is(&'static str, String),
    /// The keyword is not this.
    IsNot(&'static str, String),
    /// The keyword is one of these.
    AnyOf(&'static str, Vec<String>),
    /// The number is in this range.
    Within(&'static str, Bounds),
}

/// The first and the last number of a range; a side that is `None` is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) first: Option<u32>,
    pub(crate) last: Option<u32>,
}

/// What an indexed payload field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldKind {
    /// A keyword or a list of them.
    Keyword,
    /// A whole number.
    Number,
}

/// Conditions that hold together.
pub(crate) type Selector = Vec<Condition>;

/// What is read of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Nothing but its id.
    Id,
    /// Only the payload fields that tell whether a chunk is committed.
    Commit,
    /// The payload but the codes of tokens, which are most of it.
    Payload,
    /// The same and the dense vector.
    PayloadAndDense,
    /// The whole payload and the dense vector.
    Everything,
}

/// A query vector and with it the named vector that it is compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Probe<'a> {
    /// By meaning.
    Dense(&'a [f32]),
    /// By words.
    Lexical(&'a SparseVector),
}

/// Queries under the same conditions, asked together.
#[derive(Debug, Clone)]
pub(crate) struct Probes<'a> {
    pub(crate) probes: Vec<Probe<'a>>,
    pub(crate) only: Selector,
    /// Candidates of each probe.
    pub(crate) limit: usize,
    /// What is read of each candidate.
    pub(crate) detail: Detail,
}

/// A candidate with its score by one probe.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) record: RawRecord,
    pub(crate) score: f32,
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

    /// Takes the codes of tokens out of all chunks of a document that is about
    /// to be written, and keeps them where they are read faster than in a
    /// payload. Codes that it leaves are written with the payload.
    fn keep_codes(
        &self,
        _document: &DocumentId,
        _revision: &str,
        _points: &mut [Point],
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// The codes of chunks of one revision that were kept so, in the order of
    /// the chunks; empty where none were.
    fn codes(
        &self,
        _document: &DocumentId,
        _revision: &str,
        chunks: &[Uuid],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(vec![Vec::new(); chunks.len()])
    }

    /// Keeps the fields of a document's chunks that nothing is selected by,
    /// their texts above all, where they take less room than in payloads.
    /// `false` where nothing was kept: then they are written with the payload.
    fn keep_texts(
        &self,
        _document: &DocumentId,
        _revision: &str,
        _chunks: &mut dyn Iterator<Item = (Uuid, Fields)>,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// The fields of chunks of one revision that were kept so, in the order of
    /// the chunks; `None` where none were.
    fn texts(
        &self,
        _document: &DocumentId,
        _revision: &str,
        chunks: &[Uuid],
    ) -> Result<Vec<Option<Fields>>, StoreError> {
        Ok(vec![None; chunks.len()])
    }

    /// Removes the codes and texts of all revisions of a document but one,
    /// once that is durable.
    fn forget_parts(&self, _document: &DocumentId, _but: Option<&str>) -> Result<(), StoreError> {
        Ok(())
    }

    /// Called before a document is removed for good, under the lock of
    /// writers, where the engine has to know that its files hold it still.
    fn note_deletion(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Returns when everything written so far is durable.
    fn settle(&self) -> Result<(), StoreError>;

    /// Called after a document was written, for upkeep.
    fn tend(&self, points: usize) -> Result<(), StoreError>;

    /// All points that the selector covers, in the order of their ids.
    fn scroll(&self, which: Selector, detail: Detail) -> Result<Vec<RawRecord>, StoreError>;

    /// Those of these points that exist.
    fn retrieve(&self, ids: &[Uuid], detail: Detail) -> Result<Vec<RawRecord>, StoreError>;

    /// The best candidates of each probe, in the order of the probes.
    fn candidates(&self, probes: &Probes<'_>) -> Result<Vec<Vec<Candidate>>, StoreError>;
}
