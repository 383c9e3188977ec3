//! Writes that stop between any two of their steps.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use genie_core::{DocumentId, Point, Store, StoreError};
use uuid::Uuid;

use super::Documents;
use crate::edge::engine::EdgeEngine;
use crate::engine::{
    Candidate, Condition, Detail, Engine, Fields, Probes, RawPoint, RawRecord, Selector,
};
use crate::payload::{DOCUMENT, Kind, LANGUAGE};

#[path = "../../tests/samples/mod.rs"]
mod samples;

use samples::{DIMENSION, Sample, identity, open, query, sample};

/// An engine that changes nothing after so many steps.
struct Stopping {
    engine: EdgeEngine,
    steps: AtomicUsize,
}

#[derive(Debug, thiserror::Error)]
#[error("stopped by the test")]
struct Stopped;

impl Stopping {
    fn step(&self) -> Result<(), StoreError> {
        self.steps
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .map(drop)
            .map_err(|_| StoreError::Backend {
                location: self.engine.location(),
                source: Box::new(Stopped),
            })
    }
}

impl Engine for Stopping {
    fn location(&self) -> String {
        self.engine.location()
    }

    fn reserve(&self, bytes: u64) -> Result<(), StoreError> {
        self.engine.reserve(bytes)
    }

    fn upsert(&self, points: Vec<RawPoint>) -> Result<(), StoreError> {
        self.step()?;
        self.engine.upsert(points)
    }

    fn remove(&self, which: Selector) -> Result<(), StoreError> {
        self.step()?;
        self.engine.remove(which)
    }

    fn keep_codes(
        &self,
        document: &DocumentId,
        revision: &str,
        points: &mut [Point],
    ) -> Result<(), StoreError> {
        self.step()?;
        self.engine.keep_codes(document, revision, points)
    }

    fn codes(
        &self,
        document: &DocumentId,
        revision: &str,
        chunks: &[Uuid],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.engine.codes(document, revision, chunks)
    }

    fn keep_texts(
        &self,
        document: &DocumentId,
        revision: &str,
        chunks: &mut dyn Iterator<Item = (Uuid, Fields)>,
    ) -> Result<bool, StoreError> {
        self.step()?;
        self.engine.keep_texts(document, revision, chunks)
    }

    fn texts(
        &self,
        document: &DocumentId,
        revision: &str,
        chunks: &[Uuid],
    ) -> Result<Vec<Option<Fields>>, StoreError> {
        self.engine.texts(document, revision, chunks)
    }

    fn forget_parts(&self, document: &DocumentId, but: Option<&str>) -> Result<(), StoreError> {
        self.step()?;
        self.engine.forget_parts(document, but)
    }

    fn settle(&self) -> Result<(), StoreError> {
        self.step()?;
        self.engine.settle()
    }

    fn tend(&self, points: usize) -> Result<(), StoreError> {
        self.engine.tend(points)
    }

    fn scroll(&self, which: Selector, detail: Detail) -> Result<Vec<RawRecord>, StoreError> {
        self.engine.scroll(which, detail)
    }

    fn retrieve(&self, ids: &[Uuid], detail: Detail) -> Result<Vec<RawRecord>, StoreError> {
        self.engine.retrieve(ids, detail)
    }

    fn candidates(&self, probes: &Probes<'_>) -> Result<Vec<Vec<Candidate>>, StoreError> {
        self.engine.candidates(probes)
    }
}

fn stopping(folder: &Path, steps: usize) -> Documents<Stopping> {
    let engine = EdgeEngine::open(folder, &folder.join("shard"), DIMENSION).expect("it opens");
    let engine = Stopping {
        engine,
        steps: AtomicUsize::new(steps),
    };
    Documents::new(engine, identity())
}

fn put(store: &impl Store, sample: &Sample) {
    store
        .put(&sample.record, sample.points.clone())
        .expect("it is written");
}

/// The document is as one of `versions` or not there, in all that is read.
fn assert_whole<E: Engine>(documents: &Documents<E>, versions: &[&Sample], step: usize) {
    let id = versions[0].record.id;
    let record = documents.document(&id).expect("readable");
    let chunks = documents.chunks(&id).expect("readable");
    match &record {
        None => assert!(chunks.is_empty(), "step {step}"),
        Some(record) => {
            let version = versions
                .iter()
                .find(|version| version.record == *record)
                .unwrap_or_else(|| panic!("step {step}: {record:?}"));
            let expected: Vec<_> = version.points.iter().map(|p| p.chunk.clone()).collect();
            assert_eq!(chunks, expected, "step {step}");
        }
    }
    let mut all = query(0, &[1]);
    (all.candidates, all.limit) = (1_000, 1_000);
    let hits = documents.search(&all).expect("searchable");
    let of_it = hits.iter().filter(|hit| hit.chunk.document == id).count();
    assert_eq!(of_it, chunks.len(), "step {step}");
    assert!(
        hits.iter()
            .all(|hit| hit.chunk.document != id || Some(&hit.document) == record.as_ref())
    );
}

#[test]
fn a_write_that_stops_between_two_steps_leaves_no_half_document() {
    let (first, neighbour) = (sample("a", 0, 150), sample("b", 1, 5));
    let mut second = sample("a", 0, 140);
    second.record.title = "Second".into();
    let mut finished = false;
    for step in 0..30 {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        put(&store, &first);
        put(&store, &neighbour);
        drop(store);

        let documents = stopping(folder.path(), step);
        finished = documents.put(&second.record, second.points.clone()).is_ok();
        // A reader of the same engine, as on a server.
        assert_whole(&documents, &[&first, &second], step);
        drop(documents);
        // The next process, before and after it repairs.
        assert_whole(&stopping(folder.path(), 0), &[&first, &second], step);
        let store = open(folder.path());
        let committed = store.count().expect("a count");
        drop(store);
        let documents = stopping(folder.path(), 0);
        assert_whole(&documents, &[&first, &second], step);
        let left = documents
            .engine()
            .scroll(vec![Kind::Chunk.only()], Detail::Commit)
            .expect("readable");
        assert_eq!(
            left.len(),
            committed,
            "step {step}: chunks of nobody are left"
        );
        drop(documents);

        let store = open(folder.path());
        put(&store, &second);
        assert_eq!(store.count().expect("a count"), 145);
        let record = store.document(&second.record.id).expect("readable");
        assert_eq!(record, Some(second.record.clone()));
        let other = store.chunks(&neighbour.record.id).expect("readable");
        assert_eq!(other.len(), 5);
        if finished {
            break;
        }
    }
    assert!(finished, "the write has more steps than the test tries");
}

#[test]
fn several_writes_that_stop_between_two_steps_leave_no_half_document() {
    let together = [sample("a", 0, 150), sample("b", 1, 5), sample("c", 2, 1)];
    let mut finished = false;
    for step in 0..30 {
        let folder = tempfile::tempdir().expect("a folder");
        drop(open(folder.path()));
        let documents = stopping(folder.path(), step);
        let written = together
            .iter()
            .map(|sample| (sample.record.clone(), sample.points.clone()));
        finished = documents.put_all(written.collect()).is_ok();
        drop(documents);
        let store = open(folder.path());
        for sample in &together {
            let chunks = store.chunks(&sample.record.id).expect("readable").len();
            let whole = sample.points.len();
            let there = store.document(&sample.record.id).expect("readable");
            let wanted = if there.is_some() { whole } else { 0 };
            assert_eq!(chunks, wanted, "step {step}");
        }
        if finished {
            assert_eq!(store.count().expect("a count"), 156);
            break;
        }
    }
    assert!(finished, "the writes have more steps than the test tries");
}

#[test]
fn a_removal_that_stops_between_two_steps_leaves_no_half_document() {
    let it = sample("a", 0, 150);
    for step in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        put(&store, &it);
        drop(store);
        let documents = stopping(folder.path(), step);
        assert!(documents.delete(&it.record.id).is_err(), "step {step}");
        assert_whole(&documents, &[&it], step);
        drop(documents);
        let store = open(folder.path());
        let found = store.count().expect("a count");
        assert!([0, 150].contains(&found), "step {step}: {found}");
        store.delete(&it.record.id).expect("deleted");
        assert_eq!(store.count().expect("a count"), 0);
    }
}

#[test]
fn a_torn_flush_is_cleaned_up_when_the_index_is_opened() {
    let (it, neighbour) = (sample("a", 0, 20), sample("b", 1, 5));
    let only = |kind: Kind, condition: Option<Condition>| {
        let mut which = vec![kind.only()];
        which.push(Condition::Is(DOCUMENT, it.record.id.to_string()));
        which.extend(condition);
        which
    };
    let english = Condition::Is(LANGUAGE, it.record.language.expect("one").to_string());
    for torn in [
        only(Kind::Document, None),
        only(Kind::Chunk, Some(english)),
        only(Kind::Chunk, None),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path());
        put(&store, &it);
        put(&store, &neighbour);
        drop(store);
        let documents = stopping(folder.path(), 0);
        documents.engine().engine.remove(torn).expect("removed");
        drop(documents);

        let store = open(folder.path());
        let documents = store.documents().expect("readable");
        assert_eq!(documents, std::slice::from_ref(&neighbour.record));
        drop(store);
        let documents = stopping(folder.path(), 0);
        let left = documents
            .engine()
            .scroll(vec![Kind::Chunk.only()], Detail::Commit)
            .expect("readable");
        assert_eq!(left.len(), 5);
        drop(documents);
        let store = open(folder.path());
        put(&store, &it);
        assert_eq!(store.chunks(&it.record.id).expect("readable").len(), 20);
    }
}
