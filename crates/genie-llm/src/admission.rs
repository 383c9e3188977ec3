//! Who may wait: counted in requests and in tokens, since a request for eight
//! thousand of them is not one for eight.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use genie_core::{Tenant, WatchWork, Work};

/// Who waits, and how many may.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    room: Arc<Mutex<Room>>,
    limit: Size,
    /// What one tenant may have of it: the rest is there for others, however
    /// many one of them sends.
    share: Size,
}

#[derive(Debug, Default)]
struct Room {
    all: Size,
    each: HashMap<Tenant, Size>,
}

/// Requests, and the tokens of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    requests: usize,
    tokens: usize,
}

impl Size {
    /// One alone may always wait.
    const fn takes(self, tokens: usize, limit: Self) -> bool {
        self.requests == 0
            || self.requests < limit.requests && self.tokens.saturating_add(tokens) <= limit.tokens
    }

    const fn add(&mut self, tokens: usize) {
        self.requests += 1;
        self.tokens = self.tokens.saturating_add(tokens);
    }

    const fn remove(&mut self, tokens: usize) {
        self.requests = self.requests.saturating_sub(1);
        self.tokens = self.tokens.saturating_sub(tokens);
    }

    /// Three quarters.
    const fn share(self) -> Self {
        Self {
            requests: self.requests - self.requests / 4,
            tokens: self.tokens - self.tokens / 4,
        }
    }
}

impl Waiting {
    pub(crate) fn new(requests: usize, tokens: usize) -> Self {
        let limit = Size { requests, tokens };
        Self {
            room: Arc::default(),
            limit,
            share: limit.share(),
        }
    }

    /// A place for a request of so many tokens; `None` where too much waits,
    /// of all or of this tenant.
    pub(crate) fn enter(&self, tenant: &Tenant, tokens: usize) -> Option<Ticket> {
        let mut room = locked(&self.room);
        let own = room.each.get(tenant).copied().unwrap_or_default();
        if !room.all.takes(tokens, self.limit) || !own.takes(tokens, self.share) {
            return None;
        }
        room.all.add(tokens);
        room.each.entry(tenant.clone()).or_default().add(tokens);
        Some(Ticket {
            room: Arc::clone(&self.room),
            tenant: tenant.clone(),
            tokens,
        })
    }
}

/// A panic elsewhere leaves numbers that are as good as before.
fn locked(room: &Mutex<Room>) -> MutexGuard<'_, Room> {
    room.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among those who wait, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    room: Arc<Mutex<Room>>,
    tenant: Tenant,
    tokens: usize,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut room = locked(&self.room);
        room.all.remove(self.tokens);
        if let Some(own) = room.each.get_mut(&self.tenant) {
            own.remove(self.tokens);
            if own.requests == 0 {
                room.each.remove(&self.tenant);
            }
        }
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
    fn what_waits_is_counted_in_tokens_and_requests() {
        let waiting = Waiting::new(3, 100);
        let [one, other] = ["one", "other"].map(Tenant::new);
        let first = waiting.enter(&one, 60).expect("a place");
        assert!(waiting.enter(&other, 41).is_none());
        let second = waiting.enter(&other, 40).expect("a place");
        assert!(waiting.enter(&other, 1).is_none());
        drop(first);
        let third = waiting.enter(&one, 60).expect("a place");
        drop((second, third));
        // Alone, the largest may wait too.
        let large = waiting.enter(&one, 5000).expect("a place");
        assert!(waiting.enter(&other, 1).is_none());
        drop(large);
        let three = [&one, &one, &other].map(|tenant| waiting.enter(tenant, 1).expect("a place"));
        assert!(waiting.enter(&other, 1).is_none());
        drop(three);
        let room = locked(&waiting.room);
        assert_eq!(room.all, Size::default());
        assert!(room.each.is_empty());
    }

    #[test]
    fn one_tenant_leaves_room_to_the_others() {
        let waiting = Waiting::new(8, 1000);
        let [one, other] = ["one", "other"].map(Tenant::new);
        let many: Vec<Ticket> = (0..8).filter_map(|_| waiting.enter(&one, 100)).collect();
        assert_eq!(many.len(), 6);
        let _second = waiting.enter(&other, 100).expect("a place");
        // And by tokens.
        drop(many);
        let _large = waiting.enter(&one, 700).expect("a place");
        assert!(waiting.enter(&one, 100).is_none());
        assert!(waiting.enter(&other, 100).is_some());
    }

    #[test]
    fn a_queue_of_one_takes_one() {
        let waiting = Waiting::new(1, 1000);
        let ticket = waiting.enter(&Tenant::default(), 1);
        assert!(ticket.is_some());
        assert!(waiting.enter(&Tenant::new("other"), 1).is_none());
    }
}
