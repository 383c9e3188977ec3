//! The thread that owns a model.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TrySendError};

/// A thread that owns some state and works off a bounded queue of jobs, one
/// at a time and in order. Dropping the worker ends the thread after the job
/// in hand; jobs still queued are dropped, which their reply channels show to
/// whoever waits.
///
/// A job carries its own reply channel. Whoever no longer wants an answer
/// drops the receiving end; a job should look at that before it starts.
#[derive(Debug)]
pub struct Worker<J> {
    // `None` only while dropping: closing the channel is what ends the thread.
    jobs: Option<Sender<J>>,
    // A second receiving end, to drain what is queued when the worker goes.
    queued: Receiver<J>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// The job was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full.
    #[error("the queue is full")]
    Full,
    /// The thread has ended.
    #[error("the worker has stopped")]
    Stopped,
}

/// The worker could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError<E: std::error::Error + 'static> {
    /// The operating system gave no thread.
    #[error("no thread could be started")]
    Thread(#[source] std::io::Error),
    /// The state could not be made.
    #[error(transparent)]
    State(E),
    /// Making the state panicked.
    #[error("loading the model failed unexpectedly; see the log")]
    Panicked,
}

impl<J: Send + 'static> Worker<J> {
    /// Starts a thread called `name`, makes the state on it with `make` and
    /// then calls `run` for each job. At most `capacity` jobs wait. Returns
    /// once the state is made.
    ///
    /// A job that panics ends the worker: its state can't be trusted any
    /// more. Later jobs are answered [`SubmitError::Stopped`].
    ///
    /// # Errors
    ///
    /// Fails when there is no thread or the state can't be made.
    pub fn spawn<S, E>(
        name: &str,
        capacity: usize,
        make: impl FnOnce() -> Result<S, E> + Send + 'static,
        mut run: impl FnMut(&mut S, J) + Send + 'static,
    ) -> Result<Self, SpawnError<E>>
    where
        E: std::error::Error + Send + 'static,
    {
        let (jobs, queue) = crossbeam_channel::bounded::<J>(capacity);
        let queued = queue.clone();
        let stopped = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stopped);
        let (ready, made) = crossbeam_channel::bounded(1);
        let thread_name = name.to_owned();
        let thread = std::thread::Builder::new()
            .name(thread_name.clone())
            .spawn(move || {
                let mut state = match make() {
                    Ok(state) => state,
                    Err(error) => {
                        ready.send(Err(error)).ok();
                        return;
                    }
                };
                ready.send(Ok(())).ok();
                for job in &queue {
                    let outcome =
                        std::panic::catch_unwind(AssertUnwindSafe(|| run(&mut state, job)));
                    if outcome.is_err() {
                        tracing::error!(worker = thread_name, "a job panicked; the worker stops");
                        // Raised before the queue is emptied: a job that comes
                        // later is dropped by the one who submits it.
                        stopping.store(true, Ordering::SeqCst);
                        discard(&queue);
                        return;
                    }
                }
            })
            .map_err(SpawnError::Thread)?;
        match made.recv() {
            Ok(Ok(())) => Ok(Self {
                jobs: Some(jobs),
                queued,
                stopped,
                thread: Some(thread),
            }),
            Ok(Err(error)) => Err(SpawnError::State(error)),
            Err(_) => Err(SpawnError::Panicked),
        }
    }

    /// Queues a job without waiting.
    ///
    /// # Errors
    ///
    /// Fails when the queue is full or the thread has ended.
    pub fn submit(&self, job: J) -> Result<(), SubmitError> {
        let jobs = self.jobs.as_ref().ok_or(SubmitError::Stopped)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => SubmitError::Full,
            TrySendError::Disconnected(_) => SubmitError::Stopped,
        })?;
        if self.stopped.load(Ordering::SeqCst) {
            discard(&self.queued);
            return Err(SubmitError::Stopped);
        }
        Ok(())
    }

    /// How many jobs wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued.len()
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        self.jobs = None;
        discard(&self.queued);
        if let Some(thread) = self.thread.take() {
            // A panic was logged where it happened.
            thread.join().ok();
        }
    }
}

/// Drops what is queued, which closes the reply channels in it.
fn discard<J>(queue: &Receiver<J>) {
    queue.try_iter().for_each(drop);
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::{Error, ErrorKind};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn jobs_run_in_order_on_one_state() {
        let worker = Worker::spawn(
            "order",
            8,
            || Ok::<_, Infallible>(Vec::new()),
            |seen, (number, reply): (u32, mpsc::Sender<Vec<u32>>)| {
                seen.push(number);
                reply.send(seen.clone()).ok();
            },
        )
        .expect("spawned");
        let (reply, answers) = mpsc::channel();
        for number in 0..3 {
            worker.submit((number, reply.clone())).expect("room");
        }
        let last = answers.iter().nth(2).expect("three answers");
        assert_eq!(last, [0, 1, 2]);
    }

    #[test]
    fn a_full_queue_is_an_answer() {
        let (started, wait_started) = mpsc::channel();
        let (release, wait_release) = mpsc::channel::<()>();
        let worker = Worker::spawn(
            "full",
            1,
            || Ok::<_, Infallible>(()),
            move |(), ()| {
                started.send(()).ok();
                wait_release.recv().ok();
            },
        )
        .expect("spawned");
        worker.submit(()).expect("the first is taken");
        wait_started.recv().expect("the first runs");
        worker.submit(()).expect("the second waits");
        assert_eq!(worker.submit(()), Err(SubmitError::Full));
        assert_eq!(worker.queued(), 1);
        drop(release);
    }

    #[test]
    fn a_state_that_cannot_be_made_is_reported() {
        let error = Worker::<()>::spawn(
            "broken",
            1,
            || Err::<(), _>(Error::from(ErrorKind::NotFound)),
            |(), ()| (),
        )
        .expect_err("the state fails");
        assert!(matches!(error, SpawnError::State(_)));
    }

    #[test]
    fn after_a_panic_nobody_waits_for_ever() {
        let worker = Worker::spawn(
            "panics",
            4,
            || Ok::<_, Infallible>(()),
            |(), _reply: mpsc::Sender<()>| panic!("a bug in a job"),
        )
        .expect("spawned");
        let (reply, answer) = mpsc::channel();
        worker.submit(reply).expect("taken");
        assert!(answer.recv().is_err(), "the reply channel is closed");
        // Whether this one comes before or after the thread has noticed: it is
        // never kept.
        let (reply, answer) = mpsc::channel();
        worker.submit(reply).ok();
        assert!(answer.recv().is_err());
    }
}
