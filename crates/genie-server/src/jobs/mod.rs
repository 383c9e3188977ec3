//! Work that goes on after the request that asked for it: a queue in the
//! state, so that a crash loses none and repeats none.

mod events;
mod run;
mod uploads;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use genie_core::DocumentId;
use genie_state::{Job, JobId, JobState, NewJob};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use crate::access::{Access, Done};
use crate::app::Service;
use crate::conversations::IdPath;
use crate::failure::Failure;
use crate::paging::{PageBody, Paging};
use crate::question::wants_stream;
use crate::work::Stop;

pub(crate) use self::run::{failed, opened, retry, unknown, work_on_next};
pub(crate) use self::uploads::{Upload, forget, keep, kept, waiting_files};

pub(crate) const DOCUMENT_ADD: &str = "document.add";
pub(crate) const DOCUMENT_FETCH: &str = "document.fetch";
pub(crate) const DOCUMENT_REINDEX: &str = "document.reindex";
pub(crate) const DOCUMENT_RESTORE: &str = "document.restore";
pub(crate) const EVALUATION: &str = "evaluation";
/// Kinds that begin so are seen by nobody but whoever asked.
const PRIVATE: &str = "answer";
pub(crate) const ANSWER: &str = "answer";
pub(crate) const ANSWER_MESSAGE: &str = "answer.message";
pub(crate) const ANSWER_DELIVERY: &str = "answer.delivery";

/// Jobs of one lane wait for each other and for no others: an evaluation of
/// hours holds up no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Documents,
    Answers,
    Deliveries,
    Evaluations,
}

impl Lane {
    pub(crate) const fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Documents => &[
                DOCUMENT_ADD,
                DOCUMENT_FETCH,
                DOCUMENT_REINDEX,
                DOCUMENT_RESTORE,
            ],
            Self::Answers => &[ANSWER, ANSWER_MESSAGE],
            Self::Deliveries => &[ANSWER_DELIVERY],
            Self::Evaluations => &[EVALUATION],
        }
    }
}

/// Told when a job was queued.
#[derive(Debug, Default)]
pub(crate) struct Lanes([Notify; 4]);

impl Lanes {
    pub(crate) fn of(&self, lane: Lane) -> &Notify {
        &self.0[lane as usize]
    }
}

/// Work that goes on after its request.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct JobBody {
    id: String,
    /// `document.add`, `document.fetch`, `document.reindex`,
    /// `document.restore`, `answer`, `answer.message`, `answer.delivery` or
    /// `evaluation`.
    kind: String,
    state: JobStateBody,
    /// How often it was begun; after the third time it is set aside.
    attempts: u32,
    /// How far it is.
    progress: ProgressBody,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct ProgressBody {
    /// Passages of a document, questions of an evaluation.
    done: u64,
    /// How many there are; 0 while that is not known.
    total: u64,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
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

pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    access: Access,
    paging: Paging,
) -> Result<Json<PageBody<JobBody>>, Failure> {
    let id = &access.workspace.id;
    let subject = access.caller.subject();
    let state = service.accounts()?;
    let jobs = state.jobs_seen_by(id, &subject, paging.page()?).await?;
    Ok(Json(paging.body(jobs)))
}

/// How far a job is, as JSON, or as events until it is over.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    headers: HeaderMap,
    stop: Stop,
) -> Result<Response, Failure> {
    let job = known(&service, &access, &path.id).await?;
    Ok(show_job(&service, &access, job, &headers, stop))
}

/// The job as JSON, or as events where those are asked for.
pub(crate) fn show_job(
    service: &Arc<Service>,
    access: &Access,
    job: Job,
    headers: &HeaderMap,
    stop: Stop,
) -> Response {
    if wants_stream(false, headers) {
        events::stream(service, access, job, stop)
    } else {
        Json(JobBody::from(job)).into_response()
    }
}

pub(crate) async fn cancel(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<JobBody>, Failure> {
    let job = known(&service, &access, &path.id).await?;
    Ok(Json(call_off(&service, &access, &job.id).await?.into()))
}

/// The job, if the caller may see it.
pub(crate) async fn known(service: &Service, access: &Access, id: &str) -> Result<Job, Failure> {
    let id: JobId = id.parse().map_err(|_| no_such_job())?;
    let job = service.accounts()?.job(&access.workspace.id, &id).await?;
    job.filter(|job| !job.kind.starts_with(PRIVATE) || job.subject == access.caller.subject())
        .ok_or_else(no_such_job)
}

/// Ends a job that is not over, wherever it is.
pub(crate) async fn call_off(
    service: &Arc<Service>,
    access: &Access,
    id: &JobId,
) -> Result<Job, Failure> {
    let accounts = service.with_accounts()?;
    let state = &accounts.state;
    let job = state.cancel_job(&access.workspace.id, id).await?;
    let job = job.ok_or_else(no_such_job)?;
    service.running.stop(id);
    access.record(state, Done::to("job.cancel", id)).await?;
    if matches!(job.state, JobState::Cancelled) {
        forget(service, accounts, &job).await;
    }
    Ok(job)
}

/// A job to be queued.
pub(crate) struct Wanted {
    pub(crate) kind: &'static str,
    pub(crate) lane: Lane,
    /// What makes two jobs the same.
    pub(crate) content: String,
    pub(crate) payload: String,
}

/// That a job was queued, with its place below the workspace's `list`.
pub(crate) fn accepted(job: Job, list: &str) -> Response {
    let place = format!("/api/v1/workspaces/{}/{list}/{}", job.workspace, job.id);
    let mut response = (StatusCode::ACCEPTED, Json(JobBody::from(job))).into_response();
    // Ids are of characters that a path takes as they are.
    if let Ok(place) = HeaderValue::from_str(&place) {
        response.headers_mut().insert(header::LOCATION, place);
    }
    response
}

/// Queues a job for the caller. Where the same one waits, gives that one.
pub(crate) async fn enqueue(
    service: &Service,
    access: &Access,
    wanted: Wanted,
) -> Result<Job, Failure> {
    let new = NewJob {
        workspace: access.workspace.id.clone(),
        kind: wanted.kind.to_owned(),
        subject: access.caller.subject(),
        content: wanted.content,
        payload: wanted.payload,
    };
    let job = service.accounts()?.enqueue(new).await?;
    service.lanes.of(wanted.lane).notify_one();
    Ok(job)
}

/// Keeps the bytes of a document and queues its indexing.
pub(crate) async fn queue_document(
    service: &Arc<Service>,
    access: &Access,
    uri: String,
    bytes: Vec<u8>,
) -> Result<JobBody, Failure> {
    let accounts = service.with_accounts()?;
    let document = DocumentId::of(&bytes);
    // Until the job is queued that needs the file.
    let _bringing = service.uploads.bring().await;
    let file = keep(accounts, &access.workspace.id, bytes).await?;
    let upload = Upload { uri, file };
    let wanted = Wanted {
        kind: DOCUMENT_ADD,
        lane: Lane::Documents,
        // Somebody else's upload of the same bytes is a job of its own: what
        // is kept of a person goes with the person.
        content: format!("{document} {} {}", access.caller.subject(), upload.uri),
        payload: as_payload(&upload)?,
    };
    let job = enqueue(service, access, wanted).await?;
    access
        .record(&accounts.state, Done::to("document.queue", document))
        .await?;
    Ok(job.into())
}

/// What a worker needs to know, as the queue keeps it.
pub(crate) fn as_payload<T: Serialize>(payload: &T) -> Result<String, Failure> {
    serde_json::to_string(payload).map_err(|_| Failure::internal())
}

/// What a job was queued with; `None` where another version wrote it.
pub(crate) fn payload<T: for<'a> Deserialize<'a>>(job: &Job) -> Option<T> {
    serde_json::from_str(&job.payload).ok()
}

pub(crate) fn no_such_job() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "job_not_found",
        "the workspace has no job with this id",
    )
}

impl From<JobState> for JobStateBody {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Done => Self::Done,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

impl From<Job> for JobBody {
    fn from(job: Job) -> Self {
        // Written by this service, so it is JSON.
        let mut result: Option<Value> = job
            .result
            .and_then(|result| serde_json::from_str(&result).ok());
        if job.kind == EVALUATION
            && let Some(Value::Object(result)) = &mut result
        {
            // A page of its own.
            result.remove("html");
        }
        Self {
            id: job.id.to_string(),
            kind: job.kind,
            state: job.state.into(),
            attempts: job.attempts,
            progress: ProgressBody {
                done: job.done,
                total: job.total,
            },
            subject: job.subject.to_string(),
            result,
            reason: job.reason,
            created: job.created.to_string(),
            changed: job.changed.to_string(),
        }
    }
}
