//! The documents of the index: listed, read, changed, removed, and added through
//! the program that runs the service.

mod certificate;
mod change;
mod content;
pub(crate) mod jobs;
mod sending;
mod taking;
mod text;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use genie_core::{BackendError, DocumentId, DocumentRecord, MediaType, StoreError};
use genie_state::Workspace;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;

use crate::access::{Access, Done};
use crate::app::Service;
use crate::body::{BodyLimits, read as read_body};
use crate::bounds::Uri;
use crate::failure::{Failure, log};
use crate::jobs::queue_document;
use crate::paging::{PageBody, Paging};
use crate::watch::Watch;
use crate::work::{blocking, with_engine};
use crate::workspaces::OpenWorkspace;

pub(crate) use self::certificate::{CertificateBody, certify};
pub(crate) use self::change::{ChangeBody, change, reindex};
pub(crate) use self::content::not_kept;
pub(crate) use self::content::{Original, content, original};
pub use self::jobs::format_of;
pub(crate) use self::sending::prefers_job;
pub(crate) use self::sending::text_schema;
use self::sending::{Sent, sent};
pub(crate) use self::taking::{take, take_back};
pub(crate) use self::text::{PageTextBody, PassageTextBody, TextQuery, page, text};

/// A document may be larger than a question, and takes longer to arrive.
pub(crate) const UPLOAD: BodyLimits = BodyLimits {
    bytes: 64 << 20,
    time: Duration::from_secs(120),
};
const LONGEST_URI: usize = 2048;

/// Takes documents into the index; the program that runs the service brings
/// one, for it knows the limits and the models.
pub trait DocumentSink: Send + Sync {
    /// Indexes a document. Blocks until the index has it.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are not a readable document, when others are
    /// being indexed, when a model or the index fails, and when `watch` says
    /// so.
    fn add(&self, document: NewDocument<'_>, watch: &Watch) -> Result<AddedBody, SinkError>;

    /// Reads, cuts and embeds the bytes of a document of the index once more;
    /// title, labels and date are those of the record.
    ///
    /// # Errors
    ///
    /// As [`Self::add`].
    fn reindex(
        &self,
        record: &DocumentRecord,
        bytes: &[u8],
        watch: &Watch,
    ) -> Result<AddedBody, SinkError>;

    /// Gives a document of the index the title, the labels and the date of
    /// this record; `None` where the index has none of its id.
    ///
    /// # Errors
    ///
    /// As [`Self::add`].
    fn revise(
        &self,
        record: &DocumentRecord,
        watch: &Watch,
    ) -> Result<Option<AddedBody>, SinkError>;
}

/// A document to be indexed.
#[derive(Debug, Clone, Copy)]
pub struct NewDocument<'a> {
    /// What it is cited by; names no file to be opened.
    pub uri: &'a str,
    /// The whole file.
    pub bytes: &'a [u8],
    /// The format, where it is known from elsewhere.
    pub media_type: Option<MediaType>,
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
    /// The disk of the service is full.
    #[error("the disk of the service is full")]
    DiskFull,
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
    #[schemars(with = "Option<Uri>")]
    uri: Option<String>,
}

/// The part of a path that names a document.
#[derive(Debug, Deserialize)]
pub(crate) struct DocumentPath {
    pub(crate) id: String,
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

/// Removes a document with all that was made of it, also where it was removed
/// before and could be restored; `false` where there is none.
pub(crate) async fn erase(
    service: &Arc<Service>,
    access: &Access,
    id: DocumentId,
) -> Result<bool, Failure> {
    let permit = service.in_turn().await?;
    let opened = access.open(service).await?;
    let named = {
        let opened = opened.clone();
        blocking(service, permit, move |_| name_of(&opened, &id)).await??
    };
    // Kept answers first, so that what is cut off between is done again.
    if let (Some(uri), Some(accounts)) = (&named, &service.state.accounts) {
        let workspace = &access.workspace.id;
        accounts.state.forget_document(workspace, uri).await?;
    }
    let permit = service.in_turn().await?;
    let removed = blocking(service, permit, move |_| {
        let aside = match &opened.originals {
            Some(originals) => originals.erase_removed(&id)?,
            None => false,
        };
        Ok::<_, Failure>(opened.engine.store().delete(&id)? || aside)
    })
    .await??;
    if !removed {
        return Ok(false);
    }
    service.removed.notify_one();
    if let Some(accounts) = &service.state.accounts {
        access
            .record(&accounts.state, Done::to("document.delete", id))
            .await?;
    }
    tracing::info!(document = %id, "removed a document");
    Ok(true)
}

/// What a document is cited by, also where it was removed and can be restored;
/// `None` where there is no such document, and where kept answers may mean
/// another one that has its name by now.
fn name_of(opened: &OpenWorkspace, id: &DocumentId) -> Result<Option<String>, Failure> {
    let record = match opened.engine.store().document(id)? {
        Some(record) => Some(record),
        None => match &opened.originals {
            Some(originals) => originals.removed_document(id)?.map(|one| one.record),
            None => None,
        },
    };
    let Some(record) = record else {
        return Ok(None);
    };
    let is_of_another = is_named_so(opened, &record)?;
    Ok((!is_of_another).then_some(record.uri))
}

/// Whether another document of the index has the name of this one.
pub(crate) fn is_named_so(
    opened: &OpenWorkspace,
    record: &DocumentRecord,
) -> Result<bool, StoreError> {
    let named = opened.engine.store().documents_from(&record.uri)?;
    Ok(named.iter().any(|other| other.id != record.id))
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
    let permit = service.admit_document()?;
    let opened = ready(&service, &access).await?;
    let bytes = read_body(&headers, body, UPLOAD).await?;
    let (uri, bytes) = match sent(&headers, label.uri, bytes).await? {
        Sent::Bytes { uri, bytes } => (uri, bytes),
        Sent::Address { uri, url } => {
            let uri = uri.unwrap_or_else(|| url.clone());
            check_label(&uri)?;
            check_quota(&service, &access.workspace, 0).await?;
            let job = jobs::queue_fetch(&service, &access, uri, url).await?;
            return Ok((StatusCode::ACCEPTED, Json(job)).into_response());
        }
    };
    check_label(&uri)?;
    check_quota(&service, &access.workspace, bytes.len() as u64).await?;
    if prefers_job(&headers) {
        let job = queue_document(&service, &access, uri, bytes).await?;
        return Ok((StatusCode::ACCEPTED, Json(job)).into_response());
    }
    let added = index(&service, &access, permit, (opened, uri, bytes)).await?;
    let status = match added.status {
        AddedStatus::Indexed => StatusCode::CREATED,
        AddedStatus::Unchanged | AddedStatus::Replaced => StatusCode::OK,
    };
    Ok((status, Json(added)).into_response())
}

/// The workspace, opened, if it takes documents.
pub(crate) async fn ready(
    service: &Arc<Service>,
    access: &Access,
) -> Result<OpenWorkspace, Failure> {
    let opened = access.open(service).await?;
    match opened.indexer {
        Some(_) => Ok(opened),
        None => Err(no_indexer()),
    }
}

/// Indexes a document at once, whatever interface it came by.
pub(crate) async fn index(
    service: &Arc<Service>,
    access: &Access,
    permit: OwnedSemaphorePermit,
    (opened, uri, bytes): (OpenWorkspace, String, Vec<u8>),
) -> Result<AddedBody, Failure> {
    // Without the timeout of questions: a large document takes its time, and
    // half an indexing is no use to anybody.
    let added = blocking(service, permit, move |_| {
        let document = NewDocument {
            uri: &uri,
            bytes: &bytes,
            media_type: None,
        };
        take(&opened, document, &Watch::default())
    })
    .await?
    .map_err(Failure::from)?;
    service.meter.document(access);
    if let Some(accounts) = &service.state.accounts {
        access
            .record(&accounts.state, Done::to("document.add", &added.id))
            .await?;
    }
    tracing::info!(document = added.id, status = ?added.status, "took a document");
    Ok(added)
}

/// Whether the workspace may have one more document of this many bytes.
pub(crate) async fn check_quota(
    service: &Arc<Service>,
    workspace: &Workspace,
    bytes: u64,
) -> Result<(), Failure> {
    let settings = &workspace.settings;
    let (documents, most_bytes) = (settings.max_documents, settings.max_bytes);
    if documents.is_none() && most_bytes.is_none() {
        return Ok(());
    }
    let opened = service.open(workspace).await?;
    tokio::task::spawn_blocking(move || {
        if let Some(most) = documents {
            let held = opened.engine.store().documents()?.len() as u64;
            if held >= most {
                return Err(quota_reached(format!(
                    "the workspace has {held} documents and may have {most}"
                )));
            }
        }
        if let (Some(most), Some(originals)) = (most_bytes, &opened.originals) {
            let used = originals.used()?;
            if used.saturating_add(bytes) > most {
                return Err(quota_reached(format!(
                    "the workspace keeps {used} bytes of documents and may keep {most}; this \
                     one has {bytes}"
                )));
            }
        }
        Ok(())
    })
    .await
    .map_err(|_| Failure::internal())?
}

fn quota_reached(message: String) -> Failure {
    Failure::new(StatusCode::CONFLICT, "quota_reached", message)
}

pub(crate) fn no_indexer() -> Failure {
    Failure::new(
        StatusCode::NOT_IMPLEMENTED,
        "no_indexer",
        "this service takes no documents",
    )
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        match error {
            SinkError::Unreadable { reason } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "unreadable_document",
                reason,
            ),
            SinkError::Busy => Self::busy(),
            SinkError::Stopped => Self::stopping(),
            SinkError::DiskFull => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                "the disk of the service is full",
            ),
            SinkError::Backend(_) => {
                log(&error);
                Self::internal()
            }
        }
    }
}

pub(crate) fn known_form(id: &str) -> Result<DocumentId, Failure> {
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
    let length = uri.chars().count();
    if length > LONGEST_URI {
        return Err(Failure::invalid(
            "uri",
            format!("has {length} characters, but at most {LONGEST_URI} are accepted"),
        ));
    }
    if uri.chars().any(char::is_control) {
        return Err(Failure::invalid("uri", "must not have control characters"));
    }
    Ok(())
}
