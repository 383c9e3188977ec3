//! Who may wait, and who may be taken in hand: counted in tokens, since a
//! request for eight thousand of them is not one for eight.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use genie_core::{WatchWork, Work};

/// Tokens of the requests that wait.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    tokens: Arc<AtomicUsize>,
    limit: usize,
}

impl Waiting {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            tokens: Arc::default(),
            limit,
        }
    }

    /// A place for a request of so many tokens; `None` where too much waits.
    /// One alone may always wait.
    pub(crate) fn enter(&self, tokens: usize) -> Option<Ticket> {
        let fits = |waiting: usize| {
            let after = waiting.saturating_add(tokens);
            (waiting == 0 || after <= self.limit).then_some(after)
        };
        self.tokens
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits)
            .ok()?;
        Some(Ticket {
            waiting: Arc::clone(&self.tokens),
            tokens,
        })
    }
}

/// A place among those who wait, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    waiting: Arc<AtomicUsize>,
    tokens: usize,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.tokens, Ordering::SeqCst);
    }
}

/// When a request came, and its place among those who wait.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) asked: Instant,
    pub(crate) ticket: Option<Ticket>,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            asked: Instant::now(),
            ticket: None,
        }
    }
}

/// Who is told of the work, once there is somebody.
#[derive(Clone, Default)]
pub(crate) struct Watch(Arc<OnceLock<Arc<dyn WatchWork>>>);

impl std::fmt::Debug for Watch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Watch")
            .field("is_set", &self.0.get().is_some())
            .finish()
    }
}

impl Watch {
    /// The first one stays.
    pub(crate) fn set(&self, watcher: Arc<dyn WatchWork>) {
        self.0.set(watcher).ok();
    }

    pub(crate) fn tell(&self, work: Work) {
        if let Some(watcher) = self.0.get() {
            watcher.saw(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_counted_in_tokens() {
        let waiting = Waiting::new(100);
        let first = waiting.enter(60).expect("a place");
        assert!(waiting.enter(41).is_none());
        let second = waiting.enter(40).expect("a place");
        assert!(waiting.enter(1).is_none());
        drop(first);
        let third = waiting.enter(60).expect("a place");
        drop((second, third));
        // Alone, the largest may wait too.
        let large = waiting.enter(5000).expect("a place");
        assert!(waiting.enter(1).is_none());
        drop(large);
        assert_eq!(waiting.tokens.load(Ordering::SeqCst), 0);
    }
}
