//! Documents that are indexed after the request that brought them: a queue in
//! the state, so that a crash loses none and repeats none.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use genie_core::DocumentId;
use genie_state::{Job, JobId, JobOutcome, JobState, NewJob, Timestamp, WorkspaceId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::{Access, Done};
use crate::app::{Accounts, Service};
use crate::conversations::IdPath;
use crate::documents::SinkError;
use crate::failure::{Failure, log};
use crate::paging::{PageBody, Paging};

/// A worker that says nothing for this long has died; another takes its job.
const LEASE: Duration = Duration::from_secs(60);
/// How often a working one says so.
const HEARTBEAT: Duration = Duration::from_secs(20);
const INGEST: &str = "document.add";

/// Work that goes on after its request.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct JobBody {
    id: String,
    /// As in `document.add`.
    kind: String,
    state: JobStateBody,
    /// How often it was begun; after the third time it is set aside.
    attempts: u32,
    /// Who asked for it.
    subject: String,
    /// What came of it, once it is done.
    result: Option<Value>,
    /// Why it failed, last time.
    reason: Option<String>,
    created: String,
    changed: String,
}

/// How far a job is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum JobStateBody {
    /// Waits for a worker.
    Queued,
    /// Is being worked on.
    Running,
    /// Has its result.
    Done,
    /// Is set aside, with its reason.
    Failed,
    /// Was called off.
    Cancelled,
}

/// What a job of this kind needs: where the bytes wait and what they are
/// called.
#[derive(Debug, Serialize, Deserialize)]
struct Upload {
    uri: String,
    file: String,
}

pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    access: Access,
    paging: Paging,
) -> Result<Json<PageBody<JobBody>>, Failure> {
    let id = &access.workspace.id;
    let jobs = service.accounts()?.jobs(id, paging.page()?).await?;
    Ok(Json(paging.body(jobs)))
}

pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<JobBody>, Failure> {
    let id: JobId = path.id.parse().map_err(|_| no_such_job())?;
    let job = service.accounts()?.job(&access.workspace.id, &id).await?;
    Ok(Json(job.ok_or_else(no_such_job)?.into()))
}

pub(crate) async fn cancel(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<JobBody>, Failure> {
    let id: JobId = path.id.parse().map_err(|_| no_such_job())?;
    let accounts = service.with_accounts()?;
    let state = &accounts.state;
    let job = state.cancel_job(&access.workspace.id, &id).await?;
    let job = job.ok_or_else(no_such_job)?;
    access.record(state, Done::to("job.cancel", &id)).await?;
    if matches!(job.state, JobState::Cancelled) {
        forget(&service, accounts, &job).await;
    }
    Ok(Json(job.into()))
}

/// Keeps the bytes of a document and queues its indexing.
pub(crate) async fn queue(
    service: &Arc<Service>,
    access: &Access,
    uri: String,
    bytes: Vec<u8>,
) -> Result<JobBody, Failure> {
    let accounts = service.with_accounts()?;
    let document = DocumentId::of(&bytes);
    let folder = accounts.uploads.join(access.workspace.id.as_str());
    let file = document.to_string();
    let place = folder.join(&file);
    // Until the job is queued that needs the file.
    let _bringing = service.uploads.bring().await;
    tokio::task::spawn_blocking(move || keep(&folder, &place, &bytes))
        .await
        .map_err(|_| Failure::internal())?
        .map_err(|error| {
            log(&error);
            Failure::storage(&error)
        })?;
    let upload = Upload { uri, file };
    let payload = serde_json::to_string(&upload).map_err(|_| Failure::internal())?;
    let new = NewJob {
        workspace: access.workspace.id.clone(),
        kind: INGEST.to_owned(),
        subject: access.caller.subject(),
        content: format!("{document} {}", upload.uri),
        payload,
    };
    let job = accounts.state.enqueue(new).await?;
    access
        .record(&accounts.state, Done::to("document.queue", &document))
        .await?;
    service.has_jobs.notify_one();
    Ok(job.into())
}

/// Whole and on disk before its name is there.
fn keep(folder: &std::path::Path, place: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(place).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Takes the next job, if one is due, and works on it to its end.
pub(crate) async fn work_on_next(service: &Arc<Service>, worker: &str) -> Result<bool, Failure> {
    let accounts = service.with_accounts()?;
    let Some(job) = accounts
        .state
        .claim(worker, LEASE, Timestamp::now())
        .await?
    else {
        return Ok(false);
    };
    tracing::info!(job = %job.id, kind = job.kind, attempt = job.attempts, "working on a job");
    let outcome = run(service, accounts, &job, worker).await;
    let is_over = match outcome {
        JobOutcome::Done { .. } | JobOutcome::Failed { .. } => true,
        // The last try of three; after it the job is set aside.
        JobOutcome::Retry { .. } => job.attempts >= 3,
        JobOutcome::HandedBack => false,
    };
    if accounts.state.finish(&job.id, worker, outcome).await? && is_over {
        forget(service, accounts, &job).await;
    }
    Ok(true)
}

async fn run(service: &Arc<Service>, accounts: &Accounts, job: &Job, worker: &str) -> JobOutcome {
    let failed = |reason: &str| JobOutcome::Failed {
        reason: reason.to_owned(),
    };
    let Ok(upload) = serde_json::from_str::<Upload>(&job.payload) else {
        return failed("the job is of a kind that this version does not know");
    };
    let Some(place) = place(accounts, &job.workspace, &upload) else {
        return failed("the job names no file");
    };
    let Ok(Some(workspace)) = service.workspace(&job.workspace).await else {
        return failed("the workspace is gone");
    };
    let opened = match service.open(&workspace).await {
        Ok(opened) => opened,
        Err(failure) => {
            return JobOutcome::Retry {
                reason: failure.message,
            };
        }
    };
    let Some(sink) = opened.indexer else {
        return failed("this service takes no documents");
    };
    let uri = upload.uri;
    let mut working = tokio::task::spawn_blocking(move || {
        let bytes = std::fs::read(&place).map_err(|error| SinkError::Backend(Box::new(error)))?;
        sink.add(uri, bytes)
    });
    let added = loop {
        tokio::select! {
            ended = &mut working => break ended,
            () = tokio::time::sleep(HEARTBEAT) => {
                let now = Timestamp::now();
                let renewed = accounts.state.progress(&job.id, worker, 0, 1, LEASE, now).await;
                if let Err(error) = renewed {
                    log(&error);
                }
            }
        }
    };
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

/// Removes the kept bytes of a job that is over.
async fn forget(service: &Arc<Service>, accounts: &Accounts, job: &Job) {
    let upload = serde_json::from_str::<Upload>(&job.payload).ok();
    let place = upload.and_then(|upload| place(accounts, &job.workspace, &upload));
    let Some(place) = place else { return };
    // Nobody brings the same bytes again between the look and the removal.
    let _clearing = service.uploads.clear().await;
    // Another job may wait with the same bytes under another name; where that
    // can't be told, the next sweep looks again.
    let Ok(files) = waiting_files(&accounts.state, &job.workspace).await else {
        return;
    };
    let name = place.file_name();
    if files.iter().any(|file| name == Some(file.as_ref())) {
        return;
    }
    match tokio::fs::remove_file(&place).await {
        // Gone with an earlier job, or with the same one called off twice.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => log(&error),
        _ => {}
    }
}

fn place(accounts: &Accounts, workspace: &WorkspaceId, upload: &Upload) -> Option<PathBuf> {
    // Written by this service, and still only an id is a name of a file.
    let id: DocumentId = upload.file.parse().ok()?;
    Some(
        accounts
            .uploads
            .join(workspace.as_str())
            .join(id.to_string()),
    )
}

fn no_such_job() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "job_not_found",
        "the workspace has no job with this id",
    )
}

/// The files that jobs of a workspace which are not over still need.
pub(crate) async fn waiting_files(
    state: &genie_state::State,
    workspace: &WorkspaceId,
) -> Result<Vec<String>, Failure> {
    let jobs = state.open_jobs(workspace).await?;
    let files = jobs.iter().filter_map(|job| {
        let upload: Upload = serde_json::from_str(&job.payload).ok()?;
        Some(upload.file)
    });
    Ok(files.collect())
}

impl From<Job> for JobBody {
    fn from(job: Job) -> Self {
        Self {
            id: job.id.to_string(),
            kind: job.kind,
            state: match job.state {
                JobState::Queued => JobStateBody::Queued,
                JobState::Running => JobStateBody::Running,
                JobState::Done => JobStateBody::Done,
                JobState::Failed => JobStateBody::Failed,
                JobState::Cancelled => JobStateBody::Cancelled,
            },
            attempts: job.attempts,
            subject: job.subject.to_string(),
            // Written by this service, so it is JSON.
            result: job
                .result
                .and_then(|result| serde_json::from_str(&result).ok()),
            reason: job.reason,
            created: job.created.to_string(),
            changed: job.changed.to_string(),
        }
    }
}
