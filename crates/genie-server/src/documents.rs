//! The documents of the index: listed, removed, and added through the program
//! that runs the service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use genie_core::{BackendError, DocumentId, DocumentRecord};
use serde::{Deserialize, Serialize};

use crate::app::Service;
use crate::body::{BodyLimits, read as read_body};
use crate::failure::{Failure, log};
use crate::origin::loopback_only;
use crate::work::{blocking, with_engine};

/// A document may be larger than a question, and takes longer to arrive.
const UPLOAD: BodyLimits = BodyLimits {
    bytes: 64 << 20,
    time: Duration::from_secs(120),
};
const LONGEST_URI: usize = 2048;
const PAGE_SIZE: usize = 50;
const LARGEST_PAGE: usize = 1000;

/// Takes documents into the index; the program that runs the service brings
/// one, for it knows the limits and the models.
pub trait DocumentSink: Send + Sync {
    /// Indexes the bytes under this label, which names no file to be opened.
    /// Blocks until the index has them.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not a readable document, when others are
    /// being indexed, and when a model or the index fails.
    fn add(&self, uri: String, bytes: Vec<u8>) -> Result<AddedBody, SinkError>;
}

/// A document could not be added.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The bytes are not a document that can be read; the client is told why.
    #[error("{reason}")]
    Unreadable {
        /// One sentence about the document, without paths of the server.
        reason: String,
    },
    /// Others are being indexed.
    #[error("documents are being indexed; try again in a moment")]
    Busy,
    /// A model or the index failed; the client is not told why.
    #[error("the document could not be indexed")]
    Backend(#[source] BackendError),
}

/// What became of a document that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddedBody {
    /// SHA-256 of its bytes.
    pub id: String,
    /// The label it was sent with.
    pub uri: String,
    /// What was done.
    pub status: AddedStatus,
    /// How many chunks it has.
    pub chunks: u32,
}

/// What adding a document did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddedStatus {
    /// The document is new.
    Indexed,
    /// The index had it already.
    Unchanged,
    /// An earlier version under the same label is gone.
    Replaced,
}

/// A page of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentsBody {
    /// How many there are on all pages.
    pub count: usize,
    /// Path and query of the next page.
    pub next: Option<String>,
    /// Path and query of the page before.
    pub previous: Option<String>,
    /// This page's, ordered by URI.
    pub results: Vec<DocumentBody>,
}

/// What the index knows of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentBody {
    /// SHA-256 of its bytes.
    pub id: String,
    /// Path or URI as ingested.
    pub uri: String,
    /// Its title.
    pub title: String,
    /// The IANA name of its format.
    pub media_type: String,
    /// ISO 639-1 code of its main language.
    pub language: Option<String>,
    /// Its labels.
    pub labels: Vec<String>,
    /// Its date, as in `2024-05-17`.
    pub date: Option<String>,
    /// How many chunks it has.
    pub chunks: u32,
    /// Size of the file.
    pub bytes: u64,
}

impl From<&DocumentRecord> for DocumentBody {
    fn from(record: &DocumentRecord) -> Self {
        Self {
            id: record.id.to_string(),
            uri: record.uri.clone(),
            title: record.title.clone(),
            media_type: record.media_type.to_string(),
            language: record.language.map(|language| language.code().to_owned()),
            labels: record.labels.clone(),
            date: record.date.map(|date| date.to_string()),
            chunks: record.chunks,
            bytes: record.bytes,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Paging {
    #[serde(default)]
    page: Option<usize>,
    #[serde(default, rename = "pageSize")]
    page_size: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Label {
    uri: String,
}

/// A query string, with this crate's errors.
pub(crate) struct ApiQuery<T>(T);

impl<S: Send + Sync, T: serde::de::DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Failure> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(query)| Self(query))
            .map_err(|rejection| Failure::invalid("query", rejection.body_text()))
    }
}

pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    ApiQuery(paging): ApiQuery<Paging>,
) -> Result<Json<DocumentsBody>, Failure> {
    let page = paging.page.unwrap_or(1);
    let size = paging.page_size.unwrap_or(PAGE_SIZE);
    if page == 0 {
        return Err(Failure::invalid("page", "pages are counted from 1"));
    }
    if !(1..=LARGEST_PAGE).contains(&size) {
        return Err(Failure::invalid(
            "pageSize",
            format!("is {size}, but has to be from 1 to {LARGEST_PAGE}"),
        ));
    }
    let permit = service.admit()?;
    let records = with_engine(&service, permit, |engine| engine.store().documents()).await??;
    let count = records.len();
    let first = (page - 1).saturating_mul(size);
    let link = |page: usize| format!("/api/v1/documents?page={page}&pageSize={size}");
    Ok(Json(DocumentsBody {
        count,
        next: (first.saturating_add(size) < count).then(|| link(page + 1)),
        // A page behind the end leads back to the last one.
        previous: (page > 1).then(|| link((page - 1).min(count.div_ceil(size).max(1)))),
        results: records
            .iter()
            .skip(first)
            .take(size)
            .map(DocumentBody::from)
            .collect(),
    }))
}

pub(crate) async fn read(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<DocumentBody>, Failure> {
    let id = known_form(&id)?;
    let permit = service.admit()?;
    with_engine(&service, permit, move |engine| engine.store().document(&id))
        .await??
        .map(|record| Json(DocumentBody::from(&record)))
        .ok_or_else(no_such_document)
}

pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    loopback_only(peer.as_deref())?;
    let id = known_form(&id)?;
    let permit = service.admit()?;
    let removed = with_engine(&service, permit, move |engine| engine.store().delete(&id)).await??;
    if !removed {
        return Err(no_such_document());
    }
    tracing::info!(document = %id, "removed a document");
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn add(
    State(service): State<Arc<Service>>,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    ApiQuery(Label { uri }): ApiQuery<Label>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<AddedBody>), Failure> {
    loopback_only(peer.as_deref())?;
    let sink = service.state.indexer.clone().ok_or_else(|| {
        Failure::new(
            StatusCode::NOT_IMPLEMENTED,
            "no_indexer",
            "this service takes no documents",
        )
    })?;
    check_label(&uri)?;
    // Before the body is read: that many documents are held in memory.
    let permit = service.admit()?;
    let bytes = read_body(&headers, body, UPLOAD).await?;
    // Without the timeout of questions: a large document takes its time, and
    // half an indexing is no use to anybody.
    let added = blocking(&service, permit, move |_| sink.add(uri, bytes))
        .await?
        .map_err(|error| match error {
            SinkError::Unreadable { reason } => Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "unreadable_document",
                reason,
            ),
            SinkError::Busy => Failure::busy(),
            SinkError::Backend(_) => {
                log(&error);
                Failure::internal()
            }
        })?;
    tracing::info!(document = added.id, status = ?added.status, "took a document");
    let status = match added.status {
        AddedStatus::Indexed => StatusCode::CREATED,
        AddedStatus::Unchanged | AddedStatus::Replaced => StatusCode::OK,
    };
    Ok((status, Json(added)))
}

fn known_form(id: &str) -> Result<DocumentId, Failure> {
    // What can't be an id is no document either.
    id.parse().map_err(|_| no_such_document())
}

fn no_such_document() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "document_not_found",
        "the index has no document with this id",
    )
}

fn check_label(uri: &str) -> Result<(), Failure> {
    if uri.trim().is_empty() {
        return Err(Failure::invalid("uri", "must not be empty"));
    }
    if uri.len() > LONGEST_URI {
        return Err(Failure::invalid(
            "uri",
            format!(
                "has {} bytes, but at most {LONGEST_URI} are accepted",
                uri.len()
            ),
        ));
    }
    if uri.chars().any(char::is_control) {
        return Err(Failure::invalid("uri", "must not have control characters"));
    }
    Ok(())
}
