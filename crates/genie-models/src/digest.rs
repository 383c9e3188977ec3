//! SHA-256 of files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use genie_core::ContentHash;
use sha2::{Digest, Sha256};

use crate::error::{Action, FatalError, on_disk};

/// The hash of a file. `on_bytes` hears how many bytes were read each time
/// and can stop it.
pub(crate) fn of_file(
    path: &Path,
    on_bytes: &mut dyn FnMut(u64) -> Result<(), FatalError>,
) -> Result<ContentHash, FatalError> {
    let failed = |error| on_disk(path, Action::Read)(error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(ContentHash::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&buffer[..count]);
        on_bytes(count as u64)?;
    }
}
