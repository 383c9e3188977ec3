//! Bytes to documents to chunks with exact spans.
//!
//! [`parse`] turns a file's bytes into a [`Document`](genie_core::Document):
//! one text and the blocks it is made of. [`Chunker`] cuts the document into
//! passages of a size that an embedding model reads at once. Both are pure
//! and synchronous: no file is opened and nothing is fetched.
//!
//! The promise that everything else rests on is that a chunk's text is the
//! slice of the document's text that its span says, character by character,
//! so that a citation can be checked against the file. Therefore text and
//! Markdown are never rewritten; what a model should see instead of Markdown
//! is made by [`readable`], on the side.
//!
//! Files come from anywhere. Sizes are checked before work begins
//! ([`Limits`]), archives are expanded into nothing first, and parsers run
//! contained: a panic or a missed deadline is an [`IngestError`] like any
//! other, with the file, the limit and the way out in its message.
//!
//! ```
//! use genie_ingest::{ChunkOptions, Chunker, Limits, Source, parse};
//!
//! # fn main() -> Result<(), genie_ingest::IngestError> {
//! let source = Source {
//!     bytes: "# Fibre\n\nLight in glass.\n".as_bytes(),
//!     uri: "fibre.md",
//!     media_type: None,
//! };
//! let document = parse(&source, &Limits::default())?;
//! let count = |text: &str| text.split_whitespace().count();
//! let chunks = Chunker::new(ChunkOptions::default(), &count).chunk(&document);
//! assert_eq!(chunks[0].text, "Light in glass.");
//! assert_eq!(chunks[0].section, ["Fibre"]);
//! assert_eq!(chunks[0].span.slice(&document.text), Some("Light in glass."));
//! # Ok(())
//! # }
//! ```

mod archive;
mod canonical;
mod chunk;
mod contained;
mod converted;
mod docx;
mod encoding;
mod error;
mod front_matter;
mod headings;
mod html;
mod language;
mod limits;
mod markdown;
mod media;
mod pack;
mod parts;
mod pdf;
mod pieces;
mod plain;
mod positions;
mod readable;
mod source;

pub use chunk::{CHUNKER_VERSION, ChunkOptions, Chunker};
pub use error::IngestError;
pub use language::LanguageDetector;
pub use limits::Limits;
pub use media::media_type_of_name;
pub use parts::{Part, parts};
pub use readable::readable;
pub use source::{Source, parse};
