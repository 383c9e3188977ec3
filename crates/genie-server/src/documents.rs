//! The documents of the index: listed, removed, and added through the program
//! that runs the service.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use genie_core::{BackendError, DocumentId, DocumentRecord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use crate::access::{Access, Done};
use crate::app::Service;
use crate::body::{BodyLimits, read as read_body};
use crate::failure::{Failure, log};
use crate::jobs;
use crate::paging::{PageBody, Paging};
use crate::work::{blocking, with_engine};

/// A document may be larger than a question, and takes longer to arrive.
pub(crate) const UPLOAD: BodyLimits = BodyLimits {
    bytes: 64 << 20,
    time: Duration::from_secs(120),
};
const LONGEST_URI: usize = 2048;

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
    /// The service is being stopped.
    #[error("the service is being stopped")]
    Stopped,
    /// A model or the index failed; the client is not told why.
    #[error("the document could not be indexed")]
    Backend(#[source] BackendError),
}

/// What became of a document that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AddedStatus {
    /// The document is new.
    Indexed,
    /// The index had it already.
    Unchanged,
    /// An earlier version under the same label is gone.
    Replaced,
}

/// A page of documents, ordered by URI.
pub type DocumentsBody = PageBody<DocumentBody>;

/// What the index knows of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// What a document is called, where the body does not say.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Label {
    /// Path or URI to cite it by.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    uri: Option<String>,
}

/// A document that is sent as text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextBody {
    /// Path or URI to cite it by; its ending tells the format.
    #[schemars(length(min = 1, max = 2048))]
    uri: String,
    text: String,
}

/// The part of a path that names a document.
#[derive(Debug, Deserialize)]
pub(crate) struct DocumentPath {
    id: String,
}

/// A query string, with this crate's errors.
pub(crate) struct ApiQuery<T>(pub(crate) T);

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
    access: Access,
    paging: Paging,
) -> Result<Json<DocumentsBody>, Failure> {
    let records = with_engine(&service, &access, |engine| engine.store().documents()).await??;
    let (before, size) = paging.window();
    let shown = records.iter().skip(before).take(size);
    let results = shown.map(DocumentBody::from).collect();
    Ok(Json(paging.body_of(records.len() as u64, results)))
}

pub(crate) async fn read(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<DocumentPath>,
) -> Result<Json<DocumentBody>, Failure> {
    let id = known_form(&path.id)?;
    with_engine(&service, &access, move |engine| {
        engine.store().document(&id)
    })
    .await??
    .map(|record| Json(DocumentBody::from(&record)))
    .ok_or_else(no_such_document)
}

pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<DocumentPath>,
) -> Result<StatusCode, Failure> {
    let id = known_form(&path.id)?;
    let removed =
        with_engine(&service, &access, move |engine| engine.store().delete(&id)).await??;
    if !removed {
        return Err(no_such_document());
    }
    if let Some(accounts) = &service.state.accounts {
        access
            .record(&accounts.state, Done::to("document.delete", id))
            .await?;
    }
    tracing::info!(document = %id, "removed a document");
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the bytes of a document as they are, a form with a file, or JSON with
/// text; with `Prefer: respond-async` the indexing is a job.
pub(crate) async fn add(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiQuery(label): ApiQuery<Label>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    // Before the body is read: that many documents are held in memory.
    let permit = service.admit()?;
    let sink = sink(&service, &access).await?;
    let bytes = read_body(&headers, body, UPLOAD).await?;
    let (uri, bytes) = sent(&headers, label.uri, bytes).await?;
    check_label(&uri)?;
    check_quota(&service, &access).await?;
    if prefers_job(&headers) {
        let job = jobs::queue(&service, &access, uri, bytes).await?;
        return Ok((StatusCode::ACCEPTED, Json(job)).into_response());
    }
    let added = index(&service, &access, permit, (sink, uri, bytes)).await?;
    let status = match added.status {
        AddedStatus::Indexed => StatusCode::CREATED,
        AddedStatus::Unchanged | AddedStatus::Replaced => StatusCode::OK,
    };
    Ok((status, Json(added)).into_response())
}

/// What takes documents into the workspace.
pub(crate) async fn sink(
    service: &Arc<Service>,
    access: &Access,
) -> Result<Arc<dyn DocumentSink>, Failure> {
    access.open(service).await?.indexer.ok_or_else(|| {
        Failure::new(
            StatusCode::NOT_IMPLEMENTED,
            "no_indexer",
            "this service takes no documents",
        )
    })
}

/// Indexes a document at once, whatever interface it came by.
pub(crate) async fn index(
    service: &Arc<Service>,
    access: &Access,
    permit: OwnedSemaphorePermit,
    (sink, uri, bytes): (Arc<dyn DocumentSink>, String, Vec<u8>),
) -> Result<AddedBody, Failure> {
    // Without the timeout of questions: a large document takes its time, and
    // half an indexing is no use to anybody.
    let added = blocking(service, permit, move |_| sink.add(uri, bytes))
        .await?
        .map_err(|error| match error {
            SinkError::Unreadable { reason } => Failure::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "unreadable_document",
                reason,
            ),
            SinkError::Busy => Failure::busy(),
            SinkError::Stopped => Failure::stopping(),
            SinkError::Backend(_) => {
                log(&error);
                Failure::internal()
            }
        })?;
    service.meter.document(access);
    if let Some(accounts) = &service.state.accounts {
        access
            .record(&accounts.state, Done::to("document.add", &added.id))
            .await?;
    }
    tracing::info!(document = added.id, status = ?added.status, "took a document");
    Ok(added)
}

/// What was sent and what it is called.
async fn sent(
    headers: &HeaderMap,
    label: Option<String>,
    bytes: Vec<u8>,
) -> Result<(String, Vec<u8>), Failure> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let missing = || Failure::invalid("uri", "has to be given");
    if let Ok(boundary) = multer::parse_boundary(content_type) {
        return form(boundary, label, bytes).await;
    }
    // A JSON document of its own comes with a label, text in JSON brings one.
    if label.is_none() && content_type.starts_with("application/json") {
        let body: TextBody = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(
                StatusCode::BAD_REQUEST,
                "invalid_json",
                format!("the body can't be read: {error}"),
            )
        })?;
        return Ok((body.uri, body.text.into_bytes()));
    }
    Ok((label.ok_or_else(missing)?, bytes))
}

/// The one file of a form.
async fn form(
    boundary: String,
    label: Option<String>,
    bytes: Vec<u8>,
) -> Result<(String, Vec<u8>), Failure> {
    let unreadable = |reason: String| Failure::new(StatusCode::BAD_REQUEST, "invalid_form", reason);
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(bytes)]);
    let mut form = multer::Multipart::new(stream, boundary);
    let mut found = None;
    while let Some(field) = form
        .next_field()
        .await
        .map_err(|error| unreadable(error.to_string()))?
    {
        let Some(name) = field.file_name().map(str::to_owned) else {
            return Err(unreadable("a field of the form is no file".to_owned()));
        };
        if found.is_some() {
            return Err(unreadable("the form has more than one file".to_owned()));
        }
        let file = field
            .bytes()
            .await
            .map_err(|error| unreadable(error.to_string()))?;
        found = Some((name, file.to_vec()));
    }
    let (name, file) = found.ok_or_else(|| unreadable("the form has no file".to_owned()))?;
    Ok((label.unwrap_or(name), file))
}

/// RFC 7240: the client would rather be told at once and look later.
fn prefers_job(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

pub(crate) async fn check_quota(service: &Arc<Service>, access: &Access) -> Result<(), Failure> {
    let Some(most) = access.workspace.settings.max_documents else {
        return Ok(());
    };
    let opened = access.open(service).await?;
    let held = tokio::task::spawn_blocking(move || opened.engine.store().documents())
        .await
        .map_err(|_| Failure::internal())??;
    if held.len() as u64 >= most {
        return Err(Failure::new(
            StatusCode::CONFLICT,
            "quota_reached",
            format!(
                "the workspace has {} documents and may have {most}",
                held.len()
            ),
        ));
    }
    Ok(())
}

fn known_form(id: &str) -> Result<DocumentId, Failure> {
    // What can't be an id is no document either.
    id.parse().map_err(|_| no_such_document())
}

pub(crate) fn no_such_document() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "document_not_found",
        "the index has no document with this id",
    )
}

pub(crate) fn check_label(uri: &str) -> Result<(), Failure> {
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
