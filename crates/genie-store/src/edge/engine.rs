//! Qdrant's engine in this process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use genie_core::{DocumentId, Point, StoreError};
use qdrant_edge as edge;
use uuid::Uuid;

use super::convert::{
    FieldName, candidate, configuration, field_schema, filter, path_of, persisted, query, record,
    search_params, with_payload, with_vector,
};
use super::disk;
use super::parts::{PartFiles, Parts, Sort};
use super::purge::{Unpurged, remove_unfinished};
use super::texts;
use crate::engine::{
    Candidate, Condition, Detail, Engine, Fields, Probe, Probes, RawPoint, RawRecord, Selector,
};
use crate::payload::{INDEXED, REVISION};

/// Written points after which the engine is asked whether it wants to merge,
/// clean or index its segments.
const TEND_AFTER: usize = 5_000;

/// Points read per page.
const PAGE: usize = 1_000;

/// Free space that every write needs beside its own, for the engine's small
/// files and the next log file.
pub(super) const MARGIN: u64 = 12 << 20;

/// The engine on its files.
pub(crate) struct EdgeEngine {
    /// Where the index is.
    folder: PathBuf,
    /// Where the engine's files are.
    shard_folder: PathBuf,
    /// Where it writes its log.
    log: PathBuf,
    /// Where the codes of tokens are.
    codes: PartFiles,
    /// Where texts are.
    texts: PartFiles,
    /// `None` only while it is being opened or dropped. It takes searches from
    /// many threads, also while segments are merged; writes come one by one.
    shard: Option<edge::EdgeShard>,
    /// A write failed or the engine panicked: its memory may no longer agree
    /// with its files, which are made whole when they are opened again.
    broken: AtomicBool,
    pub(super) untended: AtomicUsize,
    /// Whether segments wait to be merged at the end of a bulk load.
    pub(super) unmerged: AtomicBool,
    /// Whether its files hold what was deleted.
    pub(super) unpurged: Unpurged,
}

impl std::fmt::Debug for EdgeEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeEngine")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Why the engine can't be used.
#[derive(Debug, thiserror::Error)]
enum EngineError {
    #[error("the engine stopped unexpectedly: {0}")]
    Panicked(String),
    #[error("an earlier write failed; start again to go on with what is on the disk")]
    Broken,
}

impl EdgeEngine {
    /// Opens the files in `shard`, or makes them.
    pub(crate) fn open(folder: &Path, shard: &Path, dimension: usize) -> Result<Self, StoreError> {
        disk::reserve(folder, MARGIN)?;
        std::fs::create_dir_all(shard).map_err(|source| disk::error(shard, source))?;
        let log = shard.join("wal");
        prune_log(&log);
        remove_unfinished(shard)?;
        let mut engine = Self {
            folder: folder.to_owned(),
            shard_folder: shard.to_owned(),
            log,
            codes: PartFiles::of(folder, Sort::Codes),
            texts: PartFiles::of(folder, Sort::Texts),
            shard: None,
            broken: AtomicBool::new(false),
            untended: AtomicUsize::new(0),
            unmerged: AtomicBool::new(false),
            unpurged: Unpurged::in_folder(folder),
        };
        let loaded =
            engine.guard(|| edge::EdgeShard::load(shard, Some(configuration(dimension))))?;
        engine.shard = Some(loaded);
        // As if all had been written by one process: many that write a little
        // each have to be tended after as well.
        let points = engine.with_shard(|shard| Ok(shard.info().points_count))?;
        engine.untended = AtomicUsize::new(points % TEND_AFTER);
        engine.index_payload()?;
        Ok(engine)
    }

    /// The files beside the engine's.
    pub(super) const fn part_files(&self) -> [&PartFiles; 2] {
        [&self.codes, &self.texts]
    }

    /// Chunk points by revision; a chunk that two segments hold counts twice.
    pub(crate) fn chunks_by_revision(
        &self,
        which: &[Condition],
    ) -> Result<Vec<(String, usize)>, StoreError> {
        let key = self.named(path_of(REVISION))?;
        let filter = self.named(filter(which))?;
        let response = self.with_shard(|shard| {
            shard.facet(edge::FacetRequest {
                key,
                limit: usize::MAX >> 1,
                filter,
                exact: true,
            })
        })?;
        Ok(response
            .hits
            .into_iter()
            .filter_map(|hit| match hit.value {
                edge::FacetValue::Keyword(revision) => Some((revision.to_string(), hit.count)),
                _ => None,
            })
            .collect())
    }

    fn index_payload(&self) -> Result<(), StoreError> {
        let present = self.with_shard(|shard| Ok(shard.info().payload_schema))?;
        let mut missing = false;
        for (field, kind) in INDEXED {
            let field_name = self.named(path_of(field))?;
            if !present.contains_key(&field_name) {
                missing = true;
                self.update(edge::UpdateOperation::FieldIndexOperation(
                    edge::FieldIndexOperations::CreateIndex(edge::CreateIndex {
                        field_name,
                        field_schema: Some(field_schema(kind)),
                    }),
                ))?;
            }
        }
        if missing { self.settle() } else { Ok(()) }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the engine's files are.
    pub(super) fn shard_folder(&self) -> &Path {
        &self.shard_folder
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Nothing is written from now on.
    pub(super) fn give_up(&self) {
        self.broken.store(true, Ordering::Release);
    }

    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    pub(super) fn update(&self, operation: edge::UpdateOperation) -> Result<(), StoreError> {
        self.lasting(|shard| shard.update(operation))
    }

    /// Runs what changes files: where that fails, memory and files may differ.
    pub(super) fn lasting<T>(
        &self,
        run: impl FnOnce(&edge::EdgeShard) -> edge::OperationResult<T>,
    ) -> Result<T, StoreError> {
        let result = self.with_shard(run);
        if result.is_err() {
            self.broken.store(true, Ordering::Release);
        }
        result
    }

    /// Lets the engine merge, clean and index its segments. Called under the
    /// lock of writers.
    pub(crate) fn optimize(&self) -> Result<(), StoreError> {
        let needed = disk::size_of_folder(&self.folder) + MARGIN;
        let optimized = self.rewriting(needed, |shard| {
            let changed = shard.optimize()?;
            if changed {
                shard.flush();
            }
            Ok(changed)
        });
        match optimized {
            Ok(changed) => {
                tracing::debug!(changed, "optimized the index");
                Ok(())
            }
            // Another time: what was written is there and is found.
            Err(error @ StoreError::DiskFull { .. }) if !self.is_broken() => {
                tracing::warn!(%error, "the index is not optimized: searches may be slower");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn with_shard<T>(
        &self,
        run: impl FnOnce(&edge::EdgeShard) -> edge::OperationResult<T>,
    ) -> Result<T, StoreError> {
        match &self.shard {
            Some(shard) => self.guard(|| run(shard)),
            None => Err(self.backend(EngineError::Broken)),
        }
    }

    /// Runs the engine. It panics where files can't be written; then it is
    /// not used again, because locks inside of it may be left half way.
    fn guard<T>(&self, run: impl FnOnce() -> edge::OperationResult<T>) -> Result<T, StoreError> {
        if self.is_broken() {
            return Err(self.backend(EngineError::Broken));
        }
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.failure(error.to_string(), error)),
            Err(panic) => {
                self.broken.store(true, Ordering::Release);
                let message = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                    .unwrap_or_default();
                Err(self.failure(message.clone(), EngineError::Panicked(message)))
            }
        }
    }

    /// The engine tells a full disk only in words.
    fn failure(
        &self,
        message: String,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> StoreError {
        let full = [
            "No space left",
            "os error 28",
            "StorageFull",
            "not enough space",
        ];
        if full.iter().any(|words| message.contains(words)) {
            StoreError::DiskFull {
                location: self.location(),
            }
        } else {
            self.backend(error)
        }
    }

    fn named<T>(&self, converted: Result<T, FieldName>) -> Result<T, StoreError> {
        converted.map_err(|error| self.backend(error))
    }

    fn backend(&self, error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
        StoreError::Backend {
            location: self.location(),
            source: Box::new(error),
        }
    }

    fn probe(&self, probe: Probe<'_>, asked: &Probes<'_>) -> Result<Vec<Candidate>, StoreError> {
        let request = edge::QueryRequest {
            prefetches: Vec::new(),
            query: Some(query(probe)),
            filter: self.named(filter(&asked.only))?,
            score_threshold: None,
            limit: asked.limit,
            offset: 0,
            params: Some(search_params(asked.limit)),
            with_vector: with_vector(asked.detail),
            with_payload: self.named(with_payload(asked.detail))?,
        };
        let points = self.with_shard(|shard| shard.query(request))?;
        Ok(points.into_iter().map(candidate).collect())
    }
}

impl Drop for EdgeEngine {
    fn drop(&mut self) {
        // The engine flushes when it is dropped and panics where it can't.
        let shard = self.shard.take();
        if catch_unwind(AssertUnwindSafe(|| drop(shard))).is_err() {
            tracing::warn!(folder = %self.folder.display(), "the engine did not close cleanly");
        } else if !self.is_broken() {
            prune_log(&self.log);
        }
    }
}

impl Engine for EdgeEngine {
    fn location(&self) -> String {
        self.folder.display().to_string()
    }

    fn reserve(&self, bytes: u64) -> Result<(), StoreError> {
        // Once in the log, once in the segments, and as much for indexes.
        disk::reserve(&self.folder, bytes.saturating_mul(4) + MARGIN)
    }

    fn upsert(&self, points: Vec<RawPoint>) -> Result<(), StoreError> {
        let points = points.into_iter().map(persisted).collect();
        self.update(edge::UpdateOperation::PointOperation(
            edge::PointOperations::UpsertPoints(edge::PointInsertOperations::PointsList(points)),
        ))
    }

    fn remove(&self, which: Selector) -> Result<(), StoreError> {
        // Without a condition it would be everything, which nobody asks for.
        let Some(filter) = self.named(filter(&which))? else {
            return Ok(());
        };
        self.update(edge::UpdateOperation::PointOperation(
            edge::PointOperations::DeletePointsByFilter(filter),
        ))
    }

    fn keep_codes(
        &self,
        document: &DocumentId,
        revision: &str,
        points: &mut [Point],
    ) -> Result<(), StoreError> {
        let taken = points.iter_mut().map(|point| {
            let id = Uuid::from_bytes(*point.chunk.id.as_bytes());
            (id, std::mem::take(&mut point.tokens.0))
        });
        let (chunks, codes): (Vec<Uuid>, Vec<Vec<u8>>) = taken.unzip();
        if codes.iter().all(Vec::is_empty) {
            return Ok(());
        }
        let chunks: Vec<_> = chunks.into_iter().zip(0..).collect();
        self.codes.write(document, revision, &chunks, &codes)
    }

    fn codes(
        &self,
        document: &DocumentId,
        revision: &str,
        chunks: &[Uuid],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let Parts { mut bytes, chunks } = self.codes.read(document, revision, chunks)?;
        // Each chunk has a part of its own.
        let mut taken = |part: usize| bytes.get_mut(part).map(std::mem::take);
        let codes = chunks.into_iter().map(|chunk| taken(chunk?.0));
        Ok(codes.map(Option::unwrap_or_default).collect())
    }

    fn keep_texts(
        &self,
        document: &DocumentId,
        revision: &str,
        chunks: &mut dyn Iterator<Item = (Uuid, Fields)>,
    ) -> Result<bool, StoreError> {
        let chunks: Vec<_> = chunks.collect();
        texts::write(&self.texts, document, revision, &chunks)?;
        Ok(true)
    }

    fn texts(
        &self,
        document: &DocumentId,
        revision: &str,
        chunks: &[Uuid],
    ) -> Result<Vec<Option<Fields>>, StoreError> {
        texts::read(&self.texts, document, revision, chunks)
    }

    fn forget_parts(&self, document: &DocumentId, but: Option<&str>) -> Result<(), StoreError> {
        self.codes.forget(document, but)?;
        self.texts.forget(document, but)
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.lasting(|shard| {
            shard.flush();
            Ok(())
        })
    }

    fn note_deletion(&self) -> Result<(), StoreError> {
        self.unpurged.note()
    }

    fn tend(&self, points: usize) -> Result<(), StoreError> {
        if self.untended.fetch_add(points, Ordering::AcqRel) + points < TEND_AFTER {
            return Ok(());
        }
        self.untended.store(0, Ordering::Release);
        self.unmerged.store(true, Ordering::Release);
        self.optimize()
    }

    fn scroll(&self, which: Selector, detail: Detail) -> Result<Vec<RawRecord>, StoreError> {
        let filter = self.named(filter(&which))?;
        let with_payload = self.named(with_payload(detail))?;
        let mut records = Vec::new();
        let mut offset = None;
        loop {
            let (page, next) = self.with_shard(|shard| {
                shard.scroll(edge::ScrollRequest {
                    offset,
                    limit: Some(PAGE),
                    filter: filter.clone(),
                    with_payload: Some(with_payload.clone()),
                    with_vector: with_vector(detail),
                    order_by: None,
                })
            })?;
            records.extend(page.into_iter().map(record));
            if next.is_none() {
                return Ok(records);
            }
            offset = next;
        }
    }

    fn retrieve(&self, ids: &[Uuid], detail: Detail) -> Result<Vec<RawRecord>, StoreError> {
        let ids: Vec<edge::PointId> = ids.iter().copied().map(edge::PointId::Uuid).collect();
        let with_payload = self.named(with_payload(detail))?;
        let records = self.with_shard(|shard| {
            shard.retrieve(&ids, Some(with_payload), Some(with_vector(detail)))
        })?;
        Ok(records.into_iter().map(record).collect())
    }

    fn candidates(&self, probes: &Probes<'_>) -> Result<Vec<Vec<Candidate>>, StoreError> {
        probes
            .probes
            .iter()
            .map(|probe| self.probe(*probe, probes))
            .collect()
    }
}

/// Removes old files of the engine's log.
///
/// The engine in process numbers its operations by this log but never reads
/// it back (it has no replay), nor does it ever cut it. All that was written
/// before the last flush is in the segments, so only the last closed file is
/// kept: the numbering goes on from it.
pub(super) fn prune_log(log: &Path) {
    let Ok(entries) = std::fs::read_dir(log) else {
        return;
    };
    let mut closed: Vec<(u64, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let start = name.to_str()?.strip_prefix("closed-")?.parse().ok()?;
            Some((start, entry.path()))
        })
        .collect();
    closed.sort();
    closed.pop();
    for (_, path) in closed {
        // In order, so that what stays has no gap.
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::debug!(%error, path = %path.display(), "an old log file stays");
            return;
        }
    }
}
