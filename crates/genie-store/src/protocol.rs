//! How documents are written, read and found, on either engine.
//!
//! A write removes the document point, writes the chunk points, removes those
//! of earlier revisions, and writes the document point again. A reader believes
//! a chunk point only where the document point names the same revision. A crash
//! between two steps therefore leaves the document invisible, and the next
//! write of it starts over.
//!
//! On a server each step is durable before the next. In process all steps
//! become durable together at the end, because each flush costs a tenth of a
//! second; several documents may share one. A crash within that flush can tear it, so whoever opens the index
//! compares the document points with their chunks first and removes what does
//! not fit (`EdgeStore::open`).

mod points;
mod search;
mod writes;

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use genie_core::{Chunk, DocumentId, DocumentRecord, IndexIdentity, Point, StoreError};
use uuid::Uuid;

use self::writes::Writes;
use crate::engine::{Condition, Detail, Engine, RawPoint, RawRecord, Selector};
use crate::payload::{self, Commit, DOCUMENT, Kind, REVISION, URI};

/// Points per write: about half a megabyte with vectors of 384 components.
const BATCH: usize = 128;

/// The documents and chunks of an engine.
#[derive(Debug)]
pub(crate) struct Documents<E> {
    engine: E,
    identity: IndexIdentity,
    /// Writes are taken one after the other, so that two writes of the same
    /// document can't mix their steps.
    writer: Mutex<()>,
    /// What searches know of writes.
    writes: Writes,
}

/// Points that can't be written as they are.
#[derive(Debug, thiserror::Error)]
enum BadPoints {
    #[error("document {document} says it has {said} chunks, but {given} were given")]
    Count {
        document: DocumentId,
        said: u32,
        given: usize,
    },
    #[error("a chunk of document {found} was given with document {document}")]
    Stranger {
        document: DocumentId,
        found: DocumentId,
    },
    #[error("two chunks of document {document} have the same identity")]
    Twice { document: DocumentId },
    #[error("a vector of {found} components was given where the index has {expected}")]
    Dimension { found: usize, expected: usize },
    #[error("a vector has a component that is no number")]
    NotANumber,
    #[error("a lexical vector has {indices} indices and {values} values")]
    Uneven { indices: usize, values: usize },
}

impl<E: Engine> Documents<E> {
    pub(crate) fn new(engine: E, identity: IndexIdentity) -> Self {
        Self {
            engine,
            identity,
            writer: Mutex::new(()),
            writes: Writes::default(),
        }
    }

    /// Told by a store that nobody else writes to, once it has seen that all
    /// chunks are committed. From then on searches look at commits only while
    /// a write is under way.
    pub(crate) fn all_committed(&self) {
        self.writes.all_committed();
    }

    pub(crate) fn engine(&self) -> &E {
        &self.engine
    }

    pub(crate) fn identity(&self) -> &IndexIdentity {
        &self.identity
    }

    /// Keeps writers out while the guard lives.
    pub(crate) fn pause_writes(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(
        &self,
        document: &DocumentRecord,
        points: Vec<Point>,
    ) -> Result<(), StoreError> {
        self.put_all(vec![(document.clone(), points)])
    }

    /// One flush for all of them: it takes a tenth of a second in process,
    /// which is most of writing a short document.
    pub(crate) fn put_all(
        &self,
        documents: Vec<(DocumentRecord, Vec<Point>)>,
    ) -> Result<(), StoreError> {
        for (document, points) in &documents {
            self.check(document, points)
                .map_err(|error| self.backend(error))?;
        }
        let _writing = self.pause_writes();
        let bytes = documents.iter().map(|(_, points)| size_of_points(points));
        self.engine.reserve(bytes.sum())?;
        let ids: Vec<DocumentId> = documents.iter().map(|(document, _)| document.id).collect();
        let mut count = 0;
        let mut revisions = Vec::with_capacity(ids.len());
        for (document, points) in documents {
            count += points.len();
            revisions.push(self.write(&document, points)?);
        }
        self.engine.settle()?;
        for (id, revision) in ids.iter().zip(&revisions) {
            self.writes.finish(id);
            self.engine.forget_parts(id, Some(revision))?;
        }
        self.engine.tend(count)
    }

    /// All steps of a write but the one that makes it durable in process, and
    /// the revision that was written.
    fn write(
        &self,
        document: &DocumentRecord,
        mut points: Vec<Point>,
    ) -> Result<String, StoreError> {
        let revision = payload::revision(document, &points);
        self.writes.begin(document.id);
        self.engine
            .keep_codes(&document.id, &revision, &mut points)?;
        let commit = payload::commit_id(&document.id);
        if !self.engine.retrieve(&[commit], Detail::Commit)?.is_empty() {
            self.engine.remove(document_points(&document.id))?;
        }
        let mut texts = points.iter().map(|point| {
            let chunk = &point.chunk;
            (payload::uuid_of(chunk), payload::chunk_text(chunk))
        });
        let kept = self
            .engine
            .keep_texts(&document.id, &revision, &mut texts)?;
        let mut points = points.into_iter().map(|point| {
            let text = (!kept).then(|| payload::chunk_text(&point.chunk));
            let mut raw = payload::chunk_point(point, document, &revision);
            raw.payload.extend(text.into_iter().flatten());
            raw
        });
        loop {
            let batch: Vec<RawPoint> = points.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            self.engine.upsert(batch)?;
        }
        let mut stale = chunk_points(&document.id);
        stale.push(Condition::IsNot(REVISION, revision.clone()));
        self.engine.remove(stale)?;
        self.engine
            .upsert(vec![payload::document_point(document, &revision)])?;
        Ok(revision)
    }

    pub(crate) fn delete(&self, document: &DocumentId) -> Result<bool, StoreError> {
        let _writing = self.pause_writes();
        let existed = self.commit(document)?.is_some();
        self.engine.note_deletion()?;
        self.writes.begin(*document);
        if existed {
            self.engine.remove(document_points(document))?;
        }
        // Also where nothing was committed: a crash may have left chunks.
        self.engine.remove(chunk_points(document))?;
        self.engine.settle()?;
        self.engine.forget_parts(document, None)?;
        self.writes.finish(document);
        Ok(existed)
    }

    pub(crate) fn documents(&self) -> Result<Vec<DocumentRecord>, StoreError> {
        let mut documents: Vec<DocumentRecord> = self
            .commits()?
            .into_iter()
            .map(|commit| commit.record)
            .collect();
        documents.sort_by(|left, right| (&left.uri, &left.id).cmp(&(&right.uri, &right.id)));
        Ok(documents)
    }

    pub(crate) fn documents_from(&self, uri: &str) -> Result<Vec<DocumentRecord>, StoreError> {
        let which = vec![Kind::Document.only(), Condition::Is(URI, uri.to_owned())];
        let commits = self.committed_documents(which)?;
        Ok(commits.into_iter().map(|commit| commit.record).collect())
    }

    pub(crate) fn document(&self, id: &DocumentId) -> Result<Option<DocumentRecord>, StoreError> {
        Ok(self.commit(id)?.map(|commit| commit.record))
    }

    pub(crate) fn chunks(&self, id: &DocumentId) -> Result<Vec<Chunk>, StoreError> {
        let mut commit = self.commit(id)?;
        while let Some(seen) = commit {
            let mut which = chunk_points(id);
            which.push(Condition::Is(REVISION, seen.revision.clone()));
            let mut records = self.engine.scroll(which, Detail::Payload)?;
            self.add_texts(records.iter_mut())?;
            records.retain(payload::has_text);
            if records.len() == seen.record.chunks as usize {
                let mut chunks = records
                    .iter()
                    .map(|record| self.read(record, payload::read_chunk))
                    .collect::<Result<Vec<_>, _>>()?;
                chunks.sort_by_key(|chunk| (chunk.ordinal, chunk.id));
                return Ok(chunks);
            }
            // It was replaced while it was read, or it is damaged.
            commit = self.commit(id)?;
            if commit.as_ref() == Some(&seen) {
                return Err(StoreError::Corrupt {
                    location: self.engine.location(),
                    reason: format!(
                        "document {id} has {} of its {} chunks",
                        records.len(),
                        seen.record.chunks
                    ),
                });
            }
        }
        Ok(Vec::new())
    }

    /// Brings in the texts that the engine keeps outside of payloads. Where a
    /// chunk was replaced since it was read, there is none any more.
    fn add_texts<'a>(
        &self,
        records: impl Iterator<Item = &'a mut RawRecord>,
    ) -> Result<(), StoreError> {
        let mut wanted: HashMap<(DocumentId, String), Vec<&mut RawRecord>> = HashMap::new();
        for record in records {
            // A server has them in the payload, and so has an index of an
            // earlier version.
            if !payload::has_text(record) {
                let origin = self.read(record, payload::read_origin)?;
                wanted.entry(origin).or_default().push(record);
            }
        }
        for ((document, revision), records) in wanted {
            let ids: Vec<Uuid> = records.iter().map(|record| record.id).collect();
            let texts = self.engine.texts(&document, &revision, &ids)?;
            for (record, text) in records.into_iter().zip(texts) {
                record.payload.extend(text.into_iter().flatten());
            }
        }
        Ok(())
    }

    pub(crate) fn count(&self) -> Result<usize, StoreError> {
        let commits = self.commits()?;
        Ok(commits
            .iter()
            .map(|commit| commit.record.chunks as usize)
            .sum())
    }

    /// All committed documents.
    pub(crate) fn commits(&self) -> Result<Vec<Commit>, StoreError> {
        self.committed_documents(vec![Kind::Document.only()])
    }

    fn committed_documents(&self, which: Selector) -> Result<Vec<Commit>, StoreError> {
        self.engine
            .scroll(which, Detail::Payload)?
            .iter()
            .map(|record| self.read(record, payload::read_commit))
            .collect()
    }

    fn commit(&self, document: &DocumentId) -> Result<Option<Commit>, StoreError> {
        self.engine
            .retrieve(&[payload::commit_id(document)], Detail::Payload)?
            .first()
            .map(|record| self.read(record, payload::read_commit))
            .transpose()
    }

    fn check(&self, document: &DocumentRecord, points: &[Point]) -> Result<(), BadPoints> {
        let id = document.id;
        if usize::try_from(document.chunks) != Ok(points.len()) {
            return Err(BadPoints::Count {
                document: id,
                said: document.chunks,
                given: points.len(),
            });
        }
        let mut seen = HashSet::with_capacity(points.len());
        for point in points {
            if point.chunk.document != id {
                return Err(BadPoints::Stranger {
                    document: id,
                    found: point.chunk.document,
                });
            }
            if !seen.insert(point.chunk.id) {
                return Err(BadPoints::Twice { document: id });
            }
            self.check_vector(&point.dense)?;
            check_lexical(&point.lexical.indices, &point.lexical.values)?;
        }
        Ok(())
    }

    fn check_vector(&self, vector: &[f32]) -> Result<(), BadPoints> {
        let expected = self.identity.embedding.dimension;
        if vector.len() != expected {
            return Err(BadPoints::Dimension {
                found: vector.len(),
                expected,
            });
        }
        check_numbers(vector)
    }

    fn read<T>(
        &self,
        record: &RawRecord,
        reader: impl Fn(&RawRecord) -> Result<T, String>,
    ) -> Result<T, StoreError> {
        reader(record).map_err(|reason| self.corrupt(record, reason))
    }

    fn corrupt(&self, record: &RawRecord, reason: String) -> StoreError {
        StoreError::Corrupt {
            location: self.engine.location(),
            reason: format!("point {}: {reason}", record.id),
        }
    }

    fn backend(&self, error: BadPoints) -> StoreError {
        StoreError::Backend {
            location: self.engine.location(),
            source: Box::new(error),
        }
    }
}

fn check_lexical(indices: &[u32], values: &[f32]) -> Result<(), BadPoints> {
    if indices.len() != values.len() {
        return Err(BadPoints::Uneven {
            indices: indices.len(),
            values: values.len(),
        });
    }
    check_numbers(values)
}

fn check_numbers(values: &[f32]) -> Result<(), BadPoints> {
    if values.iter().all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(BadPoints::NotANumber)
    }
}

fn document_points(document: &DocumentId) -> Vec<Condition> {
    vec![
        Kind::Document.only(),
        Condition::Is(DOCUMENT, document.to_string()),
    ]
}

fn chunk_points(document: &DocumentId) -> Vec<Condition> {
    vec![
        Kind::Chunk.only(),
        Condition::Is(DOCUMENT, document.to_string()),
    ]
}

/// About the bytes that the points take in memory.
fn size_of_points(points: &[Point]) -> u64 {
    points
        .iter()
        .map(|point| {
            let section: usize = point.chunk.section.iter().map(String::len).sum();
            // 300 for names and small fields of a payload.
            (point.dense.len() * 4
                + point.lexical.indices.len() * 8
                + point.chunk.text.len()
                + section
                + point.tokens.0.len().div_ceil(3) * 4
                + 300) as u64
        })
        .sum()
}

#[cfg(test)]
mod tests;
