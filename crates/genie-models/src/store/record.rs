//! `installed.json`: what an installation consists of.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::UNIX_EPOCH;

use genie_core::ContentHash;
use serde::{Deserialize, Serialize};

use crate::error::{Action, FatalError, on_disk};
use crate::registry::{FileName, ModelEntry};

/// The name of the record in a model's folder. It is written last: a folder
/// without it is no installation.
pub(super) const FILE: &str = "installed.json";

/// What an installation consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) title: String,
    pub(super) architecture: String,
    pub(super) licence: String,
    /// The kind of the source that gave it.
    pub(super) source: String,
    pub(super) files: Vec<InstalledFile>,
}

/// A file as it was verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct InstalledFile {
    pub(super) name: FileName,
    pub(super) size: u64,
    pub(super) sha256: String,
    /// Whether the registry knew the hash beforehand.
    pub(super) pinned: bool,
    /// When the verified file was last written, in nanoseconds since 1970: a
    /// file that was touched since is hashed again before it is used.
    pub(super) modified: u64,
}

impl Record {
    pub(super) fn new(entry: &ModelEntry, source: &str, files: Vec<InstalledFile>) -> Self {
        Self {
            name: entry.name.to_string(),
            title: entry.title.clone(),
            architecture: entry.architecture.clone(),
            licence: entry.licence.clone(),
            source: source.to_owned(),
            files,
        }
    }

    /// Reads a folder's record; `None` where it is no installation.
    pub(super) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), FatalError> {
        let path = folder.join(FILE);
        let next = folder.join("installed.json.next");
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        File::create(&next)
            .and_then(|mut file| {
                file.write_all(&text)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&next, &path))
            .map_err(on_disk(&path, Action::Write))
    }
}

impl InstalledFile {
    pub(super) fn hash(&self) -> Option<ContentHash> {
        self.sha256.parse().ok()
    }
}

/// When a file was last written, in nanoseconds since 1970.
pub(super) fn modified(metadata: &fs::Metadata) -> u64 {
    metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|age| u64::try_from(age.as_nanos()).ok())
        .unwrap_or(0)
}
