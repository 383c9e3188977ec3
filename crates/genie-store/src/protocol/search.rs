//! How chunks are found.
//!
//! Only committed chunks may be hits, and only they may count when ranks are
//! given. A store that others write to as well reads of every candidate which
//! revision it is of, and which one its document has committed. A store that
//! all writes go through knows when there is nothing to look up ([`Writes`]):
//! then candidates are ids and scores, and commits are read of the hits alone,
//! with which they are returned. A search that a write came into is repeated
//! in the careful way.

use std::collections::{HashMap, HashSet};

use genie_core::{DocumentId, Hit, HybridQuery, StoreError, TokenCodes};
use uuid::Uuid;

use super::{BadPoints, Documents, check_lexical};
use crate::engine::{Candidate, Detail, Engine, Probe, Probes, RawRecord};
use crate::fusion::{Fused, Side, cosine, fuse};
use crate::payload::{self, Commit};

#[cfg(doc)]
use super::writes::Writes;

/// Commits by document.
type Commits = HashMap<DocumentId, Commit>;

/// What the probes found: for each its chunks, best first, and the commits
/// that were looked up on the way.
struct Ranked {
    lists: Vec<Vec<(Uuid, f32)>>,
    commits: Commits,
}

impl<E: Engine> Documents<E> {
    pub(crate) fn search(&self, query: &HybridQuery) -> Result<Vec<Hit>, StoreError> {
        self.check_query(query)
            .map_err(|error| self.backend(error))?;
        let asks_dense = query.weights.dense > 0.0;
        let asks_lexical = query.weights.lexical > 0.0 && !query.lexical.is_empty();
        let mut probes = Vec::new();
        if asks_dense {
            probes.push(Probe::Dense(&query.dense));
        }
        if asks_lexical {
            probes.push(Probe::Lexical(&query.lexical));
        }
        if query.limit == 0 || probes.is_empty() {
            return Ok(Vec::new());
        }
        let Ranked { lists, mut commits } = self.ranked(Probes {
            probes,
            only: payload::selector(&query.filter),
            limit: query.candidates.max(query.limit),
            detail: Detail::Id,
        })?;
        let mut lists = lists.into_iter();
        // One list for each side that was asked, in this order.
        let mut side = |asked: bool, weight| Side {
            weight,
            found: if asked {
                lists.next().unwrap_or_default()
            } else {
                Vec::new()
            },
        };
        let dense = side(asks_dense, query.weights.dense);
        let lexical = side(asks_lexical, query.weights.lexical);
        let mut fused = fuse(query.fusion, &dense, &lexical);
        fused.truncate(query.limit);
        let mut hits = self.hits(query, &fused, &mut commits)?;
        let lexical: HashMap<Uuid, f32> = lexical.found.into_iter().collect();
        for hit in &mut hits {
            hit.lexical = lexical
                .get(&Uuid::from_bytes(*hit.chunk.id.as_bytes()))
                .copied();
        }
        Ok(hits)
    }

    fn ranked(&self, mut probes: Probes<'_>) -> Result<Ranked, StoreError> {
        if let Some(quiet) = self.writes.quiet() {
            probes.detail = Detail::Id;
            let found = self.engine.candidates(&probes)?;
            if self.writes.quiet() == Some(quiet) {
                return Ok(Ranked {
                    lists: found.into_iter().map(ids_by_rank).collect(),
                    commits: Commits::new(),
                });
            }
        }
        probes.detail = Detail::Commit;
        let found = self.engine.candidates(&probes)?;
        let mut commits = Commits::new();
        let records = found.iter().flatten().map(|candidate| &candidate.record);
        self.learn_commits(records, &mut commits)?;
        let lists = found
            .into_iter()
            .map(|candidates| self.committed(candidates, &commits))
            .collect::<Result<_, _>>()?;
        Ok(Ranked { lists, commits })
    }

    fn hits(
        &self,
        query: &HybridQuery,
        fused: &[Fused],
        commits: &mut Commits,
    ) -> Result<Vec<Hit>, StoreError> {
        let ids: Vec<Uuid> = fused.iter().map(|fused| fused.id).collect();
        let detail = if query.with_tokens {
            Detail::Everything
        } else {
            Detail::PayloadAndDense
        };
        let records = self.engine.retrieve(&ids, detail)?;
        self.learn_commits(records.iter(), commits)?;
        let mut records: HashMap<Uuid, RawRecord> = records
            .into_iter()
            .map(|record| (record.id, record))
            .collect();
        self.add_texts(records.values_mut())?;
        let mut codes = if query.with_tokens {
            self.kept_codes(records.values(), commits)?
        } else {
            HashMap::new()
        };
        let mut hits = Vec::with_capacity(fused.len());
        for fused in fused {
            // A chunk that was removed since it was found is no hit.
            let Some(mut record) = records.remove(&fused.id) else {
                continue;
            };
            // Nor is one that was replaced since.
            let Some(commit) = self.commit_of(&record, commits)? else {
                continue;
            };
            if !payload::has_text(&record) {
                self.check_replaced(&record, commit)?;
                continue;
            }
            let chunk = self.read(&record, payload::read_chunk)?;
            // An index of an earlier version has them in the payload, and so
            // has a server.
            let tokens = match codes.remove(&fused.id) {
                Some(codes) if !codes.is_empty() => TokenCodes(codes),
                _ => self.read(&record, payload::read_tokens)?,
            };
            let vector = record
                .dense
                .take()
                .ok_or_else(|| self.corrupt(&record, "it has no dense vector".to_owned()))?;
            hits.push(Hit {
                similarity: cosine(&query.dense, &vector),
                document: commit.record.clone(),
                chunk,
                score: fused.score,
                shares: fused.shares,
                lexical: None,
                vector,
                tokens,
            });
        }
        Ok(hits)
    }

    /// A chunk without a text was replaced since its commit was read, or its
    /// text is lost.
    fn check_replaced(&self, record: &RawRecord, seen: &Commit) -> Result<(), StoreError> {
        match self.commit(&seen.record.id)? {
            Some(now) if now == *seen => Err(self.corrupt(record, "its text is lost".to_owned())),
            _ => Ok(()),
        }
    }

    /// The codes of committed chunks that the engine keeps outside of
    /// payloads.
    fn kept_codes<'a>(
        &self,
        records: impl Iterator<Item = &'a RawRecord>,
        commits: &Commits,
    ) -> Result<HashMap<Uuid, Vec<u8>>, StoreError> {
        let mut chunks: HashMap<DocumentId, Vec<Uuid>> = HashMap::new();
        for record in records {
            let (document, _) = self.read(record, payload::read_origin)?;
            chunks.entry(document).or_default().push(record.id);
        }
        let mut codes = HashMap::new();
        for (document, chunks) in chunks {
            let Some(commit) = commits.get(&document) else {
                continue;
            };
            let found = self.engine.codes(&document, &commit.revision, &chunks)?;
            codes.extend(chunks.into_iter().zip(found));
        }
        Ok(codes)
    }

    /// Reads the commits of all documents that the records belong to, but
    /// those that are known.
    fn learn_commits<'a>(
        &self,
        records: impl Iterator<Item = &'a RawRecord>,
        commits: &mut Commits,
    ) -> Result<(), StoreError> {
        let mut documents = HashSet::new();
        for record in records {
            let (document, _) = self.read(record, payload::read_origin)?;
            if !commits.contains_key(&document) {
                documents.insert(document);
            }
        }
        let ids: Vec<Uuid> = documents.iter().map(payload::commit_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        for record in self.engine.retrieve(&ids, Detail::Payload)? {
            let commit = self.read(&record, payload::read_commit)?;
            commits.insert(commit.record.id, commit);
        }
        Ok(())
    }

    /// The commit that the chunk counts by, where there is one.
    fn commit_of<'a>(
        &self,
        record: &RawRecord,
        commits: &'a Commits,
    ) -> Result<Option<&'a Commit>, StoreError> {
        let (document, revision) = self.read(record, payload::read_origin)?;
        Ok(commits
            .get(&document)
            .filter(|commit| commit.revision == revision))
    }

    /// The candidates whose revision is committed, by rank.
    fn committed(
        &self,
        candidates: Vec<Candidate>,
        commits: &Commits,
    ) -> Result<Vec<(Uuid, f32)>, StoreError> {
        let mut committed = Vec::with_capacity(candidates.len());
        for candidate in candidates {
            if self.commit_of(&candidate.record, commits)?.is_some() {
                committed.push(candidate);
            }
        }
        Ok(ids_by_rank(committed))
    }

    fn check_query(&self, query: &HybridQuery) -> Result<(), BadPoints> {
        self.check_vector(&query.dense)?;
        check_lexical(&query.lexical.indices, &query.lexical.values)
    }
}

/// Best first, ties by id.
fn ids_by_rank(mut candidates: Vec<Candidate>) -> Vec<(Uuid, f32)> {
    candidates.sort_by(|left, right| {
        right
            .score
            .total_cmp(&left.score)
            .then_with(|| left.record.id.cmp(&right.record.id))
    });
    candidates
        .into_iter()
        .map(|candidate| (candidate.record.id, candidate.score))
        .collect()
}
