//! What belongs to chunks and is in no payload, in files beside the engine's.
//!
//! Nothing is ever selected by the text of a chunk or by the codes of its
//! tokens. Within payloads each of them would be found in a text that is
//! compressed on its own, parsed as JSON and, for codes, decoded from base 64,
//! and would be written into the engine's log as well. Here codes are bytes at
//! a known place, and texts are compressed together with their neighbours
//! ([`super::texts`]).
//!
//! Each revision of a document has one file of a [`Sort`],
//! `<folder>/<xx>/<document>-<revision>`, where `xx` are the first digits of
//! the document. It is complete and durable under its name before the first
//! chunk is written, and goes once no commit names its revision; files that a
//! crash has left over are removed when the index is opened.
//!
//! A file is its magic, the number of chunks (4 bytes), for each chunk its id
//! (16 bytes), where its part begins in the file (8 bytes) and how many bytes
//! that is (4 bytes), and then all parts. Neighbouring chunks can share a
//! part. Numbers are little-endian.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use genie_core::{DocumentId, StoreError};
use uuid::Uuid;

use super::disk;

/// What the files of one folder hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    /// The codes of tokens.
    Codes,
    /// Texts and where they stand.
    Texts,
}

impl Sort {
    pub(super) const ALL: [Self; 2] = [Self::Codes, Self::Texts];

    /// The name of the folder beside that of the engine.
    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::Codes => "codes",
            Self::Texts => "texts",
        }
    }

    /// What a file begins with.
    const fn magic(self) -> &'static [u8; MAGIC] {
        match self {
            Self::Codes => b"genie-c1",
            Self::Texts => b"genie-t1",
        }
    }
}

/// Bytes of a magic.
const MAGIC: usize = 8;
/// Bytes before the table of chunks.
const HEAD: usize = MAGIC + 4;
/// Bytes of a chunk in the table.
const ENTRY: usize = 16 + 8 + 4;
/// How the name of a file ends that is not complete.
const PARTIAL: &str = "partial";

/// All files of one sort of an index.
#[derive(Debug)]
pub(super) struct PartFiles {
    folder: PathBuf,
    sort: Sort,
}

/// Some parts, and which of them chunks have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parts {
    /// As they are in the file.
    pub(super) bytes: Vec<Vec<u8>>,
    /// The chunks in their order, or in that of the question, with the number
    /// of their part and their place among the chunks that share it; `None`
    /// where nothing is known of one.
    pub(super) chunks: Vec<Option<(usize, usize)>>,
}

impl PartFiles {
    /// Those of the index in `index`; nothing is looked at yet.
    pub(super) fn of(index: &Path, sort: Sort) -> Self {
        Self {
            folder: index.join(sort.folder()),
            sort,
        }
    }

    /// Writes the parts of a document's chunks, of which each is given with
    /// the number of its part, in the order of these.
    pub(super) fn write(
        &self,
        document: &DocumentId,
        revision: &str,
        chunks: &[(Uuid, usize)],
        parts: &[Vec<u8>],
    ) -> Result<(), StoreError> {
        let path = self.path(document, revision);
        let folder = path.parent().unwrap_or(&self.folder);
        let is_new = !folder.exists();
        fs::create_dir_all(folder).map_err(|source| disk::error(folder, source))?;
        if is_new {
            disk::sync_folder(&self.folder)?;
        }
        let partial = path.with_extension(PARTIAL);
        let written = write_file(&partial, self.sort.magic(), chunks, parts)
            .and_then(|()| fs::rename(&partial, &path));
        written.map_err(|source| {
            // Half a file helps nobody, least of all on a full disk.
            let _ = fs::remove_file(&partial);
            disk::error(&path, source)
        })?;
        disk::sync_folder(folder)
    }

    /// The parts of some chunks of one revision, in the order of the chunks.
    pub(super) fn read(
        &self,
        document: &DocumentId,
        revision: &str,
        chunks: &[Uuid],
    ) -> Result<Parts, StoreError> {
        let path = self.path(document, revision);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            // The revision was replaced since, or has no file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Parts {
                    bytes: Vec::new(),
                    chunks: vec![None; chunks.len()],
                });
            }
            Err(source) => return Err(disk::error(&path, source)),
        };
        read_file(&mut file, self.sort.magic(), chunks)
            .map_err(|source| self.failure(document, revision, source))
    }

    /// What an error of reading one file is to the store.
    pub(super) fn failure(
        &self,
        document: &DocumentId,
        revision: &str,
        source: io::Error,
    ) -> StoreError {
        let path = self.path(document, revision);
        match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => StoreError::Corrupt {
                location: path.display().to_string(),
                reason: source.to_string(),
            },
            _ => disk::error(&path, source),
        }
    }

    /// Removes the files of all revisions of a document but one.
    pub(super) fn forget(
        &self,
        document: &DocumentId,
        but: Option<&str>,
    ) -> Result<(), StoreError> {
        let kept = but.map(|revision| self.path(document, revision));
        let folder = self.folder_of(document);
        let own = document.to_string();
        self.sweep(&folder, |path| {
            name_of(path).starts_with(&own) && kept.as_deref() != Some(path)
        })
    }

    /// Removes all files that are not of one of these revisions, by document
    /// and revision.
    pub(super) fn retain(
        &self,
        is_committed: impl Fn(&str, &str) -> bool,
    ) -> Result<(), StoreError> {
        let folders = match fs::read_dir(&self.folder) {
            Ok(folders) => folders,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(disk::error(&self.folder, source)),
        };
        for folder in folders {
            let folder = folder.map_err(|source| disk::error(&self.folder, source))?;
            self.sweep(&folder.path(), |path| {
                let name = name_of(path).split_once('-');
                !name.is_some_and(|(document, revision)| is_committed(document, revision))
            })?;
        }
        Ok(())
    }

    fn sweep(&self, folder: &Path, goes: impl Fn(&Path) -> bool) -> Result<(), StoreError> {
        let files = match fs::read_dir(folder) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(disk::error(folder, source)),
        };
        for file in files {
            let path = file.map_err(|source| disk::error(folder, source))?.path();
            if goes(&path) {
                fs::remove_file(&path).map_err(|source| disk::error(&path, source))?;
            }
        }
        Ok(())
    }

    fn folder_of(&self, document: &DocumentId) -> PathBuf {
        // Hexadecimal digits, whatever the document is.
        let mut digits = document.to_string();
        digits.truncate(2);
        self.folder.join(digits)
    }

    fn path(&self, document: &DocumentId, revision: &str) -> PathBuf {
        self.folder_of(document)
            .join(format!("{document}-{revision}"))
    }
}

fn name_of(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

fn write_file(
    path: &Path,
    magic: &[u8; MAGIC],
    chunks: &[(Uuid, usize)],
    parts: &[Vec<u8>],
) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let count = u32::try_from(chunks.len()).map_err(io::Error::other)?;
    file.write_all(magic)?;
    file.write_all(&count.to_le_bytes())?;
    let mut start = (HEAD + chunks.len() * ENTRY) as u64;
    let mut places = Vec::with_capacity(parts.len());
    for part in parts {
        let length = u32::try_from(part.len()).map_err(io::Error::other)?;
        places.push((start, length));
        start += u64::from(length);
    }
    for (id, part) in chunks {
        let (start, length) = places[*part];
        file.write_all(id.as_bytes())?;
        file.write_all(&start.to_le_bytes())?;
        file.write_all(&length.to_le_bytes())?;
    }
    for part in parts {
        file.write_all(part)?;
    }
    file.into_inner()?.sync_all()
}

fn read_file(file: &mut File, magic: &[u8; MAGIC], chunks: &[Uuid]) -> io::Result<Parts> {
    let length = file.metadata()?.len();
    let mut head = [0; HEAD];
    file.read_exact(&mut head)?;
    let (found_magic, count) = head.split_at(MAGIC);
    let count = count.try_into().map(u32::from_le_bytes);
    let count = count.map_err(|_| damaged("its head is cut off"))? as usize;
    // Against memory for what a damaged number promises.
    if found_magic != magic || (HEAD + count * ENTRY) as u64 > length {
        return Err(damaged("it does not begin as such a file does"));
    }
    let mut table = vec![0; count * ENTRY];
    file.read_exact(&mut table)?;
    let (entries, _) = table.as_chunks::<ENTRY>();
    // A few chunks of perhaps thousands.
    let mut wanted: Vec<&[u8]> = chunks.iter().map(|id| &id.as_bytes()[..]).collect();
    wanted.sort_unstable();
    let places = entries.iter().enumerate();
    let places = places.filter(|(_, entry)| wanted.binary_search(&&entry[..16]).is_ok());
    let places: HashMap<&[u8], usize> = places.map(|(at, entry)| (&entry[..16], at)).collect();
    let mut found = Parts::default();
    let mut read: HashMap<&[u8], usize> = HashMap::new();
    for id in chunks {
        let Some(&at) = places.get(id.as_bytes().as_slice()) else {
            found.chunks.push(None);
            continue;
        };
        let extent = &entries[at][16..];
        let sharing = entries[..at].iter().rev();
        let place = sharing.take_while(|entry| entry[16..] == *extent).count();
        let part = match read.get(extent) {
            Some(&part) => part,
            None => {
                let (start, size) = (number(&extent[..8]), number(&extent[8..]));
                if start.checked_add(size).is_none_or(|end| end > length) {
                    return Err(damaged("a part ends behind its end"));
                }
                file.seek(SeekFrom::Start(start))?;
                let mut bytes = vec![0; size as usize];
                file.read_exact(&mut bytes)?;
                read.insert(extent, found.bytes.len());
                found.bytes.push(bytes);
                found.bytes.len() - 1
            }
        };
        found.chunks.push(Some((part, place)));
    }
    Ok(found)
}

fn number(little_endian: &[u8]) -> u64 {
    let bytes = little_endian.iter().rev();
    bytes.fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// A file is not as it was written.
pub(super) fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str) -> DocumentId {
        DocumentId::of(name.as_bytes())
    }

    /// Five chunks: the first two share a part, the last is empty.
    fn chunks() -> (Vec<(Uuid, usize)>, Vec<Vec<u8>>) {
        let part = [0, 0, 1, 2, 3];
        let chunk = |number: usize| (Uuid::from_u128(number as u128), part[number]);
        let parts = vec![vec![7; 20], vec![8; 10], vec![9; 30], Vec::new()];
        ((0..5).map(chunk).collect(), parts)
    }

    fn write(files: &PartFiles, document: &DocumentId, revision: &str) {
        let (chunks, parts) = chunks();
        files
            .write(document, revision, &chunks, &parts)
            .expect("written");
    }

    #[test]
    fn parts_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = PartFiles::of(folder.path(), Sort::Codes);
        let a = document("a");
        let ids: Vec<Uuid> = [3, 9, 1, 4, 0].map(Uuid::from_u128).to_vec();
        let nothing = files.read(&a, "r1", &ids).expect("readable");
        assert_eq!(nothing.chunks, [None; 5]);
        write(&files, &a, "r1");
        let found = files.read(&a, "r1", &ids).expect("readable");
        assert_eq!(found.bytes, [vec![9; 30], vec![7; 20], vec![]]);
        let places = [Some((0, 0)), None, Some((1, 1)), Some((2, 0)), Some((1, 0))];
        assert_eq!(found.chunks, places);
    }

    #[test]
    fn only_what_is_asked_for_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = PartFiles::of(folder.path(), Sort::Texts);
        let (a, b) = (document("a"), document("b"));
        for (document, revision) in [(&a, "r1"), (&a, "r2"), (&b, "r1")] {
            write(&files, document, revision);
        }
        let is_there = |document: &DocumentId, revision: &str| {
            let id = [Uuid::from_u128(2)];
            let found = files.read(document, revision, &id).expect("readable");
            found.chunks[0].is_some()
        };
        files.forget(&a, Some("r2")).expect("removed");
        assert!(!is_there(&a, "r1") && is_there(&a, "r2") && is_there(&b, "r1"));
        let unfinished = files.path(&b, "r9").with_extension(PARTIAL);
        fs::write(&unfinished, b"half").expect("written");
        let b_name = b.to_string();
        files
            .retain(|document, revision| document == b_name && revision == "r1")
            .expect("removed");
        assert!(!is_there(&a, "r2") && is_there(&b, "r1") && !unfinished.exists());
        files.forget(&b, None).expect("removed");
        assert!(!is_there(&b, "r1"));
        files.forget(&b, None).expect("nothing to remove");
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = PartFiles::of(folder.path(), Sort::Codes);
        let a = document("a");
        write(&files, &a, "r");
        let path = files.path(&a, "r");
        let whole = fs::read(&path).expect("readable");
        let id = [Uuid::from_u128(3)];
        let mut far = whole.clone();
        far[HEAD + 3 * ENTRY + 20] = 1;
        let mut many = whole.clone();
        many[MAGIC + 3] = 255;
        let mut other = whole.clone();
        other[..MAGIC].copy_from_slice(Sort::Texts.magic());
        let cut = whole[..whole.len() - 1].to_vec();
        for damage in [far, many, other, cut, whole[..5].to_vec(), vec![0; 200]] {
            fs::write(&path, &damage).expect("written");
            let error = files.read(&a, "r", &id).expect_err("it is damaged");
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
            assert!(error.to_string().contains(&a.to_string()), "{error}");
        }
    }
}
