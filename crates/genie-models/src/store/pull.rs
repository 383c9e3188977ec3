//! A model from the first source that gives it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::record::{self, InstalledFile};
use super::{InstalledModel, ModelStore, Verified, folder_bytes};
use crate::ModelName;
use crate::digest;
use crate::error::{Action, FatalError, ModelError, SourceError, Stop, on_disk};
use crate::fetch::{self, Work};
use crate::gguf;
use crate::progress::{PullEvent, PullProgress, Watch};
use crate::registry::{FileName, ModelEntry};

/// What to do with a file whose hash the registry does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unpinned {
    /// Refuse it.
    #[default]
    Refuse,
    /// Take it as it comes; its hash is recorded and holds from then on.
    Accept,
}

/// How to pull.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PullOptions {
    /// What to do with a file whose hash the registry does not know.
    pub unpinned: Unpinned,
}

enum Outcome {
    Installed,
    Failed(Vec<(&'static str, SourceError)>),
}

impl ModelStore {
    /// Fetches, verifies and installs a model, unless it is installed.
    ///
    /// Sources are tried in the registry's order. What a broken-off pull left
    /// is taken up. While another process pulls the same model, this one
    /// waits and then finds it installed. Raising `cancel` ends the pull soon
    /// and keeps what came so far.
    ///
    /// # Errors
    ///
    /// One sentence each for a wrong hash, a full disk, a missing network and
    /// so on. Nothing that was not verified ever gets the model's place.
    pub fn pull(
        &self,
        name: &ModelName,
        options: PullOptions,
        progress: &dyn PullProgress,
        cancel: &AtomicBool,
    ) -> Result<InstalledModel, ModelError> {
        let entry = self.entry(name)?;
        if let Ok(installed) = self.locate(name) {
            return Ok(installed);
        }
        if !entry.is_pinned() && options.unpinned == Unpinned::Refuse {
            return Err(ModelError::Unpinned { name: name.clone() });
        }
        fs::create_dir_all(&self.folder).map_err(|source| ModelError::Io {
            path: self.folder.clone(),
            action: Action::Write,
            source,
        })?;
        let watch = Watch::new(progress, cancel);
        let mut told = false;
        let outcome = self
            .locked(
                name,
                &mut || {
                    if !std::mem::replace(&mut told, true) {
                        watch.event(PullEvent::Waiting { name });
                    }
                    watch.check()
                },
                &mut || {
                    if self.locate(name).is_ok() {
                        return Ok(Outcome::Installed);
                    }
                    self.try_sources(entry, &watch)
                },
            )
            .map_err(|error| self.fatal(error, name))?;
        match outcome {
            Outcome::Installed => {
                watch.event(PullEvent::Installed { name });
                self.locate(name)
            }
            Outcome::Failed(attempts) => Err(ModelError::NoSource {
                name: name.clone(),
                attempts,
            }),
        }
    }

    fn try_sources(&self, entry: &ModelEntry, watch: &Watch<'_>) -> Result<Outcome, FatalError> {
        let partial = self.partial(&entry.name);
        let mut attempts = Vec::new();
        for (number, source) in entry.sources.iter().enumerate() {
            let kind = source.kind();
            let folder = partial.join(format!("{number}-{kind}"));
            self.make_room(fetch::room_needed(source, entry), &folder)?;
            watch.event(PullEvent::Source { kind });
            let work = Work {
                client: &self.client,
                entry,
                folder: &folder,
                watch,
            };
            let verified = fetch::fetch(source, &work)
                .and_then(|files| verify_files(entry, files, watch))
                .map(|files| Verified {
                    source: kind.to_owned(),
                    files,
                });
            match verified {
                Ok(verified) => {
                    self.commit(entry, &verified)?;
                    return Ok(Outcome::Installed);
                }
                Err(Stop::Fatal(error)) => {
                    if matches!(error, FatalError::DiskFull { .. }) {
                        // Half a model on a full disk is in everybody's way.
                        let _ = fs::remove_dir_all(&partial);
                    }
                    return Err(error);
                }
                Err(Stop::Source(error)) => {
                    if !may_resume(&error) {
                        let _ = fs::remove_dir_all(&folder);
                    }
                    // Succeeds only where nothing came.
                    let _ = fs::remove_dir(&folder);
                    watch.event(PullEvent::SourceFailed {
                        kind,
                        error: &error,
                    });
                    attempts.push((kind, error));
                }
            }
        }
        Ok(Outcome::Failed(attempts))
    }

    /// Fails where the disk has less room than a source needs.
    fn make_room(&self, needed: u64, folder: &Path) -> Result<(), FatalError> {
        let needed = needed.saturating_sub(folder_bytes(folder));
        let available =
            fs4::available_space(&self.folder).map_err(on_disk(&self.folder, Action::Read))?;
        if available < needed {
            return Err(FatalError::DiskFull { needed });
        }
        Ok(())
    }
}

/// Whether what a failed source left can be of use to the next run.
fn may_resume(error: &SourceError) -> bool {
    matches!(
        error,
        SourceError::Unreachable { .. }
            | SourceError::Interrupted { .. }
            | SourceError::Status { .. }
    )
}

/// Hashes files and compares them with the registry.
pub(super) fn verify_files(
    entry: &ModelEntry,
    files: Vec<(FileName, PathBuf)>,
    watch: &Watch<'_>,
) -> Result<Vec<(PathBuf, InstalledFile)>, Stop> {
    let mut sizes = Vec::new();
    for (_, path) in &files {
        sizes.push(fs::metadata(path).map_err(on_disk(path, Action::Read))?);
    }
    let total = sizes.iter().map(fs::Metadata::len).sum();
    let mut done = 0;
    let mut verified = Vec::new();
    for ((name, path), metadata) in files.into_iter().zip(sizes) {
        let found = digest::of_file(&path, &mut |bytes| {
            watch.check()?;
            done += bytes;
            watch.event(PullEvent::Hashed { done, total });
            Ok(())
        })?;
        let expected = entry.file(name).and_then(|file| file.sha256);
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            return Err(SourceError::WrongHash {
                what: name.to_string(),
                expected,
                found,
            }
            .into());
        }
        if expected.is_none() && name == FileName::Gguf {
            let file = fs::File::open(&path).map_err(on_disk(&path, Action::Read))?;
            gguf::check_length(file).map_err(SourceError::Gguf)?;
        }
        let file = InstalledFile {
            name,
            size: metadata.len(),
            sha256: found.to_string(),
            pinned: expected.is_some(),
            modified: record::modified(&metadata),
        };
        verified.push((path, file));
    }
    Ok(verified)
}
