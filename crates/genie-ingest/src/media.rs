//! Which format a file is in.

use genie_core::MediaType;

use crate::{IngestError, Source, archive};

/// The format that a file name or URI promises by its extension, or `None`
/// where the extension is missing or not one of the formats that are read.
///
/// For folders: files for which this is `None` are better left alone.
#[must_use]
pub fn media_type_of_name(name: &str) -> Option<MediaType> {
    let extension = extension(name)?;
    Some(match extension.as_str() {
        "txt" | "text" => MediaType::Text,
        "md" | "markdown" | "mdown" | "mkd" => MediaType::Markdown,
        "html" | "htm" | "xhtml" => MediaType::Html,
        "pdf" => MediaType::Pdf,
        "docx" => MediaType::Docx,
        _ => return None,
    })
}

/// The format of a source: declared, else by its name, else by its content.
/// The content has to agree.
pub(crate) fn detect(source: &Source<'_>) -> Result<MediaType, IngestError> {
    let named = source.media_type.or_else(|| media_type_of_name(source.uri));
    let content = sniff(source.bytes);
    match (named, content) {
        (Some(named), Content::Text) if is_textual(named) => Ok(named),
        (Some(named), Content::Html) if is_textual(named) => Ok(named),
        (Some(named), Content::Known(found)) if named == found => Ok(named),
        (Some(named), Content::Known(found)) => Err(IngestError::WrongExtension {
            uri: source.uri.to_owned(),
            named,
            found: found.as_str(),
        }),
        // An encrypted DOCX is an OLE container around the encrypted package.
        (Some(MediaType::Docx), Content::Other(OLE)) => Err(IngestError::Encrypted {
            uri: source.uri.to_owned(),
        }),
        (Some(named), Content::Other(found)) => Err(IngestError::WrongExtension {
            uri: source.uri.to_owned(),
            named,
            found,
        }),
        // A PDF header may stand anywhere in the first kilobyte (ISO 32000-1,
        // annex H, note 13); in a file of another name it is a quotation.
        (Some(MediaType::Pdf), _) if head(source.bytes).windows(5).any(|at| at == b"%PDF-") => {
            Ok(MediaType::Pdf)
        }
        (Some(named), Content::Text | Content::Html) => Err(IngestError::Damaged {
            uri: source.uri.to_owned(),
            reason: match named {
                MediaType::Pdf => "it does not start with a PDF header".to_owned(),
                _ => "it is not a ZIP archive, which every DOCX file is".to_owned(),
            },
        }),
        (None, Content::Known(found)) => Ok(found),
        (None, Content::Html) => Ok(MediaType::Html),
        (None, Content::Text) if std::str::from_utf8(source.bytes).is_ok() => Ok(MediaType::Text),
        (None, content) => Err(IngestError::UnsupportedFormat {
            uri: source.uri.to_owned(),
            found: match content {
                Content::Other(found) => Some(found),
                _ => None,
            },
        }),
    }
}

enum Content {
    Known(MediaType),
    Html,
    /// Nothing else was recognized.
    Text,
    Other(&'static str),
}

const OLE: &str = "an old Office file";

fn sniff(bytes: &[u8]) -> Content {
    if bytes.starts_with(b"%PDF-") {
        return Content::Known(MediaType::Pdf);
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return if archive::looks_like_docx(bytes) {
            Content::Known(MediaType::Docx)
        } else {
            Content::Other("a ZIP archive that is no DOCX file")
        };
    }
    const SIGNATURES: [(&[u8], &str); 9] = [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF8", "a GIF image"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"{\\rtf", "an RTF file"),
        (b"\x7fELF", "a program"),
        (b"GGUF", "a GGUF model"),
    ];
    if let Some((_, name)) = SIGNATURES
        .iter()
        .find(|(signature, _)| bytes.starts_with(signature))
    {
        return Content::Other(name);
    }
    let text = String::from_utf8_lossy(head(bytes));
    let start = text
        .trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n'])
        .to_ascii_lowercase();
    if start.starts_with("<!doctype html") || start.starts_with("<html") {
        return Content::Html;
    }
    Content::Text
}

fn head(bytes: &[u8]) -> &[u8] {
    bytes.get(..1024).unwrap_or(bytes)
}

const fn is_textual(media_type: MediaType) -> bool {
    matches!(
        media_type,
        MediaType::Text | MediaType::Markdown | MediaType::Html
    )
}

fn extension(name: &str) -> Option<String> {
    let path = if name.contains("://") {
        name.split(['?', '#']).next().unwrap_or(name)
    } else {
        name
    };
    let file = path.rsplit(['/', '\\']).next()?;
    let (stem, extension) = file.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then(|| extension.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_promise_formats() {
        for (name, expected) in [
            ("report.TXT", Some(MediaType::Text)),
            ("a/b.c/README.md", Some(MediaType::Markdown)),
            (
                "https://example.org/page.html?x=1.pdf#y.docx",
                Some(MediaType::Html),
            ),
            ("folder.pdf/file", None),
            (".pdf", None),
            ("table.xlsx", None),
        ] {
            assert_eq!(media_type_of_name(name), expected, "{name}");
        }
    }

    #[test]
    fn content_has_to_agree_with_the_name() {
        let detect = |uri, bytes| {
            detect(&Source {
                bytes,
                uri,
                media_type: None,
            })
        };
        assert_eq!(detect("a.txt", b"hello"), Ok(MediaType::Text));
        assert_eq!(detect("a", b"%PDF-1.7 ..."), Ok(MediaType::Pdf));
        assert_eq!(detect("a", b"<!DOCTYPE html><p>x"), Ok(MediaType::Html));
        assert_eq!(detect("a.unknown", b"plain"), Ok(MediaType::Text));
        for (uri, bytes) in [
            ("a.txt", b"%PDF-1.7".as_slice()),
            ("a.md", b"\x89PNG\r\n\x1a\n"),
        ] {
            let error = detect(uri, bytes).expect_err("another format");
            assert!(
                matches!(error, IngestError::WrongExtension { .. }),
                "{error}"
            );
            assert!(error.to_string().starts_with(uri));
        }
        assert!(matches!(
            detect("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest"),
            Err(IngestError::Encrypted { .. })
        ));
        assert!(matches!(
            detect("a.bin", b"\xff\xfe\x00\xff"),
            Err(IngestError::UnsupportedFormat { found: None, .. })
        ));
        assert!(matches!(
            detect("a.pdf", b"just text"),
            Err(IngestError::Damaged { .. })
        ));
    }
}
