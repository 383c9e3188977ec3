//! The bytes of documents as they were sent, for whoever wants to read the
//! whole document behind a citation and for indexing it anew.
//!
//! A file is named by the SHA-256 of its bytes, so keeping twice changes
//! nothing and a damaged one is told from a sound one. It appears under its
//! name only once it is whole and on disk, and it goes with its document:
//! [`KeepingStore`] removes it wherever the document is removed.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use genie_core::{
    Chunk, DocumentId, DocumentRecord, Hit, HybridQuery, IndexIdentity, Point, Store, StoreError,
};
use tempfile::NamedTempFile;

use crate::StateError;

/// How files that are not whole yet begin.
const UNFINISHED: &str = ".unfinished-";
/// What is unfinished for this long was left by a crash: nothing takes so long
/// to be indexed.
const LEFT: Duration = Duration::from_secs(24 * 3600);

/// A folder of originals, that of one workspace.
#[derive(Debug, Clone)]
pub struct Originals {
    pub(crate) folder: PathBuf,
}

/// Bytes that are on disk, and kept or forgotten by what comes of their
/// document.
#[derive(Debug)]
pub struct StagedOriginal {
    file: NamedTempFile,
    place: PathBuf,
}

impl Originals {
    /// Those in this folder, which is made when the first one is kept.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Writes the bytes of a document that is about to be indexed. They are
    /// gone again unless [`StagedOriginal::keep`] is called.
    ///
    /// # Errors
    ///
    /// Where they can't be written.
    pub fn stage(&self, bytes: &[u8]) -> Result<StagedOriginal, StateError> {
        self.stage_as(self.place(&DocumentId::of(bytes)), &[bytes])
    }

    /// Writes these parts, one behind the other, as the file of that name.
    pub(crate) fn stage_as(
        &self,
        place: PathBuf,
        parts: &[&[u8]],
    ) -> Result<StagedOriginal, StateError> {
        let failed = |error| StateError::file(&self.folder)(error);
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        self.remove_left(SystemTime::now()).map_err(failed)?;
        // Readable by nobody else: that is how such files are made.
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&self.folder)
            .map_err(failed)?;
        for part in parts {
            file.write_all(part).map_err(failed)?;
        }
        file.as_file().sync_all().map_err(failed)?;
        Ok(StagedOriginal { file, place })
    }

    /// The bytes of a document; `None` where they are not kept.
    ///
    /// # Errors
    ///
    /// Where they can't be read, and where they are not what was kept.
    pub fn read(&self, document: &DocumentId) -> Result<Option<Vec<u8>>, StateError> {
        let place = self.place(document);
        let bytes = match std::fs::read(&place) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateError::file(&place)(error)),
        };
        if DocumentId::of(&bytes) == *document {
            return Ok(Some(bytes));
        }
        Err(damaged(&place))
    }

    /// Whether the bytes of a document are kept.
    ///
    /// # Errors
    ///
    /// Where that can't be told.
    pub fn has(&self, document: &DocumentId) -> Result<bool, StateError> {
        let place = self.place(document);
        place.try_exists().map_err(StateError::file(&place))
    }

    /// Removes the bytes of a document; `false` where they were not kept.
    ///
    /// # Errors
    ///
    /// Where they can't be removed.
    pub fn remove(&self, document: &DocumentId) -> Result<bool, StateError> {
        remove_file(&self.place(document))
    }

    /// How many bytes are kept, those of removed documents among them.
    ///
    /// # Errors
    ///
    /// Where the folder can't be read.
    pub fn used(&self) -> Result<u64, StateError> {
        let failed = |error| StateError::file(&self.folder)(error);
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed(error)),
        };
        let mut used = 0;
        for entry in entries {
            match entry.and_then(|entry| entry.metadata()) {
                Ok(file) => used += file.len(),
                // Removed while this looks.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(used)
    }

    /// Removes what crashes have left.
    fn remove_left(&self, now: SystemTime) -> io::Result<()> {
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                continue;
            }
            let age = entry
                .metadata()
                .and_then(|file| file.modified())
                .map(|written| now.duration_since(written).unwrap_or_default());
            match age {
                Ok(age) if age >= LEFT => std::fs::remove_file(entry.path())?,
                // Young, or taken away by whoever works on it.
                _ => {}
            }
        }
        Ok(())
    }

    fn place(&self, document: &DocumentId) -> PathBuf {
        self.folder.join(document.to_string())
    }
}

/// `false` where there is none.
pub(crate) fn remove_file(place: &Path) -> Result<bool, StateError> {
    match std::fs::remove_file(place) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StateError::file(place)(error)),
    }
}

/// The file under this name is not what was written there.
pub(crate) fn damaged(place: &Path) -> StateError {
    let damaged = io::Error::new(
        io::ErrorKind::InvalidData,
        "the file is not what was kept under its name; send the document again",
    );
    StateError::file(place)(damaged)
}

impl StagedOriginal {
    /// Gives the bytes their name. They are durable when this returns.
    ///
    /// # Errors
    ///
    /// Where the folder can't be written.
    pub fn keep(self) -> Result<(), StateError> {
        let folder = self.place.parent().unwrap_or(Path::new(".")).to_owned();
        self.file
            .persist(&self.place)
            .map_err(|error| StateError::file(&self.place)(error.error))?;
        File::open(&folder)
            .and_then(|folder| folder.sync_all())
            .map_err(StateError::file(&folder))
    }
}

/// An index that removes the original of a document with the document, on
/// whichever way that is done.
pub struct KeepingStore {
    store: Arc<dyn Store>,
    originals: Originals,
}

impl KeepingStore {
    /// This index with these originals.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, originals: Originals) -> Self {
        Self { store, originals }
    }

    fn forget(&self, document: &DocumentId) -> Result<(), StoreError> {
        self.originals
            .remove(document)
            .map_err(|error| StoreError::Io {
                location: self.originals.folder.display().to_string(),
                source: io::Error::other(error),
            })?;
        Ok(())
    }
}

impl Store for KeepingStore {
    fn identity(&self) -> &IndexIdentity {
        self.store.identity()
    }

    fn put(&self, document: &DocumentRecord, points: Vec<Point>) -> Result<(), StoreError> {
        self.store.put(document, points)
    }

    fn put_all(&self, documents: Vec<(DocumentRecord, Vec<Point>)>) -> Result<(), StoreError> {
        self.store.put_all(documents)
    }

    fn delete(&self, document: &DocumentId) -> Result<bool, StoreError> {
        // Before: a crash in between leaves a document that can be removed
        // again, not bytes that nothing leads to. After: somebody may have
        // sent it once more meanwhile.
        self.forget(document)?;
        let existed = self.store.delete(document)?;
        self.forget(document)?;
        Ok(existed)
    }

    fn purge(&self) -> Result<bool, StoreError> {
        self.store.purge()
    }

    fn begin_bulk_load(&self) -> Result<(), StoreError> {
        self.store.begin_bulk_load()
    }

    fn end_bulk_load(&self) -> Result<(), StoreError> {
        self.store.end_bulk_load()
    }

    fn documents(&self) -> Result<Vec<DocumentRecord>, StoreError> {
        self.store.documents()
    }

    fn documents_from(&self, uri: &str) -> Result<Vec<DocumentRecord>, StoreError> {
        self.store.documents_from(uri)
    }

    fn document(&self, id: &DocumentId) -> Result<Option<DocumentRecord>, StoreError> {
        self.store.document(id)
    }

    fn chunks(&self, id: &DocumentId) -> Result<Vec<Chunk>, StoreError> {
        self.store.chunks(id)
    }

    fn count(&self) -> Result<usize, StoreError> {
        self.store.count()
    }

    fn search(&self, query: &HybridQuery) -> Result<Vec<Hit>, StoreError> {
        self.store.search(query)
    }

    fn snapshot(&self, folder: &Path) -> Result<PathBuf, StoreError> {
        self.store.snapshot(folder)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a fixture that fails is a failed test")]

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn bytes_are_kept_under_their_hash_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let originals = Originals::at(folder.path().join("originals"));
        let id = DocumentId::of(b"lighthouse");
        assert_eq!(originals.used().unwrap(), 0);
        assert_eq!(originals.read(&id).unwrap(), None);
        for _ in 0..2 {
            originals.stage(b"lighthouse").unwrap().keep().unwrap();
        }
        assert_eq!(
            originals.read(&id).unwrap().as_deref(),
            Some(&b"lighthouse"[..])
        );
        assert_eq!(originals.used().unwrap(), 10);
        assert_eq!(names(&folder.path().join("originals")), [id.to_string()]);
        assert!(originals.remove(&id).unwrap());
        assert!(!originals.remove(&id).unwrap());
        assert_eq!(originals.used().unwrap(), 0);
    }

    #[test]
    fn what_is_not_kept_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let originals = Originals::at(folder.path());
        drop(originals.stage(b"lighthouse").unwrap());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_damaged_file_is_not_handed_out() {
        let folder = tempfile::tempdir().unwrap();
        let originals = Originals::at(folder.path());
        originals.stage(b"lighthouse").unwrap().keep().unwrap();
        let id = DocumentId::of(b"lighthouse");
        std::fs::write(folder.path().join(id.to_string()), b"lightmouse").unwrap();
        let error = originals.read(&id).unwrap_err().to_string();
        assert!(error.contains("send the document again"), "{error}");
    }

    #[test]
    fn what_a_crash_left_is_removed_a_day_later() {
        let folder = tempfile::tempdir().unwrap();
        let originals = Originals::at(folder.path());
        let left = folder.path().join(format!("{UNFINISHED}x"));
        std::fs::write(&left, b"half of a lighth").unwrap();
        let now = SystemTime::now();
        originals.remove_left(now).unwrap();
        assert!(left.exists(), "somebody may be working on it");
        originals.remove_left(now + LEFT + LEFT).unwrap();
        assert!(!left.exists());
    }
}
