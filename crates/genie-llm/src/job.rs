//! What the worker's thread does with the model.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;
use genie_core::{FinishReason, Sampling};

use crate::LlmError;
use crate::sampler::{Sampler, log_probabilities};
use crate::session::Session;
use crate::stream::TextStream;
use crate::tokenizer::Tokenizer;

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

pub(crate) fn run(session: &mut Session, tokenizer: &Tokenizer, job: Job) {
    match job {
        Job::Talk(talk) => {
            let events = talk.events.clone();
            let end = generate(session, tokenizer, talk);
            // Whoever left does not read it.
            events.send(Event::End(end)).ok();
        }
        Job::Ask(ask) => {
            if let Some(answer) = weigh(session, &ask).transpose() {
                ask.reply.send(answer).ok();
            }
        }
    }
}

fn generate(session: &mut Session, tokenizer: &Tokenizer, talk: Talk) -> Result<End, LlmError> {
    let Talk {
        prompt,
        sampling,
        max_tokens,
        stop,
        events,
        left,
    } = talk;
    let mut stream = TextStream::new(stop);
    let mut sampler = Sampler::new(sampling);
    let mut completion_tokens = 0;
    let end = |finish, completion_tokens| End {
        finish,
        completion_tokens,
    };
    let Some(mut logits) = session.begin(&prompt, &mut || flow(&left))? else {
        return Ok(end(FinishReason::Cancelled, completion_tokens));
    };
    let finish = loop {
        let token = sampler.next(logits)?;
        if tokenizer.is_end(token) {
            break FinishReason::Stop;
        }
        completion_tokens += 1;
        let shown = stream.push(tokenizer.piece(token));
        events.send(Event::Token(shown.text)).ok();
        if shown.stopped {
            return Ok(end(FinishReason::Stop, completion_tokens));
        }
        if flow(&left).is_break() {
            return Ok(end(FinishReason::Cancelled, completion_tokens));
        }
        if completion_tokens == max_tokens {
            break FinishReason::Length;
        }
        logits = session.step(token)?;
    };
    let rest = stream.finish();
    if !rest.is_empty() {
        events.send(Event::Rest(rest)).ok();
    }
    Ok(end(finish, completion_tokens))
}

fn weigh(session: &mut Session, ask: &Ask) -> Result<Option<Vec<f32>>, LlmError> {
    let Some(logits) = session.begin(&ask.prompt, &mut || flow(&ask.left))? else {
        return Ok(None);
    };
    let mut weights = Vec::with_capacity(ask.openings.len());
    for openings in &ask.openings {
        let probability: f32 = log_probabilities(&logits, openings)?
            .into_iter()
            .map(f32::exp)
            .sum();
        weights.push(probability.ln());
    }
    Ok(Some(weights))
}

fn flow(left: &AtomicBool) -> ControlFlow<()> {
    if left.load(Ordering::Relaxed) {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}
