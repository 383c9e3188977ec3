//! Usage, counted in memory and written down every few seconds: a write for
//! each search would be slower than the search.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use genie_core::{Answer, Usage};
use genie_state::{State, StateError, Subject, Timestamp, UsageDelta, Used, WorkspaceId};

use crate::access::Access;

/// What was used since the last time it was written down, and what is being
/// used.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    counts: Arc<Mutex<Counts>>,
    /// Whoever looks at what was used, to let somebody in or to write it down,
    /// is alone.
    turn: tokio::sync::Mutex<()>,
    /// Whoever writes down is alone with it from its first look on, or what
    /// two of them saw would be written twice. Taken before `turn`.
    flushing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Counts {
    waiting: HashMap<(WorkspaceId, Subject), UsageDelta>,
    held: HashMap<u64, Hold>,
    next: u64,
}

/// An answer that is being made, of which it is not known yet what it takes.
#[derive(Debug)]
struct Hold {
    workspace: WorkspaceId,
    subject: Subject,
    work: Expected,
}

/// What somebody is let in for, at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Answers from documents: one, or none for a text of the model alone.
    pub(crate) answers: u64,
    /// Tokens of prompt and answer.
    pub(crate) tokens: u64,
}

/// The place of an answer that is being made among those that quotas count.
/// Given back when it is dropped, or when the answer is counted.
#[derive(Debug)]
pub(crate) struct Held {
    counts: Arc<Mutex<Counts>>,
    id: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        lock(&self.counts).held.remove(&self.id);
    }
}

/// What is not written down yet.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) used: Used,
    /// What is being used.
    pub(crate) held: Used,
}

fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    // Counters are never half-changed.
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Meter {
    /// A search.
    pub(crate) fn search(&self, access: &Access) {
        self.add(access, |used| used.searches += 1);
    }

    /// An answer with its tokens.
    pub(crate) fn answer(&self, access: &Access, answer: &Answer) {
        self.settle(access, |used| {
            used.answers += 1;
            used.prompt_tokens += answer.usage.prompt_tokens as u64;
            used.completion_tokens += answer.usage.completion_tokens as u64;
        });
    }

    /// An answer whose reader left after it had begun. How many tokens it took
    /// is not known.
    pub(crate) fn broken_off(&self, access: &Access) {
        self.settle(access, |used| used.answers += 1);
    }

    /// A text of the language model alone whose reader left after so many
    /// pieces, each of which is a token at least.
    pub(crate) fn generation_broken_off(&self, access: &Access, pieces: u64) {
        self.settle(access, |used| used.completion_tokens += pieces);
    }

    /// A text of the language model alone.
    pub(crate) fn generation(&self, access: &Access, usage: Usage) {
        self.settle(access, |used| {
            used.prompt_tokens += usage.prompt_tokens as u64;
            used.completion_tokens += usage.completion_tokens as u64;
        });
    }

    /// A document that was taken.
    pub(crate) fn document(&self, access: &Access) {
        self.add(access, |used| used.documents += 1);
    }

    /// Answers of an evaluation.
    pub(crate) fn evaluated(&self, access: &Access, used: UsageDelta) {
        self.add(access, |sum| {
            sum.answers += used.answers;
            sum.prompt_tokens += used.prompt_tokens;
            sum.completion_tokens += used.completion_tokens;
        });
    }

    fn add(&self, access: &Access, count: impl FnOnce(&mut UsageDelta)) {
        let key = (access.workspace.id.clone(), access.caller.subject());
        count(lock(&self.counts).waiting.entry(key).or_default());
    }

    /// As [`Self::add`] of what the caller was let in for: from now on it
    /// counts as used and no more as being used, at once.
    fn settle(&self, access: &Access, count: impl FnOnce(&mut UsageDelta)) {
        let key = (access.workspace.id.clone(), access.caller.subject());
        // Dropped when the counts are not locked any more.
        let held = access.held.take();
        let mut counts = lock(&self.counts);
        if let Some(held) = &held {
            counts.held.remove(&held.id);
        }
        count(counts.waiting.entry(key).or_default());
    }

    /// The right to look at what was used and to act on it.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Counts an answer as being made.
    pub(crate) fn hold(&self, access: &Access, work: Expected) -> Held {
        let mut counts = lock(&self.counts);
        let id = counts.next;
        counts.next += 1;
        let hold = Hold {
            workspace: access.workspace.id.clone(),
            subject: access.caller.subject(),
            work,
        };
        counts.held.insert(id, hold);
        Held {
            counts: Arc::clone(&self.counts),
            id,
        }
    }

    /// What of those that are chosen is not written down yet, which is what
    /// they used in the last seconds, and what they are using.
    pub(crate) fn waiting(&self, is_meant: impl Fn(&WorkspaceId, &Subject) -> bool) -> Waiting {
        let (mut used, mut held) = (Used::default(), Used::default());
        let add = |sum: &mut Used, answers, tokens| {
            sum.answers_today += answers;
            sum.tokens_today += tokens;
            sum.tokens_this_month += tokens;
        };
        let counts = lock(&self.counts);
        for ((workspace, subject), of) in &counts.waiting {
            if is_meant(workspace, subject) {
                let tokens = of.prompt_tokens + of.completion_tokens;
                add(&mut used, of.answers, tokens);
            }
        }
        for Hold {
            workspace,
            subject,
            work,
        } in counts.held.values()
        {
            if is_meant(workspace, subject) {
                add(&mut held, work.answers, work.tokens);
            }
        }
        Waiting { used, held }
    }

    /// Writes down what waits; what can't be written waits on. Until it is
    /// written it counts as waiting, so that nobody asks in between as if it
    /// had not been.
    pub(crate) async fn flush(&self, state: &State) -> Result<(), StateError> {
        let _alone = self.flushing.lock().await;
        let waiting = lock(&self.counts).waiting.clone();
        let mut failed = Ok(());
        for (of, used) in waiting {
            if let Err(error) = self.write_down(state, of, used).await {
                failed = Err(error);
            }
        }
        failed
    }

    /// As [`Self::flush`] of one alone. Must be run to its end: what is
    /// dropped between the two would be written once more.
    pub(crate) async fn flush_of(
        &self,
        state: &State,
        workspace: &WorkspaceId,
        subject: &Subject,
    ) -> Result<(), StateError> {
        let _alone = self.flushing.lock().await;
        let of = (workspace.clone(), subject.clone());
        let used = lock(&self.counts).waiting.get(&of).copied();
        match used {
            Some(used) => self.write_down(state, of, used).await,
            None => Ok(()),
        }
    }

    async fn write_down(
        &self,
        state: &State,
        of: (WorkspaceId, Subject),
        used: UsageDelta,
    ) -> Result<(), StateError> {
        let now = Timestamp::now();
        let _turn = self.turn().await;
        match state.count_usage(&of.0, &of.1, used, now).await {
            // Or removed while it was used.
            Ok(()) | Err(StateError::NotFound) => {
                self.written(of, used);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Takes off what was written down.
    fn written(&self, of: (WorkspaceId, Subject), used: UsageDelta) {
        if let Entry::Occupied(mut entry) = lock(&self.counts).waiting.entry(of) {
            let left = entry.get_mut();
            left.searches = left.searches.saturating_sub(used.searches);
            left.answers = left.answers.saturating_sub(used.answers);
            left.prompt_tokens = left.prompt_tokens.saturating_sub(used.prompt_tokens);
            left.completion_tokens = left
                .completion_tokens
                .saturating_sub(used.completion_tokens);
            left.documents = left.documents.saturating_sub(used.documents);
            if *left == UsageDelta::default() {
                entry.remove();
            }
        }
    }
}
