//! An index in memory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use genie_core::{
    Chunk, DocumentId, DocumentRecord, Embed, Filter, Hit, HybridQuery, IndexIdentity, Lexical,
    Point, Shares, SparseVector, Store, StoreError, TokenCodes,
};

use crate::{FakeEmbed, FakeLexical};

/// The identity of an index made with the fakes.
#[must_use]
pub fn index_identity() -> IndexIdentity {
    IndexIdentity {
        embedding: FakeEmbed::new().identity().clone(),
        lexical_version: FakeLexical::new().version().to_owned(),
        chunker_version: "fake-chunker".to_owned(),
        tokens_version: "fake-tokens".to_owned(),
    }
}

/// Compares every point with the query; what Qdrant finds fast, this finds
/// surely.
#[derive(Debug)]
pub struct MemoryStore {
    identity: IndexIdentity,
    documents: Mutex<BTreeMap<DocumentId, (DocumentRecord, Vec<Point>)>>,
}

impl MemoryStore {
    /// An empty index for the fakes' vectors.
    #[must_use]
    pub fn new() -> Self {
        Self {
            identity: index_identity(),
            documents: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DocumentId, (DocumentRecord, Vec<Point>)>> {
        self.documents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Store for MemoryStore {
    fn identity(&self) -> &IndexIdentity {
        &self.identity
    }

    fn put(&self, document: &DocumentRecord, points: Vec<Point>) -> Result<(), StoreError> {
        self.lock().insert(document.id, (document.clone(), points));
        Ok(())
    }

    fn delete(&self, document: &DocumentId) -> Result<bool, StoreError> {
        Ok(self.lock().remove(document).is_some())
    }

    fn documents(&self) -> Result<Vec<DocumentRecord>, StoreError> {
        let mut records: Vec<_> = self
            .lock()
            .values()
            .map(|(record, _)| record.clone())
            .collect();
        records.sort_by(|a, b| a.uri.cmp(&b.uri));
        Ok(records)
    }

    fn document(&self, id: &DocumentId) -> Result<Option<DocumentRecord>, StoreError> {
        Ok(self.lock().get(id).map(|(record, _)| record.clone()))
    }

    fn chunks(&self, id: &DocumentId) -> Result<Vec<Chunk>, StoreError> {
        let mut chunks: Vec<_> = self
            .lock()
            .get(id)
            .map(|(_, points)| points.iter().map(|point| point.chunk.clone()).collect())
            .unwrap_or_default();
        chunks.sort_by_key(|chunk: &Chunk| chunk.ordinal);
        Ok(chunks)
    }

    fn count(&self) -> Result<usize, StoreError> {
        Ok(self.lock().values().map(|(_, points)| points.len()).sum())
    }

    fn search(&self, query: &HybridQuery) -> Result<Vec<Hit>, StoreError> {
        let documents = self.lock();
        let mut hits: Vec<Hit> = documents
            .values()
            .flat_map(|(record, points)| points.iter().map(move |point| (record, point)))
            .filter(|(record, point)| passes(&query.filter, record, &point.chunk))
            .map(|(record, point)| {
                let similarity = dot(&query.dense, &point.dense);
                let lexical = overlap(&query.lexical, &point.lexical);
                let shares = Shares {
                    dense: query.weights.dense * similarity,
                    lexical: query.weights.lexical * lexical,
                };
                Hit {
                    chunk: point.chunk.clone(),
                    document: record.clone(),
                    score: shares.dense + shares.lexical,
                    shares,
                    vector: point.dense.clone(),
                    similarity,
                    lexical: (lexical > 0.0).then_some(lexical),
                    tokens: if query.with_tokens {
                        point.tokens.clone()
                    } else {
                        TokenCodes::default()
                    },
                }
            })
            .collect();
        hits.sort_by(|a, b| {
            b.score
                .total_cmp(&a.score)
                .then_with(|| a.chunk.id.cmp(&b.chunk.id))
        });
        hits.truncate(query.limit);
        Ok(hits)
    }

    fn snapshot(&self, folder: &Path) -> Result<PathBuf, StoreError> {
        let path = folder.join("memory.snapshot");
        std::fs::write(&path, format!("{:?}", self.lock())).map_err(|source| StoreError::Io {
            location: path.display().to_string(),
            source,
        })?;
        Ok(path)
    }
}

fn passes(filter: &Filter, record: &DocumentRecord, chunk: &Chunk) -> bool {
    let document = filter.documents.is_empty() || filter.documents.contains(&record.id);
    let language = filter.languages.is_empty()
        || chunk
            .language
            .is_some_and(|language| filter.languages.contains(&language));
    let label = filter.labels.is_empty()
        || record.labels.iter().any(|label| {
            filter.labels.iter().any(|wanted| {
                label
                    .strip_prefix(wanted.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        });
    document && language && label && filter.dates.contains(record.date)
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn overlap(query: &SparseVector, passage: &SparseVector) -> f32 {
    query
        .indices
        .iter()
        .zip(&query.values)
        .filter_map(|(index, weight)| {
            let position = passage.indices.binary_search(index).ok()?;
            passage.values.get(position).map(|value| weight * value)
        })
        .sum()
}
