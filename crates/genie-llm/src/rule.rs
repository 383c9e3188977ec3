//! One text under a grammar: which tokens may follow, and when it may end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use llguidance::Matcher;
use llguidance::api::StopReason;

use crate::LlmError;
use crate::grammar::first_line;
use crate::tokenizer::Tokenizer;

/// Follows a text token by token. Made by [`crate::grammar::Grammars`].
pub(crate) struct Rule {
    matcher: Matcher,
    tokenizer: Arc<Tokenizer>,
    spent: Duration,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Rule")
            .field("spent", &self.spent)
            .finish_non_exhaustive()
    }
}

impl Rule {
    pub(crate) const fn new(matcher: Matcher, tokenizer: Arc<Tokenizer>) -> Self {
        Self {
            matcher,
            tokenizer,
            spent: Duration::ZERO,
        }
    }

    /// Time that the rule has taken so far.
    pub(crate) const fn spent(&self) -> Duration {
        self.spent
    }

    /// Whether this token may come next: far cheaper than the mask, which
    /// looks at all of them.
    pub(crate) fn allows(&mut self, token: u32) -> Result<bool, LlmError> {
        let is_end = self.tokenizer.is_end(token);
        if !is_end && !self.is_text(token) {
            return Ok(false);
        }
        self.timed(|matcher| {
            if is_end {
                matcher.is_accepting().map_err(lost)
            } else {
                let valid = matcher.validate_tokens(&[token]).map_err(lost)?;
                Ok(valid == 1)
            }
        })
    }

    /// How many of these tokens, one after the other, may come next.
    pub(crate) fn possible(&mut self, tokens: &[u32]) -> Result<usize, LlmError> {
        let texts = tokens.iter().take_while(|token| self.is_text(**token));
        let texts = texts.count();
        if texts == 0 {
            return Ok(0);
        }
        self.timed(|matcher| matcher.validate_tokens(&tokens[..texts]).map_err(lost))
    }

    /// Takes every chance from the tokens that may not come next.
    pub(crate) fn restrict(&mut self, logits: &mut [f32]) -> Result<(), LlmError> {
        self.timed(|matcher| {
            let mask = matcher.compute_mask().map_err(lost)?;
            let allowed = mask.as_slice();
            for (word, logits) in logits.chunks_mut(32).enumerate() {
                match allowed.get(word).copied().unwrap_or_default() {
                    u32::MAX => {}
                    0 => logits.fill(f32::NEG_INFINITY),
                    bits => {
                        for (bit, logit) in logits.iter_mut().enumerate() {
                            if bits >> bit & 1 == 0 {
                                *logit = f32::NEG_INFINITY;
                            }
                        }
                    }
                }
            }
            Ok(())
        })
    }

    /// The token was chosen. True where nothing can follow it.
    pub(crate) fn take(&mut self, token: u32) -> Result<bool, LlmError> {
        self.timed(|matcher| {
            matcher.consume_token(token).map_err(lost)?;
            Ok(matcher.stop_reason() == StopReason::NoExtension)
        })
    }

    /// Control tokens print as nothing and have no place in a grammar.
    fn is_text(&self, token: u32) -> bool {
        !self.tokenizer.piece(token).is_empty() && !self.tokenizer.is_end(token)
    }

    fn timed<T>(
        &mut self,
        work: impl FnOnce(&mut Matcher) -> Result<T, LlmError>,
    ) -> Result<T, LlmError> {
        let started = Instant::now();
        let result = work(&mut self.matcher);
        self.spent += started.elapsed();
        result
    }
}

/// The grammar went beyond its limits, or the text out of the grammar.
fn lost(error: impl std::fmt::Display) -> LlmError {
    LlmError::Constraint {
        reason: format!(
            "its grammar became too complex on the way: {}",
            first_line(&error.to_string())
        ),
    }
}
