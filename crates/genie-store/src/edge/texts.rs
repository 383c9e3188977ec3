//! Chunks' texts in compressed blocks.
//!
//! A block has the texts of neighbouring chunks, since what they share is most
//! of what a compressor finds in texts of this length; a reader of one chunk
//! unpacks some kilobytes. It is the length of its JSON (4 bytes,
//! little-endian) and that JSON, an array with one object for each chunk,
//! compressed by Zstandard (RFC 8878).

use std::io;

use genie_core::{DocumentId, StoreError};
use serde_json::value::RawValue;
use uuid::Uuid;
use zstd::bulk::Decompressor;

use super::parts::{PartFiles, Parts, damaged};
use crate::engine::Fields;

/// Bytes of JSON after which a block is full.
const BLOCK: usize = 4 << 10;
/// Zstandard's level: above it these small blocks hardly get smaller.
const LEVEL: i32 = 12;
/// More than the JSON of a block can have: a chunk is some thousand characters
/// of which each may be escaped.
const LARGEST: usize = 64 << 20;
/// Bytes before the compressed JSON.
const HEAD: usize = 4;

/// Writes what is not in payloads of a document's chunks.
pub(super) fn write(
    files: &PartFiles,
    document: &DocumentId,
    revision: &str,
    chunks: &[(Uuid, Fields)],
) -> Result<(), StoreError> {
    let fails = |source| files.failure(document, revision, source);
    let mut parts = Vec::new();
    let mut numbers = Vec::with_capacity(chunks.len());
    let mut block = String::new();
    for (id, fields) in chunks {
        block.push(if block.is_empty() { '[' } else { ',' });
        let json = serde_json::to_string(fields).map_err(|error| fails(error.into()))?;
        block.push_str(&json);
        numbers.push((*id, parts.len()));
        if block.len() >= BLOCK {
            parts.push(packed(&mut block).map_err(fails)?);
        }
    }
    if !block.is_empty() {
        parts.push(packed(&mut block).map_err(fails)?);
    }
    files.write(document, revision, &numbers, &parts)
}

/// What is not in payloads of some chunks of one revision, in their order;
/// `None` where nothing is known of one.
pub(super) fn read(
    files: &PartFiles,
    document: &DocumentId,
    revision: &str,
    chunks: &[Uuid],
) -> Result<Vec<Option<Fields>>, StoreError> {
    let Parts { bytes, chunks } = files.read(document, revision, chunks)?;
    unpack(&bytes, &chunks).map_err(|source| files.failure(document, revision, source))
}

/// The objects at these places, each a block and a place in it. Of a block's
/// objects only those are read: it has several, and most hits want one.
fn unpack(parts: &[Vec<u8>], chunks: &[Option<(usize, usize)>]) -> io::Result<Vec<Option<Fields>>> {
    // One for all of them: it has tables to set up.
    let mut decompressor = Decompressor::new()?;
    let blocks = parts.iter().map(|part| unpacked(&mut decompressor, part));
    let blocks: Vec<String> = blocks.collect::<io::Result<_>>()?;
    let blocks = blocks.iter().map(|block| objects(block));
    let blocks: Vec<Vec<&RawValue>> = blocks.collect::<io::Result<_>>()?;
    let fields = chunks.iter().map(|chunk| {
        let object = chunk.and_then(|(part, place)| blocks.get(part)?.get(place));
        let fields = object.map(|object| serde_json::from_str(object.get()));
        fields.transpose().map_err(|_| no_objects())
    });
    fields.collect()
}

fn packed(block: &mut String) -> io::Result<Vec<u8>> {
    block.push(']');
    let length = u32::try_from(block.len()).map_err(io::Error::other)?;
    if block.len() > LARGEST {
        return Err(io::Error::other(format!(
            "the text of a chunk takes more than {LARGEST} bytes"
        )));
    }
    let mut part = length.to_le_bytes().to_vec();
    part.extend(zstd::bulk::compress(block.as_bytes(), LEVEL)?);
    block.clear();
    Ok(part)
}

fn unpacked(decompressor: &mut Decompressor<'_>, part: &[u8]) -> io::Result<String> {
    let (length, packed) = part
        .split_at_checked(HEAD)
        .ok_or_else(|| damaged("a block has no length"))?;
    let length = length.try_into().map(u32::from_le_bytes);
    let length = length.map_err(|_| damaged("a block has no length"))? as usize;
    if length > LARGEST {
        return Err(damaged("a block says that it is larger than any"));
    }
    let json = decompressor
        .decompress(packed, length)
        .map_err(|_| damaged("a block can't be unpacked"))?;
    String::from_utf8(json).map_err(|_| no_objects())
}

fn objects(block: &str) -> io::Result<Vec<&RawValue>> {
    serde_json::from_str(block).map_err(|_| no_objects())
}

fn no_objects() -> io::Error {
    damaged("a block is no list of objects")
}

#[cfg(test)]
mod tests {
    use super::super::parts::Sort;
    use super::*;

    fn chunk(number: usize) -> (Uuid, Fields) {
        let text = format!("{number}: été 五六七八 مرحبا\n").repeat(40 + number * 3);
        let fields = [("text".to_owned(), text.into())].into_iter().collect();
        (Uuid::from_u128(number as u128), fields)
    }

    #[test]
    fn texts_come_back_from_their_blocks() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = PartFiles::of(folder.path(), Sort::Texts);
        let document = DocumentId::of(b"it");
        let chunks: Vec<_> = (0..30).map(chunk).collect();
        write(&files, &document, "r", &chunks).expect("written");
        let ids: Vec<Uuid> = [29, 0, 13, 12, 14, 99].map(Uuid::from_u128).to_vec();
        let found = read(&files, &document, "r", &ids).expect("readable");
        let expected = [29, 0, 13, 12, 14].map(|number| Some(chunk(number).1));
        assert_eq!(found[..5], expected);
        assert_eq!(found[5], None);
        let all: Vec<Uuid> = chunks.iter().map(|(id, _)| *id).collect();
        let found = read(&files, &document, "r", &all).expect("readable");
        assert!(
            found
                .into_iter()
                .flatten()
                .eq(chunks.into_iter().map(|chunk| chunk.1))
        );
        let nothing = read(&files, &document, "other", &all).expect("readable");
        assert!(nothing.iter().all(Option::is_none));
    }

    #[test]
    fn a_damaged_block_is_an_error() {
        let mut block = "[{}".to_owned();
        let first = [Some((0, 0))];
        let whole = packed(&mut block).expect("packed");
        let read = unpack(std::slice::from_ref(&whole), &first).expect("whole");
        assert_eq!(read, [Some(Fields::new())]);
        let mut large = whole.clone();
        large[3] = 255;
        let mut short = whole.clone();
        short[0] = 1;
        let mut block = "[7".to_owned();
        let other = packed(&mut block).expect("packed");
        for damage in [
            large,
            short,
            other,
            whole[..6].to_vec(),
            whole[..2].to_vec(),
        ] {
            let error = unpack(&[damage], &first).expect_err("it is damaged");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
