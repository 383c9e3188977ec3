//! Indexes whose words are analysed in another way now.

use std::fs;
use std::path::Path;

use genie_core::{Chunk, DocumentRecord, IndexIdentity, SparseVector, Store, StoreError};
use genie_store::{EdgeStore, HolderNote};

use crate::samples::{identity, open, query, sample, words};
use crate::{content, copy};

fn before() -> IndexIdentity {
    IndexIdentity {
        lexical_version: "words 0".into(),
        ..identity()
    }
}

/// Each chunk has its ordinal for a word.
fn terms(_: &DocumentRecord, chunk: &Chunk) -> SparseVector {
    words(&[7, 50_000 + chunk.ordinal])
}

/// An index from before with two documents.
fn old(index: &Path) {
    let store = EdgeStore::open(index, before(), HolderNote::default()).expect("it opens");
    for (name, axis, chunks) in [("a", 0, 40), ("b", 1, 5), ("gone", 2, 3)] {
        let sample = sample(name, axis, chunks);
        store.put(&sample.record, sample.points).expect("written");
    }
    let gone = sample("gone", 2, 3).record.id;
    store.delete(&gone).expect("deleted");
}

/// All of `index` is as it was, and found by its new words.
fn assert_renewed(index: &Path) {
    let store = open(index);
    let read = content(&store);
    assert_eq!(read.len(), 2);
    for (record, chunks) in &read {
        let (axis, count) = if record.uri == "docs/a.md" {
            (0, 40)
        } else {
            (1, 5)
        };
        let name = if axis == 0 { "a" } else { "b" };
        let sample = sample(name, axis, count);
        assert_eq!(*record, sample.record);
        let expected: Vec<_> = sample.points.iter().map(|point| &point.chunk).collect();
        assert_eq!(chunks.iter().collect::<Vec<_>>(), expected);
    }
    let mut asked = query(0, &[50_017]);
    asked.with_tokens = true;
    asked.weights.dense = 0.0;
    let hits = store.search(&asked).expect("hits");
    assert_eq!(hits.len(), 1);
    let written = &sample("a", 0, 40).points[17];
    assert_eq!(
        (&hits[0].chunk, &hits[0].tokens),
        (&written.chunk, &written.tokens)
    );
    assert!((hits[0].vector.iter().zip(&written.dense)).all(|(a, b)| (a - b).abs() < 1e-3));
    let mut asked = query(0, &[1017]);
    asked.weights.dense = 0.0;
    assert!(store.search(&asked).expect("no hits").is_empty());
}

#[test]
fn words_are_analysed_anew_without_another_ingest() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = folder.path().join("index");
    assert!(!EdgeStore::renew(&index, &identity(), &terms).expect("none"));
    old(&index);
    let held = EdgeStore::open(&index, before(), HolderNote::default()).expect("it opens");
    let error = EdgeStore::renew(&index, &identity(), &terms).expect_err("it is in use");
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    drop(held);
    let mut other = identity();
    other.chunker_version = "chunks 2".into();
    assert!(!EdgeStore::renew(&index, &other, &terms).expect("more differs"));
    assert!(EdgeStore::renew(&index, &identity(), &terms).expect("renewed"));
    assert_renewed(&index);
    assert!(!EdgeStore::renew(&index, &identity(), &terms).expect("done"));
    for left in ["renewing", "renewed"] {
        assert!(!index.join(left).exists(), "{left}");
    }
}

#[test]
fn a_renewal_that_is_cut_off_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    old(&at("old"));
    copy(&at("old"), &at("new"));
    assert!(EdgeStore::renew(&at("new"), &identity(), &terms).expect("renewed"));
    drop(open(&at("new")));

    // While the new one is made.
    copy(&at("old"), &at("making"));
    copy(&at("new"), &at("making/renewing"));
    fs::remove_dir_all(at("making/renewing/texts")).expect("removed");
    assert!(EdgeStore::renew(&at("making"), &identity(), &terms).expect("renewed"));
    assert_renewed(&at("making"));

    // Before anything was moved, and after the first two were.
    for moved in [&[][..], &["shard", "codes"]] {
        let index = at(&format!("moved {}", moved.len()));
        copy(&at("old"), &index);
        copy(&at("new"), &index.join("renewed"));
        for name in moved {
            fs::remove_dir_all(index.join(name)).expect("removed");
            fs::rename(index.join("renewed").join(name), index.join(name)).expect("moved");
        }
        assert!(!EdgeStore::renew(&index, &identity(), &terms).expect("only moved"));
        assert_renewed(&index);
        assert!(!index.join("renewed").exists());
    }
}
