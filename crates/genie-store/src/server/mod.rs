//! A Qdrant server.

mod address;
mod convert;
mod engine;
mod snapshot;

use std::path::{Path, PathBuf};
use std::time::Duration;

use genie_core::{
    Chunk, DocumentId, DocumentRecord, Hit, HybridQuery, IndexIdentity, Point, Store, StoreError,
};

use self::engine::ServerEngine;
use crate::engine::{Detail, Engine, RawPoint};
use crate::identity::StoredIdentity;
use crate::payload::{self, KIND, Kind};
use crate::protocol::Documents;

/// The payload field of the reserved point that holds the identity as JSON.
const IDENTITY: &str = "identity";

/// How often a server that builds an index is asked whether it is done.
const POLL: Duration = Duration::from_millis(250);

/// Which collection on which server.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerOptions {
    /// Its URL. Port 6333 (HTTP), port 6334 (gRPC) and no port mean the same
    /// server: gRPC is spoken on 6334 and snapshots are fetched from 6333.
    /// Any other port is taken for gRPC, and the one below it for HTTP.
    pub url: String,
    /// Sent with every request.
    pub api_key: Option<String>,
    /// The name of the collection.
    pub collection: String,
}

impl std::fmt::Debug for ServerOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays out of logs.
        f.debug_struct("ServerOptions")
            .field("url", &self.url)
            .field("api_key", &self.api_key.as_ref().map(|_| "…"))
            .field("collection", &self.collection)
            .finish()
    }
}

/// An index on a Qdrant server, 1.15 or later.
///
/// Calls block until the server has answered. They may come from any thread
/// that may block, so also from a runtime's blocking threads, but not from
/// within asynchronous code.
///
/// Other processes may write to the same collection. They see documents
/// whole or not at all, as long as no two of them write different content
/// for the same document at the same time.
#[derive(Debug)]
pub struct ServerStore {
    documents: Documents<ServerEngine>,
    options: ServerOptions,
}

impl ServerStore {
    /// Connects, and makes the collection where it doesn't exist.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`] where the server does not answer within
    /// seconds, [`StoreError::IdentityMismatch`] where the collection was made
    /// with something else than `identity`, [`StoreError::Corrupt`] where the
    /// collection is somebody else's.
    pub fn connect(options: ServerOptions, identity: IndexIdentity) -> Result<Self, StoreError> {
        let engine = ServerEngine::connect(&options)?;
        let dimension = identity.embedding.dimension;
        if !engine.collection_exists()? {
            engine.create_collection(dimension)?;
        }
        engine.index_payload()?;
        let store = Self {
            documents: Documents::new(engine, identity),
            options,
        };
        store.check_identity()?;
        Ok(store)
    }

    /// Removes the collection with all that is in it, where it exists.
    ///
    /// # Errors
    ///
    /// Fails where the server does not answer or refuses.
    pub fn remove_collection(options: &ServerOptions) -> Result<(), StoreError> {
        ServerEngine::connect(options)?.remove_collection()
    }

    /// Returns once the server has built the indexes of all that was written,
    /// which it does by itself and in its own time, or once `stop` says so.
    ///
    /// # Errors
    ///
    /// As [`Store::put`].
    pub fn wait_until_indexed(&self, stop: &dyn Fn() -> bool) -> Result<(), StoreError> {
        while !stop() && !self.documents.engine().is_indexed()? {
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn check_identity(&self) -> Result<(), StoreError> {
        let engine = self.documents.engine();
        let location = engine.location();
        let stored = match self.stored_identity()? {
            Some(stored) => stored,
            None if engine.is_empty()? => {
                self.write_identity()?;
                // Read back: another process may have been as fast as we.
                self.stored_identity()?
                    .ok_or_else(|| corrupt(&location, "its identity can't be written"))?
            }
            None => {
                return Err(corrupt(
                    &location,
                    "the collection has points but no identity, so it was made by another program; configure another collection",
                ));
            }
        };
        stored.check(self.documents.identity(), &location)?;
        // A collection that somebody else made empty may have other vectors.
        engine.check_dimension(self.documents.identity().embedding.dimension)
    }

    fn stored_identity(&self) -> Result<Option<StoredIdentity>, StoreError> {
        let engine = self.documents.engine();
        let records = engine.retrieve(&[payload::identity_id()], Detail::Payload)?;
        let Some(record) = records.first() else {
            return Ok(None);
        };
        let text = record
            .payload
            .get(IDENTITY)
            .and_then(|value| value.as_str())
            .unwrap_or_default();
        StoredIdentity::from_json(text, &engine.location()).map(Some)
    }

    fn write_identity(&self) -> Result<(), StoreError> {
        let engine = self.documents.engine();
        let stored = StoredIdentity::from(self.documents.identity());
        let text = serde_json::to_string(&stored).map_err(|error| StoreError::Backend {
            location: engine.location(),
            source: Box::new(error),
        })?;
        let mut fields = serde_json::Map::new();
        fields.insert(KIND.to_owned(), Kind::Identity.as_str().into());
        fields.insert(IDENTITY.to_owned(), text.into());
        engine.upsert(vec![RawPoint {
            id: payload::identity_id(),
            payload: fields,
            vectors: None,
        }])
    }
}

fn corrupt(location: &str, reason: &str) -> StoreError {
    StoreError::Corrupt {
        location: location.to_owned(),
        reason: reason.to_owned(),
    }
}

impl Store for ServerStore {
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

    /// Has the server make a snapshot of the collection and downloads it. To
    /// restore it, upload it with the server's snapshot recovery.
    fn snapshot(&self, folder: &Path) -> Result<PathBuf, StoreError> {
        let _writing = self.documents.pause_writes();
        let engine = self.documents.engine();
        let name = engine.create_snapshot()?;
        let downloaded = snapshot::download(&self.options, &name, folder);
        // It was made only to be fetched; a server keeps them forever.
        let deleted = engine.delete_snapshot(&name);
        let path = downloaded?;
        deleted?;
        Ok(path)
    }
}
