//! Looks at a DOCX archive before a parser does.

use std::io::{Cursor, Read};

use zip::ZipArchive;

use crate::{IngestError, Limits};

/// Whether the archive holds Word's main part. A central directory that can't
/// be read is searched for the part's name, so that a DOCX cut short is
/// reported as damaged and not as some other archive.
pub(crate) fn looks_like_docx(bytes: &[u8]) -> bool {
    const MAIN_PART: &[u8] = b"word/document.xml";
    match ZipArchive::new(Cursor::new(bytes)) {
        Ok(archive) => archive.index_for_name("word/document.xml").is_some(),
        Err(_) => bytes
            .windows(5)
            .any(|window| window == &MAIN_PART[..5] || window == b"[Cont"),
    }
}

/// Refuses an archive that would expand beyond the limits. Sizes are declared
/// by the file and may lie, so every entry is expanded once, into nothing,
/// and counted; what the declared sizes already give away is refused before.
pub(crate) fn check(uri: &str, bytes: &[u8], limits: &Limits) -> Result<(), IngestError> {
    let damaged = |error: &dyn std::fmt::Display| IngestError::Damaged {
        uri: uri.to_owned(),
        reason: format!("its ZIP archive can't be read ({error})"),
    };
    let too_large = |expanded: u64, limit: u64| IngestError::ArchiveTooLarge {
        uri: uri.to_owned(),
        bytes: bytes.len() as u64,
        expanded,
        limit,
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| damaged(&error))?;
    if archive.len() > limits.max_archive_entries {
        return Err(IngestError::ArchiveTooManyEntries {
            uri: uri.to_owned(),
            entries: archive.len(),
            limit: limits.max_archive_entries,
        });
    }
    let mut declared = Sizes::default();
    for index in 0..archive.len() {
        let entry = archive
            .by_index_raw(index)
            .map_err(|error| damaged(&error))?;
        if entry.encrypted() {
            return Err(IngestError::Encrypted {
                uri: uri.to_owned(),
            });
        }
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        declared.add(&name, entry.size());
    }
    let allowed = Sizes::allowed(limits, bytes.len() as u64);
    declared.check(&allowed, too_large)?;
    let mut counted = Sizes::default();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| damaged(&error))?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let left = allowed.all.saturating_sub(counted.all);
        let size = std::io::copy(&mut entry.take(left + 1), &mut std::io::sink())
            .map_err(|error| damaged(&error))?;
        counted.add(&name, size);
        counted.check(&allowed, too_large)?;
    }
    Ok(())
}

#[derive(Default)]
struct Sizes {
    all: u64,
    xml: u64,
}

impl Sizes {
    fn add(&mut self, name: &str, size: u64) {
        self.all = self.all.saturating_add(size);
        if is_xml(name) {
            self.xml = self.xml.saturating_add(size);
        }
    }

    /// Text shrinks to a twentieth, seldom to a fiftieth: an archive that
    /// expands far beyond that is built to do so. Small ones are let through.
    fn allowed(limits: &Limits, archive: u64) -> Self {
        const ALWAYS: u64 = 8 << 20;
        let by_ratio = archive.saturating_mul(limits.max_archive_ratio).max(ALWAYS);
        Self {
            all: limits.max_archive_bytes.min(by_ratio),
            xml: limits.max_archive_xml_bytes.min(by_ratio),
        }
    }

    fn check(
        &self,
        allowed: &Self,
        too_large: impl Fn(u64, u64) -> IngestError,
    ) -> Result<(), IngestError> {
        if self.all > allowed.all {
            return Err(too_large(self.all, allowed.all));
        }
        if self.xml > allowed.xml {
            return Err(too_large(self.xml, allowed.xml));
        }
        Ok(())
    }
}

fn is_xml(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".xml") || name.ends_with(".rels")
}
