//! A model from a file that somebody brought.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use genie_core::ContentHash;

use super::pull::verify_files;
use super::{InstalledModel, ModelStore, NEVER, Verified};
use crate::ModelName;
use crate::digest;
use crate::error::{Action, FatalError, ModelError, SourceError, Stop, on_disk};
use crate::fetch::{convert_packed, link_or_copy};
use crate::gguf::{self, GgufError};
use crate::progress::{PullEvent, PullProgress, Watch};
use crate::registry::{FileName, ModelEntry, PackageForm, PackageSource, Source};

/// What became of an imported file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// The model is complete and installed.
    Installed(Box<InstalledModel>),
    /// The file was taken, but the model needs more of them.
    Waiting {
        /// The model.
        name: ModelName,
        /// The files that are still missing.
        missing: Vec<FileName>,
    },
}

/// What a file is to the registry.
enum Known<'r> {
    File(&'r ModelEntry, FileName),
    Packed(&'r ModelEntry),
}

impl ModelStore {
    /// Installs a model from a local file, recognised by its SHA-256.
    ///
    /// The file itself stays where it is. A model of several files is
    /// installed when the last of them is imported.
    ///
    /// # Errors
    ///
    /// Names the hash of a file that the registry does not know, and says of
    /// a GGUF file that is cut off that it is.
    pub fn import(&self, path: &Path, progress: &dyn PullProgress) -> Result<Imported, ModelError> {
        let io = |source| ModelError::Io {
            path: path.to_owned(),
            action: Action::Read,
            source,
        };
        let mut file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            return Err(io(std::io::ErrorKind::IsADirectory.into()));
        }
        // Checked before gigabytes are hashed.
        match gguf::check_length(&mut file) {
            Ok(_) | Err(GgufError::Magic) => {}
            Err(GgufError::Cut { found, .. }) if found < 8 => {}
            Err(source) => {
                return Err(ModelError::BadGguf {
                    path: path.to_owned(),
                    source,
                });
            }
        }
        drop(file);
        let (mut done, total) = (0, metadata.len());
        let sha256 = digest::of_file(path, &mut |bytes| {
            done += bytes;
            progress.event(PullEvent::Hashed { done, total });
            Ok(())
        })
        .map_err(|error| match error {
            FatalError::Io { source, .. } => io(source),
            FatalError::Cancelled | FatalError::DiskFull { .. } => {
                io(std::io::ErrorKind::Other.into())
            }
        })?;
        let known = self
            .recognise(sha256)
            .ok_or_else(|| ModelError::UnknownFile {
                path: path.to_owned(),
                sha256,
            })?;
        let entry = match known {
            Known::File(entry, _) | Known::Packed(entry) => entry,
        };
        if let Ok(installed) = self.locate(&entry.name) {
            return Ok(Imported::Installed(Box::new(installed)));
        }
        fs::create_dir_all(&self.folder).map_err(io)?;
        let watch = Watch::new(progress, &NEVER);
        let missing = self
            .locked(&entry.name, &mut || Ok(()), &mut || {
                let result = self.take_in(path, &known, entry, &watch);
                if matches!(result, Err(FatalError::DiskFull { .. })) {
                    let _ = fs::remove_dir_all(self.partial(&entry.name));
                }
                result
            })
            .map_err(|error| self.fatal(error, &entry.name))?;
        if missing.is_empty() {
            progress.event(PullEvent::Installed { name: &entry.name });
            Ok(Imported::Installed(Box::new(self.locate(&entry.name)?)))
        } else {
            Ok(Imported::Waiting {
                name: entry.name.clone(),
                missing,
            })
        }
    }

    fn recognise(&self, sha256: ContentHash) -> Option<Known<'_>> {
        self.registry.models().find_map(|entry| {
            let file = entry
                .files
                .iter()
                .find(|file| file.sha256 == Some(sha256))
                .map(|file| Known::File(entry, file.name));
            file.or_else(|| {
                let packed = entry.sources.iter().any(|source| {
                    matches!(
                        source,
                        Source::Packages(PackageSource {
                            form: PackageForm::PackedEncoder { sha256: packed, .. },
                            ..
                        }) if *packed == sha256
                    )
                });
                packed.then_some(Known::Packed(entry))
            })
        })
    }

    /// Takes a recognised file in; returns what is still missing.
    fn take_in(
        &self,
        path: &Path,
        known: &Known<'_>,
        entry: &ModelEntry,
        watch: &Watch<'_>,
    ) -> Result<Vec<FileName>, FatalError> {
        let folder = self.partial(&entry.name).join("import");
        fs::create_dir_all(&folder).map_err(on_disk(&folder, Action::Write))?;
        let files: Vec<(FileName, PathBuf)> = match known {
            Known::Packed(_) => {
                watch.event(PullEvent::Converting);
                convert_packed(path, &folder, entry.name.as_str())
                    .map_err(|stop| not_ours(stop, path))?
            }
            Known::File(_, name) => {
                link_or_copy(path, &folder.join(name.as_str()))
                    .map_err(on_disk(&folder, Action::Write))?;
                entry
                    .files
                    .iter()
                    .map(|file| (file.name, folder.join(file.name.as_str())))
                    .collect()
            }
        };
        let missing: Vec<FileName> = files
            .iter()
            .filter(|(_, path)| !path.exists())
            .map(|(name, _)| *name)
            .collect();
        if missing.is_empty() {
            let files = verify_files(entry, files, watch).map_err(|stop| not_ours(stop, path))?;
            let verified = Verified {
                source: "import".to_owned(),
                files,
            };
            self.commit(entry, &verified)?;
        }
        Ok(missing)
    }
}

/// A recognised file that turns out otherwise changed while it was read.
fn not_ours(stop: Stop, path: &Path) -> FatalError {
    match stop {
        Stop::Fatal(error) => error,
        Stop::Source(error) => FatalError::Io {
            path: match &error {
                SourceError::NoFile { path } => path.clone(),
                _ => path.to_owned(),
            },
            action: Action::Read,
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, error),
        },
    }
}
