//! Answers that are given after their request, for callers behind a relay that
//! would not wait so long: asked with `Prefer: respond-async`, answered as a
//! job.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use genie_rag::RagError;
use genie_state::{ApiKey, ConversationId, Job, JobOutcome, MessageId, Timestamp, Workspace};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::access::{Access, Correlation, Done, Permission};
use crate::answer::answered;
use crate::app::Service;
use crate::conversations::{ExchangeBody, IdPath, prepared};
use crate::failure::Failure;
use crate::jobs::{
    ANSWER, ANSWER_DELIVERY, ANSWER_MESSAGE, JobBody, Lane, Wanted, accepted, as_payload, call_off,
    enqueue, known, no_such_job, payload, retry, show_job, unknown,
};
use crate::question::AnswerRequest;
use crate::quota::USED_UP;
use crate::watch::Watch;
use crate::webhook::{self, WebhookBody};
use crate::wire::AnswerBody;
use crate::work::{self, Stop, whole};

/// Questions of a workspace that wait at most, and deliveries with them.
const LONGEST_QUEUE: usize = 200;
/// The models are busy with others; it is not this question's fault.
const PAUSE: Duration = Duration::from_secs(3);
/// How often it is looked whether an answer was called off.
const LOOK: Duration = Duration::from_millis(100);

/// What a job that answers needs to know.
#[derive(Serialize, Deserialize)]
struct Queued {
    request: AnswerRequest,
    /// Where the exchange is kept.
    conversation: Option<String>,
    correlation: String,
    intent: Option<String>,
    webhook: Option<WebhookBody>,
    /// Whether who asks may do so as a member that the workspace lists.
    #[serde(default)]
    listed: bool,
}

/// Queues a question; the answer is told where `Location` says.
pub(crate) async fn queue(
    service: &Arc<Service>,
    access: &Access,
    mut request: AnswerRequest,
    conversation: Option<ConversationId>,
) -> Result<Response, Failure> {
    let state = service.accounts()?;
    // What is wrong with it is told now, while somebody listens.
    let question = request.clone().into_question()?;
    if question.text.trim().is_empty() {
        return Err(Failure::of_engine(RagError::EmptyQuestion, "question"));
    }
    service.within_quotas(access).await?;
    let webhook = request.webhook.take();
    if let Some(webhook) = &webhook {
        webhook.check(service, access)?;
    }
    let waiting = state.open_jobs(&access.workspace.id).await?;
    let waiting = waiting.iter().filter(|job| job.kind.starts_with(ANSWER));
    if waiting.count() >= LONGEST_QUEUE {
        return Err(Failure::busy());
    }
    let kind = if conversation.is_some() {
        ANSWER_MESSAGE
    } else {
        ANSWER
    };
    let queued = Queued {
        request,
        conversation: conversation.map(|id| id.to_string()),
        correlation: access.correlation.id.clone(),
        intent: access.correlation.intent.clone(),
        webhook,
        listed: access.caller.is_listed_in(&access.workspace.id),
    };
    let wanted = Wanted {
        kind,
        lane: Lane::Answers,
        // Asked twice is answered twice.
        content: uuid::Uuid::new_v4().to_string(),
        payload: as_payload(&queued)?,
    };
    let job = enqueue(service, access, wanted).await?;
    access
        .record(state, Done::to("answer.queue", job.id))
        .await?;
    let mut response = accepted(job, "answers");
    response.headers_mut().insert(
        "preference-applied",
        HeaderValue::from_static("respond-async"),
    );
    Ok(response)
}

/// How far an answer is, and the answer once it is there.
pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    headers: HeaderMap,
    stop: Stop,
) -> Result<Response, Failure> {
    let job = own(&service, &access, &path).await?;
    Ok(show_job(&service, &access, job, &headers, stop))
}

pub(crate) async fn cancel(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<JobBody>, Failure> {
    let job = own(&service, &access, &path).await?;
    Ok(Json(call_off(&service, &access, &job.id).await?.into()))
}

async fn own(service: &Service, access: &Access, path: &IdPath) -> Result<Job, Failure> {
    let job = known(service, access, &path.id).await?;
    let is_answer = job.kind.starts_with(ANSWER) && job.kind != ANSWER_DELIVERY;
    if is_answer {
        Ok(job)
    } else {
        Err(no_such_job())
    }
}

pub(crate) async fn run(
    service: &Arc<Service>,
    workspace: &Workspace,
    job: &Job,
    watch: &Watch,
) -> JobOutcome {
    let Some(queued) = payload::<Queued>(job) else {
        return unknown();
    };
    let webhook = queued.webhook.clone();
    let listed = queued.listed;
    let answering = answer(service, workspace, job, queued);
    let answered = tokio::select! {
        answered = answering => answered,
        () = stopped(watch) => return JobOutcome::HandedBack,
    };
    let outcome = match answered {
        Ok(result) => JobOutcome::Done {
            result: result.to_string(),
        },
        Err(failure) => outcome(job, failure),
    };
    let is_over = match &outcome {
        JobOutcome::Done { .. } | JobOutcome::Failed { .. } => true,
        JobOutcome::Retry { .. } => job.attempts >= 3,
        JobOutcome::HandedBack | JobOutcome::Postponed { .. } => false,
    };
    // Before the answer counts as given: a crash in between delivers twice,
    // and receivers tell that by the id, but never not at all.
    if is_over
        && let Some(webhook) = webhook
        && let Err(failure) = webhook::queue(service, job, webhook, listed, &outcome).await
    {
        return retry(failure);
    }
    outcome
}

async fn answer(
    service: &Arc<Service>,
    workspace: &Workspace,
    job: &Job,
    queued: Queued,
) -> Result<Value, Failure> {
    still_allowed(service, job, queued.listed).await?;
    let correlation = Correlation {
        id: queued.correlation,
        intent: queued.intent,
    };
    let access = Access::later(job.subject.clone(), workspace.clone(), correlation);
    let question = queued.request.into_question()?;
    let (kept, question) = match queued.conversation {
        Some(id) => {
            let answer = job.id.as_message();
            // Kept before a crash that the end of the job was lost in.
            if let Some(exchange) = exchanged(service, &access, &answer).await? {
                return serde_json::to_value(exchange).map_err(|_| Failure::internal());
            }
            let (kept, question) = prepared(service, &access, &IdPath { id }, question).await?;
            (Some(kept.answered_as(answer)), question)
        }
        None => (None, question),
    };
    let question = access.bounded(question);
    // Nothing is held while it waits for its turn.
    let permit = service.admit_in_time().await?;
    let expected = service.of_answer(question.max_tokens);
    service.reserve(&access, expected).await?;
    let asked = work::Job {
        question,
        field: "question",
        permit,
        workspace: access.open(service).await?,
        stop: Stop::default(),
    };
    let answer = whole(service, asked).await?;
    // It may have waited long for its turn.
    if let Err(failure) = still_allowed(service, job, queued.listed).await {
        service.meter.answer(&access, &answer);
        return Err(failure);
    }
    let value = match kept {
        Some(kept) => serde_json::to_value(kept.keep(&answer).await?),
        None => {
            answered(service, &access, &answer).await?;
            serde_json::to_value(AnswerBody::from(&answer))
        }
    };
    value.map_err(|_| Failure::internal())
}

/// The exchange that ends with this answer, if the caller has one.
async fn exchanged(
    service: &Service,
    access: &Access,
    answer: &MessageId,
) -> Result<Option<ExchangeBody>, Failure> {
    let state = service.accounts()?;
    let exchange = state.exchange(&access.owner(), answer).await?;
    Ok(exchange.map(|exchange| ExchangeBody {
        question: exchange.question.into(),
        answer: exchange.answer.into(),
    }))
}

/// Whoever may not ask any more gets no answer either: a key that was revoked
/// or has ended meanwhile, and a person whom the workspace does not list any
/// more. What a token of a provider said holds as it did when it was asked.
pub(crate) async fn still_allowed(
    service: &Service,
    job: &Job,
    listed: bool,
) -> Result<(), Failure> {
    let state = service.accounts()?;
    if let Some(id) = job.subject.as_key() {
        let key = state.key(&id).await?;
        let now = Timestamp::now();
        let is_valid =
            |key: &ApiKey| key.revoked.is_none() && key.expires.is_none_or(|expires| expires > now);
        return key
            .filter(is_valid)
            .map(drop)
            .ok_or_else(Failure::forbidden);
    }
    if listed {
        let role = state.role_of(&job.workspace, &job.subject).await?;
        if !role.is_some_and(|role| Permission::Answer.is_of(role)) {
            return Err(Failure::forbidden());
        }
    }
    Ok(())
}

fn outcome(job: &Job, failure: Failure) -> JobOutcome {
    let reason = failure.message;
    match failure.status {
        // It may be weeks until there is more.
        StatusCode::TOO_MANY_REQUESTS if failure.code == USED_UP => JobOutcome::Failed { reason },
        StatusCode::TOO_MANY_REQUESTS => JobOutcome::Postponed {
            reason,
            payload: job.payload.clone(),
            pause: PAUSE,
        },
        status if status.is_client_error() => JobOutcome::Failed { reason },
        _ => JobOutcome::Retry { reason },
    }
}

/// Returns when the work is told to stop.
async fn stopped(watch: &Watch) {
    while watch.goes_on() {
        tokio::time::sleep(LOOK).await;
    }
}
