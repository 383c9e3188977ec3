//! Documents and the chunks they are cut into.

use std::fmt;
use std::str::FromStr;

use crate::{ChunkId, Date, DocumentId, Language, Span};

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaType {
    /// `text/plain`
    Text,
    /// `text/markdown`
    Markdown,
    /// `text/html`
    Html,
    /// `application/pdf`
    Pdf,
    /// Word's Office Open XML.
    Docx,
}

impl MediaType {
    /// All formats.
    pub const ALL: [Self; 5] = [
        Self::Text,
        Self::Markdown,
        Self::Html,
        Self::Pdf,
        Self::Docx,
    ];

    /// The IANA name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Markdown => "text/markdown",
            Self::Html => "text/html",
            Self::Pdf => "application/pdf",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MediaType {
    type Err = String;

    /// Reads the IANA name; the error is the text itself.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|media_type| media_type.as_str() == text)
            .ok_or_else(|| text.to_owned())
    }
}

/// What a block of a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// A heading; level 1 is the highest.
    Heading {
        /// 1 to 6.
        level: u8,
    },
    /// Running text.
    Paragraph,
    /// One item of a list, its nested items included.
    ListItem,
    /// A table, as Markdown rows.
    Table,
    /// Preformatted text.
    Code,
}

/// A structural unit of a document; blocks are in order and don't overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// Where it stands in [`Document::text`].
    pub span: Span,
    /// The page, counted from 1, where the format has pages.
    pub page: Option<u32>,
}

/// A parsed document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// SHA-256 of the file's bytes.
    pub id: DocumentId,
    /// Path or URI as ingested.
    pub uri: String,
    /// From the document itself, else from its file name.
    pub title: String,
    /// The format it was read from.
    pub media_type: MediaType,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// The whole text that spans refer to: for text and Markdown the file's
    /// own decoded content, for other formats the text taken out of it.
    pub text: String,
    /// The structure of the text.
    pub blocks: Vec<Block>,
    /// The main language, where it is one of the six.
    pub language: Option<Language>,
    /// Hierarchical labels such as `infrastructure/fibre`.
    pub labels: Vec<String>,
    /// Its date, where it says one.
    pub date: Option<Date>,
}

/// A passage of a document, the unit of retrieval and citation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Derived from document, chunker version and span.
    pub id: ChunkId,
    /// The document it was cut from.
    pub document: DocumentId,
    /// Position among the document's chunks, from 0.
    pub ordinal: u32,
    /// Where `text` stands in [`Document::text`].
    pub span: Span,
    /// The passage, verbatim.
    pub text: String,
    /// Headings above the passage, outermost first.
    pub section: Vec<String>,
    /// The page it starts on, where the format has pages.
    pub page: Option<u32>,
    /// The passage's own language, where it is one of the six.
    pub language: Option<Language>,
}

impl Chunk {
    /// The section path as one line, empty where there is none.
    #[must_use]
    pub fn section_path(&self) -> String {
        self.section.join(" › ")
    }

    /// What is embedded: the document's title and the section path in front of
    /// the passage, so that a passage is found by what it is about.
    #[must_use]
    pub fn contextual_text(&self, title: &str) -> String {
        let mut context = title.trim().to_owned();
        for heading in &self.section {
            if heading.trim() != title.trim() {
                if !context.is_empty() {
                    context.push_str(" › ");
                }
                context.push_str(heading.trim());
            }
        }
        if context.is_empty() {
            self.text.clone()
        } else {
            format!("{context}\n{}", self.text)
        }
    }
}
