//! What may be asked of the language model in a day and a month.

use std::time::Duration;

use axum::http::StatusCode;
use genie_state::{KeyId, Quotas, State, Timestamp, Used, WorkspaceId};
use tokio::sync::OwnedSemaphorePermit;

use crate::access::{Access, Caller};
use crate::app::Service;
use crate::failure::{Failure, Field};

impl Service {
    /// The right to let the language model work for a caller, at once or not
    /// at all.
    ///
    /// # Errors
    ///
    /// 429 where a quota of the workspace or of the caller's key is used up,
    /// or where the service is busy.
    pub(crate) async fn admit_answer(
        &self,
        access: &Access,
    ) -> Result<OwnedSemaphorePermit, Failure> {
        self.within_quotas(access).await?;
        self.admit()
    }

    /// Fails where a quota of the workspace or of the caller's key is used up.
    /// What is being answered counts when it ends, so as many as are answered
    /// at the same time may go over it.
    pub(crate) async fn within_quotas(&self, access: &Access) -> Result<(), Failure> {
        let Ok(state) = self.accounts() else {
            return Ok(());
        };
        let workspace = &access.workspace;
        let quotas = workspace.settings.quotas();
        self.within_workspace(state, &workspace.id, quotas).await?;
        match &access.caller {
            Caller::Key(key) => self.within_key(state, &key.id, key.quotas).await,
            _ => Ok(()),
        }
    }

    async fn within_workspace(
        &self,
        state: &State,
        id: &WorkspaceId,
        quotas: Quotas,
    ) -> Result<(), Failure> {
        if !is_counted(quotas) {
            return Ok(());
        }
        let now = Timestamp::now();
        // In this order: what is written down in between counts twice, and
        // not never.
        let waiting = self.meter.waiting(|workspace, _| workspace == id);
        let written = state.used_in(id, now).await?;
        check(quotas, sum(written, waiting), now, "the workspace")
    }

    /// As [`Self::within_quotas`] for a key alone.
    pub(crate) async fn within_key(
        &self,
        state: &State,
        id: &KeyId,
        quotas: Quotas,
    ) -> Result<(), Failure> {
        if !is_counted(quotas) {
            return Ok(());
        }
        let now = Timestamp::now();
        let key = genie_state::Subject::key(id);
        let waiting = self.meter.waiting(|_, subject| *subject == key);
        let written = state.used_by(&key, now).await?;
        check(quotas, sum(written, waiting), now, "this key")
    }
}

/// Whether there is a quota that has to be looked up.
fn is_counted(quotas: Quotas) -> bool {
    quotas
        != Quotas {
            requests_per_minute: quotas.requests_per_minute,
            ..Quotas::default()
        }
}

fn sum(one: Used, other: Used) -> Used {
    Used {
        answers_today: one.answers_today + other.answers_today,
        tokens_today: one.tokens_today + other.tokens_today,
        tokens_this_month: one.tokens_this_month + other.tokens_this_month,
    }
}

/// The one that ends last is named: before it, no other try makes sense.
fn check(quotas: Quotas, used: Used, now: Timestamp, whose: &str) -> Result<(), Failure> {
    let (day, month) = (now.until_next_day(), now.until_next_month());
    let quotas = [
        (
            "tokens_per_month",
            quotas.tokens_per_month,
            used.tokens_this_month,
            month,
        ),
        (
            "tokens_per_day",
            quotas.tokens_per_day,
            used.tokens_today,
            day,
        ),
        (
            "answers_per_day",
            quotas.answers_per_day,
            used.answers_today,
            day,
        ),
    ];
    for (name, quota, used, ends) in quotas {
        if let Some(quota) = quota.filter(|quota| used >= *quota) {
            return Err(used_up(name, format!("{whose} may use {quota}"), ends));
        }
    }
    Ok(())
}

fn used_up(name: &'static str, reason: String, ends: Duration) -> Failure {
    Failure {
        fields: vec![Field {
            field: name,
            reason: reason.clone(),
        }],
        retry_after: Some(ends.as_secs() + 1),
        ..Failure::new(
            StatusCode::TOO_MANY_REQUESTS,
            USED_UP,
            format!("the quota {name} is used up: {reason}"),
        )
    }
}

/// The code of such a failure.
pub(crate) const USED_UP: &str = "quota_used_up";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_that_ends_last_is_named() {
        let now: Timestamp = "2026-02-27T23:00:00Z".parse().expect("a time");
        let quotas = Quotas {
            answers_per_day: Some(2),
            tokens_per_day: Some(100),
            tokens_per_month: Some(1000),
            ..Quotas::default()
        };
        let of = |answers, today, month| {
            let used = Used {
                answers_today: answers,
                tokens_today: today,
                tokens_this_month: month,
            };
            let failure = check(quotas, used, now, "this key").err()?;
            assert_eq!((failure.status.as_u16(), failure.code), (429, USED_UP));
            Some((failure.fields[0].field, failure.retry_after))
        };
        let (day, month) = (Some(3601), Some(25 * 3600 + 1));
        assert_eq!(of(1, 99, 999), None);
        assert_eq!(of(2, 99, 999), Some(("answers_per_day", day)));
        assert_eq!(of(2, 100, 999), Some(("tokens_per_day", day)));
        assert_eq!(of(2, 100, 1000), Some(("tokens_per_month", month)));
        let none = check(Quotas::default(), Used::default(), now, "this key");
        assert!(none.is_ok());
    }
}
