//! Documents that are indexed after the request that brought them.

use std::sync::Arc;

use genie_core::{DocumentId, MediaType};
use genie_state::{Job, JobOutcome, Workspace};
use serde::{Deserialize, Serialize};

use super::{AddedBody, NewDocument, SinkError, check_quota, take};
use crate::access::{Access, Done};
use crate::app::{Accounts, Service};
use crate::failure::{Failure, log};
use crate::jobs::{
    DOCUMENT_FETCH, JobBody, Lane, Upload, Wanted, as_payload, enqueue, failed, kept, opened,
    payload, retry, unknown,
};
use crate::outbound::OutboundError;
use crate::watch::Watch;

/// What a job that fetches needs to know.
#[derive(Serialize, Deserialize)]
struct Address {
    uri: String,
    url: String,
}

/// What a job that indexes anew needs to know.
#[derive(Serialize, Deserialize)]
pub(super) struct Again {
    pub(super) document: String,
}

/// Queues the fetching of a document, if that may be fetched.
pub(super) async fn queue_fetch(
    service: &Arc<Service>,
    access: &Access,
    uri: String,
    url: String,
) -> Result<JobBody, Failure> {
    let outbound = service.outbound()?;
    let state = service.accounts()?;
    outbound
        .check_fetch(&url)
        .map_err(|error| error.told("url"))?;
    let content = DocumentId::of(format!("{url}\n{uri}").as_bytes());
    let wanted = Wanted {
        kind: DOCUMENT_FETCH,
        lane: Lane::Documents,
        content: content.to_string(),
        payload: as_payload(&Address { uri, url })?,
    };
    let job = enqueue(service, access, wanted).await?;
    access
        .record(state, Done::to("document.fetch", job.id))
        .await?;
    Ok(job.into())
}

pub(crate) async fn add(
    service: &Arc<Service>,
    accounts: &Accounts,
    workspace: &Workspace,
    job: &Job,
    watch: &Arc<Watch>,
) -> JobOutcome {
    let Some(upload) = payload::<Upload>(job) else {
        return unknown();
    };
    let Some(place) = kept(accounts, &job.workspace, &upload.file) else {
        return failed("the job names no file");
    };
    let opened = match opened(service, workspace).await {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    let watch = Arc::clone(watch);
    let added = tokio::task::spawn_blocking(move || {
        let bytes = std::fs::read(&place).map_err(|error| SinkError::Backend(Box::new(error)))?;
        let document = NewDocument {
            uri: &upload.uri,
            bytes: &bytes,
            media_type: None,
        };
        take(&opened, document, &watch)
    });
    outcome(added.await)
}

pub(crate) async fn fetch(
    service: &Arc<Service>,
    accounts: &Accounts,
    workspace: &Workspace,
    job: &Job,
    watch: &Arc<Watch>,
) -> JobOutcome {
    let Some(Address { uri, url }) = payload(job) else {
        return unknown();
    };
    let outbound = match service.outbound() {
        Ok(outbound) => Arc::clone(outbound),
        Err(failure) => return failed(&failure.message),
    };
    let fetching = {
        let watch = Arc::clone(watch);
        tokio::task::spawn_blocking(move || outbound.fetch(&url, &watch))
    };
    let fetched = match fetching.await {
        Ok(Ok(fetched)) => fetched,
        Ok(Err(OutboundError::Refused { reason })) => return failed(&reason),
        Ok(Err(OutboundError::Failed { reason })) => return JobOutcome::Retry { reason },
        Ok(Err(OutboundError::Stopped)) => return JobOutcome::HandedBack,
        Err(_) => return retry(Failure::internal()),
    };
    if let Err(failure) = check_quota(service, workspace, fetched.bytes.len() as u64).await {
        return failed(&failure.message);
    }
    let opened = match opened(service, workspace).await {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    let id = DocumentId::of(&fetched.bytes);
    let watch = Arc::clone(watch);
    let added = tokio::task::spawn_blocking(move || {
        let document = NewDocument {
            uri: &uri,
            bytes: &fetched.bytes,
            media_type: fetched.media_type,
        };
        take(&opened, document, &watch)
    });
    let outcome = outcome(added.await);
    if matches!(outcome, JobOutcome::Done { .. }) {
        // The id was not known when the job was queued.
        let recorded = record(accounts, job, "document.add", id.to_string()).await;
        if let Err(failure) = recorded {
            return retry(failure);
        }
    }
    outcome
}

pub(crate) async fn reindex(
    service: &Arc<Service>,
    workspace: &Workspace,
    job: &Job,
    watch: &Arc<Watch>,
) -> JobOutcome {
    let id = payload::<Again>(job).and_then(|again| again.document.parse::<DocumentId>().ok());
    let Some(id) = id else {
        return unknown();
    };
    let opened = match opened(service, workspace).await {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    let watch = Arc::clone(watch);
    let added = tokio::task::spawn_blocking(move || {
        let gone = |reason: &str| SinkError::Unreadable {
            reason: reason.to_owned(),
        };
        let backend = |error| SinkError::Backend(error);
        let record = opened.engine.store().document(&id);
        let record = record
            .map_err(|error| backend(Box::new(error)))?
            .ok_or_else(|| gone("the document was removed"))?;
        let bytes = match &opened.originals {
            Some(originals) => originals
                .read(&id)
                .map_err(|error| backend(Box::new(error)))?,
            None => None,
        };
        let bytes = bytes.ok_or_else(|| gone("the bytes of the document are not kept"))?;
        let sink = opened
            .indexer
            .ok_or_else(|| gone("this service takes no documents"))?;
        sink.reindex(&record, &bytes, &watch)
    });
    outcome(added.await)
}

/// Records for the caller of a job what came of it.
async fn record(
    accounts: &Accounts,
    job: &Job,
    action: &str,
    object: String,
) -> Result<(), Failure> {
    accounts
        .state
        .audit(genie_state::NewAudit {
            subject: job.subject.clone(),
            workspace: Some(job.workspace.clone()),
            action: action.to_owned(),
            object: Some(object),
            outcome: "ok".to_owned(),
            correlation: job.id.to_string(),
            intent: None,
            model: None,
            logic: env!("CARGO_PKG_VERSION").to_owned(),
        })
        .await?;
    Ok(())
}

pub(crate) fn outcome(
    added: Result<Result<AddedBody, SinkError>, tokio::task::JoinError>,
) -> JobOutcome {
    match added {
        Ok(Ok(added)) => JobOutcome::Done {
            result: serde_json::to_string(&added).unwrap_or_default(),
        },
        // The same bytes are as unreadable the next time.
        Ok(Err(SinkError::Unreadable { reason })) => JobOutcome::Failed { reason },
        Ok(Err(SinkError::Stopped)) => JobOutcome::HandedBack,
        Ok(Err(error)) => {
            log(&error);
            JobOutcome::Retry {
                reason: error.to_string(),
            }
        }
        Err(_) => JobOutcome::Retry {
            reason: "the work on it was broken off".to_owned(),
        },
    }
}

/// The format that a `Content-Type` names, where documents come in it.
#[must_use]
pub fn format_of(content_type: &str) -> Option<MediaType> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "application/xhtml+xml" => Some(MediaType::Html),
        "text/x-markdown" => Some(MediaType::Markdown),
        essence => essence.parse().ok(),
    }
}
