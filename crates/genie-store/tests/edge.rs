//! What only the index in process promises: locks, files, crashes.

#![allow(
    clippy::expect_used,
    reason = "also the helpers of tests fail by panicking"
)]

mod beside;
mod purging;
mod renewal;
mod rewriting;
mod samples;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use genie_core::{Hit, HybridQuery, Store, StoreError};
use genie_store::{EdgeStore, Holder, HolderNote, read_holder};
use samples::{identity, open, query, sample};

#[test]
fn a_second_opener_is_told_who_holds_the_index() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(read_holder(folder.path()), None);
    let store = open(folder.path());
    let pid = std::process::id();
    assert_eq!(read_holder(folder.path()), Some(Holder { pid, url: None }));

    let url = Some("http://127.0.0.1:8080".to_owned());
    store
        .set_holder_url(url.clone())
        .expect("the note is written");
    assert_eq!(read_holder(folder.path()), Some(Holder { pid, url }));
    let error = EdgeStore::open(folder.path(), identity(), HolderNote::default())
        .expect_err("it is locked");
    let text = error.to_string();
    assert!(matches!(error, StoreError::Locked { .. }), "{text}");
    assert!(
        text.contains("http://127.0.0.1:8080") && text.contains(&pid.to_string()),
        "{text}"
    );

    let note = fs::read(folder.path().join("holder.json")).expect("a note");
    drop(store);
    assert_eq!(read_holder(folder.path()), None);
    // The note of one who was killed is not believed.
    fs::write(folder.path().join("holder.json"), note).expect("written");
    assert_eq!(read_holder(folder.path()), None);
    drop(open(folder.path()));
}

#[test]
fn the_identity_is_known_without_opening() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(
        EdgeStore::stored_identity(folder.path()).expect("none"),
        None
    );
    let _store = open(folder.path());
    assert_eq!(
        EdgeStore::stored_identity(folder.path()).expect("one"),
        Some(identity())
    );
}

#[test]
fn an_index_without_identity_is_not_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    store
        .put(&sample("a", 0, 2).record, sample("a", 0, 2).points)
        .expect("written");
    drop(store);
    let path = folder.path().join("identity.json");
    let text = fs::read(&path).expect("an identity");
    for damage in [None, Some(&b"{\"format\":1"[..])] {
        match damage {
            None => fs::remove_file(&path).expect("removed"),
            Some(half) => fs::write(&path, half).expect("written"),
        }
        let error = EdgeStore::open(folder.path(), identity(), HolderNote::default())
            .expect_err("it is refused");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
    fs::write(&path, text).expect("written");
    assert_eq!(open(folder.path()).count().expect("a count"), 2);
}

#[test]
fn a_half_made_index_is_made_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let half = folder
        .path()
        .join("shard.unfinished/segments/11111111-1111-4111-8111-111111111111");
    fs::create_dir_all(&half).expect("made");
    fs::write(half.join("segment.json"), b"{").expect("written");
    assert_eq!(open(folder.path()).count().expect("a count"), 0);
    assert!(!folder.path().join("shard.unfinished").exists());
    // The identity is written before the index gets its name.
    fs::rename(
        folder.path().join("shard"),
        folder.path().join("shard.unfinished"),
    )
    .expect("moved");
    assert_eq!(open(folder.path()).count().expect("a count"), 0);
}

#[test]
fn a_snapshot_can_be_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("index"));
    let (a, b) = (sample("a", 0, 4), sample("b", 1, 4));
    store.put(&a.record, a.points).expect("written");
    let snapshot = store
        .snapshot(&folder.path().join("snapshots"))
        .expect("a snapshot");
    store.put(&b.record, b.points).expect("written");
    let restored = open(&snapshot);
    assert_eq!(restored.count().expect("a count"), 4);
    assert_eq!(restored.search(&query(0, &[1])).expect("hits").len(), 4);
    assert_eq!(store.count().expect("a count"), 8);
}

#[test]
fn old_log_files_go_and_writes_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = || {
        fs::read_dir(folder.path().join("shard/wal"))
            .expect("a log")
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("closed-"))
            .count()
    };
    let large = sample("large", 0, 1_000);
    let store = open(folder.path());
    for _ in 0..40 {
        store
            .put(&large.record, large.points.clone())
            .expect("written");
    }
    // What fills several files is cut while the index is open.
    let open_logs = logs();
    assert!(
        (1..=2).contains(&open_logs),
        "the log has {open_logs} closed files"
    );
    drop(store);
    assert_eq!(logs(), 1);
    for round in 0..3 {
        let store = open(folder.path());
        assert_eq!(logs(), 1);
        // Removing needs operation numbers above those of the points.
        assert!(
            store.delete(&large.record.id).expect("deleted"),
            "round {round}"
        );
        assert_eq!(store.count().expect("a count"), 0);
        assert!(store.search(&query(0, &[1])).expect("no hits").is_empty());
        store
            .put(&large.record, large.points.clone())
            .expect("written");
        assert_eq!(store.count().expect("a count"), 1_000);
    }
}

/// Hits without their scores by words: what is removed counts in the document
/// frequencies until the index is optimized.
fn found(store: &EdgeStore, query: &HybridQuery) -> Vec<Hit> {
    let mut hits = store.search(query).expect("hits");
    hits.iter_mut().for_each(|hit| hit.lexical = None);
    hits
}

#[test]
fn optimizing_changes_no_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    for number in 0..3 {
        let sample = sample(&format!("d{number}"), number, 900);
        store.put(&sample.record, sample.points).expect("written");
    }
    store
        .delete(&sample("d1", 1, 900).record.id)
        .expect("deleted");
    // One passage has this word; what meaning finds has many twins.
    let mut asked = query(2, &[1316]);
    asked.filter.documents = vec![sample("d2", 2, 900).record.id];
    asked.weights.dense = 0.0;
    let before = found(&store, &asked);
    assert_eq!(before.len(), 1);
    store.optimize().expect("optimized");
    assert_eq!(found(&store, &asked), before);
    assert_eq!(store.count().expect("a count"), 1_800);
    drop(store);
    let store = open(folder.path());
    assert_eq!(found(&store, &asked), before);
    let again = sample("d0", 0, 4);
    store.put(&again.record, again.points).expect("written");
    assert_eq!(store.chunks(&again.record.id).expect("chunks").len(), 4);
    assert_eq!(store.count().expect("a count"), 904);
}

#[test]
fn a_bulk_load_is_found_while_it_goes_on_and_after_it_was_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let load = |store: &EdgeStore, numbers: std::ops::Range<usize>| {
        for number in numbers {
            let sample = sample(&format!("d{number}"), number, 900);
            store.put(&sample.record, sample.points).expect("written");
        }
    };
    let mut asked = query(2, &[1316]);
    asked.filter.documents = vec![sample("d2", 2, 900).record.id];
    asked.weights.dense = 0.0;
    store.begin_bulk_load().expect("begun");
    // More than the store waits for before it tends to its segments.
    load(&store, 0..6);
    let before = found(&store, &asked);
    assert_eq!(before.len(), 1);
    // Cut off: what was set for the load is not kept.
    drop(store);
    let store = open(folder.path());
    assert_eq!(found(&store, &asked), before);
    assert_eq!(store.count().expect("a count"), 5_400);
    store.begin_bulk_load().expect("begun");
    load(&store, 6..12);
    store.end_bulk_load().expect("ended");
    assert_eq!(found(&store, &asked), before);
    assert_eq!(store.count().expect("a count"), 10_800);
    // Nothing waits for it any more.
    store.end_bulk_load().expect("ended");
    drop(store);
    let config = fs::read_to_string(folder.path().join("shard/edge_config.json"));
    let config = config.expect("the engine's settings");
    assert!(
        !config.contains("\"default_segment_number\":64"),
        "{config}"
    );
}

/// Documents that the killed writer writes; the last write of each counts.
const DOCUMENTS: usize = 24;

fn written(number: usize) -> samples::Sample {
    sample(&format!("doc {number:02}"), number, 20 + number * 7 % 50)
}

/// Not a test of its own: the process that is killed. It writes each document
/// first with other content, then removes some, then writes what stays.
#[test]
fn writer_to_be_killed() {
    let Ok(folder) = std::env::var("GENIE_STORE_WRITER") else {
        return;
    };
    let store = open(Path::new(&folder));
    println!("\nwriting");
    for number in 0..DOCUMENTS {
        let mut first = sample(&format!("doc {number:02}"), number, 40);
        first.record.title = "draft".into();
        store.put(&first.record, first.points).expect("written");
        if number % 3 == 0 {
            store.delete(&first.record.id).expect("deleted");
        }
        if number % 8 == 0 {
            store.purge().expect("purged");
        }
        let last = written(number);
        store.put(&last.record, last.points).expect("written");
    }
    println!("\nwritten");
}

#[test]
fn a_writer_killed_at_any_moment_leaves_whole_documents() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = folder.path().join("index");
    let writer = || {
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "writer_to_be_killed", "--nocapture"])
            .env("GENIE_STORE_WRITER", &index)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the writer starts")
    };
    // An undisturbed run, to compare with and to know how long it takes.
    let begin = Instant::now();
    let first = writer().wait_with_output().expect("it ends");
    assert!(first.status.success());
    let whole = begin.elapsed();
    let undisturbed = content(&open(&index));
    assert_eq!(undisturbed.len(), DOCUMENTS);
    fs::remove_dir_all(&index).expect("removed");

    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..10 {
        let mut child = writer();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let moment = whole.mul_f64((random % 1_000) as f64 / 1_100.0);
        std::thread::sleep(moment);
        child.kill().expect("killed");
        child.wait().expect("it is gone");

        let store = open(&index);
        let found = content(&store);
        for (record, chunks) in &found {
            assert_eq!(chunks.len(), record.chunks as usize, "round {round}");
            for chunk in chunks {
                assert_eq!(chunk.document, record.id);
            }
        }
        let total: usize = found.iter().map(|(_, chunks)| chunks.len()).sum();
        assert_eq!(store.count().expect("a count"), total);
        let mut all = query(0, &[1]);
        all.candidates = 5_000;
        all.limit = 5_000;
        assert_eq!(
            store.search(&all).expect("hits").len(),
            total,
            "round {round}"
        );
        eprintln!(
            "killed after {moment:?}: {} documents, {total} chunks",
            found.len()
        );
    }
    let last = writer().wait_with_output().expect("it ends");
    assert!(last.status.success());
    let output = String::from_utf8_lossy(&last.stdout);
    assert!(output.lines().any(|line| line == "written"), "{output}");
    assert_eq!(content(&open(&index)), undisturbed);
}

type Content = Vec<(genie_core::DocumentRecord, Vec<genie_core::Chunk>)>;

fn content(store: &EdgeStore) -> Content {
    store
        .documents()
        .expect("documents")
        .into_iter()
        .map(|record| {
            let chunks = store.chunks(&record.id).expect("chunks");
            (record, chunks)
        })
        .collect()
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.expect("cp").success());
}

/// A small disk that goes away with the test.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn of(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if mounted {
            return Some(Self(folder));
        }
        eprintln!("skipped: a tmpfs can't be mounted here (that needs root on Linux)");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_too_small_for_an_index_is_an_error() {
    let Some(disk) = SmallDisk::of(2) else { return };
    let error = EdgeStore::open(
        &disk.path().join("index"),
        identity(),
        HolderNote::default(),
    )
    .expect_err("there is no room");
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error}");
    assert!(error.to_string().contains("free some space"), "{error}");
}

#[test]
fn a_full_disk_harms_nothing() {
    let Some(disk) = SmallDisk::of(96) else {
        return;
    };
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1; 40 << 20]).expect("there is room");
    let index = disk.path().join("index");
    let store = open(&index);
    let mut stored = 0;
    let error = loop {
        let next = sample(&format!("doc {stored}"), stored, 400);
        match store.put(&next.record, next.points) {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 10_000, "the disk never fills");
    };
    assert!(matches!(error, StoreError::DiskFull { .. }), "{error:?}");
    assert!(stored > 0, "not even one document fits");
    assert_eq!(store.documents().expect("readable").len(), stored);
    assert_eq!(store.count().expect("a count"), stored * 400);
    assert_eq!(store.search(&query(0, &[1])).expect("hits").len(), 5);

    fs::remove_file(&filler).expect("removed");
    let next = sample("after", 1, 400);
    store
        .put(&next.record, next.points.clone())
        .expect("there is room again");
    drop(store);
    let store = open(&index);
    assert_eq!(store.documents().expect("readable").len(), stored + 1);
    assert_eq!(store.count().expect("a count"), (stored + 1) * 400);
    assert_eq!(store.chunks(&next.record.id).expect("chunks").len(), 400);
}

#[test]
fn durations_are_reported() {
    if std::env::var_os("GENIE_STORE_TIMES").is_none() {
        eprintln!("skipped: set GENIE_STORE_TIMES to measure");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut identity = identity();
    identity.embedding.dimension = 384;
    let widen = |mut sample: samples::Sample| {
        for (number, point) in sample.points.iter_mut().enumerate() {
            point.dense = (0..384)
                .map(|axis| (((number * 7 + axis * 13) % 101) as f32 - 50.0) / 50.0)
                .collect();
            point.lexical = samples::words(
                &(0..120)
                    .map(|word| (number as u32 * 37 + word * word * 11) % 30_000)
                    .collect::<Vec<_>>(),
            );
            point.chunk.text = "A passage of the usual length. ".repeat(45);
        }
        sample
    };
    let time = |what: &str, run: &mut dyn FnMut()| {
        let begin = Instant::now();
        run();
        eprintln!("{what}: {:?}", begin.elapsed());
    };
    let reopen =
        || EdgeStore::open(folder.path(), identity.clone(), HolderNote::default()).expect("opens");
    let mut store = None;
    time("create", &mut || store = Some(reopen()));
    let opened = store.take().expect("a store");
    for number in 0..7 {
        let next = widen(sample(&format!("doc {number}"), number, 300));
        time("put 300 chunks", &mut || {
            opened
                .put(&next.record, next.points.clone())
                .expect("written");
        });
    }
    let small = widen(sample("small", 0, 5));
    for _ in 0..3 {
        time("put 5 chunks", &mut || {
            opened
                .put(&small.record, small.points.clone())
                .expect("written");
        });
    }
    let mut asked = query(0, &[11, 44, 99, 176, 275, 396]);
    asked.dense = (0..384)
        .map(|axis| ((axis * 31 % 17) as f32 - 8.0) / 8.0)
        .collect();
    asked.candidates = 50;
    for _ in 0..4 {
        time("search 2100 chunks", &mut || {
            assert_eq!(opened.search(&asked).expect("hits").len(), 5);
        });
    }
    time("documents", &mut || {
        drop(opened.documents().expect("documents"))
    });
    time("snapshot", &mut || {
        drop(
            opened
                .snapshot(&folder.path().join("snapshots"))
                .expect("one"),
        )
    });
    time("close", &mut || drop(store.take()));
    drop(opened);
    time("open", &mut || store = Some(reopen()));
    drop(store);
    let size = Command::new("du")
        .args(["-sk"])
        .arg(folder.path().join("shard"))
        .output()
        .expect("du");
    eprintln!("{}", String::from_utf8_lossy(&size.stdout));
}
