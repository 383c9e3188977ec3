//! Qdrant in this process.

mod before;
mod bulk;
mod convert;
mod disk;
pub(crate) mod engine;
mod lock;
mod parts;
mod purge;
mod renew;
mod texts;

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use genie_core::{
    Chunk, DocumentId, DocumentRecord, Hit, HybridQuery, IndexIdentity, Point, Store, StoreError,
};

pub use self::lock::{Holder, HolderNote, read_holder};

use self::engine::EdgeEngine;
use self::lock::Lock;
use self::parts::Sort;
use self::purge::Unpurged;
use crate::engine::{Condition, Engine};
use crate::identity::StoredIdentity;
use crate::payload::{self, Kind, REVISION};
use crate::protocol::Documents;
use crate::snapshots;

const IDENTITY: &str = "identity.json";
const SHARD: &str = "shard";
/// The name of the shard until it is whole.
const UNFINISHED: &str = "shard.unfinished";

/// An index in this process, with its files in one folder.
///
/// The folder holds `lock` and `holder.json` (who has it open),
/// `identity.json` (what it was made with), `shard/` (the engine's files),
/// `codes/` (the codes of tokens), `texts/` (the chunks' texts) and, while the
/// engine's files still hold
/// what was deleted, `unpurged`, with `shard.before` while segments are
/// rewritten and `renewing` or `renewed` while terms are made anew. One process
/// at a time can open it.
#[derive(Debug)]
pub struct EdgeStore {
    // Fields are dropped in this order: the engine closes before the lock goes.
    documents: Documents<EdgeEngine>,
    lock: Lock,
    folder: PathBuf,
}

impl EdgeStore {
    /// Opens the index in `folder`, which is made where it doesn't exist, and
    /// removes what a crash has left half written.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] where another process has it open,
    /// [`StoreError::IdentityMismatch`] where it was made with something else
    /// than `identity`, [`StoreError::DiskFull`] where there is no room to
    /// work, and other kinds where files can't be read.
    pub fn open(
        folder: &Path,
        identity: IndexIdentity,
        holder: HolderNote,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(|source| disk::error(folder, source))?;
        let lock = Lock::take(folder, &holder)?;
        let shard = folder.join(SHARD);
        renew::settle(folder)?;
        before::recover(folder, &shard)?;
        match Self::stored_identity_json(folder)? {
            Some(stored) => stored.check(&identity, &folder.display().to_string())?,
            None if shard.exists() => {
                return Err(StoreError::Corrupt {
                    location: folder.display().to_string(),
                    reason: format!("{IDENTITY} is missing"),
                });
            }
            None => {}
        }
        if !shard.exists() {
            create(folder, &shard, &identity)?;
        }
        let engine = EdgeEngine::open(folder, &shard, identity.embedding.dimension)?;
        let store = Self {
            documents: Documents::new(engine, identity),
            lock,
            folder: folder.to_owned(),
        };
        store.repair()?;
        store.documents.all_committed();
        Ok(store)
    }

    /// What the index in `folder` was made with, without opening it; `None`
    /// where there is no index.
    ///
    /// # Errors
    ///
    /// Fails where the file can't be read or is none of ours.
    pub fn stored_identity(folder: &Path) -> Result<Option<IndexIdentity>, StoreError> {
        Self::stored_identity_json(folder)?
            .map(|stored| stored.identity(&folder.display().to_string()))
            .transpose()
    }

    /// Whether the files of the index in `folder` hold what was deleted from
    /// it, without opening it.
    #[must_use]
    pub fn is_unpurged(folder: &Path) -> bool {
        Unpurged::in_folder(folder).is_noted()
    }

    fn stored_identity_json(folder: &Path) -> Result<Option<StoredIdentity>, StoreError> {
        let path = folder.join(IDENTITY);
        match fs::read_to_string(&path) {
            Ok(text) => StoredIdentity::from_json(&text, &folder.display().to_string()).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(disk::error(&path, source)),
        }
    }

    /// Publishes where this process can be asked, once it listens; `None`
    /// takes it back.
    ///
    /// # Errors
    ///
    /// Fails where the note can't be written.
    pub fn set_holder_url(&self, url: Option<String>) -> Result<(), StoreError> {
        self.lock.write_note(&HolderNote { url })
    }

    /// Merges, cleans and indexes what was written; done by itself after
    /// every few thousand chunks, and worth a call after a large ingest.
    ///
    /// # Errors
    ///
    /// Fails when the engine or the disk does.
    pub fn optimize(&self) -> Result<(), StoreError> {
        let _writing = self.documents.pause_writes();
        self.documents.engine().optimize()
    }

    /// Removes chunks without a document and documents without all of their
    /// chunks: leftovers of a crash, which nobody but us can be writing now.
    fn repair(&self) -> Result<(), StoreError> {
        let engine = self.documents.engine();
        let mut present: HashMap<String, usize> = engine
            .chunks_by_revision(&[Kind::Chunk.only()])?
            .into_iter()
            .collect();
        let mut torn = Vec::new();
        let mut whole = HashSet::new();
        for commit in self.documents.commits()? {
            let wanted = commit.record.chunks as usize;
            let found = present.remove(&commit.revision).unwrap_or_default();
            // More than wanted: two segments hold the same chunk, because the
            // engine was stopped while it merged them. Readers see one.
            let torn_apart = match found.cmp(&wanted) {
                Ordering::Less => true,
                Ordering::Equal => false,
                Ordering::Greater => self.documents.chunks(&commit.record.id).is_err(),
            };
            if torn_apart {
                torn.push(commit);
            } else {
                whole.insert((commit.record.id.to_string(), commit.revision));
            }
        }
        let removed = !torn.is_empty() || !present.is_empty();
        for commit in torn {
            let document = commit.record.id;
            tracing::warn!(%document, uri = %commit.record.uri, "removed a document that a crash has left incomplete; ingest it again");
            engine.remove(vec![
                Kind::Document.only(),
                Condition::Is(payload::DOCUMENT, document.to_string()),
            ])?;
            present.insert(commit.revision, 0);
        }
        for (revision, chunks) in present {
            tracing::info!(revision, chunks, "removed chunks of an unfinished write");
            engine.remove(vec![Kind::Chunk.only(), Condition::Is(REVISION, revision)])?;
        }
        if removed {
            engine.settle()?;
        }
        for files in engine.part_files() {
            files.retain(|document, revision| {
                whole.contains(&(document.to_owned(), revision.to_owned()))
            })?;
        }
        Ok(())
    }
}

/// Makes an empty index. `shard` appears under its name only when it is whole,
/// so that a crash in between leaves nothing that looks like an index.
fn create(folder: &Path, shard: &Path, identity: &IndexIdentity) -> Result<(), StoreError> {
    let unfinished = folder.join(UNFINISHED);
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(disk::error(&unfinished, error));
        }
        _ => {}
    }
    // Opened and closed: the engine keeps paths, so it can't be renamed live.
    drop(EdgeEngine::open(
        folder,
        &unfinished,
        identity.embedding.dimension,
    )?);
    let path = folder.join(IDENTITY);
    let text = serde_json::to_string_pretty(&StoredIdentity::from(identity))
        .map_err(|error| disk::error(&path, error.into()))?;
    disk::write_atomically(&path, text.as_bytes())?;
    fs::rename(&unfinished, shard).map_err(|source| disk::error(shard, source))?;
    disk::sync_folder(folder)
}

impl Store for EdgeStore {
    fn identity(&self) -> &IndexIdentity {
        self.documents.identity()
    }

    fn put(&self, document: &DocumentRecord, points: Vec<Point>) -> Result<(), StoreError> {
        self.documents.put(document, points)
    }

    fn put_all(&self, documents: Vec<(DocumentRecord, Vec<Point>)>) -> Result<(), StoreError> {
        self.documents.put_all(documents)
    }

    fn delete(&self, document: &DocumentId) -> Result<bool, StoreError> {
        self.documents.delete(document)
    }

    fn documents(&self) -> Result<Vec<DocumentRecord>, StoreError> {
        self.documents.documents()
    }

    fn documents_from(&self, uri: &str) -> Result<Vec<DocumentRecord>, StoreError> {
        self.documents.documents_from(uri)
    }

    fn document(&self, id: &DocumentId) -> Result<Option<DocumentRecord>, StoreError> {
        self.documents.document(id)
    }

    fn chunks(&self, id: &DocumentId) -> Result<Vec<Chunk>, StoreError> {
        self.documents.chunks(id)
    }

    fn count(&self) -> Result<usize, StoreError> {
        self.documents.count()
    }

    fn search(&self, query: &HybridQuery) -> Result<Vec<Hit>, StoreError> {
        self.documents.search(query)
    }

    fn begin_bulk_load(&self) -> Result<(), StoreError> {
        let _writing = self.documents.pause_writes();
        self.documents.engine().begin_bulk_load()
    }

    fn end_bulk_load(&self) -> Result<(), StoreError> {
        let _writing = self.documents.pause_writes();
        self.documents.engine().end_bulk_load()
    }

    fn purge(&self) -> Result<bool, StoreError> {
        let _writing = self.documents.pause_writes();
        self.documents.engine().purge()
    }

    /// Copies the index into a new folder `genie-index-<time>` in `folder`.
    /// To restore it, copy that folder to where the index belongs. What was
    /// deleted is not copied, unless there is no room to write files without
    /// it.
    fn snapshot(&self, folder: &Path) -> Result<PathBuf, StoreError> {
        let _writing = self.documents.pause_writes();
        match self.documents.engine().purge() {
            Err(StoreError::DiskFull { .. }) => {
                tracing::warn!("a snapshot holds what was deleted: the disk has no room to purge");
            }
            purged => drop(purged?),
        }
        self.documents.engine().settle()?;
        fs::create_dir_all(folder).map_err(|source| disk::error(folder, source))?;
        disk::reserve(folder, disk::size_of_folder(&self.folder) + (1 << 20))?;
        let target = snapshots::free_name(folder, "");
        let partial = target.with_extension("partial");
        let beside = Sort::ALL.map(Sort::folder);
        let beside = beside.iter().filter(|name| self.folder.join(name).exists());
        let copied = std::iter::once(&SHARD)
            .chain(beside)
            .try_for_each(|name| disk::copy_folder(&self.folder.join(name), &partial.join(name)))
            .and_then(|()| {
                let from = self.folder.join(IDENTITY);
                fs::copy(&from, partial.join(IDENTITY)).map_err(|source| disk::error(&from, source))
            })
            .and_then(|_| self.documents.engine().unpurged.note_in(&partial))
            .and_then(|()| {
                fs::rename(&partial, &target).map_err(|source| disk::error(&target, source))
            });
        if let Err(error) = copied {
            let _ = fs::remove_dir_all(&partial);
            return Err(error);
        }
        disk::sync_folder(folder)?;
        Ok(target)
    }
}
