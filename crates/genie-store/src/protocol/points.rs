//! Whole chunks, as they were written.

use genie_core::{Point, SparseVector, StoreError, TokenCodes};
use uuid::Uuid;

use super::{Documents, chunk_points};
use crate::engine::{Condition, Detail, Engine};
use crate::payload::{self, Commit, REVISION};

impl<E: Engine> Documents<E> {
    /// All chunks of a committed document in their order, with their vectors
    /// and codes but without their terms, which an engine doesn't give back.
    pub(crate) fn points(&self, commit: &Commit) -> Result<Vec<Point>, StoreError> {
        let document = &commit.record.id;
        let mut which = chunk_points(document);
        which.push(Condition::Is(REVISION, commit.revision.clone()));
        let mut records = self.engine.scroll(which, Detail::Everything)?;
        self.add_texts(records.iter_mut())?;
        let ids: Vec<Uuid> = records.iter().map(|record| record.id).collect();
        let codes = self.engine.codes(document, &commit.revision, &ids)?;
        let mut points = Vec::with_capacity(records.len());
        for (mut record, codes) in records.into_iter().zip(codes) {
            let tokens = match codes.is_empty() {
                false => TokenCodes(codes),
                true => self.read(&record, payload::read_tokens)?,
            };
            let dense = record.dense.take();
            points.push(Point {
                chunk: self.read(&record, payload::read_chunk)?,
                dense: dense
                    .ok_or_else(|| self.corrupt(&record, "it has no dense vector".to_owned()))?,
                lexical: SparseVector::default(),
                tokens,
            });
        }
        points.sort_by_key(|point| (point.chunk.ordinal, point.chunk.id));
        Ok(points)
    }
}
