//! How often a caller may ask.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::access::{Access, Caller};
use crate::failure::Failure;

/// Callers are limited alone, and all callers of a workspace together by its
/// own quota: the name of whom a limit is for.
type Bucket = String;

/// The limits of a service. A workspace's setting takes the place of the
/// service's.
pub(crate) struct Limits {
    per_caller: Option<NonZeroU32>,
    clock: DefaultClock,
    /// One limiter for each rate in use; there are as many as settings differ.
    limiters: Mutex<HashMap<NonZeroU32, Arc<DefaultKeyedRateLimiter<Bucket>>>>,
}

impl Limits {
    /// `per_caller` requests a minute; 0 limits nobody.
    pub(crate) fn new(per_caller: u32) -> Self {
        Self {
            per_caller: NonZeroU32::new(per_caller),
            clock: DefaultClock::default(),
            limiters: Mutex::default(),
        }
    }

    /// Counts a request of a caller, or says when the next one is welcome.
    /// Whatever the request names is no part of the count: a caller who tries
    /// one workspace after the other is one caller.
    pub(crate) fn check_caller(&self, caller: &Caller) -> Result<(), Failure> {
        let own = match caller {
            Caller::Key(key) => key.quotas.requests_per_minute.and_then(NonZeroU32::new),
            _ => None,
        };
        // The stricter one of the service's and the key's.
        match self.per_caller.into_iter().chain(own).min() {
            Some(rate) if *caller != Caller::Local => self.take(rate, caller.subject().to_string()),
            _ => Ok(()),
        }
    }

    /// Counts a request that was let in against its workspace's own quota;
    /// strangers use up nothing of it.
    pub(crate) fn check_workspace(&self, access: &Access) -> Result<(), Failure> {
        let workspace = &access.workspace;
        let quota = workspace.settings.requests_per_minute;
        match quota.and_then(NonZeroU32::new) {
            // A name with a character that no subject begins with.
            Some(rate) if access.caller != Caller::Local => {
                self.take(rate, format!("/{}", workspace.id))
            }
            _ => Ok(()),
        }
    }

    fn take(&self, rate: NonZeroU32, bucket: Bucket) -> Result<(), Failure> {
        let limiter = {
            // Nothing that could panic is done with it.
            let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(
                limiters
                    .entry(rate)
                    .or_insert_with(|| Arc::new(RateLimiter::keyed(Quota::per_minute(rate)))),
            )
        };
        // Callers that have not asked for a while take no memory.
        if limiter.len() > 10_000 {
            limiter.retain_recent();
        }
        limiter.check_key(&bucket).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            Failure {
                retry_after: Some(wait.as_secs() + 1),
                ..Failure::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate_limited",
                    "more requests a minute than this caller or workspace may make",
                )
            }
        })
    }
}
