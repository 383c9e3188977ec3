//! What the worker's thread is asked, and what it answers.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;
use genie_core::{FinishReason, Sampling, Tenant};

use crate::LlmError;

/// A request with the way back to who asked.
#[derive(Debug)]
pub(crate) enum Job {
    Talk(Talk),
    Ask(Ask),
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
    pub(crate) reply: Sender<Result<Vec<f32>, LlmError>>,
    /// Raised when nobody waits any more.
    pub(crate) left: Arc<AtomicBool>,
}

/// What comes back while text is generated.
#[derive(Debug)]
pub(crate) enum Event {
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
}

pub(crate) fn flow(left: &AtomicBool) -> ControlFlow<()> {
    if left.load(Ordering::Relaxed) {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}
