//! Files of the index in process.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use genie_core::StoreError;

/// What an error of the file at `path` is to the store.
pub(crate) fn error(path: &Path, source: io::Error) -> StoreError {
    let location = path.display().to_string();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::DiskFull { location }
        }
        _ => StoreError::Io { location, source },
    }
}

/// Makes sure that the disk of `folder` has `bytes` left.
///
/// The engine writes through memory maps of sparse files. Where the disk has
/// no block left for such a write the system kills the process, and no error
/// could be returned; so the space is looked for beforehand.
pub(crate) fn reserve(folder: &Path, bytes: u64) -> Result<(), StoreError> {
    let available = fs4::available_space(folder).map_err(|source| error(folder, source))?;
    if available < bytes {
        tracing::debug!(available, bytes, "too little space for a write");
        return Err(StoreError::DiskFull {
            location: folder.display().to_string(),
        });
    }
    Ok(())
}

/// Writes a file so that it has either its old or its new content, also after
/// a crash.
pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let partial = path.with_extension("partial");
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    written
        .and_then(|()| fs::rename(&partial, path))
        .map_err(|source| {
            // Half a file helps nobody, least of all on a full disk.
            let _ = fs::remove_file(&partial);
            error(path, source)
        })?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    // Only Unix lets a folder be opened and synced.
    if cfg!(unix) {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| error(folder, source))?;
    }
    Ok(())
}

/// Removes a folder with all in it, where there is one.
pub(crate) fn remove_folder(folder: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(error(folder, source)),
        _ => Ok(()),
    }
}

/// Copies a folder with all in it. Holes stay holes: the engine's files are
/// mostly those, and would take hundreds of megabytes when filled.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<(), StoreError> {
    reproduce(from, to, &|_| true, &copy_file)
}

/// The same without what has this name in it.
pub(crate) fn copy_folder_but(from: &Path, to: &Path, but: &str) -> Result<(), StoreError> {
    reproduce(from, to, &|path| path != from.join(but), &copy_file)
}

/// Gives all files of a folder a second name in another one. Where a disk
/// lets files have one name only they are copied.
pub(crate) fn link_folder(from: &Path, to: &Path) -> Result<(), StoreError> {
    reproduce(from, to, &|_| true, &|from, to| {
        fs::hard_link(from, to).or_else(|_| copy_file(from, to))
    })
}

fn reproduce(
    from: &Path,
    to: &Path,
    takes: &dyn Fn(&Path) -> bool,
    file: &dyn Fn(&Path, &Path) -> io::Result<()>,
) -> Result<(), StoreError> {
    fs::create_dir_all(to).map_err(|source| error(to, source))?;
    let entries = fs::read_dir(from).map_err(|source| error(from, source))?;
    for entry in entries {
        let entry = entry.map_err(|source| error(from, source))?;
        let path = entry.path();
        if !takes(&path) {
            continue;
        }
        let target = to.join(entry.file_name());
        let kind = entry.file_type().map_err(|source| error(&path, source))?;
        if kind.is_dir() {
            reproduce(&path, &target, takes, file)?;
        } else {
            file(&path, &target).map_err(|source| error(&target, source))?;
        }
    }
    sync_folder(to)
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    let mut target = File::create(to)?;
    let mut block = vec![0_u8; 64 * 1024];
    let mut length = 0_u64;
    loop {
        let read = source.read(&mut block)?;
        if read == 0 {
            break;
        }
        if block[..read].iter().any(|byte| *byte != 0) {
            target.seek(SeekFrom::Start(length))?;
            target.write_all(&block[..read])?;
        }
        length += read as u64;
    }
    target.set_len(length)?;
    target.sync_all()
}

/// The bytes that a folder takes on the disk, holes not counted where the
/// system tells.
pub(crate) fn size_of_folder(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size_of_folder(&entry.path()),
            Ok(metadata) => blocks(&metadata),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(unix)]
fn blocks(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;

    // POSIX counts in units of 512 bytes, whatever the disk uses.
    metadata.blocks() * 512
}

#[cfg(not(unix))]
fn blocks(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}
