//! The folder of installed models.
//!
//! ```text
//! GENIE_MODELS/
//!   multilingual-e5-small/    appears by one rename, whole
//!     model.gguf
//!     tokenizer.json
//!     installed.json
//!   .partial/                 work under way, and what a broken run left
//! ```

mod import;
mod lock;
mod pull;
mod record;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use genie_core::ContentHash;

pub use import::Imported;
pub use pull::{PullOptions, Unpinned};

use crate::ModelName;
use crate::digest;
use crate::error::{Action, Damage, FatalError, ModelError, SettingsError, on_disk};
use crate::fetch::Client;
use crate::progress::{PullEvent, PullProgress};
use crate::registry::{FileName, ModelEntry, Registry};
use crate::settings::NetworkSettings;
use lock::ModelLock;
use record::{InstalledFile, Record};

/// The models on this machine, and the way to more of them.
///
/// Safe to use from several processes at once on the same folder.
pub struct ModelStore {
    folder: PathBuf,
    registry: Registry,
    client: Client,
}

/// A model that is ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledModel {
    /// What the registry says of it.
    pub entry: ModelEntry,
    /// Its folder.
    pub folder: PathBuf,
    /// Its weights, `model.gguf` or `model.safetensors`.
    pub weights: PathBuf,
    /// `tokenizer.json`, unless the weights' file holds the tokenizer.
    pub tokenizer: Option<PathBuf>,
    /// `config.json`, unless the weights' file holds the configuration.
    pub config: Option<PathBuf>,
    /// SHA-256 of the weights.
    pub hash: ContentHash,
}

/// A model of the registry and how it stands on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelStatus {
    /// What the registry says of it.
    pub entry: ModelEntry,
    /// How it stands.
    pub state: ModelState,
}

/// How a model stands on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelState {
    /// It is installed and takes this many bytes.
    Installed {
        /// Bytes of its files.
        bytes: u64,
    },
    /// It is in its place, but not as it was installed.
    Damaged,
    /// A pull was broken off and will go on.
    Partial {
        /// Bytes that are there.
        bytes: u64,
    },
    /// It is not there.
    Absent,
}

impl ModelStore {
    /// The store in this folder, which need not exist yet.
    ///
    /// # Errors
    ///
    /// Fails where the network settings name certificates or a proxy that
    /// can't be used.
    pub fn open(
        folder: PathBuf,
        registry: Registry,
        settings: NetworkSettings,
    ) -> Result<Self, SettingsError> {
        Ok(Self {
            folder,
            registry,
            client: Client::new(settings)?,
        })
    }

    /// The registry.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The folder of all models.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every model of the registry with its state. Reads no file of weights.
    #[must_use]
    pub fn list(&self) -> Vec<ModelStatus> {
        self.registry
            .models()
            .map(|entry| ModelStatus {
                entry: entry.clone(),
                state: self.state(entry),
            })
            .collect()
    }

    /// An installed model's files.
    ///
    /// Cheap: looks at lengths and times only. A file that was touched since
    /// it was installed is hashed again.
    ///
    /// # Errors
    ///
    /// Says whether it is unknown, absent or damaged, and what to do.
    pub fn locate(&self, name: &ModelName) -> Result<InstalledModel, ModelError> {
        let entry = self.entry(name)?;
        let folder = self.folder.join(name);
        let mut record =
            Record::read(&folder).ok_or_else(|| ModelError::NotInstalled { name: name.clone() })?;
        let mut touched = false;
        for file in &mut record.files {
            touched |= check_file(entry, &folder, file)?;
        }
        if touched {
            // Where this can't be written, the next start hashes again.
            let _ = record.write(&folder);
        }
        installed(entry, &folder, &record)
    }

    /// Hashes every file of an installed model.
    ///
    /// # Errors
    ///
    /// As [`ModelStore::locate`], and names a file whose hash is another.
    pub fn verify(
        &self,
        name: &ModelName,
        progress: &dyn PullProgress,
    ) -> Result<InstalledModel, ModelError> {
        let located = self.locate(name)?;
        let record = Record::read(&located.folder)
            .ok_or_else(|| ModelError::NotInstalled { name: name.clone() })?;
        let total = record.files.iter().map(|file| file.size).sum();
        let mut done = 0;
        for file in &record.files {
            let path = located.folder.join(file.name.as_str());
            let found = digest::of_file(&path, &mut |bytes| {
                done += bytes;
                progress.event(PullEvent::Hashed { done, total });
                Ok(())
            })
            .map_err(|error| self.fatal(error, name))?;
            expect_hash(&located.entry, &path, file, found)?;
        }
        Ok(located)
    }

    /// Removes a model and what broken pulls of it left; `false` where there
    /// was nothing.
    ///
    /// # Errors
    ///
    /// Fails when a file can't be removed.
    pub fn remove(&self, name: &ModelName) -> Result<bool, ModelError> {
        self.entry(name)?;
        let folder = self.folder.join(name);
        let partial = self.partial(name);
        if !folder.exists() && !partial.exists() {
            return Ok(false);
        }
        self.locked(name, &mut || Ok(()), &mut || {
            let failed = |error| on_disk(&folder, Action::Remove)(error);
            fs::create_dir_all(&partial).map_err(failed)?;
            // Out of its place first, so that no half of it is ever seen.
            if folder.exists() {
                fs::rename(&folder, partial.join("removed")).map_err(failed)?;
            }
            fs::remove_dir_all(&partial).map_err(failed)
        })
        .map_err(|error| self.fatal(error, name))?;
        Ok(true)
    }

    fn entry(&self, name: &ModelName) -> Result<&ModelEntry, ModelError> {
        self.registry
            .get(name)
            .ok_or_else(|| ModelError::Unknown { name: name.clone() })
    }

    fn state(&self, entry: &ModelEntry) -> ModelState {
        let folder = self.folder.join(&entry.name);
        if let Some(record) = Record::read(&folder) {
            let whole = record.files.iter().all(|file| {
                fs::metadata(folder.join(file.name.as_str()))
                    .is_ok_and(|metadata| metadata.len() == file.size)
            });
            return if whole {
                ModelState::Installed {
                    bytes: record.files.iter().map(|file| file.size).sum(),
                }
            } else {
                ModelState::Damaged
            };
        }
        match folder_bytes(&self.partial(&entry.name)) {
            0 => ModelState::Absent,
            bytes => ModelState::Partial { bytes },
        }
    }

    fn partial(&self, name: &ModelName) -> PathBuf {
        self.folder.join(".partial").join(name)
    }

    /// Runs `work` while no other process works on the model.
    fn locked<T>(
        &self,
        name: &ModelName,
        waiting: &mut dyn FnMut() -> Result<(), FatalError>,
        work: &mut dyn FnMut() -> Result<T, FatalError>,
    ) -> Result<T, FatalError> {
        let partials = self.folder.join(".partial");
        let lock = ModelLock::take(&partials.join(format!("{name}.lock")), waiting)?;
        let result = work();
        drop(lock);
        // Succeeds only where nothing is left in it.
        let _ = fs::remove_dir(self.partial(name));
        let _ = fs::remove_dir(&partials);
        result
    }

    /// Puts verified files in their place: all of them at once, by a rename.
    fn commit(&self, entry: &ModelEntry, verified: &Verified) -> Result<(), FatalError> {
        let partial = self.partial(&entry.name);
        let ready = partial.join("ready");
        let failed = |error| on_disk(&ready, Action::Write)(error);
        if ready.exists() {
            fs::remove_dir_all(&ready).map_err(failed)?;
        }
        fs::create_dir_all(&ready).map_err(failed)?;
        for (path, file) in &verified.files {
            fs::rename(path, ready.join(file.name.as_str())).map_err(failed)?;
        }
        let files = verified.files.iter().map(|(_, file)| file.clone());
        Record::new(entry, &verified.source, files.collect()).write(&ready)?;
        let place = self.folder.join(&entry.name);
        if place.exists() {
            let old = partial.join("replaced");
            let _ = fs::remove_dir_all(&old);
            fs::rename(&place, &old).map_err(failed)?;
        }
        fs::rename(&ready, &place).map_err(failed)?;
        // The rename has to survive a power cut too.
        if let Ok(folder) = fs::File::open(&self.folder) {
            let _ = folder.sync_all();
        }
        let _ = fs::remove_dir_all(&partial);
        Ok(())
    }

    fn fatal(&self, error: FatalError, name: &ModelName) -> ModelError {
        match error {
            FatalError::Cancelled => ModelError::Cancelled { name: name.clone() },
            FatalError::DiskFull { needed } => {
                let available = fs4::available_space(&self.folder).unwrap_or(0);
                ModelError::DiskFull {
                    folder: self.folder.clone(),
                    needed: needed.max(available.saturating_add(1)),
                    available,
                }
            }
            FatalError::Io {
                path,
                action,
                source,
            } => ModelError::Io {
                path,
                action,
                source,
            },
        }
    }
}

/// Files whose hashes are right, where they lie now.
struct Verified {
    source: String,
    files: Vec<(PathBuf, InstalledFile)>,
}

fn installed(
    entry: &ModelEntry,
    folder: &Path,
    record: &Record,
) -> Result<InstalledModel, ModelError> {
    let missing = || ModelError::NotInstalled {
        name: entry.name.clone(),
    };
    let path = |name: FileName| {
        let listed = record.files.iter().any(|file| file.name == name);
        listed.then(|| folder.join(name.as_str()))
    };
    // Files that a later registry asks for beside the installed ones.
    if entry.files.iter().any(|file| path(file.name).is_none()) {
        return Err(missing());
    }
    let weights = record
        .files
        .iter()
        .find(|file| file.name.is_weights())
        .ok_or_else(missing)?;
    Ok(InstalledModel {
        entry: entry.clone(),
        folder: folder.to_owned(),
        weights: folder.join(weights.name.as_str()),
        tokenizer: path(FileName::Tokenizer),
        config: path(FileName::Config),
        hash: weights.hash().ok_or_else(missing)?,
    })
}

/// Checks a file by its length and time; `true` where it had to be hashed.
fn check_file(
    entry: &ModelEntry,
    folder: &Path,
    file: &mut InstalledFile,
) -> Result<bool, ModelError> {
    let path = folder.join(file.name.as_str());
    let damaged = |problem| ModelError::Damaged {
        name: entry.name.clone(),
        path: path.clone(),
        problem,
    };
    let metadata = fs::metadata(&path).map_err(|_| damaged(Damage::Missing))?;
    if metadata.len() != file.size {
        return Err(damaged(Damage::Length {
            expected: file.size,
            found: metadata.len(),
        }));
    }
    let pinned = entry.file(file.name).and_then(|file| file.sha256);
    if pinned.is_some_and(|pinned| file.hash() != Some(pinned)) {
        return Err(ModelError::Superseded {
            name: entry.name.clone(),
            file: file.name,
        });
    }
    let modified = record::modified(&metadata);
    if modified == file.modified {
        return Ok(false);
    }
    tracing::info!(file = %path.display(), "touched since it was installed; hashing it again");
    let found = digest::of_file(&path, &mut |_| Ok(())).map_err(|error| match error {
        FatalError::Io {
            path,
            action,
            source,
        } => ModelError::Io {
            path,
            action,
            source,
        },
        FatalError::Cancelled | FatalError::DiskFull { .. } => damaged(Damage::Missing),
    })?;
    expect_hash(entry, &path, file, found)?;
    file.modified = modified;
    Ok(true)
}

fn expect_hash(
    entry: &ModelEntry,
    path: &Path,
    file: &InstalledFile,
    found: ContentHash,
) -> Result<(), ModelError> {
    match file.hash() {
        Some(expected) if expected == found => Ok(()),
        expected => Err(ModelError::Damaged {
            name: entry.name.clone(),
            path: path.to_owned(),
            problem: Damage::Hash {
                expected: expected.unwrap_or(ContentHash::from_bytes([0; 32])),
                found,
            },
        }),
    }
}

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// A flag that nobody raises.
static NEVER: AtomicBool = AtomicBool::new(false);
