//! Who may wait: counted in requests and in tokens, since a request for eight
//! thousand of them is not one for eight.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use genie_core::{Tenant, WatchWork, Work};

/// Places that were left lately and by which the speed of the line is told.
const REMEMBERED: usize = 32;
/// What is longer ago says nothing about the speed of now.
const LATELY: Duration = Duration::from_secs(300);
/// Those who leave within it after the first one filled places that were
/// free, which says nothing about the speed at which they become free.
const BURST: Duration = Duration::from_millis(500);
/// How long whoever is refused is asked to stay away: where nothing is known,
/// and at least and at most.
const UNKNOWN: Duration = Duration::from_secs(2);
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_secs(120);

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
    /// When places were left, and by how many tokens each; the newest last.
    left: VecDeque<(Instant, usize)>,
}

impl Room {
    fn leave(&mut self, tenant: &Tenant, tokens: usize, now: Instant) {
        self.all.remove(tokens);
        if let Some(own) = self.each.get_mut(tenant) {
            own.remove(tokens);
            if own.requests == 0 {
                self.each.remove(tenant);
            }
        }
        if self.all.requests == 0 {
            // While nobody waits, those who come say how often they come.
            self.left.clear();
            return;
        }
        if self.left.len() == REMEMBERED {
            self.left.pop_front();
        }
        self.left.push_back((now, tokens));
    }

    /// How long it takes until so many tokens have left, at the speed at which
    /// they did lately.
    fn until_left(&self, tokens: usize, now: Instant) -> Duration {
        let lately = |(when, _): &&(Instant, usize)| now.duration_since(*when) <= LATELY;
        let mut left = self.left.iter().filter(lately);
        // From the first one on: what left before it is not known.
        let Some((since, _)) = left.next() else {
            // Some wait, and for a long time none of them went on.
            return if self.left.is_empty() {
                UNKNOWN
            } else {
                LATEST
            };
        };
        // The first one that is remembered may be any of a long line.
        let is_start =
            self.left.len() < REMEMBERED && self.left.front().is_some_and(|it| it.0 == *since);
        let skipped = if is_start { BURST } else { Duration::ZERO };
        let in_turn = left.skip_while(|(when, _)| when.duration_since(*since) < skipped);
        let counted: usize = in_turn.map(|(_, tokens)| tokens).sum();
        if counted == 0 {
            return UNKNOWN;
        }
        let each = now.duration_since(*since).as_secs_f64() / counted as f64;
        let wait = Duration::try_from_secs_f64(each * tokens as f64).unwrap_or(LATEST);
        wait.clamp(SOONEST, LATEST)
    }
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

    /// Tokens that have to leave before so many find a place; of a request
    /// that is one too many, as many as one has.
    fn in_the_way(self, tokens: usize, limit: Self) -> usize {
        let of_tokens = self
            .tokens
            .saturating_add(tokens)
            .saturating_sub(limit.tokens);
        let of_requests = match self.requests < limit.requests {
            true => 0,
            false => self.tokens.div_ceil(self.requests.max(1)),
        };
        of_tokens.max(of_requests).min(self.tokens)
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

    /// A place for a request of so many tokens. Where too much waits, of all
    /// or of this tenant, the time after which there should be one.
    pub(crate) fn enter(&self, tenant: &Tenant, tokens: usize) -> Result<Ticket, Duration> {
        let mut room = locked(&self.room);
        let own = room.each.get(tenant).copied().unwrap_or_default();
        if !room.all.takes(tokens, self.limit) || !own.takes(tokens, self.share) {
            let all = room.all.in_the_way(tokens, self.limit);
            // Tenants take turns, so that for one of its own to leave one of
            // each leaves.
            let own = own.in_the_way(tokens, self.share) * room.each.len();
            let before = all.max(own).min(room.all.tokens);
            return Err(room.until_left(before, Instant::now()));
        }
        room.all.add(tokens);
        room.each.entry(tenant.clone()).or_default().add(tokens);
        Ok(Ticket {
            room: Arc::clone(&self.room),
            tenant: tenant.clone(),
            tokens,
        })
    }

    /// The time after which one more request should find a place.
    pub(crate) fn soonest(&self) -> Duration {
        let room = locked(&self.room);
        let one = room.all.tokens.div_ceil(room.all.requests.max(1));
        room.until_left(one, Instant::now())
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
        locked(&self.room).leave(&self.tenant, self.tokens, Instant::now());
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
        assert!(waiting.enter(&other, 41).is_err());
        let second = waiting.enter(&other, 40).expect("a place");
        assert!(waiting.enter(&other, 1).is_err());
        drop(first);
        let third = waiting.enter(&one, 60).expect("a place");
        drop((second, third));
        // Alone, the largest may wait too.
        let large = waiting.enter(&one, 5000).expect("a place");
        assert!(waiting.enter(&other, 1).is_err());
        drop(large);
        let three = [&one, &one, &other].map(|tenant| waiting.enter(tenant, 1).expect("a place"));
        assert!(waiting.enter(&other, 1).is_err());
        drop(three);
        let room = locked(&waiting.room);
        assert_eq!(room.all, Size::default());
        assert!(room.each.is_empty());
    }

    #[test]
    fn one_tenant_leaves_room_to_the_others() {
        let waiting = Waiting::new(8, 1000);
        let [one, other] = ["one", "other"].map(Tenant::new);
        let many: Vec<Ticket> = (0..8)
            .filter_map(|_| waiting.enter(&one, 100).ok())
            .collect();
        assert_eq!(many.len(), 6);
        let _second = waiting.enter(&other, 100).expect("a place");
        // And by tokens.
        drop(many);
        let _large = waiting.enter(&one, 700).expect("a place");
        assert!(waiting.enter(&one, 100).is_err());
        assert!(waiting.enter(&other, 100).is_ok());
    }

    #[test]
    fn a_queue_of_one_takes_one() {
        let waiting = Waiting::new(1, 1000);
        let ticket = waiting.enter(&Tenant::default(), 1);
        assert!(ticket.is_ok());
        assert!(waiting.enter(&Tenant::new("other"), 1).is_err());
    }

    #[test]
    fn whoever_is_refused_learns_how_long_it_takes() {
        let waiting = Waiting::new(4, 1000);
        let one = Tenant::new("one");
        let refused = |tokens| waiting.enter(&one, tokens).expect_err("no place");
        let mut tickets: Vec<Ticket> = (0..3)
            .map(|_| waiting.enter(&one, 200).expect("a place"))
            .collect();
        // Nobody left yet.
        assert_eq!(refused(200), UNKNOWN);
        // A hundred tokens a second, for ten seconds.
        let now = Instant::now();
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds));
        let Some(past) = (0..=10)
            .map(|number| ago(10 - number))
            .collect::<Option<Vec<_>>>()
        else {
            // A machine that was started a moment ago knows no time before.
            return;
        };
        locked(&waiting.room).left = past.into_iter().map(|when| (when, 100)).collect();
        // By number: the share of one tenant is three, so one of 200 has to
        // leave. By tokens: 600 wait of 750.
        assert_eq!(refused(100).as_millis() / 100, 20);
        assert_eq!(refused(550).as_millis() / 100, 40);
        // Nobody waits longer than for all of them.
        assert_eq!(refused(100_000).as_millis() / 100, 60);
        assert_eq!(waiting.soonest().as_millis() / 100, 20);
        // What is long ago does not count, and a hundred days are a while.
        let mut room = locked(&waiting.room);
        room.left.truncate(2);
        assert_eq!(room.until_left(1 << 40, now), LATEST);
        assert_eq!(room.until_left(1, now), SOONEST);
        assert_eq!(room.until_left(1, now + 2 * LATELY), LATEST);
        // Who filled free places at once tells no speed.
        room.left = std::iter::repeat_n((now, 200), 8).collect();
        assert_eq!(room.until_left(200, now + Duration::from_secs(20)), UNKNOWN);
        drop(room);
        tickets.pop();
        assert_eq!(locked(&waiting.room).left.len(), 9);
        tickets.clear();
        assert!(locked(&waiting.room).left.is_empty());
    }
}
