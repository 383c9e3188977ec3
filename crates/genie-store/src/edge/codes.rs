//! The codes of tokens, in files of their own beside the engine's.
//!
//! A question is compared with the codes of a hundred chunks. Within payloads
//! each of them would be found in a compressed text, parsed as JSON and
//! decoded from base 64; here they are bytes at a known place.
//!
//! Each revision of a document has one file, `codes/<xx>/<document>-<revision>`,
//! where `xx` are the first digits of the document. It is complete and durable
//! under its name before the first chunk is written, and goes once no commit
//! names its revision; files that a crash has left over are removed when the
//! index is opened.
//!
//! A file is [`MAGIC`], the number of chunks (4 bytes), for each chunk its id
//! (16 bytes), where its codes begin in the file (8 bytes) and how many bytes
//! they are (4 bytes), and then all codes. Numbers are little-endian.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use genie_core::{DocumentId, StoreError};
use uuid::Uuid;

use super::disk;

/// The name of the folder beside that of the engine.
pub(super) const FOLDER: &str = "codes";
/// What a file begins with.
const MAGIC: &[u8; 8] = b"genie-c1";
/// Bytes before the table of chunks.
const HEAD: usize = MAGIC.len() + 4;
/// Bytes of a chunk in the table.
const ENTRY: usize = 16 + 8 + 4;
/// How the name of a file ends that is not complete.
const PARTIAL: &str = "partial";

/// All code files of an index.
#[derive(Debug)]
pub(super) struct CodeFiles {
    folder: PathBuf,
}

impl CodeFiles {
    /// Those of the index in `index`; nothing is looked at yet.
    pub(super) fn of(index: &Path) -> Self {
        Self {
            folder: index.join(FOLDER),
        }
    }

    /// Writes the codes of a document's chunks. Without any codes there is no
    /// file.
    pub(super) fn write(
        &self,
        document: &DocumentId,
        revision: &str,
        chunks: &[(Uuid, Vec<u8>)],
    ) -> Result<(), StoreError> {
        if chunks.iter().all(|(_, codes)| codes.is_empty()) {
            return Ok(());
        }
        let path = self.path(document, revision);
        let folder = path.parent().unwrap_or(&self.folder);
        let is_new = !folder.exists();
        fs::create_dir_all(folder).map_err(|source| disk::error(folder, source))?;
        if is_new {
            disk::sync_folder(&self.folder)?;
        }
        let partial = path.with_extension(PARTIAL);
        let written = write_file(&partial, chunks).and_then(|()| fs::rename(&partial, &path));
        written.map_err(|source| {
            // Half a file helps nobody, least of all on a full disk.
            let _ = fs::remove_file(&partial);
            disk::error(&path, source)
        })?;
        disk::sync_folder(folder)
    }

    /// The codes of some chunks of one revision, in their order; empty where
    /// there are none.
    pub(super) fn read(
        &self,
        document: &DocumentId,
        revision: &str,
        chunks: &[Uuid],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let path = self.path(document, revision);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            // The revision was replaced since, or has no codes.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(vec![Vec::new(); chunks.len()]);
            }
            Err(source) => return Err(disk::error(&path, source)),
        };
        read_file(&mut file, chunks).map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => StoreError::Corrupt {
                location: path.display().to_string(),
                reason: source.to_string(),
            },
            _ => disk::error(&path, source),
        })
    }

    /// Removes the codes of all revisions of a document but one.
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

fn write_file(path: &Path, chunks: &[(Uuid, Vec<u8>)]) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let count = u32::try_from(chunks.len()).map_err(io::Error::other)?;
    file.write_all(MAGIC)?;
    file.write_all(&count.to_le_bytes())?;
    let mut start = (HEAD + chunks.len() * ENTRY) as u64;
    for (id, codes) in chunks {
        let length = u32::try_from(codes.len()).map_err(io::Error::other)?;
        file.write_all(id.as_bytes())?;
        file.write_all(&start.to_le_bytes())?;
        file.write_all(&length.to_le_bytes())?;
        start += u64::from(length);
    }
    for (_, codes) in chunks {
        file.write_all(codes)?;
    }
    file.into_inner()?.sync_all()
}

fn read_file(file: &mut File, chunks: &[Uuid]) -> io::Result<Vec<Vec<u8>>> {
    let length = file.metadata()?.len();
    let mut head = [0; HEAD];
    file.read_exact(&mut head)?;
    let (magic, count) = head.split_at(MAGIC.len());
    let count = count.try_into().map(u32::from_le_bytes);
    let count = count.map_err(|_| damaged("its head is cut off"))? as usize;
    // Against memory for what a damaged number promises.
    if magic != MAGIC || (HEAD + count * ENTRY) as u64 > length {
        return Err(damaged("it does not begin as a file of codes does"));
    }
    let mut table = vec![0; count * ENTRY];
    file.read_exact(&mut table)?;
    let (entries, _) = table.as_chunks::<ENTRY>();
    let mut found = Vec::with_capacity(chunks.len());
    for id in chunks {
        let Some(entry) = entries.iter().find(|entry| entry[..16] == *id.as_bytes()) else {
            found.push(Vec::new());
            continue;
        };
        let number = |from: usize, bytes: usize| {
            let bytes = entry[from..from + bytes].iter().rev();
            bytes.fold(0_u64, |number, &byte| number << 8 | u64::from(byte))
        };
        let (start, size) = (number(16, 8), number(24, 4));
        if start.checked_add(size).is_none_or(|end| end > length) {
            return Err(damaged("codes end behind its end"));
        }
        file.seek(SeekFrom::Start(start))?;
        let mut codes = vec![0; size as usize];
        file.read_exact(&mut codes)?;
        found.push(codes);
    }
    Ok(found)
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(name: &str) -> DocumentId {
        DocumentId::of(name.as_bytes())
    }

    fn chunks() -> Vec<(Uuid, Vec<u8>)> {
        let chunk = |number: u8| {
            let codes = vec![number; usize::from(number) * 10];
            (Uuid::from_u128(u128::from(number)), codes)
        };
        (0..5).map(chunk).collect()
    }

    #[test]
    fn codes_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = CodeFiles::of(folder.path());
        let (a, b) = (document("a"), document("b"));
        let ids: Vec<Uuid> = [3, 9, 0, 1].map(Uuid::from_u128).to_vec();
        let none = vec![Vec::<u8>::new(); 4];
        assert_eq!(files.read(&a, "r1", &ids).expect("readable"), none);
        files.write(&a, "r1", &chunks()).expect("written");
        files.write(&b, "r1", &chunks()[..1]).expect("written");
        let found = files.read(&a, "r1", &ids).expect("readable");
        assert_eq!(found, [vec![3; 30], vec![], vec![], vec![1; 10]]);
        // Without any codes there is nothing to write.
        assert_eq!(files.read(&b, "r1", &ids).expect("readable"), none);
        assert!(!files.path(&b, "r1").exists());
    }

    #[test]
    fn only_what_is_asked_for_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = CodeFiles::of(folder.path());
        let (a, b) = (document("a"), document("b"));
        for (document, revision) in [(&a, "r1"), (&a, "r2"), (&b, "r1")] {
            files.write(document, revision, &chunks()).expect("written");
        }
        let is_there = |document: &DocumentId, revision: &str| {
            let id = [Uuid::from_u128(2)];
            let found = files.read(document, revision, &id).expect("readable");
            !found[0].is_empty()
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
        let files = CodeFiles::of(folder.path());
        let a = document("a");
        files.write(&a, "r", &chunks()).expect("written");
        let path = files.path(&a, "r");
        let whole = fs::read(&path).expect("readable");
        let id = [Uuid::from_u128(4)];
        let mut far = whole.clone();
        far[HEAD + 4 * ENTRY + 20] = 1;
        let mut many = whole.clone();
        many[MAGIC.len() + 3] = 255;
        let cut = whole[..whole.len() - 1].to_vec();
        for damage in [far, many, cut, whole[..5].to_vec(), vec![0; 200]] {
            fs::write(&path, &damage).expect("written");
            let error = files.read(&a, "r", &id).expect_err("it is damaged");
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
            assert!(error.to_string().contains(&a.to_string()), "{error}");
        }
    }
}
