//! What the worker's thread does with the model.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::Sender;
use genie_core::{FinishReason, Sampling, Tenant};

use crate::LlmError;
use crate::lookup::{Guess, Lookup};
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
    let left = Arc::clone(&talk.left);
    let Some(logits) = session.begin(&talk.tenant, &talk.prompt, &mut || flow(&left))? else {
        return Ok(End {
            finish: FinishReason::Cancelled,
            completion_tokens: 0,
        });
    };
    let lookup = (talk.lookup && session.steps_are_exact()).then(Lookup::new);
    let mut text = talk.prompt;
    let mut answer = Answer {
        tokenizer,
        sampler: Sampler::new(talk.sampling),
        stream: TextStream::new(talk.stop),
        events: talk.events,
        left: talk.left,
        max_tokens: talk.max_tokens,
        completion_tokens: 0,
    };
    let finish = answer.write(session, &mut text, logits, lookup)?;
    let completion_tokens = answer.completion_tokens;
    if finish.shows_rest() {
        let rest = answer.stream.finish();
        if !rest.is_empty() {
            answer.events.send(Event::Rest(rest)).ok();
        }
    }
    Ok(End {
        finish: finish.reason(),
        completion_tokens,
    })
}

/// An answer while it is written.
struct Answer<'a> {
    tokenizer: &'a Tokenizer,
    sampler: Sampler,
    stream: TextStream,
    events: Sender<Event>,
    left: Arc<AtomicBool>,
    max_tokens: usize,
    completion_tokens: usize,
}

/// Why nothing more is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    /// The model said so.
    End,
    StopString,
    Length,
    Cancelled,
}

impl Finish {
    /// Whether what was held back belongs to the text.
    const fn shows_rest(self) -> bool {
        matches!(self, Self::End | Self::Length)
    }

    const fn reason(self) -> FinishReason {
        match self {
            Self::End | Self::StopString => FinishReason::Stop,
            Self::Length => FinishReason::Length,
            Self::Cancelled => FinishReason::Cancelled,
        }
    }
}

impl Answer<'_> {
    /// Writes to the end, from the logits behind the prompt on. `text` is what
    /// was read.
    ///
    /// A guess costs the sampler nothing and changes nothing that it does: it
    /// chooses every token from the model's own logits, in the same order and
    /// with the same chance as without, and the guess only decides how many
    /// logits are there at once. That is what accepting a certain guess with
    /// the probability that the model gives it, and choosing among the other
    /// tokens if not, comes to (<https://arxiv.org/abs/2211.17192>).
    fn write(
        &mut self,
        session: &mut Session,
        text: &mut Vec<u32>,
        logits: Vec<f32>,
        mut lookup: Option<Lookup>,
    ) -> Result<Finish, LlmError> {
        let mut token = match self.choose(logits)? {
            ControlFlow::Continue(token) => token,
            ControlFlow::Break(finish) => return Ok(finish),
        };
        loop {
            text.push(token);
            let most = (self.max_tokens - self.completion_tokens)
                .min(session.room())
                .saturating_sub(1);
            let guess = lookup
                .as_mut()
                .map_or_else(Guess::default, |lookup| lookup.guess(text, most));
            let mut pass = vec![token];
            pass.extend_from_slice(&guess.tokens);
            let before = session.held().len();
            let mut right = 0;
            for logits in session.step(&pass)? {
                token = match self.choose(logits)? {
                    ControlFlow::Continue(token) => token,
                    ControlFlow::Break(finish) => {
                        session.keep(before + 1 + right);
                        return Ok(finish);
                    }
                };
                if guess.tokens.get(right) != Some(&token) {
                    break;
                }
                text.push(token);
                right += 1;
            }
            session.keep(before + 1 + right);
            if let Some(lookup) = lookup.as_mut().filter(|_| !guess.tokens.is_empty()) {
                lookup.learn(&guess, right);
            }
        }
    }

    /// Chooses the next token and sends its text.
    fn choose(&mut self, logits: Vec<f32>) -> Result<ControlFlow<Finish, u32>, LlmError> {
        let token = self.sampler.next(logits)?;
        if self.tokenizer.is_end(token) {
            return Ok(ControlFlow::Break(Finish::End));
        }
        self.completion_tokens += 1;
        let shown = self.stream.push(self.tokenizer.piece(token));
        self.events.send(Event::Token(shown.text)).ok();
        Ok(if shown.stopped {
            ControlFlow::Break(Finish::StopString)
        } else if flow(&self.left).is_break() {
            ControlFlow::Break(Finish::Cancelled)
        } else if self.completion_tokens == self.max_tokens {
            ControlFlow::Break(Finish::Length)
        } else {
            ControlFlow::Continue(token)
        })
    }
}

fn weigh(session: &mut Session, ask: &Ask) -> Result<Option<Vec<f32>>, LlmError> {
    let Some(logits) = session.begin(&ask.tenant, &ask.prompt, &mut || flow(&ask.left))? else {
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
