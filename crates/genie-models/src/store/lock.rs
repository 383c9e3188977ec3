//! One process at a time works on a model.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::error::{Action, FatalError, on_disk};

/// How often a waiting process looks again.
const LOOK: Duration = Duration::from_millis(100);

/// The lock of one model, held until dropped.
pub(super) struct ModelLock {
    // Closing the file releases the lock.
    _file: File,
    path: PathBuf,
}

impl ModelLock {
    /// Takes the lock; `waiting` is called while another process has it and
    /// can give up.
    pub(super) fn take(
        path: &Path,
        waiting: &mut dyn FnMut() -> Result<(), FatalError>,
    ) -> Result<Self, FatalError> {
        let failed = |error| on_disk(path, Action::Write)(error);
        loop {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder).map_err(failed)?;
            }
            let opened = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path);
            let file = match opened {
                Ok(file) => file,
                // The last holder tidied the folder away in between.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            match file.try_lock() {
                Ok(()) if is_still(&file, path) => {
                    return Ok(Self {
                        _file: file,
                        path: path.to_owned(),
                    });
                }
                // Locked, but a file that its last holder has removed.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    waiting()?;
                    thread::sleep(LOOK);
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }
}

impl Drop for ModelLock {
    fn drop(&mut self) {
        // Removed while still held, so that nobody else can hold this file.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(unix)]
fn is_still(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => held.dev() == there.dev() && held.ino() == there.ino(),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_still(_file: &File, path: &Path) -> bool {
    // An open file can't be removed there.
    path.exists()
}
