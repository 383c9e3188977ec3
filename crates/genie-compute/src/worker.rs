//! The thread that owns a model.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError};

/// Jobs that go first, one after the other, after which another one has its
/// turn: however many of them come, the others are not kept from going on.
const MOST_IN_A_ROW: usize = 8;

/// A thread that owns some state and works off a bounded queue of jobs, one
/// at a time and in order; jobs of [`Worker::submit_first`] go before the
/// others. Dropping the worker ends the thread after the job
/// in hand; jobs still queued are dropped, which their reply channels show to
/// whoever waits.
///
/// A job carries its own reply channel. Whoever no longer wants an answer
/// drops the receiving end; a job should look at that before it starts.
#[derive(Debug)]
pub struct Worker<J> {
    // `None` only while dropping: closing the channel is what ends the thread.
    lanes: Option<Lanes<J>>,
    // Second receiving ends, to drain what is queued when the worker goes.
    queues: Queues<J>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Lanes<J> {
    first: Sender<J>,
    usual: Sender<J>,
}

#[derive(Debug)]
struct Queues<J> {
    first: Receiver<J>,
    usual: Receiver<J>,
    /// Jobs of the first queue taken one after the other.
    in_a_row: usize,
}

impl<J> Queues<J> {
    /// Waits for the next job; `None` when nobody can submit one any more.
    fn next(&mut self) -> Option<J> {
        if self.in_a_row >= MOST_IN_A_ROW
            && let Ok(job) = self.usual.try_recv()
        {
            self.in_a_row = 0;
            return Some(job);
        }
        if let Ok(job) = self.first.try_recv() {
            self.in_a_row += 1;
            return Some(job);
        }
        self.in_a_row = 0;
        crossbeam_channel::select! {
            recv(self.first) -> job => job.ok(),
            recv(self.usual) -> job => job.ok(),
        }
    }

    /// The jobs that are there and wanted now, in their order; `None` when
    /// nobody can submit one any more.
    fn take(&mut self, appetite: Appetite) -> Option<Vec<J>> {
        let mut jobs = Vec::new();
        let lanes: &[&Receiver<J>] = match appetite {
            Appetite::One => return self.next().map(|job| vec![job]),
            Appetite::Idle => {
                jobs.push(self.next()?);
                &[&self.first, &self.usual]
            }
            Appetite::Some => &[&self.first, &self.usual],
            Appetite::Urgent => &[&self.first],
        };
        for lane in lanes {
            // Of those that are there now: more may come all the time.
            for _ in 0..lane.len().max(1) {
                match lane.try_recv() {
                    Ok(job) => jobs.push(job),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return None,
                }
            }
        }
        Some(jobs)
    }

    /// Drops what is queued, which closes the reply channels in it.
    fn discard(&self) {
        for queue in [&self.first, &self.usual] {
            queue.try_iter().for_each(drop);
        }
    }
}

/// Which jobs a state can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appetite {
    /// It has nothing to do until one comes, and takes one at a time: the
    /// next may be one that goes first.
    One,
    /// It has nothing to do until one comes, and takes all that there are
    /// then.
    Idle,
    /// It has work in hand, and takes the jobs that there are.
    Some,
    /// It has as much work in hand as it can hold, and takes only what was
    /// submitted by [`Worker::submit_first`].
    Urgent,
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
    /// then calls `run` for each job. At most `capacity` jobs of either kind
    /// wait. Returns once the state is made.
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
        let step = move |state: &mut S, jobs: Vec<J>| {
            for job in jobs {
                run(state, job);
            }
            Appetite::One
        };
        Self::spawn_stepping(name, capacity, make, step)
    }

    /// As [`Worker::spawn`], for a state that works on several jobs at once:
    /// `step` takes the jobs that are there, does a part of their work and
    /// says whether it can go on without another job. When the worker is
    /// dropped, what is in hand is dropped with the state.
    ///
    /// # Errors
    ///
    /// As [`Worker::spawn`].
    pub fn spawn_stepping<S, E>(
        name: &str,
        capacity: usize,
        make: impl FnOnce() -> Result<S, E> + Send + 'static,
        mut step: impl FnMut(&mut S, Vec<J>) -> Appetite + Send + 'static,
    ) -> Result<Self, SpawnError<E>>
    where
        E: std::error::Error + Send + 'static,
    {
        let (first, first_queue) = crossbeam_channel::bounded::<J>(capacity);
        let (usual, usual_queue) = crossbeam_channel::bounded::<J>(capacity);
        let queues = Queues {
            first: first_queue,
            usual: usual_queue,
            in_a_row: 0,
        };
        let mut queue = Queues {
            first: queues.first.clone(),
            usual: queues.usual.clone(),
            in_a_row: 0,
        };
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
                let mut appetite = Appetite::One;
                while let Some(jobs) = queue.take(appetite) {
                    let stepped = AssertUnwindSafe(|| step(&mut state, jobs));
                    let Ok(next) = std::panic::catch_unwind(stepped) else {
                        tracing::error!(worker = thread_name, "a job panicked; the worker stops");
                        // Raised before the queue is emptied: a job that comes
                        // later is dropped by the one who submits it.
                        stopping.store(true, Ordering::SeqCst);
                        queue.discard();
                        return;
                    };
                    appetite = next;
                }
            })
            .map_err(SpawnError::Thread)?;
        match made.recv() {
            Ok(Ok(())) => Ok(Self {
                lanes: Some(Lanes { first, usual }),
                queues,
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
        self.send(job, |lanes| &lanes.usual)
    }

    /// Queues a job before all that wait and came by [`Worker::submit`]: for
    /// a small job on which the result of one that already ran depends.
    ///
    /// # Errors
    ///
    /// As [`Worker::submit`].
    pub fn submit_first(&self, job: J) -> Result<(), SubmitError> {
        self.send(job, |lanes| &lanes.first)
    }

    fn send(&self, job: J, lane: impl Fn(&Lanes<J>) -> &Sender<J>) -> Result<(), SubmitError> {
        let lanes = self.lanes.as_ref().ok_or(SubmitError::Stopped)?;
        lane(lanes).try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => SubmitError::Full,
            TrySendError::Disconnected(_) => SubmitError::Stopped,
        })?;
        if self.stopped.load(Ordering::SeqCst) {
            self.queues.discard();
            return Err(SubmitError::Stopped);
        }
        Ok(())
    }

    /// Whether it takes jobs: a job that panicked ended it.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.stopped.load(Ordering::SeqCst)
    }

    /// How many jobs wait.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queues.first.len() + self.queues.usual.len()
    }
}

impl<J> Drop for Worker<J> {
    fn drop(&mut self) {
        self.lanes = None;
        self.queues.discard();
        if let Some(thread) = self.thread.take() {
            // A panic was logged where it happened.
            thread.join().ok();
        }
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
