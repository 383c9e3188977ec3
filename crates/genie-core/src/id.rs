//! Identifiers, all of them derived from content.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::Span;

/// A SHA-256 digest, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest computed elsewhere, for instance while streaming a file.
    #[must_use]
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The 32 bytes of the digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

impl FromStr for ContentHash {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut digest = [0; 32];
        parse_hex(text, &mut digest)?;
        Ok(Self(digest))
    }
}

/// The identity of a document: the SHA-256 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(ContentHash);

impl DocumentId {
    /// The identity of a document with these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(ContentHash::of(bytes))
    }

    /// The identity with this digest.
    #[must_use]
    pub const fn from_hash(hash: ContentHash) -> Self {
        Self(hash)
    }

    /// The digest itself.
    #[must_use]
    pub const fn hash(&self) -> &ContentHash {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DocumentId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The identity of a chunk: derived from document, chunker version and span,
/// so that indexing the same document twice writes the same points. Its 16
/// bytes are used as the point's UUID in Qdrant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId([u8; 16]);

impl ChunkId {
    /// The identity of the chunk of `document` that covers `span`.
    #[must_use]
    pub fn new(document: &DocumentId, chunker_version: &str, span: Span) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(document.hash().as_bytes());
        hasher.update((chunker_version.len() as u64).to_le_bytes());
        hasher.update(chunker_version.as_bytes());
        hasher.update((span.start() as u64).to_le_bytes());
        hasher.update((span.end() as u64).to_le_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        // Marked as an RFC 9562 version 8 (custom) UUID, which Qdrant accepts.
        id[6] = (id[6] & 0x0f) | 0x80;
        id[8] = (id[8] & 0x3f) | 0x80;
        Self(id)
    }

    /// The identity with these 16 bytes, as read back from an index.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes of the UUID.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkId({self})")
    }
}

/// The text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an identifier has {expected} hexadecimal digits; this text of {found} characters does not"
)]
pub struct ParseIdError {
    expected: usize,
    found: usize,
}

fn parse_hex(text: &str, out: &mut [u8]) -> Result<(), ParseIdError> {
    let error = ParseIdError {
        expected: out.len() * 2,
        found: text.chars().count(),
    };
    if text.len() != out.len() * 2 || !text.is_ascii() {
        return Err(error);
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = pair.iter().try_fold(0, |value, digit| {
            char::from(*digit)
                .to_digit(16)
                .map(|digit| value * 16 + digit)
        });
        *byte = digits
            .and_then(|value| u8::try_from(value).ok())
            .ok_or_else(|| error.clone())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_id_survives_a_round_trip() {
        let id = DocumentId::of(b"abc");
        assert_eq!(
            id.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn text_that_is_no_id_is_rejected() {
        for text in ["", "abc", "é".repeat(32).as_str(), "g".repeat(64).as_str()] {
            assert!(text.parse::<DocumentId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_chunk_id_depends_on_each_of_its_parts() {
        let span = |start, end| Span::new(start, end).expect("a span");
        let a = DocumentId::of(b"a");
        let id = ChunkId::new(&a, "1", span(0, 2));
        assert_eq!(id, ChunkId::new(&a, "1", span(0, 2)));
        assert_ne!(id, ChunkId::new(&DocumentId::of(b"b"), "1", span(0, 2)));
        assert_ne!(id, ChunkId::new(&a, "2", span(0, 2)));
        assert_ne!(id, ChunkId::new(&a, "1", span(0, 3)));
        assert_eq!(id.to_string().len(), 36);
    }
}
