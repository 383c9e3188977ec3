//! What may be asked of the language model in a day and a month.

use std::time::Duration;

use axum::http::StatusCode;
use genie_state::{KeyId, Quotas, Subject, Timestamp, Used, WorkspaceId};
use tokio::sync::{MutexGuard, OwnedSemaphorePermit};

use crate::access::{Access, Caller};
use crate::app::Service;
use crate::failure::{Failure, Field};
use crate::meter::{Expected, Waiting};

impl Service {
    /// The right to let the language model work for a caller, at once or not
    /// at all. Until it is known what the answer took it counts as one of
    /// `most` tokens, or of as many as answers have here at most, and those of
    /// its passages.
    ///
    /// # Errors
    ///
    /// 429 where a quota of the workspace or of the caller's key is used up,
    /// or would be by what is being answered, or where the service is busy.
    pub(crate) async fn admit_answer(
        &self,
        access: &Access,
        most: Option<usize>,
    ) -> Result<OwnedSemaphorePermit, Failure> {
        self.reserve(access, self.of_answer(most)).await?;
        // Whoever is not let in gives the place back with the access.
        self.admit()
    }

    /// As [`Self::admit_answer`] for a text of the language model alone, of so
    /// many tokens.
    pub(crate) async fn admit_text(
        &self,
        access: &Access,
        tokens: usize,
    ) -> Result<OwnedSemaphorePermit, Failure> {
        let text = Expected {
            answers: 0,
            tokens: tokens as u64,
        };
        self.reserve(access, text).await?;
        self.admit()
    }

    /// What an answer takes, see [`Self::admit_answer`].
    pub(crate) fn of_answer(&self, most: Option<usize>) -> Expected {
        let written = most.unwrap_or_else(|| self.state.engine.most_tokens());
        let tokens = written.saturating_add(self.state.engine.context_tokens());
        Expected {
            answers: 1,
            tokens: tokens as u64,
        }
    }

    /// As [`Self::admit_answer`] for a caller who has a turn already.
    pub(crate) async fn reserve(&self, access: &Access, work: Expected) -> Result<(), Failure> {
        let Some(quotas) = self.quotas(access).await? else {
            return Ok(());
        };
        let _turn = self.turn().await?;
        self.check_quotas(&quotas, Beside::WhatIsHeld).await?;
        access.held.put(self.meter.hold(access, work));
        Ok(())
    }

    /// Fails where a quota of the workspace or of the caller's key is used up.
    pub(crate) async fn within_quotas(&self, access: &Access) -> Result<(), Failure> {
        let Some(quotas) = self.quotas(access).await? else {
            return Ok(());
        };
        let _turn = self.turn().await?;
        self.check_quotas(&quotas, Beside::Nothing).await
    }

    /// The right to look at what was used; who waits too long for it learns
    /// that the service is busy.
    async fn turn(&self) -> Result<MutexGuard<'_, ()>, Failure> {
        let turn = tokio::time::timeout(LONGEST_TURN, self.meter.turn());
        turn.await.map_err(|_| Failure::busy())
    }

    /// The quotas that bind this caller here, if there are any.
    async fn quotas(&self, access: &Access) -> Result<Option<Bounds>, Failure> {
        let Ok(state) = self.accounts() else {
            return Ok(None);
        };
        let key = match &access.caller {
            Caller::Key(key) => Some((key.id, key.quotas)),
            // What was asked for by a key is bound by it as it is now.
            Caller::Later(subject) => match subject.as_key() {
                Some(id) => state.key(&id).await?.map(|key| (key.id, key.quotas)),
                None => None,
            },
            Caller::Local | Caller::Person(_) => None,
        };
        let bounds = Bounds {
            workspace: (
                access.workspace.id.clone(),
                access.workspace.settings.quotas(),
            ),
            key: key.filter(|(_, quotas)| is_counted(*quotas)),
        };
        Ok((bounds.key.is_some() || is_counted(bounds.workspace.1)).then_some(bounds))
    }

    async fn check_quotas(&self, bounds: &Bounds, beside: Beside) -> Result<(), Failure> {
        let state = self.accounts()?;
        let now = Timestamp::now();
        let (id, quotas) = &bounds.workspace;
        if is_counted(*quotas) {
            let waiting = self.meter.waiting(|workspace, _| workspace == id);
            let written = state.used_in(id, now).await?;
            beside.check(*quotas, (written, waiting), now, "the workspace")?;
        }
        if let Some((id, quotas)) = &bounds.key {
            let key = Subject::key(id);
            let waiting = self.meter.waiting(|_, subject| *subject == key);
            let written = state.used_by(&key, now).await?;
            beside.check(*quotas, (written, waiting), now, "this key")?;
        }
        Ok(())
    }
}

/// How long somebody waits to have what was used looked up.
const LONGEST_TURN: Duration = Duration::from_secs(5);

/// What counts beside what was used.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Nothing,
    /// What is being answered: nobody is let in for what others may need.
    WhatIsHeld,
}

impl Beside {
    /// What was used up stays so until its day or month is over; what is held
    /// may come free in a moment.
    fn check(
        self,
        quotas: Quotas,
        (written, waiting): (Used, Waiting),
        now: Timestamp,
        whose: &str,
    ) -> Result<(), Failure> {
        let used = sum(written, waiting.used);
        check(quotas, used, now, whose)?;
        match self {
            Self::Nothing => Ok(()),
            Self::WhatIsHeld => {
                check(quotas, sum(used, waiting.held), now, whose).map_err(|full| {
                    let quota = full.fields.first().map_or("a quota", |it| it.field);
                    Failure {
                        message: format!(
                            "what is being answered may use up the quota {quota} of {whose}; try \
                         again in a moment"
                        ),
                        ..Failure::busy()
                    }
                })
            }
        }
    }
}

/// The quotas that bind a caller.
struct Bounds {
    workspace: (WorkspaceId, Quotas),
    key: Option<(KeyId, Quotas)>,
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
    fn what_is_held_is_no_reason_to_come_tomorrow() {
        let now: Timestamp = "2026-02-27T23:00:00Z".parse().expect("a time");
        let quotas = Quotas {
            answers_per_day: Some(3),
            ..Quotas::default()
        };
        let answers = |answers_today| Used {
            answers_today,
            ..Used::default()
        };
        let of = |beside: Beside, used, held| {
            let waiting = Waiting {
                used: answers(used),
                held: answers(held),
            };
            let checked = beside.check(quotas, (answers(1), waiting), now, "this key");
            checked
                .err()
                .map(|failure| (failure.code, failure.retry_after))
        };
        assert_eq!(of(Beside::WhatIsHeld, 1, 0), None);
        assert_eq!(of(Beside::WhatIsHeld, 1, 1), Some(("busy", None)));
        assert_eq!(of(Beside::Nothing, 1, 1), None);
        for beside in [Beside::Nothing, Beside::WhatIsHeld] {
            assert_eq!(of(beside, 2, 1), Some((USED_UP, Some(3601))));
        }
    }

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
