//! Documents that were removed and are erased later, or not at all.
//!
//! Each is one file beside the originals: a line of JSON that says what the
//! index knew of the document and until when it is kept, and the bytes of the
//! document behind it. A file appears whole or not at all, so a crash leaves a
//! document removed or not removed; the index needs to know nothing of it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use genie_core::{DocumentId, DocumentRecord, MediaType};
use serde::{Deserialize, Serialize};

use crate::originals::{damaged, remove_file};
use crate::{Originals, StateError, Subject, Timestamp};

/// How the files of removed documents begin.
const PREFIX: &str = ".removed-";
/// Bytes of the first line at most; a title, labels and a name are far less.
const LONGEST_LINE: u64 = 256 << 10;

/// A document that no search finds any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedDocument {
    /// What the index knew of it.
    pub record: DocumentRecord,
    /// Who removed it.
    pub by: Subject,
    /// When.
    pub at: Timestamp,
    /// Until then it can be restored; from then on it is erased.
    pub erase_after: Timestamp,
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Line {
    uri: String,
    title: String,
    media_type: String,
    bytes: u64,
    language: Option<String>,
    labels: Vec<String>,
    date: Option<String>,
    chunks: u32,
    by: String,
    at: i64,
    erase_after: i64,
}

impl Originals {
    /// Keeps a document for later that is about to be removed; what was set
    /// aside of it before is replaced. `false` where its bytes are not kept,
    /// so that it could not be restored. It is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// Where its bytes can't be read or written.
    pub fn set_aside(&self, removed: &RemovedDocument) -> Result<bool, StateError> {
        let id = &removed.record.id;
        let Some(bytes) = self.read(id)? else {
            return Ok(false);
        };
        self.write_aside(removed, &bytes)?;
        Ok(true)
    }

    /// What was set aside, by name.
    ///
    /// # Errors
    ///
    /// Where the folder can't be read, and where a file is not what was
    /// written.
    pub fn removed(&self) -> Result<Vec<RemovedDocument>, StateError> {
        let mut found = Vec::new();
        for id in self.ids_aside()? {
            // Erased or restored while this looks.
            if let Some(removed) = self.removed_document(&id)? {
                found.push(removed);
            }
        }
        found.sort_by(|a, b| (&a.record.uri, &a.record.id).cmp(&(&b.record.uri, &b.record.id)));
        Ok(found)
    }

    /// A document that was set aside; `None` where it was not.
    ///
    /// # Errors
    ///
    /// As [`Self::removed`].
    pub fn removed_document(
        &self,
        document: &DocumentId,
    ) -> Result<Option<RemovedDocument>, StateError> {
        let opened = self.open_aside(document)?;
        Ok(opened.map(|(removed, _)| removed))
    }

    /// The bytes of a document that was set aside; `None` where it was not.
    ///
    /// # Errors
    ///
    /// As [`Self::removed`].
    pub fn read_removed(
        &self,
        document: &DocumentId,
    ) -> Result<Option<(RemovedDocument, Vec<u8>)>, StateError> {
        let Some((removed, mut rest)) = self.open_aside(document)? else {
            return Ok(None);
        };
        let place = self.place_aside(document);
        let mut bytes = Vec::new();
        rest.read_to_end(&mut bytes)
            .map_err(StateError::file(&place))?;
        if DocumentId::of(&bytes) != *document {
            return Err(damaged(&place));
        }
        Ok(Some((removed, bytes)))
    }

    /// Keeps what was set aside until then at least. `false` where it was not
    /// set aside, or may be erased by `now`.
    ///
    /// # Errors
    ///
    /// As [`Self::set_aside`].
    pub fn keep_removed(
        &self,
        document: &DocumentId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StateError> {
        let Some((removed, bytes)) = self.read_removed(document)? else {
            return Ok(false);
        };
        if removed.erase_after <= now {
            return Ok(false);
        }
        if removed.erase_after < until {
            let later = RemovedDocument {
                erase_after: until,
                ..removed
            };
            self.write_aside(&later, &bytes)?;
        }
        Ok(true)
    }

    /// Removes what was set aside of a document; `false` where nothing was.
    ///
    /// # Errors
    ///
    /// Where it can't be removed.
    pub fn erase_removed(&self, document: &DocumentId) -> Result<bool, StateError> {
        remove_file(&self.place_aside(document))
    }

    /// What was set aside and may be erased by `now`.
    ///
    /// # Errors
    ///
    /// As [`Self::removed`].
    pub fn due(&self, now: Timestamp) -> Result<Vec<RemovedDocument>, StateError> {
        let mut removed = self.removed()?;
        removed.retain(|one| one.erase_after <= now);
        Ok(removed)
    }

    fn write_aside(&self, removed: &RemovedDocument, bytes: &[u8]) -> Result<(), StateError> {
        let mut line = serde_json::to_vec(&Line::from(removed))
            .map_err(|error| StateError::Invalid(error.to_string()))?;
        line.push(b'\n');
        let place = self.place_aside(&removed.record.id);
        self.stage_as(place, &[&line, bytes])?.keep()
    }

    fn open_aside(
        &self,
        document: &DocumentId,
    ) -> Result<Option<(RemovedDocument, BufReader<File>)>, StateError> {
        let place = self.place_aside(document);
        let file = match File::open(&place) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StateError::file(&place)(error)),
        };
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        file.by_ref()
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line)
            .map_err(StateError::file(&place))?;
        let removed = serde_json::from_slice(&line)
            .ok()
            .and_then(|line: Line| line.read(document))
            .ok_or_else(|| damaged(&place))?;
        Ok(Some((removed, file)))
    }

    fn ids_aside(&self) -> Result<Vec<DocumentId>, StateError> {
        let failed = |error| StateError::file(&self.folder)(error);
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            ids.extend(id_aside(&path));
        }
        Ok(ids)
    }

    fn place_aside(&self, document: &DocumentId) -> PathBuf {
        self.folder.join(format!("{PREFIX}{document}"))
    }
}

/// The document that a file was set aside of.
fn id_aside(path: &Path) -> Option<DocumentId> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix(PREFIX)?.parse().ok()
}

impl From<&RemovedDocument> for Line {
    fn from(removed: &RemovedDocument) -> Self {
        let record = &removed.record;
        Self {
            uri: record.uri.clone(),
            title: record.title.clone(),
            media_type: record.media_type.to_string(),
            bytes: record.bytes,
            language: record.language.map(|language| language.code().to_owned()),
            labels: record.labels.clone(),
            date: record.date.map(|date| date.to_string()),
            chunks: record.chunks,
            by: removed.by.to_string(),
            at: removed.at.as_micros(),
            erase_after: removed.erase_after.as_micros(),
        }
    }
}

impl Line {
    /// What it says, where it can be read.
    fn read(self, id: &DocumentId) -> Option<RemovedDocument> {
        let media_type: MediaType = self.media_type.parse().ok()?;
        let language = match self.language {
            Some(code) => Some(code.parse().ok()?),
            None => None,
        };
        let date = match self.date {
            Some(date) => Some(date.parse().ok()?),
            None => None,
        };
        Some(RemovedDocument {
            record: DocumentRecord {
                id: *id,
                uri: self.uri,
                title: self.title,
                media_type,
                bytes: self.bytes,
                language,
                labels: self.labels,
                date,
                chunks: self.chunks,
            },
            by: self.by.parse().ok()?,
            at: Timestamp::from_micros(self.at),
            erase_after: Timestamp::from_micros(self.erase_after),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a fixture that fails is a failed test")]

    use std::time::Duration;

    use super::*;

    const TEXT: &[u8] = b"The lighthouse\nof Pointe aux Caves";
    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn removed(bytes: &[u8], erase_after: Timestamp) -> RemovedDocument {
        RemovedDocument {
            record: DocumentRecord {
                id: DocumentId::of(bytes),
                uri: "ports/lighthouse.txt".to_owned(),
                title: "Feux «de» Maurice\n".to_owned(),
                media_type: MediaType::Text,
                bytes: bytes.len() as u64,
                language: Some(genie_core::Language::English),
                labels: vec!["ports/lights".to_owned()],
                date: Some("2024-05-17".parse().unwrap()),
                chunks: 3,
            },
            by: Subject::local(),
            at: Timestamp::from_micros(1_700_000_000_000_000),
            erase_after,
        }
    }

    #[test]
    fn a_removed_document_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let originals = Originals::at(folder.path());
        let now = Timestamp::now();
        let removed = removed(TEXT, now.after(DAY));
        let id = removed.record.id;
        assert!(!originals.set_aside(&removed).unwrap(), "nothing is kept");
        assert!(originals.removed().unwrap().is_empty());
        originals.stage(TEXT).unwrap().keep().unwrap();
        assert!(originals.set_aside(&removed).unwrap());
        assert!(originals.remove(&id).unwrap());
        assert_eq!(originals.read(&id).unwrap(), None);
        assert_eq!(originals.removed().unwrap(), std::slice::from_ref(&removed));
        let read = originals.read_removed(&id).unwrap();
        assert_eq!(read, Some((removed, TEXT.to_vec())));
        assert!(originals.used().unwrap() > TEXT.len() as u64);
        let other = DocumentId::of(b"another");
        assert_eq!(originals.read_removed(&other).unwrap(), None);
        assert!(originals.erase_removed(&id).unwrap());
        assert!(!originals.erase_removed(&id).unwrap());
        assert_eq!(originals.used().unwrap(), 0);
    }

    #[test]
    fn what_is_due_is_erased_and_what_is_asked_for_is_kept_longer() {
        let folder = tempfile::tempdir().unwrap();
        let originals = Originals::at(folder.path());
        let now = Timestamp::now();
        let mut ids = Vec::new();
        for (bytes, until) in [
            (&b"due"[..], now),
            (b"later", now.after(DAY)),
            (b"kept", now.after(DAY)),
        ] {
            originals.stage(bytes).unwrap().keep().unwrap();
            let removed = removed(bytes, until);
            ids.push(removed.record.id);
            assert!(originals.set_aside(&removed).unwrap());
        }
        let [due, later, kept] = ids[..] else {
            panic!("three documents");
        };
        let long = now.after(DAY * 3);
        assert!(!originals.keep_removed(&due, now, long).unwrap());
        assert!(originals.keep_removed(&kept, now, long).unwrap());
        // Sooner than it is kept anyway.
        assert!(originals.keep_removed(&kept, now, now).unwrap());
        let due_by = |time| {
            let due = originals.due(time).unwrap();
            due.iter().map(|one| one.record.id).collect::<Vec<_>>()
        };
        assert_eq!(due_by(now), [due]);
        assert!(originals.erase_removed(&due).unwrap());
        assert!(due_by(now).is_empty());
        assert_eq!(due_by(now.after(DAY * 2)), [later]);
        let left = originals.read_removed(&kept).unwrap();
        let (left, bytes) = left.expect("it is there");
        assert_eq!((left.erase_after, &bytes[..]), (long, &b"kept"[..]));
    }

    #[test]
    fn a_damaged_file_is_not_taken_for_a_document() {
        let folder = tempfile::tempdir().unwrap();
        let originals = Originals::at(folder.path());
        originals.stage(TEXT).unwrap().keep().unwrap();
        let removed = removed(TEXT, Timestamp::now());
        assert!(originals.set_aside(&removed).unwrap());
        let id = removed.record.id;
        let place = originals.place_aside(&id);
        let whole = std::fs::read(&place).unwrap();
        let mut changed = whole.clone();
        changed[whole.len() - 1] ^= 1;
        for wrong in [&changed[..], &whole[1..], &whole[..20], b""] {
            std::fs::write(&place, wrong).unwrap();
            let error = originals.read_removed(&id).unwrap_err().to_string();
            assert!(error.contains("send the document again"), "{error}");
        }
        assert!(
            originals.erase_removed(&id).unwrap(),
            "it can go all the same"
        );
    }
}
