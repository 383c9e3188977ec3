//! A worker's part: takes a job, works on it, says how far it is, and leaves
//! it in a state that another worker can go on from.

use std::sync::Arc;
use std::time::Duration;

use genie_state::{Job, JobOutcome, Timestamp, Workspace};
use tokio::time::Instant;

use super::{
    ANSWER, ANSWER_DELIVERY, ANSWER_MESSAGE, DOCUMENT_ADD, DOCUMENT_FETCH, DOCUMENT_REINDEX,
    DOCUMENT_RESTORE, EVALUATION, Lane, forget,
};
use crate::app::{Accounts, Service};
use crate::failure::{Failure, log};
use crate::watch::Watch;
use crate::workspaces::OpenWorkspace;
use crate::{deferred, documents, evaluations, removal, webhook};

/// A worker that says nothing for this long has died; another takes its job.
const LEASE: Duration = Duration::from_secs(60);
/// How often a working one says so.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// How often it looks whether there is anything to say: progress is shown to
/// people.
const LOOK: Duration = Duration::from_millis(500);

/// Takes the next job of a lane, if one is due, and works on it to its end.
pub(crate) async fn work_on_next(
    service: &Arc<Service>,
    lane: Lane,
    worker: &str,
) -> Result<bool, Failure> {
    let accounts = service.with_accounts()?;
    let now = Timestamp::now();
    let claimed = accounts
        .state
        .claim(worker, lane.kinds(), LEASE, now)
        .await?;
    let Some(job) = claimed else {
        return Ok(false);
    };
    tracing::info!(job = %job.id, kind = job.kind, attempt = job.attempts, "working on a job");
    let running = service.running.enter(&job.id);
    let outcome = tokio::select! {
        outcome = work(service, accounts, &job, &running.watch) => outcome,
        // Never ends by itself.
        () = tell_progress(accounts, &job, worker, &running.watch) => JobOutcome::HandedBack,
    };
    let is_over = match outcome {
        JobOutcome::Done { .. } | JobOutcome::Failed { .. } => true,
        // The last try of three; after it the job is set aside.
        JobOutcome::Retry { .. } => job.attempts >= 3,
        JobOutcome::HandedBack | JobOutcome::Postponed { .. } => false,
    };
    if accounts.state.finish(&job.id, worker, outcome).await? && is_over {
        forget(service, accounts, &job).await;
    }
    Ok(true)
}

async fn work(
    service: &Arc<Service>,
    accounts: &Accounts,
    job: &Job,
    watch: &Arc<Watch>,
) -> JobOutcome {
    let workspace = match service.workspace(&job.workspace).await {
        Ok(Some(workspace)) => workspace,
        Ok(None) => return failed("the workspace is gone"),
        Err(failure) => return retry(failure),
    };
    match job.kind.as_str() {
        DOCUMENT_ADD => documents::jobs::add(service, accounts, &workspace, job, watch).await,
        DOCUMENT_FETCH => documents::jobs::fetch(service, accounts, &workspace, job, watch).await,
        DOCUMENT_REINDEX => documents::jobs::reindex(service, &workspace, job, watch).await,
        DOCUMENT_RESTORE => removal::documents::run(service, &workspace, job, watch).await,
        ANSWER | ANSWER_MESSAGE => deferred::run(service, &workspace, job, watch).await,
        ANSWER_DELIVERY => webhook::run(service, &workspace, job).await,
        EVALUATION => evaluations::run(service, accounts, &workspace, job, watch).await,
        _ => unknown(),
    }
}

/// Renews the lease and writes down progress, until it is dropped. A job that
/// is not this worker's any more is told to stop.
async fn tell_progress(accounts: &Accounts, job: &Job, worker: &str, watch: &Watch) {
    let mut told = watch.progress();
    let mut at = Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        let progress = watch.progress();
        if progress == told && at.elapsed() < HEARTBEAT {
            continue;
        }
        (told, at) = (progress, Instant::now());
        let (done, total) = progress;
        let now = Timestamp::now();
        let state = &accounts.state;
        match state
            .progress(&job.id, worker, done, total, LEASE, now)
            .await
        {
            Ok(true) => {}
            Ok(false) => watch.stop(),
            Err(error) => log(&error),
        }
    }
}

/// The index and the models that a job is about.
pub(crate) async fn opened(
    service: &Arc<Service>,
    workspace: &Workspace,
) -> Result<OpenWorkspace, JobOutcome> {
    service.open(workspace).await.map_err(retry)
}

pub(crate) fn failed(reason: &str) -> JobOutcome {
    JobOutcome::Failed {
        reason: reason.to_owned(),
    }
}

/// Of a job that another version has queued.
pub(crate) fn unknown() -> JobOutcome {
    failed("the job is of a kind that this version does not know")
}

pub(crate) fn retry(failure: Failure) -> JobOutcome {
    JobOutcome::Retry {
        reason: failure.message,
    }
}
