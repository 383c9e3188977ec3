//! How a pull tells what it does, and is told to stop.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::FatalError;
use crate::{ModelName, SourceError};

/// What a pull, a verification or an import is at.
#[derive(Debug)]
#[non_exhaustive]
pub enum PullEvent<'a> {
    /// Another process pulls the same model; this one waits for it.
    Waiting {
        /// The model.
        name: &'a ModelName,
    },
    /// A source is tried.
    Source {
        /// Its kind as the registry spells it.
        kind: &'static str,
    },
    /// A source failed; the next one is tried, if there is one.
    SourceFailed {
        /// Its kind as the registry spells it.
        kind: &'static str,
        /// Why.
        error: &'a SourceError,
    },
    /// Bytes arrived.
    Downloaded {
        /// Bytes so far, those of an earlier run included.
        done: u64,
        /// Bytes in all, as well as they are known.
        total: u64,
    },
    /// Bytes were hashed.
    Hashed {
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A packed model is being converted.
    Converting,
    /// The model is in its place.
    Installed {
        /// The model.
        name: &'a ModelName,
    },
}

/// Hears what a pull does; called from several threads.
pub trait PullProgress: Sync {
    /// Something happened. Byte counts come often: a display that is slow
    /// should drop some.
    fn event(&self, event: PullEvent<'_>);
}

impl PullProgress for () {
    fn event(&self, _event: PullEvent<'_>) {}
}

/// The listener, the counters and the flag that every step of a pull shares.
pub(crate) struct Watch<'a> {
    progress: &'a dyn PullProgress,
    cancel: &'a AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(progress: &'a dyn PullProgress, cancel: &'a AtomicBool) -> Self {
        Self {
            progress,
            cancel,
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    pub(crate) fn event(&self, event: PullEvent<'_>) {
        self.progress.event(event);
    }

    pub(crate) fn start(&self, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total.max(done), Ordering::Relaxed);
        self.report();
    }

    pub(crate) fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.total.fetch_max(done, Ordering::Relaxed);
        self.report();
    }

    /// Bytes that have to be fetched again.
    pub(crate) fn retract(&self, bytes: u64) {
        let _ = self
            .done
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |done| {
                Some(done.saturating_sub(bytes))
            });
        self.report();
    }

    fn report(&self) {
        self.event(PullEvent::Downloaded {
            done: self.done.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
        });
    }

    pub(crate) fn check(&self) -> Result<(), FatalError> {
        if self.cancel.load(Ordering::Relaxed) {
            Err(FatalError::Cancelled)
        } else {
            Ok(())
        }
    }
}
