//! The index identity as it is stored, and how two of them are compared.

use genie_core::{EmbeddingIdentity, IndexIdentity, StoreError};
use serde::{Deserialize, Serialize};

/// The layout of points and payloads; raised when older indexes can't be read.
const FORMAT: u32 = 2;

/// An [`IndexIdentity`] as JSON, in a file or in a reserved point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredIdentity {
    format: u32,
    embedding_model: String,
    embedding_hash: String,
    dimension: usize,
    query_prefix: String,
    passage_prefix: String,
    lexical_version: String,
    chunker_version: String,
}

impl From<&IndexIdentity> for StoredIdentity {
    fn from(identity: &IndexIdentity) -> Self {
        Self {
            format: FORMAT,
            embedding_model: identity.embedding.model.clone(),
            embedding_hash: identity.embedding.hash.to_string(),
            dimension: identity.embedding.dimension,
            query_prefix: identity.embedding.query_prefix.clone(),
            passage_prefix: identity.embedding.passage_prefix.clone(),
            lexical_version: identity.lexical_version.clone(),
            chunker_version: identity.chunker_version.clone(),
        }
    }
}

impl StoredIdentity {
    /// Reads what [`StoredIdentity`] serialises to.
    pub(crate) fn from_json(text: &str, location: &str) -> Result<Self, StoreError> {
        serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
            location: location.to_owned(),
            reason: format!("its identity can't be read: {error}"),
        })
    }

    /// An error that names the first field in which the two differ.
    pub(crate) fn check(&self, expected: &IndexIdentity, location: &str) -> Result<(), StoreError> {
        let wanted = Self::from(expected);
        let fields = [
            (
                "index format",
                self.format.to_string(),
                wanted.format.to_string(),
            ),
            (
                "embedding model",
                self.embedding_model.clone(),
                wanted.embedding_model,
            ),
            (
                "embedding model hash",
                self.embedding_hash.clone(),
                wanted.embedding_hash,
            ),
            (
                "embedding dimension",
                self.dimension.to_string(),
                wanted.dimension.to_string(),
            ),
            (
                "query prefix",
                self.query_prefix.clone(),
                wanted.query_prefix,
            ),
            (
                "passage prefix",
                self.passage_prefix.clone(),
                wanted.passage_prefix,
            ),
            (
                "lexical analysis",
                self.lexical_version.clone(),
                wanted.lexical_version,
            ),
            (
                "chunker version",
                self.chunker_version.clone(),
                wanted.chunker_version,
            ),
        ];
        match fields
            .into_iter()
            .find(|(_, found, wanted)| found != wanted)
        {
            None => Ok(()),
            Some((field, found, expected)) => Err(StoreError::IdentityMismatch {
                location: location.to_owned(),
                field,
                found,
                expected,
            }),
        }
    }

    /// The identity, where the hash is one.
    pub(crate) fn identity(&self, location: &str) -> Result<IndexIdentity, StoreError> {
        let hash = self
            .embedding_hash
            .parse()
            .map_err(|_| StoreError::Corrupt {
                location: location.to_owned(),
                reason: "the hash of its embedding model is none".to_owned(),
            })?;
        Ok(IndexIdentity {
            embedding: EmbeddingIdentity {
                model: self.embedding_model.clone(),
                hash,
                dimension: self.dimension,
                query_prefix: self.query_prefix.clone(),
                passage_prefix: self.passage_prefix.clone(),
            },
            lexical_version: self.lexical_version.clone(),
            chunker_version: self.chunker_version.clone(),
        })
    }
}
