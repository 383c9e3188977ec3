//! Calls docling and says in our terms what went wrong.

use docling::{ConversionError, DoclingDocument, DocumentConverter, InputFormat, SourceDocument};
use genie_core::MediaType;

use crate::IngestError;

/// Converts bytes of a known format. docling never looks at the network or at
/// other files here: pictures are left out, and a format other than the one
/// asked for is not tried.
pub(crate) fn converted(
    uri: &str,
    media_type: MediaType,
    bytes: Vec<u8>,
) -> Result<DoclingDocument, IngestError> {
    let format = match media_type {
        MediaType::Html => InputFormat::Html,
        MediaType::Pdf => InputFormat::Pdf,
        MediaType::Docx => InputFormat::Docx,
        MediaType::Text | MediaType::Markdown => {
            unreachable!("text and Markdown keep their own positions and are parsed here")
        }
    };
    DocumentConverter::with_allowed_formats([format])
        // Quotes are compared with what the reader sees, so dashes and
        // quotation marks stay as they are drawn.
        .pdf_keep_typography(true)
        .convert(SourceDocument::from_bytes("document", format, bytes))
        .map(|result| result.document)
        .map_err(|error| explained(uri, media_type, &error))
}

fn explained(uri: &str, media_type: MediaType, error: &ConversionError) -> IngestError {
    let uri = uri.to_owned();
    if error.encryption().is_some() {
        return IngestError::Encrypted { uri };
    }
    let reason = error.to_string();
    // Without its OCR pipeline docling reports an image-only PDF in words.
    if media_type == MediaType::Pdf && reason.contains("no embedded text layer") {
        return IngestError::NoTextLayer { uri };
    }
    if matches!(error, ConversionError::Panic(_)) {
        return IngestError::ParserFailed { uri, reason };
    }
    IngestError::Damaged { uri, reason }
}
