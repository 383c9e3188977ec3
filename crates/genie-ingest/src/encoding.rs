//! Bytes to text.
//!
//! Text, Markdown and HTML are UTF-8. UTF-16 is converted where a byte order
//! mark says so, and HTML where it declares another `charset`; anything else
//! is refused rather than guessed, because a wrong guess would put wrong
//! words into quotes.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, UTF_8};

use crate::{IngestError, Source};

/// The text of a plain text or Markdown file. A byte order mark is no part of
/// it: spans count from the character behind.
pub(crate) fn decode_text(source: &Source<'_>) -> Result<String, IngestError> {
    if let Some(text) = decode_marked(source)? {
        return Ok(text);
    }
    decode_utf8(source)
}

/// The text of an HTML file, in which `charset` declares the encoding.
pub(crate) fn decode_html(source: &Source<'_>) -> Result<String, IngestError> {
    if let Some(text) = decode_marked(source)? {
        return Ok(text);
    }
    match declared_encoding(source.bytes) {
        Some(encoding) if encoding != UTF_8 => encoding
            .decode_without_bom_handling_and_without_replacement(source.bytes)
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| IngestError::InvalidEncoding {
                uri: source.uri.to_owned(),
                encoding: encoding.name().to_owned(),
            }),
        _ => decode_utf8(source),
    }
}

fn decode_utf8(source: &Source<'_>) -> Result<String, IngestError> {
    if let Some(offset) = source.bytes.iter().position(|&byte| byte == 0) {
        return Err(IngestError::NotText {
            uri: source.uri.to_owned(),
            offset,
        });
    }
    match std::str::from_utf8(source.bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(IngestError::InvalidUtf8 {
            uri: source.uri.to_owned(),
            offset: error.valid_up_to(),
            guess: guess(source.bytes).name().to_owned(),
        }),
    }
}

/// The text behind a byte order mark, if there is one.
fn decode_marked(source: &Source<'_>) -> Result<Option<String>, IngestError> {
    let Some((encoding, length)) = Encoding::for_bom(source.bytes) else {
        return Ok(None);
    };
    let bytes = &source.bytes[length..];
    if encoding == UTF_8 {
        return decode_utf8(&Source { bytes, ..*source })
            .map(Some)
            .map_err(|error| match error {
                IngestError::InvalidUtf8 { uri, offset, .. } => IngestError::InvalidUtf8 {
                    uri,
                    offset: offset + length,
                    guess: guess(bytes).name().to_owned(),
                },
                IngestError::NotText { uri, offset } => IngestError::NotText {
                    uri,
                    offset: offset + length,
                },
                other => other,
            });
    }
    let text = encoding
        .decode_without_bom_handling_and_without_replacement(bytes)
        .filter(|text| !text.contains('\0'))
        .ok_or_else(|| IngestError::InvalidEncoding {
            uri: source.uri.to_owned(),
            encoding: encoding.name().to_owned(),
        })?;
    Ok(Some(text.into_owned()))
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    // The whole of a large file would take seconds and change nothing.
    let head = bytes.get(..1 << 20).unwrap_or(bytes);
    detector.feed(head, head.len() == bytes.len());
    detector.guess(None, Utf8Detection::Deny)
}

/// The encoding that the first two kilobytes of an HTML file declare.
fn declared_encoding(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = bytes.get(..2048).unwrap_or(bytes);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let position = head
        .find("charset")
        .map(|at| at + "charset".len())
        .or_else(|| {
            head.trim_start()
                .starts_with("<?xml")
                .then(|| head.find("encoding").map(|at| at + "encoding".len()))
                .flatten()
        })?;
    let value = head[position..].trim_start().strip_prefix('=')?;
    let label: String = value
        .trim_start_matches(['"', '\'', ' '])
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '.'))
        .collect();
    Encoding::for_label(label.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(bytes: &[u8]) -> Source<'_> {
        Source {
            bytes,
            uri: "notes.txt",
            media_type: None,
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        assert_eq!(decode_text(&source(b"\xef\xbb\xbfab")), Ok("ab".to_owned()));
        assert_eq!(
            decode_text(&source(b"\xff\xfea\0\xe9\0")),
            Ok("aé".to_owned())
        );
        assert_eq!(
            decode_text(&source(b"\xfe\xff\0a\0\xe9")),
            Ok("aé".to_owned())
        );
    }

    #[test]
    fn invalid_utf8_is_refused_with_place_and_guess() {
        let bytes = "Réunion générale de l'été à Genève"
            .chars()
            .map(|c| c as u8)
            .collect::<Vec<_>>();
        let error = decode_text(&source(&bytes)).expect_err("windows-1252");
        assert_eq!(
            error.to_string(),
            "notes.txt is not valid UTF-8 at byte 1; convert it first, for instance with \
             `iconv -f windows-1252 -t UTF-8` (the encoding is a guess)"
        );
        assert!(matches!(
            decode_text(&source(b"\xef\xbb\xbfab\xff")),
            Err(IngestError::InvalidUtf8 { offset: 5, .. })
        ));
    }

    #[test]
    fn binary_content_is_refused() {
        assert!(matches!(
            decode_text(&source(b"ab\0c")),
            Err(IngestError::NotText { offset: 2, .. })
        ));
        // Half of a UTF-16 code unit.
        assert!(matches!(
            decode_text(&source(b"\xff\xfea\0b")),
            Err(IngestError::InvalidEncoding { .. })
        ));
    }

    #[test]
    fn a_declared_charset_is_honoured_in_html() {
        let html = b"<html><head><meta charset=\"windows-1251\"></head><p>\xcf\xf0\xe8</p>";
        let text = decode_html(&source(html)).expect("windows-1251");
        assert!(text.contains("При"));
        assert!(decode_html(&source(b"<p>\xcf\xf0\xe8</p>")).is_err());
    }
}
