//! What was deleted is in no file any more.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use genie_core::{Store, StoreError};
use genie_store::EdgeStore;

use crate::SmallDisk;
use crate::samples::{Sample, open, query, sample};

/// Nothing in it comes twice, so a compressor keeps it as it is.
const CANARY: &str = "kanari qZ7-vW3_xJ9.gH2!mB5";

fn with_canary(name: &str, axis: usize) -> Sample {
    let mut sample = sample(name, axis, 30);
    sample.points[17].chunk.text = format!("A passage with {CANARY} in it.");
    sample.record.title = format!("Of {CANARY}");
    sample
}

fn write(store: &EdgeStore, sample: &Sample) {
    store
        .put(&sample.record, sample.points.clone())
        .expect("written");
}

/// The files below `folder` that hold `text`, as UTF-8 or as UTF-16.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
            continue;
        }
        let bytes = fs::read(&path).expect("a file");
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
        if holds(text.as_bytes()) || holds(&wide) {
            found.push(path);
        }
    }
    found
}

fn whole(store: &EdgeStore, sample: &Sample) -> bool {
    let chunks = store.chunks(&sample.record.id).expect("chunks");
    let expected: Vec<_> = sample.points.iter().map(|point| &point.chunk).collect();
    chunks.iter().collect::<Vec<_>>() == expected
}

#[test]
fn a_deleted_text_is_in_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let (stays, goes) = (sample("stays", 1, 40), with_canary("goes", 2));
    write(&store, &stays);
    write(&store, &goes);
    let before = files_with(folder.path(), CANARY);
    let are = |part: &str| {
        before
            .iter()
            .any(|path| path.to_string_lossy().contains(part))
    };
    assert!(
        are("payload_storage") && are("wal"),
        "the test can't see what the engine writes: {before:?}"
    );
    assert!(!store.purge().expect("nothing was deleted yet"));

    assert!(store.delete(&goes.record.id).expect("deleted"));
    assert!(
        !files_with(folder.path(), CANARY).is_empty(),
        "if deleting were enough, purging would not be needed"
    );
    assert!(store.purge().expect("purged"));
    assert_eq!(files_with(folder.path(), CANARY), Vec::<PathBuf>::new());
    assert!(whole(&store, &stays));
    assert_eq!(store.search(&query(1, &[11])).expect("hits").len(), 5);
    assert!(!store.purge().expect("once is enough"));

    // The engine numbers its writes by its log, and would leave out those
    // that seem old to it.
    let later = sample("later", 3, 10);
    write(&store, &later);
    drop(store);
    let store = open(folder.path());
    assert!(whole(&store, &stays) && whole(&store, &later));
    assert_eq!(store.count().expect("a count"), 50);
    write(&store, &goes);
    assert!(whole(&store, &goes));
    assert!(store.delete(&goes.record.id).expect("deleted"));
    assert!(store.purge().expect("purged"));
    drop(store);
    assert_eq!(files_with(folder.path(), CANARY), Vec::<PathBuf>::new());
}

#[test]
fn an_index_of_which_all_is_deleted_is_empty_and_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let goes = with_canary("goes", 2);
    for _ in 0..3 {
        write(&store, &goes);
        assert!(store.delete(&goes.record.id).expect("deleted"));
        assert!(store.purge().expect("purged"));
        assert_eq!(files_with(folder.path(), CANARY), Vec::<PathBuf>::new());
        assert!(store.search(&query(2, &[12])).expect("none").is_empty());
    }
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.count().expect("a count"), 0);
    write(&store, &goes);
    assert!(whole(&store, &goes));
}

#[test]
fn what_a_crash_has_left_is_purged_by_the_next_who_opens() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let goes = with_canary("goes", 2);
    write(&store, &goes);
    write(&store, &sample("stays", 1, 40));
    store.delete(&goes.record.id).expect("deleted");
    drop(store);
    // A segment half built.
    let unfinished = folder.path().join("shard/temp_segments/half");
    fs::create_dir_all(&unfinished).expect("a folder");
    fs::write(unfinished.join("payload"), CANARY).expect("written");

    let store = open(folder.path());
    assert!(!unfinished.exists());
    assert!(!files_with(folder.path(), CANARY).is_empty());
    assert!(store.purge().expect("purged"));
    assert_eq!(files_with(folder.path(), CANARY), Vec::<PathBuf>::new());
    assert!(whole(&store, &sample("stays", 1, 40)));
}

#[test]
fn a_snapshot_holds_nothing_that_was_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("index"));
    let (stays, goes) = (sample("stays", 1, 40), with_canary("goes", 2));
    write(&store, &stays);
    write(&store, &goes);
    store.delete(&goes.record.id).expect("deleted");
    let snapshot = store.snapshot(folder.path()).expect("a snapshot");
    assert_eq!(files_with(folder.path(), CANARY), Vec::<PathBuf>::new());
    assert!(whole(&open(&snapshot), &stays));
}

#[test]
fn searches_go_on_while_files_are_written_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let stays = sample("stays", 1, 300);
    write(&store, &stays);
    let mut asked = query(1, &[11]);
    asked.filter.documents = vec![stays.record.id];
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let searching = scope.spawn(|| {
            let mut searches = 0;
            while !done.load(Ordering::Acquire) || searches == 0 {
                let hits = store.search(&asked).expect("hits");
                assert_eq!(hits.len(), 5);
                assert!(hits.iter().all(|hit| hit.document == stays.record));
                searches += 1;
            }
            searches
        });
        for number in 0..4 {
            let goes = sample(&format!("goes {number}"), 5, 100);
            write(&store, &goes);
            store.delete(&goes.record.id).expect("deleted");
            assert!(store.purge().expect("purged"));
        }
        done.store(true, Ordering::Release);
        assert!(searching.join().expect("no search failed") > 0);
    });
}

#[test]
fn without_room_the_deleted_text_waits() {
    let Some(disk) = SmallDisk::of(96) else {
        return;
    };
    let index = disk.path().join("index");
    let store = open(&index);
    let (stays, goes) = (sample("stays", 1, 40), with_canary("goes", 2));
    write(&store, &stays);
    write(&store, &goes);
    let free = fs4::available_space(disk.path()).expect("a number") as usize;
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1; free - (16 << 20)]).expect("there is room");
    store.delete(&goes.record.id).expect("deleted");
    let error = store.purge().expect_err("there is no room");
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert!(whole(&store, &stays), "it harms nothing");

    fs::remove_file(&filler).expect("removed");
    assert!(store.purge().expect("purged"));
    assert_eq!(files_with(&index, CANARY), Vec::<PathBuf>::new());
    assert!(whole(&store, &stays));
}
