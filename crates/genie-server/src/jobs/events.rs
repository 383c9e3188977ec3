//! A job as server-sent events, until it is over.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use genie_state::{Job, WorkspaceId};
use tokio::time::Instant;

use super::JobBody;
use crate::access::Access;
use crate::answer::{KEEP_ALIVE, json_event};
use crate::app::Service;
use crate::failure::{Failure, Surface};
use crate::work::Stop;

/// How often the queue is looked at. Another process may be the one that works
/// on the job, so nobody here would be told.
const LOOK: Duration = Duration::from_millis(300);
/// A stream ends after this time even where the job does not; whoever still
/// cares asks again.
const LONGEST: Duration = Duration::from_secs(3600);

struct Watching {
    service: Arc<Service>,
    workspace: WorkspaceId,
    /// What was told last.
    job: Job,
    is_first: bool,
    until: Instant,
    stop: Stop,
}

/// `progress` with the job at once and whenever it changes, `done` with the
/// job when it is over, `error` where that can't be told.
pub(super) fn stream(service: &Arc<Service>, access: &Access, job: Job, stop: Stop) -> Response {
    let watching = Watching {
        service: Arc::clone(service),
        workspace: access.workspace.id.clone(),
        job,
        is_first: true,
        until: Instant::now() + LONGEST,
        stop,
    };
    let events = stream::unfold(Some(watching), |watching| async move {
        let mut watching = watching?;
        let event = watching.next().await?;
        let is_over = watching.job.state.is_finished();
        match event {
            Ok(event) => Some((Ok::<_, Infallible>(event), (!is_over).then_some(watching))),
            Err(failure) => {
                let body = failure.body(Surface::Tmf);
                Some((Ok(json_event(Some("error"), &body)), None))
            }
        }
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

impl Watching {
    /// The next event; `None` where the stream ends without one.
    async fn next(&mut self) -> Option<Result<Event, Failure>> {
        if !std::mem::take(&mut self.is_first) {
            loop {
                let has_stopped = tokio::select! {
                    () = tokio::time::sleep(LOOK) => false,
                    () = self.stop.wait() => true,
                };
                if has_stopped || Instant::now() >= self.until {
                    return None;
                }
                match self.changed().await {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(failure) => return Some(Err(failure)),
                }
            }
        }
        let name = if self.job.state.is_finished() {
            "done"
        } else {
            "progress"
        };
        let body = JobBody::from(self.job.clone());
        Some(Ok(json_event(Some(name), &body)))
    }

    async fn changed(&mut self) -> Result<bool, Failure> {
        let state = self.service.accounts()?;
        let job = state.job(&self.workspace, &self.job.id).await?;
        let job = job.ok_or_else(super::no_such_job)?;
        let has_changed = job != self.job;
        self.job = job;
        Ok(has_changed)
    }
}
