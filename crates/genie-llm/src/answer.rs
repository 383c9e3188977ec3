//! An answer while it is written: from logits to the text that is sent.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use genie_core::{FinishReason, Work};

use crate::LlmError;
use crate::admission::Watch;
use crate::job::{End, Event, Talk, flow};
use crate::lookup::{Guess, Lookup};
use crate::rule::Rule;
use crate::sampler::{Sampler, token_weight};
use crate::stream::TextStream;
use crate::tokenizer::Tokenizer;

/// Everything of an answer but the model's state.
#[derive(Debug)]
pub(crate) struct Answer {
    tokenizer: Arc<Tokenizer>,
    sampler: Sampler,
    stream: TextStream,
    lookup: Option<Lookup>,
    rule: Option<Rule>,
    weights: Option<usize>,
    events: Sender<Event>,
    left: Arc<AtomicBool>,
    max_tokens: usize,
    completion_tokens: usize,
    watch: Watch,
    asked: Instant,
    begun: Option<Instant>,
    /// Tokens that were guessed, and those that were right.
    guessed: usize,
    right: usize,
}

/// What came of a pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Guessed tokens that are part of the text now.
    pub(crate) right: usize,
    /// Breaks where the answer has ended.
    pub(crate) flow: ControlFlow<()>,
}

/// Why nothing more is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    /// The model said so, or what it was to write is complete.
    End,
    StopString,
    Length,
    Cancelled,
}

impl Answer {
    pub(crate) fn new(
        talk: Talk,
        tokenizer: Arc<Tokenizer>,
        lookup: Option<Lookup>,
        watch: Watch,
    ) -> Self {
        Self {
            tokenizer,
            sampler: Sampler::new(talk.sampling),
            stream: TextStream::new(talk.stop),
            lookup,
            rule: talk.rule,
            weights: talk.weights,
            events: talk.events,
            left: talk.left,
            max_tokens: talk.max_tokens,
            completion_tokens: 0,
            watch,
            asked: talk.entry.asked,
            begun: None,
            guessed: 0,
            right: 0,
        }
    }

    pub(crate) const fn has_begun(&self) -> bool {
        self.completion_tokens > 0
    }

    pub(crate) fn has_left(&self) -> bool {
        flow(&self.left).is_break()
    }

    /// What may follow `text`, where there is room for so many tokens.
    pub(crate) fn guess(&mut self, text: &[u32], room: usize) -> Guess {
        let most = (self.max_tokens - self.completion_tokens)
            .saturating_sub(1)
            .min(room);
        let Some(lookup) = &mut self.lookup else {
            return Guess::default();
        };
        let mut guess = lookup.guess(text, most);
        if let Some(rule) = &mut self.rule {
            // What the rule forbids would be read in vain. A rule that fails
            // says so when the next token is chosen.
            let possible = rule.possible(&guess.tokens).unwrap_or_default();
            guess.tokens.truncate(possible);
        }
        guess
    }

    /// Writes on from the logits behind the end of `text` and behind each
    /// guessed token. The text ends with a token that was not read yet then.
    ///
    /// A guess costs the sampler nothing and changes nothing that it does: it
    /// chooses every token from the model's own logits, in the same order and
    /// with the same chance as without, and the guess only decides how many
    /// logits are there at once. That is what accepting a certain guess with
    /// the probability that the model gives it, and choosing among the other
    /// tokens if not, comes to (<https://arxiv.org/abs/2211.17192>).
    pub(crate) fn write(
        &mut self,
        text: &mut Vec<u32>,
        guess: &Guess,
        logits: impl Iterator<Item = Vec<f32>>,
    ) -> Written {
        let mut right = 0;
        self.guessed += guess.tokens.len();
        for logits in logits {
            let token = match self.choose(logits) {
                Ok(ControlFlow::Continue(token)) => token,
                Ok(ControlFlow::Break(finish)) => {
                    self.finish(finish);
                    return Written {
                        right,
                        flow: ControlFlow::Break(()),
                    };
                }
                Err(error) => {
                    self.events.send(Event::End(Err(error))).ok();
                    return Written {
                        right,
                        flow: ControlFlow::Break(()),
                    };
                }
            };
            text.push(token);
            if guess.tokens.get(right) != Some(&token) {
                break;
            }
            right += 1;
            self.right += 1;
        }
        if let Some(lookup) = self.lookup.as_mut().filter(|_| !guess.tokens.is_empty()) {
            lookup.learn(guess, right);
        }
        Written {
            right,
            flow: ControlFlow::Continue(()),
        }
    }

    /// Chooses the next token and sends its text.
    fn choose(&mut self, logits: Vec<f32>) -> Result<ControlFlow<Finish, u32>, LlmError> {
        // The sampler changes its logits.
        let own = self.weights.map(|others| (logits.clone(), others));
        let token = self.sampler.next(logits, self.rule.as_mut())?;
        if self.tokenizer.is_end(token) {
            return Ok(ControlFlow::Break(Finish::End));
        }
        if let Some((logits, others)) = own {
            let weight = token_weight(&logits, token, others, &self.tokenizer)?;
            self.events.send(Event::Weight(weight)).ok();
        }
        let is_complete = match &mut self.rule {
            Some(rule) => rule.take(token)?,
            None => false,
        };
        self.completion_tokens += 1;
        if self.begun.is_none() {
            self.begun = Some(Instant::now());
            self.watch.tell(Work::Begun {
                waited: self.asked.elapsed(),
            });
        }
        let shown = self.stream.push(self.tokenizer.piece(token));
        self.events.send(Event::Token(shown.text)).ok();
        Ok(if shown.stopped {
            ControlFlow::Break(Finish::StopString)
        } else if self.has_left() {
            ControlFlow::Break(Finish::Cancelled)
        } else if is_complete {
            ControlFlow::Break(Finish::End)
        } else if self.completion_tokens == self.max_tokens {
            ControlFlow::Break(Finish::Length)
        } else {
            ControlFlow::Continue(token)
        })
    }

    fn finish(&mut self, finish: Finish) {
        if matches!(finish, Finish::End | Finish::Length) {
            let rest = std::mem::replace(&mut self.stream, TextStream::new(Vec::new())).finish();
            if !rest.is_empty() {
                self.events.send(Event::Rest(rest)).ok();
            }
        }
        let ruling = self.rule.as_ref().map_or(Duration::ZERO, Rule::spent);
        self.watch.tell(Work::Written {
            tokens: self.completion_tokens,
            took: self.begun.map_or(Duration::ZERO, |begun| begun.elapsed()),
            guessed: self.guessed,
            right: self.right,
            ruling,
        });
        let end = End {
            finish: match finish {
                Finish::End | Finish::StopString => FinishReason::Stop,
                Finish::Length => FinishReason::Length,
                Finish::Cancelled => FinishReason::Cancelled,
            },
            completion_tokens: self.completion_tokens,
            ruling,
        };
        // Whoever left does not read it.
        self.events.send(Event::End(Ok(end))).ok();
    }

    /// Ends before the model said anything, or because it failed.
    pub(crate) fn end(self, end: Result<End, LlmError>) {
        self.events.send(Event::End(end)).ok();
    }
}
