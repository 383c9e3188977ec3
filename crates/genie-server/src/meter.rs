//! Usage, counted in memory and written down every few seconds: a write for
//! each search would be slower than the search.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use genie_core::{Answer, Usage};
use genie_state::{State, StateError, Subject, Timestamp, UsageDelta, Used, WorkspaceId};

use crate::access::Access;

/// What was used since the last time it was written down.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    waiting: Mutex<HashMap<(WorkspaceId, Subject), UsageDelta>>,
}

impl Meter {
    /// A search.
    pub(crate) fn search(&self, access: &Access) {
        self.add(access, |used| used.searches += 1);
    }

    /// An answer with its tokens.
    pub(crate) fn answer(&self, access: &Access, answer: &Answer) {
        self.add(access, |used| {
            used.answers += 1;
            used.prompt_tokens += answer.usage.prompt_tokens as u64;
            used.completion_tokens += answer.usage.completion_tokens as u64;
        });
    }

    /// A text of the language model alone.
    pub(crate) fn generation(&self, access: &Access, usage: Usage) {
        self.add(access, |used| {
            used.prompt_tokens += usage.prompt_tokens as u64;
            used.completion_tokens += usage.completion_tokens as u64;
        });
    }

    /// A document that was taken.
    pub(crate) fn document(&self, access: &Access) {
        self.add(access, |used| used.documents += 1);
    }

    fn add(&self, access: &Access, count: impl FnOnce(&mut UsageDelta)) {
        let key = (access.workspace.id.clone(), access.caller.subject());
        count(self.lock().entry(key).or_default());
    }

    /// What of those that are chosen is not written down yet, which is what
    /// they used in the last seconds.
    pub(crate) fn waiting(&self, is_meant: impl Fn(&WorkspaceId, &Subject) -> bool) -> Used {
        let mut sum = Used::default();
        for ((workspace, subject), used) in self.lock().iter() {
            if is_meant(workspace, subject) {
                let tokens = used.prompt_tokens + used.completion_tokens;
                sum.answers_today += used.answers;
                sum.tokens_today += tokens;
                sum.tokens_this_month += tokens;
            }
        }
        sum
    }

    /// Writes down what waits; what can't be written waits on.
    pub(crate) async fn flush(&self, state: &State) -> Result<(), StateError> {
        let waiting = std::mem::take(&mut *self.lock());
        let mut failed = Ok(());
        for ((workspace, subject), used) in waiting {
            let now = Timestamp::now();
            match state
                .count_usage(&workspace, &subject, used.clone(), now)
                .await
            {
                Ok(()) => {}
                // Removed while it was used.
                Err(StateError::NotFound) => {}
                Err(error) => {
                    let mut waiting = self.lock();
                    let again = waiting.entry((workspace, subject)).or_default();
                    again.searches += used.searches;
                    again.answers += used.answers;
                    again.prompt_tokens += used.prompt_tokens;
                    again.completion_tokens += used.completion_tokens;
                    again.documents += used.documents;
                    failed = Err(error);
                }
            }
        }
        failed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(WorkspaceId, Subject), UsageDelta>> {
        // Counters are never half-changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
