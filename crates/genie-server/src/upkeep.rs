//! What the service does without being asked: jobs, usage, retention, files
//! that were left behind, and what indexes still hold of what was deleted.

use std::sync::Arc;
use std::time::Duration;

use genie_state::{Page, State, Timestamp, Workspace};

use crate::app::Service;
use crate::failure::{Failure, log};
use crate::jobs::{Lane, work_on_next};
use crate::purging::purge_when_due;
use crate::{anchors, removal, uploads};

/// How long counted usage stays in memory at most.
const FLUSH: Duration = Duration::from_secs(5);
/// Jobs of a worker that died become due without anybody saying so.
const LOOK_FOR_JOBS: Duration = Duration::from_secs(10);
/// The workers. Two answer: the language model works on several at once.
const LANES: [Lane; 5] = [
    Lane::Documents,
    Lane::Answers,
    Lane::Answers,
    Lane::Deliveries,
    Lane::Evaluations,
];
/// Days for which it is told what came of a job, where the workspace does not
/// keep things for less.
const KEEP_JOBS: u32 = 30;
const RETENTION: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Workspaces that are looked at together.
const PAGE: u32 = 200;

/// Runs beside the router; nothing is lost if it never does, it only waits.
pub struct Upkeep {
    pub(crate) service: Arc<Service>,
}

impl Upkeep {
    /// Works until `stop` is done, then finishes the job at hand and writes
    /// down what is still in memory.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let service = &self.service;
        let Ok(state) = service.accounts() else {
            return;
        };
        let (stopping, _) = tokio::sync::watch::channel(false);
        let working = LANES.map(|lane| work_on(service, lane, stopping.subscribe()));
        let counting = async {
            let mut is_stopping = stopping.subscribe();
            while !*is_stopping.borrow() {
                tokio::select! {
                    () = tokio::time::sleep(FLUSH) => {}
                    _ = is_stopping.changed() => {}
                }
                if let Err(error) = service.meter.flush(state).await {
                    log(&error);
                }
            }
        };
        let forgetting = async {
            let mut is_stopping = stopping.subscribe();
            while !*is_stopping.borrow() {
                if let Err(failure) = forget_old(service).await {
                    tracing::warn!(code = failure.code, "old conversations could not be erased");
                }
                let erased = removal::erase_due(service).await;
                for (what, failure) in erased {
                    tracing::warn!(code = failure.code, "removed {what} could not be erased");
                }
                if let Err(failure) = anchors::keep(service, Timestamp::now()).await {
                    tracing::warn!(code = failure.code, "the trail could not be anchored");
                }
                if let Err(failure) = uploads::sweep(service, uploads::SETTLED).await {
                    tracing::warn!(
                        code = failure.code,
                        "files without a job could not be removed"
                    );
                }
                tokio::select! {
                    () = tokio::time::sleep(RETENTION) => {}
                    _ = is_stopping.changed() => {}
                }
            }
        };
        let purging = purge_when_due(service, stopping.subscribe());
        let telling = async {
            stop.await;
            // Fails only when nobody works any more.
            let _ = stopping.send(true);
            service.running.stop_all();
        };
        let working = futures_util::future::join_all(working);
        tokio::join!(working, counting, forgetting, purging, telling);
    }
}

/// A worker of a lane, until it is told to stop.
async fn work_on(
    service: &Arc<Service>,
    lane: Lane,
    mut is_stopping: tokio::sync::watch::Receiver<bool>,
) {
    let worker = uuid::Uuid::new_v4().to_string();
    while !*is_stopping.borrow() {
        let worked = work_on_next(service, lane, &worker).await;
        if let Err(failure) = &worked {
            tracing::warn!(code = failure.code, "the queue of jobs failed");
        }
        if matches!(worked, Ok(true)) {
            continue;
        }
        tokio::select! {
            () = service.lanes.of(lane).notified() => {}
            () = tokio::time::sleep(LOOK_FOR_JOBS) => {}
            _ = is_stopping.changed() => {}
        }
    }
}

/// Erases conversations and jobs that are older than their workspace keeps
/// them, also where it was removed.
async fn forget_old(service: &Service) -> Result<(), Failure> {
    let state = service.accounts()?;
    for number in 1.. {
        let page = Page::new(number, PAGE).map_err(|_| Failure::internal())?;
        let found = state.workspaces(page).await?.results;
        for workspace in &found {
            forget_old_of(state, workspace).await?;
        }
        if found.len() < PAGE as usize {
            break;
        }
    }
    for number in 1.. {
        let page = Page::new(number, PAGE).map_err(|_| Failure::internal())?;
        let found = state.removed_workspaces(page).await?.results;
        for removed in &found {
            forget_old_of(state, &removed.workspace).await?;
        }
        if found.len() < PAGE as usize {
            break;
        }
    }
    Ok(())
}

async fn forget_old_of(state: &State, workspace: &Workspace) -> Result<(), Failure> {
    let days = workspace.settings.retention_days.unwrap_or(KEEP_JOBS);
    let before = Timestamp::now().before(DAY * days.min(KEEP_JOBS));
    let erased = state.erase_jobs_before(&workspace.id, before).await?;
    if erased > 0 {
        tracing::info!(workspace = %workspace.id, erased, "erased old jobs");
    }
    let Some(days) = workspace.settings.retention_days else {
        return Ok(());
    };
    let before = Timestamp::now().before(DAY * days);
    let erased = state
        .erase_conversations_before(&workspace.id, before)
        .await?;
    if erased > 0 {
        tracing::info!(workspace = %workspace.id, erased, "erased old conversations");
    }
    Ok(())
}
