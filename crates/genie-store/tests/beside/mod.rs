//! Files beside the engine's.

use std::fs;

use genie_core::{Store, StoreError};
use genie_store::EdgeStore;

use crate::samples::{open, query, sample};

#[test]
fn files_beside_the_engine_come_and_go_with_their_documents() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = folder.path().join("index");
    let files = |of: &str| {
        let folders = fs::read_dir(index.join(of)).expect("a folder");
        let files = folders.flat_map(|it| fs::read_dir(it.expect("one").path()).expect("files"));
        files.flatten().map(|file| file.path()).collect::<Vec<_>>()
    };
    let tokens = |store: &EdgeStore| {
        let mut query = query(0, &[1]);
        query.with_tokens = true;
        let hits = store.search(&query).expect("hits");
        hits.iter().map(|hit| hit.tokens.0.len()).sum::<usize>()
    };
    let mut it = sample("a", 0, 4);
    let bytes: usize = it.points.iter().map(|point| point.tokens.0.len()).sum();
    let chunks: Vec<_> = it.points.iter().map(|point| point.chunk.clone()).collect();
    let read = |store: &EdgeStore| store.chunks(&it.record.id).expect("chunks");
    let store = open(&index);
    store.put(&it.record, it.points.clone()).expect("written");
    let first = ["codes", "texts"].map(files);
    it.record.title = "Another".into();
    store.put(&it.record, it.points.clone()).expect("replaced");
    let second = ["codes", "texts"].map(files);
    for (first, second) in first.iter().zip(&second) {
        assert_eq!((first.len(), second.len()), (1, 1));
        assert_ne!(first, second);
    }
    assert_eq!((tokens(&store), read(&store)), (bytes, chunks.clone()));
    let snapshot = store.snapshot(&folder.path().join("s")).expect("one");
    let restored = open(&snapshot);
    assert_eq!(
        (tokens(&restored), read(&restored)),
        (bytes, chunks.clone())
    );
    drop(store);
    // What a crash leaves over.
    for (first, second) in first.iter().zip(&second) {
        fs::copy(&second[0], &first[0]).expect("copied");
    }
    let store = open(&index);
    assert_eq!(["codes", "texts"].map(files), second);
    assert_eq!((tokens(&store), read(&store)), (bytes, chunks));
    // Without its text a chunk is no hit but an error.
    let text = fs::read(&second[1][0]).expect("readable");
    fs::remove_file(&second[1][0]).expect("removed");
    let lost = store.search(&query(0, &[1])).expect_err("it is lost");
    assert!(matches!(lost, StoreError::Corrupt { .. }), "{lost}");
    fs::write(&second[1][0], text).expect("written");
    assert!(store.delete(&it.record.id).expect("deleted"));
    for of in ["codes", "texts"] {
        assert_eq!(files(of).len(), 0, "{of}");
    }
}
