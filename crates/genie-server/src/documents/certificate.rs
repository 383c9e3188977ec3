//! What was indexed, in a statement that can be checked later.
//!
//! There is no key that could sign it, and a reader would have to trust one.
//! Instead the hash of the statement becomes part of the audit trail, whose
//! chain can't be changed without a trace once its head was published.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use genie_core::{Chunk, ContentHash, IndexIdentity};
use genie_state::{AuditRecord, NewAudit, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{DocumentBody, DocumentPath, known_form, no_such_document};
use crate::access::Access;
use crate::app::Service;
use crate::failure::Failure;
use crate::work::blocking;

/// Records of the trail that a statement lists.
const MOST_RECORDS: u32 = 100;
const VERIFY: &str = "1. `sha256` is the SHA-256 of `statement` as canonical JSON (RFC 8785: members \
    sorted by name, no white space). 2. `statement.document.id` is the SHA-256 of the document's \
    bytes. 3. `statement.text_sha256` is the SHA-256 of the passages at `/documents/{id}/text` in \
    their order, each followed by a line feed. 4. The audit trail has a record `document.certify` \
    with `sha256` as its object and with the hash in `record`; `genie audit verify` tells whether \
    the trail is as it was written. 5. `statement.trail` names the records of what was done to the \
    document by their hashes.";

/// A statement on a document, and how it is checked.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CertificateBody {
    statement: StatementBody,
    /// SHA-256 of the statement as canonical JSON (RFC 8785).
    sha256: String,
    /// The record of the trail that holds this hash; `null` where no trail is
    /// kept.
    record: Option<RecordBody>,
    /// How all of it is checked.
    verify: &'static str,
}

/// What was indexed.
#[derive(Debug, Serialize, JsonSchema)]
struct StatementBody {
    /// Name and version of the service.
    issuer: String,
    issued: String,
    workspace: String,
    document: DocumentBody,
    /// SHA-256 of its passages, each followed by a line feed.
    text_sha256: String,
    /// Whether its bytes are kept.
    original_kept: bool,
    index: IndexBody,
    /// What was done to it, oldest first; the latest hundred.
    trail: Vec<RecordBody>,
}

/// What the index is made with.
#[derive(Debug, Serialize, JsonSchema)]
struct IndexBody {
    embedding_model: String,
    /// SHA-256 of its weights.
    embedding_sha256: String,
    dimension: usize,
    query_prefix: String,
    passage_prefix: String,
    lexical: String,
    chunker: String,
    tokens: String,
}

/// A record of the trail, without who and why.
#[derive(Debug, Serialize, JsonSchema)]
struct RecordBody {
    sequence: u64,
    at: String,
    action: String,
    hash: String,
}

pub(crate) async fn certify(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<DocumentPath>,
) -> Result<Json<CertificateBody>, Failure> {
    let id = known_form(&path.id)?;
    let permit = service.in_turn().await?;
    let opened = access.open(&service).await?;
    let (record, chunks, identity, original_kept) = blocking(&service, permit, move |_| {
        let store = opened.engine.store();
        let record = store.document(&id)?.ok_or_else(no_such_document)?;
        let chunks = store.chunks(&id)?;
        let kept = match &opened.originals {
            Some(originals) => originals.has(&id)?,
            None => false,
        };
        Ok::<_, Failure>((record, chunks, store.identity().clone(), kept))
    })
    .await??;
    let trail = match &service.state.accounts {
        Some(accounts) => {
            let object = id.to_string();
            accounts
                .state
                .audit_of(&access.workspace.id, &object, MOST_RECORDS)
                .await?
        }
        None => Vec::new(),
    };
    let statement = StatementBody {
        issuer: format!("{} {}", service.state.name, service.state.version),
        issued: Timestamp::now().to_string(),
        workspace: access.workspace.id.to_string(),
        document: DocumentBody::from(&record),
        text_sha256: text_hash(&chunks).to_string(),
        original_kept,
        index: IndexBody::from(&identity),
        trail: trail.iter().map(RecordBody::from).collect(),
    };
    let value = serde_json::to_value(&statement).map_err(|_| Failure::internal())?;
    let sha256 = ContentHash::of(canonical(&value).as_bytes()).to_string();
    let record = match &service.state.accounts {
        Some(accounts) => {
            let issued = NewAudit {
                subject: access.caller.subject(),
                workspace: Some(access.workspace.id.clone()),
                action: "document.certify".to_owned(),
                object: Some(sha256.clone()),
                outcome: "ok".to_owned(),
                correlation: access.correlation.id.clone(),
                intent: access.correlation.intent.clone(),
                model: None,
                logic: service.state.version.clone(),
            };
            Some(RecordBody::from(&accounts.state.audit(issued).await?))
        }
        None => None,
    };
    Ok(Json(CertificateBody {
        statement,
        sha256,
        record,
        verify: VERIFY,
    }))
}

fn text_hash(chunks: &[Chunk]) -> ContentHash {
    let mut text = String::new();
    for chunk in chunks {
        text.push_str(&chunk.text);
        text.push('\n');
    }
    ContentHash::of(text.as_bytes())
}

/// RFC 8785 of what statements are made of: texts, whole numbers, truth
/// values, lists, and objects whose members have names in ASCII.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            let members: Vec<String> = names
                .into_iter()
                .map(|name| {
                    let key = Value::String(name.clone());
                    let value = members.get(name).map(canonical).unwrap_or_default();
                    format!("{key}:{value}")
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(entries) => {
            let entries: Vec<String> = entries.iter().map(canonical).collect();
            format!("[{}]", entries.join(","))
        }
        // As the standard wants them: the shortest escapes, the rest as is.
        plain => plain.to_string(),
    }
}

impl From<&IndexIdentity> for IndexBody {
    fn from(identity: &IndexIdentity) -> Self {
        let embedding = &identity.embedding;
        Self {
            embedding_model: embedding.model.clone(),
            embedding_sha256: embedding.hash.to_string(),
            dimension: embedding.dimension,
            query_prefix: embedding.query_prefix.clone(),
            passage_prefix: embedding.passage_prefix.clone(),
            lexical: identity.lexical_version.clone(),
            chunker: identity.chunker_version.clone(),
            tokens: identity.tokens_version.clone(),
        }
    }
}

impl From<&AuditRecord> for RecordBody {
    fn from(record: &AuditRecord) -> Self {
        Self {
            sequence: record.sequence,
            at: record.at.to_string(),
            action: record.action.clone(),
            hash: record.hash.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_does_not_depend_on_order_or_white_space() {
        let one: Value = serde_json::from_str(r#"{"b": [1, {"d": null, "c": "é\n"}], "a": true}"#)
            .expect("JSON");
        let other: Value =
            serde_json::from_str(r#"{"a":true,"b":[1,{"c":"\u00e9\u000a","d":null}]}"#)
                .expect("JSON");
        let form = r#"{"a":true,"b":[1,{"c":"é\n","d":null}]}"#;
        assert_eq!(canonical(&one), form);
        assert_eq!(canonical(&other), form);
    }
}
