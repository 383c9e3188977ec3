//! The blocking pipeline behind asynchronous requests: nobody's work goes on
//! after they left, nobody waits without limit.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use genie_core::Answer;
use genie_rag::{AnswerEvent, Engine, Question, RagError};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::Instant;

use crate::access::Access;
use crate::app::Service;
use crate::failure::Failure;
use crate::wire::PassageBody;
use crate::workspaces::OpenWorkspace;

/// Pieces of an answer that wait for a slow reader before generation does.
const PIECES_AHEAD: usize = 32;
/// A reader that takes nothing for this long has left without saying so.
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// What a streamed answer is made of; `Done` or `Failed` comes last.
#[derive(Debug)]
pub(crate) enum Piece {
    Sources(Vec<PassageBody>),
    Delta(String),
    Done(Box<Answer>),
    Failed(Failure),
}

/// A question that was let in, with all that bounds the work on it.
pub(crate) struct Job {
    pub(crate) question: Question,
    /// Names the question in errors.
    pub(crate) field: &'static str,
    /// Where it is answered.
    pub(crate) workspace: OpenWorkspace,
    /// Held until the work really ends.
    pub(crate) permit: OwnedSemaphorePermit,
    pub(crate) stop: Stop,
}

/// Set when the service is being stopped and has waited long enough.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Option<watch::Receiver<bool>>);

impl Stop {
    pub(crate) fn new(receiver: watch::Receiver<bool>) -> Self {
        Self(Some(receiver))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.as_ref().is_some_and(|receiver| *receiver.borrow())
    }

    /// Returns when it is set.
    pub(crate) async fn wait(&mut self) {
        if let Some(receiver) = &mut self.0
            && receiver.wait_for(|stop| *stop).await.is_ok()
        {
            return;
        }
        // Nobody is left who could set it.
        std::future::pending().await
    }
}

impl<S: Sync> FromRequestParts<S> for Stop {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// The finished answer. Dropping the future, as the server does when the
/// client leaves, ends the work at its next event.
pub(crate) async fn whole(service: &Arc<Service>, job: Job) -> Result<Answer, Failure> {
    let Job {
        question,
        field,
        workspace,
        permit,
        mut stop,
    } = job;
    let left = LeaveGuard::default();
    let seen = Arc::clone(&left.0);
    let answering = blocking(service, permit, move |service| {
        let result = workspace.engine.answer(question, &mut |_| {
            if seen.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        service.metrics.answer(&result);
        result
    });
    tokio::select! {
        answered = answering => answered?.map_err(|error| failed(service, error, field)),
        () = tokio::time::sleep(service.state.request_timeout) => Err(Failure::too_slow()),
        () = stop.wait() => Err(Failure::stopping()),
    }
}

/// The answer as it is made. Dropping the receiver ends the work at its next
/// event.
pub(crate) fn streamed(service: &Arc<Service>, job: Job) -> mpsc::Receiver<Piece> {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let Job {
        question,
        field,
        workspace,
        permit,
        stop,
    } = job;
    let outlet = Outlet {
        sender,
        runtime: Handle::current(),
        deadline: Instant::now() + service.state.request_timeout,
        stop,
    };
    // Not joined: it reports through the channel, and ends when that closes.
    drop(blocking(service, permit, move |service| {
        let result = workspace.engine.answer(question, &mut |event| {
            outlet.send(match event {
                AnswerEvent::Sources(passages) => {
                    Piece::Sources(passages.iter().map(PassageBody::from).collect())
                }
                AnswerEvent::Delta(text) => Piece::Delta(text.to_owned()),
            })
        });
        service.metrics.answer(&result);
        let last = match result {
            Ok(answer) => Piece::Done(Box::new(answer)),
            Err(RagError::Cancelled) if Instant::now() >= outlet.deadline => {
                Piece::Failed(Failure::too_slow())
            }
            Err(error) => Piece::Failed(failed(&service, error, field)),
        };
        outlet.finish(last);
    }));
    receiver
}

/// Runs `work` on a thread that may block, holding the permit until its end.
pub(crate) fn blocking<T, F>(
    service: &Arc<Service>,
    permit: OwnedSemaphorePermit,
    work: F,
) -> impl Future<Output = Result<T, Failure>> + use<T, F>
where
    T: Send + 'static,
    F: FnOnce(Arc<Service>) -> T + Send + 'static,
{
    let service = Arc::clone(service);
    let span = tracing::Span::current();
    let running = tokio::task::spawn_blocking(move || {
        let _entered = span.enter();
        let result = work(service);
        drop(permit);
        result
    });
    // The panic hook has printed what went wrong.
    async move { running.await.map_err(|_| Failure::internal()) }
}

/// As [`blocking`] for calls that only need the engine of the caller's
/// workspace.
pub(crate) async fn with_engine<T: Send + 'static>(
    service: &Arc<Service>,
    access: &Access,
    work: impl FnOnce(&Engine) -> T + Send + 'static,
) -> Result<T, Failure> {
    let permit = service.in_turn().await?;
    let engine = access.open(service).await?.engine;
    let running = blocking(service, permit, move |_| work(&engine));
    tokio::time::timeout(service.state.request_timeout, running)
        .await
        .unwrap_or_else(|_| Err(Failure::too_slow()))
}

/// The same for work that asks now and then whether it should go on. It should
/// not once the client left, the service's patience ended, or it is stopping.
pub(crate) async fn with_engine_while<T: Send + 'static>(
    service: &Arc<Service>,
    access: &Access,
    stop: Stop,
    work: impl FnOnce(&Engine, &mut dyn FnMut() -> ControlFlow<()>) -> T + Send + 'static,
) -> Result<T, Failure> {
    let left = LeaveGuard::default();
    let seen = Arc::clone(&left.0);
    with_engine(service, access, move |engine| {
        work(engine, &mut || {
            if stop.is_set() || seen.load(Ordering::Relaxed) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    })
    .await
}

fn failed(service: &Service, error: RagError, field: &'static str) -> Failure {
    let failure = Failure::of_engine(error, field);
    if failure.status == axum::http::StatusCode::TOO_MANY_REQUESTS {
        service.metrics.rejected();
    }
    failure
}

/// Tells the working thread that its request was dropped.
#[derive(Default)]
struct LeaveGuard(Arc<AtomicBool>);

impl Drop for LeaveGuard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The sending end of a streamed answer, used from a blocking thread.
struct Outlet {
    sender: mpsc::Sender<Piece>,
    runtime: Handle,
    deadline: Instant,
    stop: Stop,
}

impl Outlet {
    fn send(&self, piece: Piece) -> ControlFlow<()> {
        if self.stop.is_set() || Instant::now() >= self.deadline {
            return ControlFlow::Break(());
        }
        // An empty piece is only a question whether anybody still listens.
        if matches!(&piece, Piece::Delta(text) if text.is_empty()) {
            return if self.sender.is_closed() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            };
        }
        match self.try_send(piece) {
            Ok(()) => ControlFlow::Continue(()),
            Err(()) => ControlFlow::Break(()),
        }
    }

    fn finish(&self, last: Piece) {
        if self.try_send(last).is_err() {
            tracing::debug!("the receiver of an answer left before its end");
        }
    }

    fn try_send(&self, piece: Piece) -> Result<(), ()> {
        let sending = tokio::time::timeout(READER_PATIENCE, self.sender.send(piece));
        match self.runtime.block_on(sending) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(()),
        }
    }
}
