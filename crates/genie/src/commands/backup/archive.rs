//! The archive as a file, with every byte of it hashed on its way.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};
use tar::{Archive, Builder, EntryType, Header};
use walkdir::WalkDir;

use super::manifest::{Entry, MANIFEST, Manifest, is_safe};
use super::{Placing, folder_of};
use crate::interrupt;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 18;
/// The manifest of an archive of millions of files has this many bytes.
const LONGEST_MANIFEST: u64 = 1 << 30;

/// An archive that is being written. It appears under its name once it is
/// whole.
pub(super) struct Writer {
    tar: Builder<BufWriter<File>>,
    part: PathBuf,
    file: PathBuf,
}

impl Writer {
    pub(super) fn create(file: &Path) -> anyhow::Result<Self> {
        let mut name = file.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        // It holds what the state and config.toml hold.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let open = options
            .open(&part)
            .with_context(|| format!("{} can't be written", part.display()))?;
        Ok(Self {
            tar: Builder::new(BufWriter::new(open)),
            part,
            file: file.to_owned(),
        })
    }

    /// Adds a file that nobody writes to.
    pub(super) fn add(
        &mut self,
        from: &Path,
        path: &str,
        manifest: &mut Manifest,
    ) -> anyhow::Result<()> {
        interrupt::check()?;
        let open = File::open(from).with_context(|| format!("{} can't be read", from.display()))?;
        let bytes = open.metadata()?.len();
        let mut hashed = Hashed::of(BufReader::new(open));
        self.append(path, bytes, &mut hashed)
            .with_context(|| format!("{} can't be copied", from.display()))?;
        if hashed.bytes != bytes {
            bail!("{} changed while it was copied", from.display());
        }
        manifest.files.push(Entry {
            path: path.to_owned(),
            bytes,
            sha256: hashed.digest(),
        });
        Ok(())
    }

    /// Adds every file below a folder, if there is one. What goes meanwhile
    /// is left out: uploads end with their jobs.
    pub(super) fn add_folder(
        &mut self,
        from: &Path,
        path: &str,
        manifest: &mut Manifest,
    ) -> anyhow::Result<()> {
        if !from.exists() {
            return Ok(());
        }
        for entry in WalkDir::new(from).sort_by_file_name() {
            let entry = match entry {
                Err(error) if gone(&error) => continue,
                other => other.with_context(|| format!("{} can't be read", from.display()))?,
            };
            if !entry.file_type().is_file() {
                continue;
            }
            let below = entry.path().strip_prefix(from)?;
            let below = below
                .to_str()
                .with_context(|| format!("{} has no name in Unicode", below.display()))?;
            let below = below.replace(std::path::MAIN_SEPARATOR, "/");
            match self.add(entry.path(), &format!("{path}/{below}"), manifest) {
                Err(_) if !entry.path().exists() => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn append(&mut self, path: &str, bytes: u64, from: impl Read) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_entry_type(EntryType::Regular);
        self.tar.append_data(&mut header, path, from.take(bytes))
    }

    /// Ends the archive and gives it its name.
    pub(super) fn finish(mut self, manifest: &Manifest) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(manifest)?;
        let unwritable = format!("{} can't be written", self.file.display());
        self.append(MANIFEST, text.len() as u64, text.as_slice())
            .and_then(|()| self.tar.finish())
            .and_then(|()| self.tar.get_mut().flush())
            .and_then(|()| self.tar.get_ref().get_ref().sync_all())
            // Unlike a rename, this fails where the name was taken meanwhile.
            .and_then(|()| fs::hard_link(&self.part, &self.file))
            .with_context(|| unwritable.clone())?;
        let folder = folder_of(&self.file);
        sync(folder).context(unwritable)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Either it has its name by now, or it is not whole.
        if let Err(error) = fs::remove_file(&self.part) {
            tracing::debug!(%error, "the part of a backup could not be removed");
        }
    }
}

fn gone(error: &walkdir::Error) -> bool {
    error
        .io_error()
        .is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// An archive that is being read.
pub(super) struct Reader {
    tar: Archive<BufReader<File>>,
    shown: String,
}

impl Reader {
    pub(super) fn open(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display().to_string();
        let open = File::open(file).with_context(|| format!("{shown} can't be read"))?;
        Ok(Self {
            tar: Archive::new(BufReader::new(open)),
            shown,
        })
    }

    /// Reads all of it, writes what `place` gives a place to, and compares
    /// everything with the manifest.
    pub(super) fn read(mut self, place: &mut Placing<'_>) -> anyhow::Result<Manifest> {
        let shown = &self.shown;
        let no_backup = || format!("{shown} is no whole backup");
        let mut found = Vec::new();
        let mut manifest: Option<Manifest> = None;
        for entry in self.tar.entries().with_context(no_backup)? {
            interrupt::check()?;
            let mut entry = entry.with_context(no_backup)?;
            let path = entry
                .path()
                .with_context(no_backup)?
                .to_str()
                .map(str::to_owned)
                .with_context(no_backup)?;
            if manifest.is_some() || entry.header().entry_type() != EntryType::Regular {
                bail!("{shown} is no backup: {path:?} does not belong there");
            }
            if path == MANIFEST {
                let mut text = Vec::new();
                (&mut entry)
                    .take(LONGEST_MANIFEST)
                    .read_to_end(&mut text)
                    .with_context(no_backup)?;
                manifest = Some(serde_json::from_slice(&text).with_context(no_backup)?);
                continue;
            }
            if !is_safe(&path) {
                bail!("{shown} is no backup: {path:?} does not belong there");
            }
            let mut hashed = Hashed::of(&mut entry);
            match place(&path) {
                Some(target) => write(&mut hashed, &target)?,
                None => {
                    io::copy(&mut hashed, &mut io::sink()).with_context(no_backup)?;
                }
            }
            found.push(Entry {
                path,
                bytes: hashed.bytes,
                sha256: hashed.digest(),
            });
        }
        let manifest = manifest.with_context(|| {
            format!("{shown} is no whole backup: its end with the manifest is missing")
        })?;
        if !manifest.is_known() {
            bail!(
                "{shown} has format {}, which this program does not know; use genie {}",
                manifest.format,
                manifest.program
            );
        }
        compare(shown, &manifest.files, &found)?;
        Ok(manifest)
    }
}

fn compare(shown: &str, listed: &[Entry], found: &[Entry]) -> anyhow::Result<()> {
    for (listed, found) in listed.iter().zip(found) {
        if listed != found {
            bail!(
                "{shown} is damaged: {} is not what was backed up (its SHA-256 or its place differ)",
                found.path
            );
        }
    }
    if listed.len() != found.len() {
        bail!(
            "{shown} is damaged: it has {} files and lists {}",
            found.len(),
            listed.len()
        );
    }
    Ok(())
}

fn write(from: &mut impl Read, target: &Path) -> anyhow::Result<()> {
    let unwritable = || format!("{} can't be written", target.display());
    if let Some(folder) = target.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).with_context(unwritable)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut open = options.open(target).with_context(unwritable)?;
    let mut piece = vec![0; PIECE];
    loop {
        interrupt::check()?;
        let read = from.read(&mut piece).context("the backup can't be read")?;
        if read == 0 {
            break;
        }
        open.write_all(&piece[..read]).with_context(unwritable)?;
    }
    open.sync_all().with_context(unwritable)
}

/// Makes names in a folder durable.
pub(super) fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Hashes and counts what is read through it.
struct Hashed<R> {
    from: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> Hashed<R> {
    fn of(from: R) -> Self {
        Self {
            from,
            hasher: Sha256::new(),
            bytes: 0,
        }
    }

    fn digest(self) -> String {
        let digest: [u8; 32] = self.hasher.finalize().into();
        genie_core::ContentHash::from_bytes(digest).to_string()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.hasher.update(&into[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
