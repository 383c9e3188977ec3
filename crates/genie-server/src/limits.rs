//! How often a caller may ask.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::access::{Access, Caller};
use crate::failure::Failure;

/// Callers of one workspace are limited alone, and all of them together by
/// the workspace's own quota: the name of whom a limit is for.
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

    /// Counts a request, or says when the next one is welcome.
    pub(crate) fn check(&self, access: &Access) -> Result<(), Failure> {
        if access.caller == Caller::Local {
            return Ok(());
        }
        let workspace = &access.workspace;
        if let Some(rate) = self.per_caller {
            self.take(
                rate,
                format!("{} {}", workspace.id, access.caller.subject()),
            )?;
        }
        let quota = workspace.settings.requests_per_minute;
        if let Some(rate) = quota.and_then(NonZeroU32::new) {
            self.take(rate, workspace.id.to_string())?;
        }
        Ok(())
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
