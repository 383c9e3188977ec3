use genie_core::MediaType;

/// A file can't be turned into a document.
///
/// Every variant names the file, what is wrong with it or which limit it
/// breaks, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// The file has no bytes, or nothing but white space.
    #[error("{uri} is empty; put text into it or leave it out")]
    Empty {
        /// Path or URI as given.
        uri: String,
    },
    /// The file is larger than the limit of its format.
    #[error(
        "{uri} has {bytes} bytes, but {media_type} files are read up to {limit} bytes; \
         split it into smaller files"
    )]
    TooLarge {
        /// Path or URI as given.
        uri: String,
        /// The format.
        media_type: MediaType,
        /// Size of the file.
        bytes: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The text taken out of the file is longer than the limit.
    #[error(
        "{uri} holds more than {limit} characters of text, the most that one document may have; \
         split it into smaller files"
    )]
    TooMuchText {
        /// Path or URI as given.
        uri: String,
        /// The most that is kept.
        limit: usize,
    },
    /// An archive would expand to more than the limit.
    #[error(
        "{uri} would expand from {bytes} to {expanded} bytes or more, over the limit of {limit} \
         bytes, as a zip bomb does; if the file is sound, save it again without embedded media \
         or split it"
    )]
    ArchiveTooLarge {
        /// Path or URI as given.
        uri: String,
        /// Size of the file.
        bytes: u64,
        /// What was declared or counted until the limit was passed.
        expanded: u64,
        /// The most that is expanded.
        limit: u64,
    },
    /// An archive has more entries than the limit.
    #[error(
        "{uri} is an archive of {entries} entries, over the limit of {limit}; save the document \
         again with fewer embedded objects"
    )]
    ArchiveTooManyEntries {
        /// Path or URI as given.
        uri: String,
        /// Entries of the archive.
        entries: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// The bytes are not valid in UTF-8.
    #[error(
        "{uri} is not valid UTF-8 at byte {offset}; convert it first, for instance with \
         `iconv -f {guess} -t UTF-8` (the encoding is a guess)"
    )]
    InvalidUtf8 {
        /// Path or URI as given.
        uri: String,
        /// Position of the first byte that is wrong, from 0.
        offset: usize,
        /// The encoding that the bytes look like.
        guess: String,
    },
    /// The bytes don't fit the encoding that the file declares.
    #[error(
        "{uri} declares the encoding {encoding}, but its bytes are not valid in it; \
         save it as UTF-8"
    )]
    InvalidEncoding {
        /// Path or URI as given.
        uri: String,
        /// The encoding declared by byte order mark or `charset`.
        encoding: String,
    },
    /// A file named as text is binary.
    #[error(
        "{uri} is not a text file (a NUL byte stands at byte {offset}); give it the extension of \
         its format, or convert it to text"
    )]
    NotText {
        /// Path or URI as given.
        uri: String,
        /// Position of the first NUL byte, from 0.
        offset: usize,
    },
    /// The content is in another format than the name says.
    #[error("{uri} is named as {named}, but its content is {found}; rename it and try again")]
    WrongExtension {
        /// Path or URI as given.
        uri: String,
        /// The format of the name or of the declared media type.
        named: MediaType,
        /// The format of the content.
        found: &'static str,
    },
    /// The format is not one that is read.
    #[error(
        "{uri} is in a format that is not read{}; text, Markdown, HTML, PDF and DOCX are: convert \
         it to one of them",
        found.map(|found| format!(" ({found})")).unwrap_or_default()
    )]
    UnsupportedFormat {
        /// Path or URI as given.
        uri: String,
        /// What the content was recognized as, if it was.
        found: Option<&'static str>,
    },
    /// The file is protected by a password.
    #[error("{uri} is encrypted; save a copy without a password")]
    Encrypted {
        /// Path or URI as given.
        uri: String,
    },
    /// The file is cut short or broken.
    #[error("{uri} is damaged: {reason}; get a complete copy of the file")]
    Damaged {
        /// Path or URI as given.
        uri: String,
        /// What could not be read.
        reason: String,
    },
    /// A PDF of pictures.
    #[error(
        "{uri} has no text layer, it is probably a scan; run it through text recognition (OCR) \
         first, for instance with ocrmypdf"
    )]
    NoTextLayer {
        /// Path or URI as given.
        uri: String,
    },
    /// A sound file in which there is no text.
    #[error("{uri} is a {media_type} file without any text; leave it out")]
    NoText {
        /// Path or URI as given.
        uri: String,
        /// The format.
        media_type: MediaType,
    },
    /// The parser did not finish in time.
    #[error(
        "{uri} was not parsed within {seconds} seconds; it is built in an unusual way: save it \
         again with another program, or convert it to text"
    )]
    TooSlow {
        /// Path or URI as given.
        uri: String,
        /// The limit in seconds.
        seconds: u64,
    },
    /// The parser failed on its own account.
    #[error(
        "{uri} makes the parser fail ({reason}); save it again with another program, or convert \
         it to text"
    )]
    ParserFailed {
        /// Path or URI as given.
        uri: String,
        /// What the parser said.
        reason: String,
    },
}

impl IngestError {
    /// The file that the error is about.
    #[must_use]
    pub fn uri(&self) -> &str {
        match self {
            Self::Empty { uri }
            | Self::TooLarge { uri, .. }
            | Self::TooMuchText { uri, .. }
            | Self::ArchiveTooLarge { uri, .. }
            | Self::ArchiveTooManyEntries { uri, .. }
            | Self::InvalidUtf8 { uri, .. }
            | Self::InvalidEncoding { uri, .. }
            | Self::NotText { uri, .. }
            | Self::WrongExtension { uri, .. }
            | Self::UnsupportedFormat { uri, .. }
            | Self::Encrypted { uri }
            | Self::Damaged { uri, .. }
            | Self::NoTextLayer { uri }
            | Self::NoText { uri, .. }
            | Self::TooSlow { uri, .. }
            | Self::ParserFailed { uri, .. } => uri,
        }
    }
}
