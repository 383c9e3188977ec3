use std::time::Duration;

use genie_core::MediaType;

use crate::IngestError;

/// What one file may cost.
///
/// The defaults are far above any report or book and far below what would
/// harm a machine with 4 GB of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file at most.
    pub max_file_bytes: u64,
    /// Bytes of an HTML file at most: a page's element tree takes many times
    /// the page's size.
    pub max_html_bytes: u64,
    /// Characters of a document's text at most.
    pub max_text_chars: usize,
    /// Entries of an archive (DOCX) at most.
    pub max_archive_entries: usize,
    /// Bytes that an archive may expand to.
    pub max_archive_bytes: u64,
    /// Bytes that the XML parts of an archive may expand to: they are held in
    /// memory as trees.
    pub max_archive_xml_bytes: u64,
    /// How many times its own size an archive may expand to.
    pub max_archive_ratio: u64,
    /// Time that a parser gets.
    pub max_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_file_bytes: 64 << 20,
            max_html_bytes: 16 << 20,
            max_text_chars: 20_000_000,
            max_archive_entries: 10_000,
            max_archive_bytes: 512 << 20,
            max_archive_xml_bytes: 64 << 20,
            max_archive_ratio: 200,
            max_time: Duration::from_secs(120),
        }
    }
}

impl Limits {
    /// The most bytes that are read of a format.
    #[must_use]
    pub fn max_bytes(&self, media_type: MediaType) -> u64 {
        match media_type {
            MediaType::Html => self.max_file_bytes.min(self.max_html_bytes),
            _ => self.max_file_bytes,
        }
    }

    /// Checks a file's size before it is read into memory.
    ///
    /// # Errors
    ///
    /// [`IngestError::TooLarge`], which names the limit.
    pub fn check_size(
        &self,
        uri: &str,
        media_type: MediaType,
        bytes: u64,
    ) -> Result<(), IngestError> {
        let limit = self.max_bytes(media_type);
        if bytes <= limit {
            return Ok(());
        }
        Err(IngestError::TooLarge {
            uri: uri.to_owned(),
            media_type,
            bytes,
            limit,
        })
    }
}
