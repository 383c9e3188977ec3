//! The engine's files as they were before it rewrote its segments.
//!
//! The engine puts a new segment beside the old ones, and removes those only
//! when the new one is whole; until then searches read the old ones. Cut off
//! between the two it would open both, and a chunk that both hold is lost to
//! searches once it is written again. So a folder beside the engine's keeps
//! what was there before, and an index that is opened beside such a folder
//! goes back to it: nothing is written to an index while its segments are
//! rewritten, so nothing is lost.
//!
//! The files of segments are kept as further names of the same files, which
//! costs no room and next to no time. That holds because the engine changes
//! no file of a segment that it reads from: all that was written is flushed
//! before, writers wait, and what a merge leaves out it only removes by name
//! (`finish_optimization` and `drop_data` of qdrant-edge 0.7.2). Other files,
//! the log above all, are written in place and are copied.

use std::fs;
use std::path::Path;

use genie_core::StoreError;
use qdrant_edge as edge;

use super::disk;
use super::engine::{EdgeEngine, prune_log};
use crate::engine::Engine;

/// The engine's files as they were.
const BEFORE: &str = "shard.before";
/// The same while they are being kept, and while they are being removed.
const BESIDE: [&str; 2] = ["shard.copying", "shard.gone"];
/// Where the engine has its segments.
const SEGMENTS: &str = "segments";

/// Goes back to the files from before a rewriting that was cut off.
pub(super) fn recover(folder: &Path, shard: &Path) -> Result<(), StoreError> {
    for beside in BESIDE {
        disk::remove_folder(&folder.join(beside))?;
    }
    let before = folder.join(BEFORE);
    if before.exists() {
        tracing::info!("going back to the index from before its files were rewritten");
        disk::remove_folder(shard)?;
        fs::rename(&before, shard).map_err(|source| disk::error(shard, source))?;
        disk::sync_folder(folder)?;
    }
    Ok(())
}

impl EdgeEngine {
    /// Lets the engine rewrite segments, for which it needs so many bytes of
    /// room. Called under the lock of writers; searches go on.
    pub(super) fn rewriting<T>(
        &self,
        needed: u64,
        rewrite: impl FnOnce(&edge::EdgeShard) -> edge::OperationResult<T>,
    ) -> Result<T, StoreError> {
        disk::reserve(self.folder(), needed)?;
        self.settle()?;
        // It is copied below, and grows with all that is written.
        prune_log(self.log());
        self.keep_before()?;
        // Where files can't have two names there is less room now.
        if let Err(full) = disk::reserve(self.folder(), needed) {
            self.forget_before()?;
            return Err(full);
        }
        let done = self.lasting(rewrite)?;
        self.forget_before()?;
        Ok(done)
    }

    /// Keeps the engine's files where [`recover`] looks for them.
    fn keep_before(&self) -> Result<(), StoreError> {
        let keeping = self.folder().join(BESIDE[0]);
        let before = self.folder().join(BEFORE);
        let shard = self.shard_folder();
        let kept = disk::copy_folder_but(shard, &keeping, SEGMENTS)
            .and_then(|()| disk::link_folder(&shard.join(SEGMENTS), &keeping.join(SEGMENTS)))
            .and_then(|()| {
                fs::rename(&keeping, &before).map_err(|source| disk::error(&before, source))
            });
        if kept.is_err() {
            // Half of it helps nobody, least of all on a full disk.
            let _ = fs::remove_dir_all(&keeping);
        }
        kept?;
        self.or_give_up(disk::sync_folder(self.folder()))
    }

    /// From here on the files in their own place count.
    fn forget_before(&self) -> Result<(), StoreError> {
        let before = self.folder().join(BEFORE);
        let gone = self.folder().join(BESIDE[1]);
        let renamed = fs::rename(&before, &gone).map_err(|source| disk::error(&before, source));
        self.or_give_up(renamed.and_then(|()| disk::sync_folder(self.folder())))?;
        disk::remove_folder(&gone)
    }

    /// Where it is not known which of two folders a crash would leave, what
    /// is written now could be lost.
    fn or_give_up(&self, done: Result<(), StoreError>) -> Result<(), StoreError> {
        if done.is_err() {
            self.give_up();
        }
        done
    }
}
