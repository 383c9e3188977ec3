//! Removing documents, at once or with time to think better of it.
//!
//! A removed document leaves the index at once, with its text and its vectors.
//! Only its bytes stay, in a file of their own with what the index knew of it;
//! restoring it is indexing them anew.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use genie_core::{BackendError, DocumentId, StoreError};
use genie_state::{Job, JobOutcome, Page, RemovedDocument, Timestamp, Workspace, WorkspaceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Keep, record_erasure};
use crate::access::{Access, Done};
use crate::app::Service;
use crate::documents::{
    AddedBody, AddedStatus, ApiQuery, DocumentBody, DocumentPath, SinkError, check_quota, erase,
    is_named_so, jobs, known_form, no_indexer, no_such_document, not_kept, take_back,
};
use crate::failure::{Failure, log};
use crate::jobs::{
    DOCUMENT_RESTORE, JobBody, Lane, Wanted, as_payload, enqueue, opened, payload, unknown,
};
use crate::paging::{PageBody, Paging};
use crate::watch::Watch;
use crate::work::blocking;
use crate::workspaces::OpenWorkspace;

/// What waits for its restoring is not erased meanwhile.
const WAITING: Duration = Duration::from_secs(24 * 3600);
/// Workspaces that are looked at together.
const PAGE: u32 = 200;

/// A document that was removed and is not erased yet.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RemovedDocumentBody {
    #[serde(flatten)]
    document: DocumentBody,
    /// Who removed it.
    removed_by: String,
    removed_at: String,
    /// Until then it can be restored; then it is erased.
    erase_after: String,
}

/// What a job that restores needs to know.
#[derive(Serialize, Deserialize)]
struct Wish {
    document: String,
}

/// Takes the document out of the index, and erases it where it is not to be
/// kept; one that was taken out already is erased then too.
pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<DocumentPath>,
    ApiQuery(keep): ApiQuery<Keep>,
) -> Result<StatusCode, Failure> {
    let now = Timestamp::now();
    let until = keep.until(now)?;
    let id = known_form(&path.id)?;
    let Some(erase_after) = until else {
        return match erase(&service, &access, id).await? {
            true => Ok(StatusCode::NO_CONTENT),
            false => Err(no_such_document()),
        };
    };
    let permit = service.in_turn().await?;
    let opened = access.open(&service).await?;
    let by = access.caller.subject();
    blocking(&service, permit, move |_| {
        let store = opened.engine.store();
        let record = store.document(&id)?.ok_or_else(no_such_document)?;
        let originals = opened.originals.as_ref().ok_or_else(not_kept)?;
        let removed = RemovedDocument {
            record,
            by,
            at: now,
            erase_after,
        };
        // First: a crash in between leaves a document that is not removed.
        if !originals.set_aside(&removed)? {
            return Err(not_kept());
        }
        store.delete(&id)?;
        Ok::<_, Failure>(())
    })
    .await??;
    service.removed.notify_one();
    if let Some(accounts) = &service.state.accounts {
        access
            .record(&accounts.state, Done::to("document.remove", id))
            .await?;
    }
    tracing::info!(document = %id, "removed a document that can be restored");
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    access: Access,
    paging: Paging,
) -> Result<Json<PageBody<RemovedDocumentBody>>, Failure> {
    let permit = service.in_turn().await?;
    let opened = access.open(&service).await?;
    let removed = blocking(&service, permit, move |_| match &opened.originals {
        Some(originals) => originals.removed(),
        None => Ok(Vec::new()),
    })
    .await??;
    let (before, size) = paging.window();
    let count = removed.len() as u64;
    let shown = removed.into_iter().skip(before).take(size);
    let results = shown.map(RemovedDocumentBody::from).collect();
    Ok(Json(paging.body_of(count, results)))
}

/// Queues the indexing of a removed document.
pub(crate) async fn restore(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<DocumentPath>,
) -> Result<(StatusCode, Json<JobBody>), Failure> {
    let id = path.id.parse().map_err(|_| nothing_to_restore())?;
    let state = service.accounts()?;
    let opened = access.open(&service).await?;
    if opened.indexer.is_none() {
        return Err(no_indexer());
    }
    let permit = service.in_turn().await?;
    blocking(&service, permit, move |_| {
        let originals = opened.originals.as_ref().ok_or_else(nothing_to_restore)?;
        let now = Timestamp::now();
        if let Some(removed) = originals.removed_document(&id)?
            && is_named_so(&opened, &removed.record)?
        {
            let uri = removed.record.uri;
            return Err(Failure::new(
                StatusCode::CONFLICT,
                "document_exists",
                format!("another document is called {uri:?} by now; delete that one first"),
            ));
        }
        // That it is there and may be had, once more and for longer.
        if !originals.keep_removed(&id, now, now.after(WAITING))? {
            return Err(nothing_to_restore());
        }
        Ok::<_, Failure>(())
    })
    .await??;
    check_quota(&service, &access.workspace, 0).await?;
    let wanted = Wanted {
        kind: DOCUMENT_RESTORE,
        lane: Lane::Documents,
        content: id.to_string(),
        payload: as_payload(&Wish {
            document: id.to_string(),
        })?,
    };
    let job = enqueue(&service, &access, wanted).await?;
    access
        .record(state, Done::to("document.restore", id))
        .await?;
    Ok((StatusCode::ACCEPTED, Json(job.into())))
}

/// Works on such a job.
pub(crate) async fn run(
    service: &Arc<Service>,
    workspace: &Workspace,
    job: &Job,
    watch: &Arc<Watch>,
) -> JobOutcome {
    let id = payload::<Wish>(job).and_then(|wish| wish.document.parse::<DocumentId>().ok());
    let Some(id) = id else {
        return unknown();
    };
    let opened = match opened(service, workspace).await {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    let watch = Arc::clone(watch);
    jobs::outcome(tokio::task::spawn_blocking(move || restored(&opened, &id, &watch)).await)
}

fn restored(
    opened: &OpenWorkspace,
    id: &DocumentId,
    watch: &Watch,
) -> Result<AddedBody, SinkError> {
    let gone = |reason: &str| SinkError::Unreadable {
        reason: reason.to_owned(),
    };
    let erased = || gone("the document was erased");
    let originals = opened.originals.as_ref().ok_or_else(erased)?;
    let store = opened.engine.store();
    let Some((removed, bytes)) = originals.read_removed(id).map_err(backend)? else {
        // Where it is in the index, a crash came between this and the end of
        // the job.
        let record = store.document(id).map_err(backend)?.ok_or_else(erased)?;
        return Ok(AddedBody {
            id: record.id.to_string(),
            uri: record.uri,
            status: AddedStatus::Unchanged,
            chunks: record.chunks,
        });
    };
    if is_named_so(opened, &removed.record).map_err(backend)? {
        return Err(gone("another document is called as it was by now"));
    }
    let added = take_back(opened, &removed.record, &bytes, watch)?;
    if !originals.erase_removed(id).map_err(backend)? {
        // Whoever erased it has not found it in the index.
        store.delete(id).map_err(backend)?;
        return Err(erased());
    }
    Ok(added)
}

/// Erases the removed documents whose time has come.
pub(crate) async fn erase_due(service: &Service) -> Result<(), Failure> {
    let state = service.accounts()?;
    for number in 1.. {
        let page = Page::new(number, PAGE).map_err(|_| Failure::internal())?;
        let found = state.workspaces(page).await?.results;
        for workspace in &found {
            erase_due_of(service, workspace).await?;
        }
        if found.len() < PAGE as usize {
            break;
        }
    }
    Ok(())
}

async fn erase_due_of(service: &Service, workspace: &Workspace) -> Result<(), Failure> {
    let accounts = service.with_accounts()?;
    let originals = if workspace.id == WorkspaceId::default_workspace() {
        service.state.originals.clone()
    } else {
        accounts.workspaces.originals(workspace)
    };
    let Some(originals) = originals else {
        return Ok(());
    };
    let looking = {
        let originals = originals.clone();
        tokio::task::spawn_blocking(move || originals.due(Timestamp::now()))
    };
    let due = match looking.await.map_err(|_| Failure::internal())? {
        Ok(due) => due,
        // Those of other workspaces are not to wait for it.
        Err(error) => {
            log(&error);
            return Ok(());
        }
    };
    for removed in due {
        let record = removed.record;
        let state = &accounts.state;
        // It may have been sent again, or another one under its name: then
        // kept answers may be of that.
        let opened = service.open(workspace).await?;
        let uri = record.uri.clone();
        let named = tokio::task::spawn_blocking(move || {
            let named = opened.engine.store().documents_from(&uri)?;
            Ok::<_, StoreError>(!named.is_empty())
        });
        if !named.await.map_err(|_| Failure::internal())?? {
            // First what leads to it, so that it is done again where this ends.
            state.forget_document(&workspace.id, &record.uri).await?;
        }
        let (originals, id) = (originals.clone(), record.id);
        let erasing = tokio::task::spawn_blocking(move || originals.erase_removed(&id));
        if erasing.await.map_err(|_| Failure::internal())?? {
            record_erasure(state, &workspace.id, "document.erase", id).await?;
            tracing::info!(workspace = %workspace.id, document = %id, "erased a removed document");
        }
    }
    Ok(())
}

fn nothing_to_restore() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "no document with this id can be restored",
    )
}

fn backend(error: impl Into<BackendError>) -> SinkError {
    SinkError::Backend(error.into())
}

impl From<RemovedDocument> for RemovedDocumentBody {
    fn from(removed: RemovedDocument) -> Self {
        Self {
            document: DocumentBody::from(&removed.record),
            removed_by: removed.by.to_string(),
            removed_at: removed.at.to_string(),
            erase_after: removed.erase_after.to_string(),
        }
    }
}
