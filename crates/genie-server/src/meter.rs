//! Usage, counted in memory and written down every few seconds: a write for
//! each search would be slower than the search.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
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

    /// An answer whose reader left after it had begun. How many tokens it took
    /// is not known.
    pub(crate) fn broken_off(&self, access: &Access) {
        self.add(access, |used| used.answers += 1);
    }

    /// A text of the language model alone whose reader left after so many
    /// pieces, each of which is a token at least.
    pub(crate) fn generation_broken_off(&self, access: &Access, pieces: u64) {
        self.add(access, |used| used.completion_tokens += pieces);
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

    /// Writes down what waits; what can't be written waits on. Until it is
    /// written it counts as waiting, so that nobody asks in between as if it
    /// had not been.
    pub(crate) async fn flush(&self, state: &State) -> Result<(), StateError> {
        let waiting = self.lock().clone();
        let mut failed = Ok(());
        for ((workspace, subject), used) in waiting {
            let now = Timestamp::now();
            match state.count_usage(&workspace, &subject, used, now).await {
                // Or removed while it was used.
                Ok(()) | Err(StateError::NotFound) => self.written((workspace, subject), used),
                Err(error) => failed = Err(error),
            }
        }
        failed
    }

    /// Takes off what was written down.
    fn written(&self, of: (WorkspaceId, Subject), used: UsageDelta) {
        let mut waiting = self.lock();
        if let Entry::Occupied(mut entry) = waiting.entry(of) {
            let left = entry.get_mut();
            left.searches -= used.searches;
            left.answers -= used.answers;
            left.prompt_tokens -= used.prompt_tokens;
            left.completion_tokens -= used.completion_tokens;
            left.documents -= used.documents;
            if *left == UsageDelta::default() {
                entry.remove();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(WorkspaceId, Subject), UsageDelta>> {
        // Counters are never half-changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
