//! A file that grows by parts in their order, and survives a crash.
//!
//! A journal beside the file says how many parts of it are safe.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Action, FatalError, on_disk};
use crate::progress::Watch;

/// Where part `part` of a joined file waits for its turn.
pub(super) fn part_path(joined: &Path, part: usize) -> PathBuf {
    joined.with_extension(format!("member-{part:03}"))
}

/// How much of the joined file is safe.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Journal {
    parts: usize,
    length: u64,
}

/// A file that grows by members in their order.
pub(super) struct Join {
    joined: PathBuf,
    unfinished: PathBuf,
    journal: PathBuf,
    /// Members that the file consists of.
    of: usize,
    /// Members that it holds.
    pub(super) parts: usize,
    /// Bytes that it holds.
    pub(super) length: u64,
}

impl Join {
    pub(super) fn open(joined: &Path, of: usize) -> Result<Self, FatalError> {
        let mut join = Self {
            joined: joined.to_owned(),
            unfinished: joined.with_extension("join"),
            journal: joined.with_extension("join.json"),
            of,
            parts: 0,
            length: 0,
        };
        if let Ok(metadata) = fs::metadata(&join.joined) {
            join.parts = join.of;
            join.length = metadata.len();
            return Ok(join);
        }
        let journal: Journal = fs::read(&join.journal)
            .ok()
            .and_then(|journal| serde_json::from_slice(&journal).ok())
            .unwrap_or_default();
        let length = fs::metadata(&join.unfinished).map_or(0, |metadata| metadata.len());
        if journal.parts <= join.of && length >= journal.length && journal.parts > 0 {
            join.parts = journal.parts;
            join.length = journal.length;
            // What was written after the journal may be half a part.
            OpenOptions::new()
                .write(true)
                .open(&join.unfinished)
                .and_then(|file| file.set_len(journal.length))
                .map_err(on_disk(&join.unfinished, Action::Write))?;
        } else {
            let _ = fs::remove_file(&join.unfinished);
        }
        Ok(join)
    }

    /// Appends the next member, which lies at its place.
    pub(super) fn append(&mut self, watch: &Watch<'_>) -> Result<(), FatalError> {
        let part = part_path(&self.joined, self.parts);
        let failed = |error| on_disk(&self.unfinished, Action::Write)(error);
        if self.parts == 0 {
            fs::rename(&part, &self.unfinished).map_err(failed)?;
            self.length = fs::metadata(&self.unfinished).map_err(failed)?.len();
        } else {
            let mut from = File::open(&part).map_err(on_disk(&part, Action::Read))?;
            let mut to = OpenOptions::new()
                .append(true)
                .open(&self.unfinished)
                .map_err(failed)?;
            let mut buffer = vec![0; 1 << 18];
            loop {
                watch.check()?;
                let count = from.read(&mut buffer).map_err(failed)?;
                if count == 0 {
                    break;
                }
                to.write_all(&buffer[..count]).map_err(failed)?;
                self.length += count as u64;
            }
            to.sync_all().map_err(failed)?;
        }
        self.parts += 1;
        let journal = serde_json::to_vec(&Journal {
            parts: self.parts,
            length: self.length,
        })
        .unwrap_or_default();
        let next = self.journal.with_extension("next");
        fs::write(&next, journal)
            .and_then(|()| fs::rename(&next, &self.journal))
            .map_err(on_disk(&self.journal, Action::Write))?;
        // Only now: a crash before this line appends the part once more onto
        // a file that is first cut back to the journal's length.
        let _ = fs::remove_file(&part);
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), FatalError> {
        if self.joined.exists() {
            return Ok(());
        }
        fs::rename(&self.unfinished, &self.joined).map_err(on_disk(&self.joined, Action::Write))?;
        let _ = fs::remove_file(&self.journal);
        Ok(())
    }
}
