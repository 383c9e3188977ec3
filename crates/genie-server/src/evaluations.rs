//! Evaluations: gold questions asked of a workspace's documents, as a job.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use genie_core::BackendError;
use genie_state::{Job, JobOutcome, JobState, UsageDelta, Workspace};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::access::{Access, Correlation, Done};
use crate::app::{Accounts, Service};
use crate::body::{BodyLimits, read as read_body};
use crate::bounds::SUITE_NAME;
use crate::conversations::IdPath;
use crate::documents::ApiQuery;
use crate::failure::{Failure, log};
use crate::jobs::{
    EVALUATION, JobBody, Lane, Wanted, accepted, as_payload, call_off, enqueue, failed, keep, kept,
    known, no_such_job, payload, retry, show_job, unknown,
};
use crate::quota::USED_UP;
use crate::watch::Watch;
use crate::work::Stop;

/// Thousands of gold questions.
const SUITE: BodyLimits = BodyLimits {
    bytes: 4 << 20,
    time: Duration::from_secs(30),
};
/// How often it is looked at what an evaluation has used.
const LOOK: Duration = Duration::from_millis(200);
/// What a report page may do in a browser: show itself.
const REPORT_POLICY: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// Evaluates; the program that runs the service brings one.
pub trait Evaluator: Send + Sync {
    /// How many questions a suite of gold questions has: one JSON object a
    /// line.
    ///
    /// # Errors
    ///
    /// [`EvaluationError::Suite`] where it can't be read, naming the line.
    fn check(&self, suite: &[u8]) -> Result<usize, EvaluationError>;

    /// Asks all questions. Blocks; what was asked before a stop and is still
    /// in the folder is not asked again.
    ///
    /// # Errors
    ///
    /// Where the suite does not fit the documents, where a model or the index
    /// fails, and when `watch` says so.
    fn run(
        &self,
        evaluation: &Evaluation<'_>,
        watch: &Watch,
    ) -> Result<EvaluationReport, EvaluationError>;
}

/// What is to be evaluated.
pub struct Evaluation<'a> {
    /// Whose documents are asked.
    pub workspace: &'a Workspace,
    /// What the suite is called.
    pub name: &'a str,
    /// Gold questions, one JSON object a line.
    pub suite: &'a [u8],
    /// Whether answers are judged beside what is found.
    pub answers: bool,
    /// Where it may keep what is done.
    pub folder: &'a FilePath,
}

/// What came of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationReport {
    /// What `genie eval run --json` prints.
    pub run: Value,
    /// The same as a page.
    pub html: String,
}

/// An evaluation could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EvaluationError {
    /// The suite can't be read or does not fit the documents; whoever sent it
    /// is told why.
    #[error("{reason}")]
    Suite {
        /// What is wrong, without paths of the server.
        reason: String,
    },
    /// It was called off, or the service is being stopped.
    #[error("the evaluation was stopped")]
    Stopped,
    /// A model, the index or the disk failed.
    #[error("the evaluation failed")]
    Backend(#[source] BackendError),
}

/// How a suite is evaluated.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct HowBody {
    /// What the suite is called in reports; `suite` unless said.
    #[serde(default)]
    #[schemars(length(min = 1, max = 100), regex(path = "SUITE_NAME"))]
    name: Option<String>,
    /// `false` judges only what is found, which takes seconds.
    #[serde(default)]
    answers: Option<bool>,
}

/// What a job that evaluates needs to know.
#[derive(Serialize, Deserialize)]
struct Queued {
    name: String,
    /// Where the suite waits.
    file: String,
    answers: bool,
    /// Tells this request from another one.
    request: String,
}

/// Queues an evaluation of the questions in the body.
pub(crate) async fn start(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiQuery(how): ApiQuery<HowBody>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let evaluator = service.evaluator()?;
    let accounts = service.with_accounts()?;
    let name = how.name.unwrap_or_else(|| "suite".to_owned());
    let is_sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(1..=100).contains(&name.len()) || !name.chars().all(is_sound) || name.starts_with('.') {
        return Err(Failure::invalid(
            "name",
            "has to be of 1 to 100 letters, digits, `-`, `_` and `.`, the first none of the last",
        ));
    }
    service.within_quotas(&access).await?;
    let suite = read_body(&headers, body, SUITE).await?;
    let (suite, checked) = tokio::task::spawn_blocking(move || {
        let checked = evaluator.check(&suite);
        (suite, checked)
    })
    .await
    .map_err(|_| Failure::internal())?;
    checked.map_err(told)?;
    // Until the job is queued that needs the file.
    let _bringing = service.uploads.bring().await;
    let file = keep(accounts, &access.workspace.id, suite).await?;
    let request = uuid::Uuid::new_v4().to_string();
    let queued = Queued {
        name,
        file,
        answers: how.answers.unwrap_or(true),
        request: request.clone(),
    };
    let wanted = Wanted {
        kind: EVALUATION,
        lane: Lane::Evaluations,
        // One at a time in a workspace.
        content: EVALUATION.to_owned(),
        payload: as_payload(&queued)?,
    };
    let job = enqueue(&service, &access, wanted).await?;
    if payload::<Queued>(&job).is_none_or(|other| other.request != request) {
        return Err(Failure::new(
            StatusCode::CONFLICT,
            "evaluation_running",
            format!(
                "the workspace is being evaluated; wait for {}, or call it off",
                job.id
            ),
        ));
    }
    access
        .record(&accounts.state, Done::to("evaluation.start", job.id))
        .await?;
    Ok(accepted(job, "evaluations"))
}

/// How far an evaluation is, and its figures once it is over.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    headers: HeaderMap,
    stop: Stop,
) -> Result<Response, Failure> {
    let job = evaluation(&service, &access, &path).await?;
    Ok(show_job(&service, &access, job, &headers, stop))
}

/// The report as a page.
pub(crate) async fn report(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Response, Failure> {
    let job = evaluation(&service, &access, &path).await?;
    let result: Option<Value> = job
        .result
        .filter(|_| job.state == JobState::Done)
        .and_then(|result| serde_json::from_str(&result).ok());
    let html = result
        .as_ref()
        .and_then(|result| result["html"].as_str())
        .ok_or_else(|| {
            Failure::new(
                StatusCode::CONFLICT,
                "evaluation_not_done",
                "the evaluation has no report: it is not over, or it failed",
            )
        })?
        .to_owned();
    let mut response = html.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(REPORT_POLICY),
    );
    Ok(response)
}

pub(crate) async fn cancel(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<JobBody>, Failure> {
    let job = evaluation(&service, &access, &path).await?;
    let job = call_off(&service, &access, &job.id).await?;
    if let Ok(accounts) = service.with_accounts() {
        // Where it is being worked on, the worker does it once more.
        clear(work_folder(accounts, &job)).await;
    }
    Ok(Json(job.into()))
}

async fn evaluation(service: &Service, access: &Access, path: &IdPath) -> Result<Job, Failure> {
    let job = known(service, access, &path.id).await?;
    if job.kind == EVALUATION {
        Ok(job)
    } else {
        Err(no_such_job())
    }
}

pub(crate) async fn run(
    service: &Arc<Service>,
    accounts: &Accounts,
    workspace: &Workspace,
    job: &Job,
    watch: &Arc<Watch>,
) -> JobOutcome {
    let Some(queued) = payload::<Queued>(job) else {
        return unknown();
    };
    let Some(place) = kept(accounts, &job.workspace, &queued.file) else {
        return failed("the job names no file");
    };
    let evaluator = match service.evaluator() {
        Ok(evaluator) => evaluator,
        Err(failure) => return failed(&failure.message),
    };
    let folder = work_folder(accounts, job);
    let access = Access::later(
        job.subject.clone(),
        workspace.clone(),
        Correlation::default(),
    );
    let has_answers = queued.answers;
    let evaluating = {
        let (workspace, watch) = (workspace.clone(), Arc::clone(watch));
        let folder = folder.clone();
        tokio::task::spawn_blocking(move || {
            let suite =
                std::fs::read(&place).map_err(|error| EvaluationError::Backend(Box::new(error)))?;
            let evaluation = Evaluation {
                workspace: &workspace,
                name: &queued.name,
                suite: &suite,
                answers: queued.answers,
                folder: &folder,
            };
            evaluator.run(&evaluation, &watch)
        })
    };
    let (evaluated, used_up) = metered(service, &access, watch, evaluating, has_answers).await;
    // One that had ended by then is as good as any.
    if let (Ok(Err(EvaluationError::Stopped)), Some(failure)) = (&evaluated, used_up) {
        clear(folder).await;
        return failed(&failure.message);
    }
    let outcome = match evaluated {
        Ok(Ok(report)) => JobOutcome::Done {
            result: json!({"run": report.run, "html": report.html}).to_string(),
        },
        Ok(Err(EvaluationError::Suite { reason })) => JobOutcome::Failed { reason },
        Ok(Err(EvaluationError::Stopped)) => JobOutcome::HandedBack,
        Ok(Err(error)) => {
            log(&error);
            JobOutcome::Retry {
                reason: error.to_string(),
            }
        }
        Err(_) => retry(Failure::internal()),
    };
    let is_over = match &outcome {
        JobOutcome::Retry { .. } => job.attempts >= 3,
        JobOutcome::HandedBack => was_called_off(accounts, job).await,
        _ => true,
    };
    if is_over {
        clear(folder).await;
    }
    outcome
}

/// Counts the answers of an evaluation while it is made, and where it has some
/// stops it when a quota is used up; what came of it, and which.
async fn metered<T>(
    service: &Service,
    access: &Access,
    watch: &Watch,
    evaluating: impl Future<Output = T>,
    has_answers: bool,
) -> (T, Option<Failure>) {
    let mut evaluating = std::pin::pin!(evaluating);
    let mut used_up = None;
    loop {
        let ended = tokio::select! {
            ended = &mut evaluating => Some(ended),
            () = tokio::time::sleep(LOOK) => None,
        };
        let used = watch.take_used();
        if used != UsageDelta::default() {
            service.meter.evaluated(access, used);
        }
        if let Some(ended) = ended {
            return (ended, used_up);
        }
        // What can't be looked up now is looked up again.
        if has_answers
            && let Err(failure) = service.within_quotas(access).await
            && failure.code == USED_UP
            && used_up.is_none()
        {
            watch.stop();
            used_up = Some(failure);
        }
    }
}

/// Handed back because somebody does not want it any more.
async fn was_called_off(accounts: &Accounts, job: &Job) -> bool {
    let found = accounts.state.job(&job.workspace, &job.id).await;
    found.is_ok_and(|found| found.is_none_or(|job| job.state == JobState::Cancelled))
}

/// Where an evaluation keeps the questions it has asked.
fn work_folder(accounts: &Accounts, job: &Job) -> PathBuf {
    let folder = accounts.uploads.join(job.workspace.as_str());
    folder.join(format!("evaluation-{}", job.id))
}

async fn clear(folder: PathBuf) {
    match tokio::fs::remove_dir_all(&folder).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => log(&error),
        _ => {}
    }
}

fn told(error: EvaluationError) -> Failure {
    match error {
        EvaluationError::Suite { reason } => {
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_suite", reason)
        }
        EvaluationError::Stopped => Failure::stopping(),
        EvaluationError::Backend(_) => {
            log(&error);
            Failure::internal()
        }
    }
}

impl Service {
    fn evaluator(&self) -> Result<Arc<dyn Evaluator>, Failure> {
        self.state.evaluator.clone().ok_or_else(|| {
            Failure::new(
                StatusCode::NOT_IMPLEMENTED,
                "no_evaluator",
                "this service does not evaluate",
            )
        })
    }
}
