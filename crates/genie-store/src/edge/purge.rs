//! Taking what was deleted off the disk.
//!
//! The engine only marks points as deleted. Their texts stay in its files
//! until a segment is written anew, which it does by itself once a fifth of
//! one is deleted, and in its log until that has moved on. Here both are made
//! to happen: every segment with a deleted point is written without it, and
//! the log is filled until no file of it is left that was written before.
//!
//! A note beside the index says that something was deleted since. It is
//! written before the first point is marked and removed when the files are
//! clean, so a crash in between is made up for by whoever purges next.
//!
//! Cut off, it goes back to the files from before ([`super::before`]), and the
//! note is still there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use genie_core::StoreError;
use qdrant_edge as edge;

use super::disk;
use super::engine::{EdgeEngine, MARGIN, prune_log};
use crate::engine::Engine;

/// The note that something was deleted.
const NOTE: &str = "unpurged";
/// Where the engine builds segments.
const UNFINISHED_SEGMENTS: &str = "temp_segments";
/// The longest log file that an index can have open and half empty: earlier
/// versions made them of four megabytes.
const LONGEST_LOG: u64 = 4 << 20;
/// A name that no payload has.
const PADDING: &str = "padding";

/// Whether the files of an index still hold what was deleted.
#[derive(Debug)]
pub(crate) struct Unpurged {
    note: PathBuf,
    noted: AtomicBool,
}

impl Unpurged {
    /// What the note in this folder says.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        let note = folder.join(NOTE);
        let noted = AtomicBool::new(note.exists());
        Self { note, noted }
    }

    /// Called before anything is deleted, under the lock of writers.
    pub(crate) fn note(&self) -> Result<(), StoreError> {
        if !self.is_noted() {
            disk::write_atomically(&self.note, b"")?;
            self.noted.store(true, Ordering::Release);
        }
        Ok(())
    }

    pub(crate) fn is_noted(&self) -> bool {
        self.noted.load(Ordering::Acquire)
    }

    fn clear(&self) -> Result<(), StoreError> {
        match fs::remove_file(&self.note) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(disk::error(&self.note, error));
            }
            _ => {}
        }
        self.noted.store(false, Ordering::Release);
        Ok(())
    }

    /// Tells of it in a copy of the index.
    pub(crate) fn note_in(&self, copy: &Path) -> Result<(), StoreError> {
        if self.is_noted() {
            disk::write_atomically(&copy.join(NOTE), b"")?;
        }
        Ok(())
    }
}

/// Removes segments that a crash has left half built: they hold copies of
/// texts, and the engine doesn't look for them.
pub(crate) fn remove_unfinished(shard: &Path) -> Result<(), StoreError> {
    disk::remove_folder(&shard.join(UNFINISHED_SEGMENTS))
}

impl EdgeEngine {
    /// Takes what was deleted off the disk; `false` where nothing was. Called
    /// under the lock of writers; searches go on.
    pub(crate) fn purge(&self) -> Result<bool, StoreError> {
        if !self.unpurged.is_noted() {
            return Ok(false);
        }
        let needed = disk::size_of_folder(self.folder())
            .saturating_mul(2)
            .saturating_add(MARGIN + 2 * LONGEST_LOG);
        // The engine asks for twice the size of what it writes anew.
        self.rewriting(needed, write_anew)?;
        self.turn_the_log()?;
        self.unpurged.clear()?;
        Ok(true)
    }

    /// Fills log files until the one that is written to, and the closed one
    /// before it, whose number has to stay, began after this call.
    fn turn_the_log(&self) -> Result<(), StoreError> {
        let longest = open_log_bytes(self.log()).min(LONGEST_LOG);
        // The first closes the file that is open and fills the next one to
        // its end; the second closes that.
        for bytes in [usize::try_from(longest).unwrap_or_default(), 1] {
            self.update(nothing(bytes))?;
        }
        self.settle()?;
        prune_log(self.log());
        Ok(())
    }
}

/// Lets the engine write every segment anew that has a deleted point.
fn write_anew(shard: &edge::EdgeShard) -> edge::OperationResult<()> {
    let usual = shard.config().optimizers.clone();
    shard.set_optimizers_config(edge::EdgeOptimizersConfig {
        deleted_threshold: Some(0.0),
        vacuum_min_vector_number: Some(0),
        ..usual.clone()
    })?;
    let written = shard.optimize();
    shard.set_optimizers_config(usual)?;
    written?;
    shard.flush();
    Ok(())
}

/// The room that log files in use have at most.
fn open_log_bytes(log: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(log) else {
        return LONGEST_LOG;
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("open-"))
        .filter_map(|entry| entry.metadata().ok())
        .map(|file| file.len())
        .max()
        .unwrap_or(LONGEST_LOG)
}

/// An operation of this many bytes that changes no point.
fn nothing(bytes: usize) -> edge::UpdateOperation {
    let mut payload = edge::Payload::default();
    payload
        .0
        .insert(PADDING.to_owned(), "-".repeat(bytes).into());
    edge::UpdateOperation::PayloadOperation(edge::PayloadOps::SetPayload(edge::SetPayloadOp {
        payload,
        points: Some(Vec::new()),
        filter: None,
        key: None,
    }))
}
