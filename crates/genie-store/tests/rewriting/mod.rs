//! The engine's upkeep, cut off.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use genie_core::Store;
use genie_store::EdgeStore;

use crate::samples::{Sample, open, query, sample};
use crate::{content, copy};

/// Documents of the writer that is killed, so large that each that is written
/// again makes the engine write its segment anew.
const DOCUMENTS: usize = 4;

fn large(number: usize, draft: bool) -> Sample {
    let mut sample = sample(&format!("large {number}"), number, 320 + number * 10);
    if draft {
        sample.record.title = "draft".into();
    }
    sample
}

fn write(store: &EdgeStore, sample: &Sample) {
    store
        .put(&sample.record, sample.points.clone())
        .expect("written");
}

fn segments(index: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(index.join("shard/segments")).expect("segments");
    let names = entries.map(|entry| entry.expect("one").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

/// All chunks of all documents, each found once.
fn assert_all_found(store: &EdgeStore, round: usize) {
    let found = content(store);
    for (record, chunks) in &found {
        assert_eq!(chunks.len(), record.chunks as usize, "round {round}");
    }
    let total: usize = found.iter().map(|(_, chunks)| chunks.len()).sum();
    assert_eq!(store.count().expect("a count"), total);
    let mut all = query(0, &[1]);
    all.candidates = 10_000;
    all.limit = 10_000;
    let hits = store.search(&all).expect("hits");
    assert_eq!(hits.len(), total, "round {round}");
}

#[test]
fn a_crash_between_new_and_old_segments_is_undone() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = folder.path().join("index");
    let store = open(&index);
    for number in 0..DOCUMENTS {
        write(&store, &large(number, false));
    }
    store.delete(&large(1, false).record.id).expect("deleted");
    let whole = content(&store);
    drop(store);
    let before = segments(&index);
    let old = folder.path().join("old");
    copy(&index.join("shard"), &old);
    let store = open(&index);
    store.optimize().expect("optimized");
    drop(store);
    let after = segments(&index);
    assert!(
        after.is_disjoint(&before),
        "nothing was rewritten: {after:?}"
    );
    let names = || fs::read_dir(&index).expect("files").flatten();
    assert!(
        names().all(|entry| !entry.file_name().to_string_lossy().starts_with("shard.")),
        "something is left over"
    );

    // Both, as where the old ones had not been removed yet; then only the new
    // ones, as where that had begun.
    for number in 0..2 {
        if number == 0 {
            for name in &before {
                let name = format!("segments/{name}");
                copy(&old.join(&name), &index.join("shard").join(&name));
            }
        } else {
            fs::remove_dir_all(index.join("shard")).expect("removed");
            fs::create_dir_all(index.join("shard/segments")).expect("made");
        }
        copy(&old, &index.join("shard.before"));
        fs::create_dir(index.join("shard.copying")).expect("made");
        let store = open(&index);
        assert_eq!(segments(&index), before);
        assert_eq!(content(&store), whole);
        for (record, _) in &whole {
            let again = (0..DOCUMENTS).map(|number| large(number, false));
            let again = again.into_iter().find(|it| it.record.id == record.id);
            write(&store, &again.expect("one of them"));
        }
        assert_all_found(&store, number);
        drop(store);
        fs::remove_dir_all(index.join("shard")).expect("removed");
        copy(&old, &index.join("shard"));
    }
}

#[test]
fn what_several_processes_write_is_tended_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    for number in 0..4 {
        write(&store, &sample(&format!("d{number}"), number, 1_200));
    }
    for number in 0..2 {
        let goes = sample(&format!("d{number}"), number, 1_200);
        store.delete(&goes.record.id).expect("deleted");
    }
    drop(store);
    let before = segments(folder.path());
    let store = open(folder.path());
    write(&store, &sample("more", 4, 2_000));
    assert_eq!(segments(folder.path()), before, "it is too early");
    drop(store);
    let store = open(folder.path());
    write(&store, &sample("most", 5, 700));
    assert_ne!(segments(folder.path()), before);
    assert_all_found(&store, 0);
}

/// Not a test of its own: the process that is killed.
#[test]
fn rewriter_to_be_killed() {
    let Ok(folder) = std::env::var("GENIE_STORE_REWRITER") else {
        return;
    };
    let store = open(Path::new(&folder));
    for number in 0..DOCUMENTS {
        write(&store, &large(number, true));
    }
    for number in 0..DOCUMENTS {
        store.optimize().expect("optimized");
        write(&store, &large(number, false));
    }
    println!("\nwritten");
}

#[test]
fn upkeep_killed_at_any_moment_loses_no_chunk() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = folder.path().join("index");
    let writer = || {
        Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "rewriting::rewriter_to_be_killed", "--nocapture"])
            .env("GENIE_STORE_REWRITER", &index)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the writer starts")
    };
    let begin = Instant::now();
    let first = writer().wait_with_output().expect("it ends");
    assert!(first.status.success());
    let whole = begin.elapsed();
    let undisturbed = content(&open(&index));
    assert_eq!(undisturbed.len(), DOCUMENTS);

    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..10 {
        let mut child = writer();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(whole.mul_f64((random % 1_000) as f64 / 1_050.0));
        child.kill().expect("killed");
        child.wait().expect("it is gone");
        assert_all_found(&open(&index), round);
    }
    let last = writer().wait_with_output().expect("it ends");
    let output = String::from_utf8_lossy(&last.stdout);
    assert!(output.lines().any(|line| line == "written"), "{output}");
    let store = open(&index);
    assert_eq!(content(&store), undisturbed);
    assert_all_found(&store, 10);
}
