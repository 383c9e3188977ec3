//! What work on a blocking thread tells of itself, and what it is told.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use genie_core::Usage;
use genie_state::{JobId, UsageDelta};

/// How far some work is, and whether it shall go on.
#[derive(Debug, Default)]
pub struct Watch {
    done: AtomicU64,
    total: AtomicU64,
    stopped: AtomicBool,
    used: Mutex<UsageDelta>,
}

impl Watch {
    /// Tells what an answer took that was made for this work.
    pub fn answered(&self, usage: Usage) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.answers += 1;
        used.prompt_tokens += usage.prompt_tokens as u64;
        used.completion_tokens += usage.completion_tokens as u64;
    }

    /// What was told so since the last time.
    pub(crate) fn take_used(&self) -> UsageDelta {
        std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells how much of `total` is done; `false` where the work shall stop
    /// at its next sound place.
    #[must_use]
    pub fn tell(&self, done: u64, total: u64) -> bool {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
        self.goes_on()
    }

    /// Whether the work shall go on.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        !self.stopped.load(Ordering::Relaxed)
    }

    /// Tells the work to stop.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// What was told last: done and total.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (
            self.done.load(Ordering::Relaxed),
            self.total.load(Ordering::Relaxed),
        )
    }
}

/// The jobs that this process is working on.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    jobs: HashMap<JobId, Arc<Watch>>,
    is_over: bool,
}

/// A job's place among them, given back when it is dropped.
pub(crate) struct Entry<'a> {
    running: &'a Running,
    id: JobId,
    pub(crate) watch: Arc<Watch>,
}

impl Running {
    /// From now on the job can be told to stop.
    pub(crate) fn enter(&self, id: &JobId) -> Entry<'_> {
        let watch = Arc::new(Watch::default());
        let mut state = self.lock();
        if state.is_over {
            watch.stop();
        }
        state.jobs.insert(*id, Arc::clone(&watch));
        Entry {
            running: self,
            id: *id,
            watch,
        }
    }

    /// Tells a job to stop, if this process works on it.
    pub(crate) fn stop(&self, id: &JobId) {
        if let Some(watch) = self.lock().jobs.get(id) {
            watch.stop();
        }
    }

    /// Tells all of them to stop, and those that come.
    pub(crate) fn stop_all(&self) {
        let mut state = self.lock();
        state.is_over = true;
        state.jobs.values().for_each(|watch| watch.stop());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that could panic is done with it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.running.lock().jobs.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_stopped_alone_and_all_together() {
        let running = Running::default();
        let ids = ["01", "02", "03"].map(|end| {
            let id = format!("6e1b1f9e-8d2c-4a53-9c5c-0e9f6b1d2a{end}");
            id.parse::<JobId>().expect("an id")
        });
        let one = running.enter(&ids[0]);
        let other = running.enter(&ids[1]);
        assert!(one.watch.tell(1, 3));
        assert_eq!(one.watch.progress(), (1, 3));
        running.stop(&ids[0]);
        assert!(!one.watch.tell(2, 3) && other.watch.goes_on());
        running.stop_all();
        assert!(!other.watch.goes_on());
        assert!(!running.enter(&ids[2]).watch.goes_on(), "too late to begin");
        drop((one, other));
        assert!(running.lock().jobs.is_empty());
    }
}
