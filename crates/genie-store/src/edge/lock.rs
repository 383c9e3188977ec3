//! Who holds an index: a lock file, and beside it a note on its holder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use genie_core::StoreError;
use serde::{Deserialize, Serialize};

use super::disk;

const LOCK: &str = "lock";
const HOLDER: &str = "holder.json";

/// How often a taken lock is tried again, and the pause between. Those who
/// only ask who holds an index take the lock for an instant; that must not
/// turn away one who opens it.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// What the holder of an index lets others know of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HolderNote {
    /// Where it can be asked, for a server.
    pub url: Option<String>,
}

/// Who holds an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Where it can be asked, for a server.
    pub url: Option<String>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.url {
            Some(url) => write!(f, "the server at {url} (process {})", self.pid),
            None => write!(f, "process {}", self.pid),
        }
    }
}

/// Who holds the index in `folder` right now; `None` where nobody does, or
/// where the holder could not leave a note.
///
/// The lock is what counts: the note of a process that was killed is not
/// believed.
#[must_use]
pub fn read_holder(folder: &Path) -> Option<Holder> {
    let file = File::open(folder.join(LOCK)).ok()?;
    for _ in 0..TRIES {
        match file.try_lock_shared() {
            Ok(()) | Err(TryLockError::Error(_)) => return None,
            Err(TryLockError::WouldBlock) => {}
        }
        let note = std::fs::read_to_string(folder.join(HOLDER)).ok();
        if let Some(holder) = note.and_then(|note| serde_json::from_str(&note).ok()) {
            return Some(holder);
        }
        // Locked, but the note is not written yet.
        std::thread::sleep(PAUSE);
    }
    None
}

/// A lock that is held; dropping it lets go.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Open for as long as the lock is held: closing lets go of it.
    _file: File,
    note: PathBuf,
}

impl Lock {
    /// Takes the lock of `folder`, which must exist.
    pub(crate) fn take(folder: &Path, note: &HolderNote) -> Result<Self, StoreError> {
        let path = folder.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .read(true)
            .open(&path)
            .map_err(|error| disk::error(&path, error))?;
        let mut tries = 1;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(disk::error(&path, error)),
                Err(TryLockError::WouldBlock) if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::Locked {
                        location: folder.display().to_string(),
                        holder: read_holder(folder).map_or_else(
                            || "another process".to_owned(),
                            |holder| holder.to_string(),
                        ),
                    });
                }
            }
        }
        let lock = Self {
            _file: file,
            note: folder.join(HOLDER),
        };
        // What a killed holder left must not be taken for ours.
        match std::fs::remove_file(&lock.note) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(disk::error(&lock.note, error));
            }
            _ => {}
        }
        lock.write_note(note)?;
        Ok(lock)
    }

    /// Replaces the note.
    pub(crate) fn write_note(&self, note: &HolderNote) -> Result<(), StoreError> {
        let holder = serde_json::json!({ "pid": std::process::id(), "url": note.url });
        disk::write_atomically(&self.note, holder.to_string().as_bytes())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock goes, or the note of the next holder would be removed.
        if let Err(error) = std::fs::remove_file(&self.note) {
            tracing::debug!(%error, "the holder's note could not be removed");
        }
    }
}
