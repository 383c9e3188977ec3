//! What a backup holds.

use genie_state::Timestamp;
use serde::{Deserialize, Serialize};

/// The last file of an archive.
pub(super) const MANIFEST: &str = "manifest.json";
/// The copy of the state.
pub(super) const STATE: &str = "state/genie.db";
/// The layout that this program reads and writes.
const FORMAT: u32 = 1;

/// The contents of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    /// The version that made it.
    pub(super) program: String,
    /// When, in RFC 3339.
    pub(super) made: String,
    /// What is not in it.
    pub(super) notes: Vec<String>,
    pub(super) files: Vec<Entry>,
}

/// A file of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Below the home, with `/` between its parts.
    pub(super) path: String,
    pub(super) bytes: u64,
    /// 64 hexadecimal digits.
    pub(super) sha256: String,
}

impl Manifest {
    pub(super) fn new() -> Self {
        Self {
            format: FORMAT,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            made: Timestamp::now().to_string(),
            notes: Vec::new(),
            files: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, note: &str) {
        self.notes.push(note.to_owned());
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    /// Whether this program can read the layout.
    pub(super) const fn is_known(&self) -> bool {
        self.format == FORMAT
    }
}

/// A path that stays below the folder it is put into, and is part of a home.
pub(super) fn is_safe(path: &str) -> bool {
    let parts: Vec<_> = path.split('/').collect();
    let known = matches!(
        parts.as_slice(),
        ["config.toml"]
            | ["state", "genie.db"]
            | ["state", "uploads", _, ..]
            | ["index", _, ..]
            | ["originals", _]
            | ["workspaces", _, "index", _, ..]
            | ["workspaces", _, "originals", _]
    );
    known
        && parts.iter().all(|part| {
            !part.is_empty() && *part != "." && *part != ".." && !part.contains(['\\', ':', '\0'])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_the_home() {
        for good in [
            "config.toml",
            "state/genie.db",
            "state/uploads/health/a",
            "index/identity.json",
            "workspaces/health-1/index/shard/a",
            "originals/a",
            "workspaces/health-1/originals/a",
        ] {
            assert!(is_safe(good), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "index/../../etc/passwd",
            "state/uploads/../genie.db",
            "index//etc/passwd",
            "index",
            "index/./a",
            "originals/../state/genie.db",
            "originals/a/b",
            "index/C:/a",
            "index/..\\a",
            "other/file",
            "state/other",
            "manifest.json",
        ] {
            assert!(!is_safe(bad), "{bad}");
        }
    }
}
