//! Where the indexes of a benchmark are, and how they go away again.

use std::path::{Path, PathBuf};

use anyhow::bail;
use genie_core::{Config, IndexIdentity, Store};
use genie_store::{EdgeStore, HolderNote, ServerOptions, ServerStore};
use tempfile::TempDir;

use super::in_folder;
use crate::settings;

/// What building an index takes at its height: the index itself, what its
/// segments are merged into, and the engine's log.
const BYTES_A_CHUNK: u64 = 14_000;
/// What codes of its tokens take beside that.
const BYTES_OF_CODES: u64 = 45_000;

/// The folder of all indexes of one run.
pub(super) struct Folder {
    path: PathBuf,
    /// Where nothing is to be kept.
    temporary: Option<TempDir>,
}

impl Folder {
    pub(super) fn open(keep: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(path) = keep {
            in_folder(std::fs::create_dir_all(path), path)?;
            return Ok(Self {
                path: path.to_owned(),
                temporary: None,
            });
        }
        let temporary = tempfile::Builder::new().prefix("genie-bench-").tempdir()?;
        Ok(Self {
            path: temporary.path().to_owned(),
            temporary: Some(temporary),
        })
    }

    /// An error where the largest index would fill the disk.
    pub(super) fn check_space(&self, chunks: usize, codes: bool) -> anyhow::Result<()> {
        let codes = if codes { BYTES_OF_CODES } else { 0 };
        let needed = chunks as u64 * (BYTES_A_CHUNK + codes) + (256 << 20);
        let free = in_folder(fs4::available_space(&self.path), &self.path)?;
        if free < needed {
            bail!(
                "an index of {chunks} chunks takes up to {} GB while it is built, but the disk of {} has {} GB left; \
                 choose another folder with --keep, or fewer chunks",
                needed.div_ceil(1 << 30),
                self.path.display(),
                free >> 30
            );
        }
        Ok(())
    }

    /// Where vectors are kept for the next run, if anything is kept.
    pub(super) fn vectors(&self, name: &str) -> Option<PathBuf> {
        self.temporary.is_none().then(|| self.path.join(name))
    }
}

/// Where one index is.
pub(super) enum Place {
    Edge { index: PathBuf, keep: bool },
    Server(ServerOptions),
}

/// An open index.
pub(super) enum Built {
    Edge(Box<EdgeStore>),
    Server(Box<ServerStore>),
}

impl Place {
    /// A folder of its own; what an earlier run left there goes.
    pub(super) fn edge(folder: &Folder, chunks: usize) -> anyhow::Result<Self> {
        let index = folder.path.join(format!("index-{chunks}"));
        remove_folder(&index)?;
        Ok(Self::Edge {
            index,
            keep: folder.temporary.is_none(),
        })
    }

    /// A collection of its own on the configured server.
    pub(super) fn server(config: &Config) -> Option<Self> {
        let url = config.qdrant_url.clone()?;
        Some(Self::Server(ServerOptions {
            url,
            api_key: settings::qdrant_api_key(),
            collection: format!("genie-bench-{}", std::process::id()),
        }))
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Edge { .. } => "edge",
            Self::Server(_) => "server",
        }
    }

    /// Opens the index, which is made at the first time.
    pub(super) fn open(&self, identity: IndexIdentity) -> anyhow::Result<Built> {
        Ok(match self {
            Self::Edge { index, .. } => Built::Edge(Box::new(EdgeStore::open(
                index,
                identity,
                HolderNote::default(),
            )?)),
            Self::Server(options) => {
                Built::Server(Box::new(ServerStore::connect(options.clone(), identity)?))
            }
        })
    }

    /// What the index takes on the disk, in bytes, by what its files hold;
    /// nothing where the disk is not ours.
    pub(super) fn bytes(&self) -> anyhow::Result<Vec<(&'static str, u64)>> {
        match self {
            Self::Edge { index, .. } => allocated(index),
            Self::Server(_) => Ok(Vec::new()),
        }
    }

    /// Removes the index unless it is to be kept.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        match self {
            Self::Edge { keep: true, .. } => Ok(()),
            Self::Edge { index, .. } => remove_folder(index),
            // Done when it is dropped.
            Self::Server(_) => Ok(()),
        }
    }
}

impl Drop for Place {
    /// Also after a failure and after Ctrl-C a server keeps nothing. (The
    /// temporary folder goes by itself.)
    fn drop(&mut self) {
        if let Self::Server(options) = self
            && let Err(error) = ServerStore::remove_collection(options)
        {
            eprintln!(
                "note: the collection {} may still be on the server: {error}",
                options.collection
            );
        }
    }
}

impl Built {
    pub(super) fn as_store(&self) -> &dyn Store {
        match self {
            Self::Edge(store) => &**store,
            Self::Server(store) => &**store,
        }
    }

    /// Builds what is left to build.
    pub(super) fn finish(&self) -> anyhow::Result<()> {
        match self {
            Self::Edge(store) => {
                store.end_bulk_load()?;
                Ok(store.optimize()?)
            }
            Self::Server(store) => Ok(store.wait_until_indexed(&crate::interrupt::requested)?),
        }
    }
}

fn remove_folder(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => in_folder(Err(error), path),
        _ => Ok(()),
    }
}

/// Folders of an index with what is in them; the first that a path goes
/// through counts.
const HELD: [(&str, &str); 9] = [
    ("texts", "disk: texts"),
    ("codes", "disk: codes"),
    ("wal", "disk: log"),
    ("payload_storage", "disk: payloads"),
    ("payload_index", "disk: indexes of payloads"),
    ("vector_storage-dense", "disk: dense vectors"),
    ("vector_index-dense", "disk: graph"),
    ("vector_storage-lexical", "disk: lexical vectors"),
    ("vector_index-lexical", "disk: inverted lists"),
];

/// The blocks that files take: the engine's files have holes.
fn allocated(folder: &Path) -> anyhow::Result<Vec<(&'static str, u64)>> {
    let mut by_name = HELD.map(|(_, name)| (name, 0)).to_vec();
    by_name.push(("disk: the rest", 0));
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if !metadata.is_file() {
            continue;
        }
        let inside = entry.path().strip_prefix(folder)?;
        let held = inside.components().find_map(|part| {
            let found = |(folder, _): &(&str, &str)| part.as_os_str() == *folder;
            HELD.iter().position(found)
        });
        by_name[held.unwrap_or(HELD.len())].1 += blocks(&metadata);
    }
    Ok(by_name)
}

#[cfg(unix)]
fn blocks(metadata: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks() * 512
}

#[cfg(not(unix))]
fn blocks(metadata: &std::fs::Metadata) -> u64 {
    metadata.len()
}
