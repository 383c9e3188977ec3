//! What the worker's thread is asked, and what it answers.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use genie_core::{FinishReason, Sampling, Tenant, TokenWeight};

use crate::LlmError;
use crate::admission::Entry;
use crate::rule::Rule;

/// A request with the way back to who asked.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all jobs are talks, and one moves a few times in all"
)]
pub(crate) enum Job {
    Talk(Talk),
    Ask(Ask),
}

impl Job {
    /// Tokens for which keys and values have to be held until it is done.
    pub(crate) fn tokens(&self) -> usize {
        match self {
            Self::Talk(talk) => talk.prompt.len().saturating_add(talk.max_tokens),
            Self::Ask(ask) => ask.prompt.len(),
        }
    }

    pub(crate) const fn tenant(&self) -> &Tenant {
        match self {
            Self::Talk(talk) => &talk.tenant,
            Self::Ask(ask) => &ask.tenant,
        }
    }

    /// An answer that has begun waits for it.
    pub(crate) const fn is_first(&self) -> bool {
        matches!(self, Self::Ask(Ask { first: true, .. }))
    }

    pub(crate) fn has_left(&self) -> bool {
        let left = match self {
            Self::Talk(talk) => &talk.left,
            Self::Ask(ask) => &ask.left,
        };
        flow(left).is_break()
    }

    /// When it came; it waits no more.
    pub(crate) fn enter(&mut self) -> Instant {
        let entry = match self {
            Self::Talk(talk) => &mut talk.entry,
            Self::Ask(ask) => &mut ask.entry,
        };
        entry.ticket = None;
        entry.asked
    }
}

/// Generate text.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) prompt: Vec<u32>,
    pub(crate) sampling: Sampling,
    pub(crate) max_tokens: usize,
    pub(crate) stop: Vec<String>,
    pub(crate) tenant: Tenant,
    pub(crate) lookup: bool,
    /// What the text is held to.
    pub(crate) rule: Option<Rule>,
    /// Tell each token's probability, and so many others'.
    pub(crate) weights: Option<usize>,
    pub(crate) entry: Entry,
    pub(crate) events: Sender<Event>,
    /// Raised when nobody waits any more.
    pub(crate) left: Arc<AtomicBool>,
}

/// Weigh possible first tokens.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) prompt: Vec<u32>,
    /// For each choice the tokens that it may begin with.
    pub(crate) openings: Vec<Vec<u32>>,
    /// An answer that has begun waits for it.
    pub(crate) first: bool,
    pub(crate) tenant: Tenant,
    pub(crate) entry: Entry,
    pub(crate) reply: Sender<Result<Vec<f32>, LlmError>>,
    /// Raised when nobody waits any more.
    pub(crate) left: Arc<AtomicBool>,
}

/// What comes back while text is generated.
#[derive(Debug)]
pub(crate) enum Event {
    /// How probable the token was that comes next.
    Weight(TokenWeight),
    /// A token was generated; its text, as far as it can be shown yet.
    Token(String),
    /// What was held back, when no more tokens come.
    Rest(String),
    /// Nothing more comes.
    End(Result<End, LlmError>),
}

/// How a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) finish: FinishReason,
    pub(crate) completion_tokens: usize,
    /// Spent on holding the text to a form.
    pub(crate) ruling: Duration,
}

pub(crate) fn flow(left: &AtomicBool) -> ControlFlow<()> {
    if left.load(Ordering::Relaxed) {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}
