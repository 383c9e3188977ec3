//! One conversation's tokens at a time, with what of them is already read.

use std::ops::ControlFlow;

use genie_compute::on_pool;

use crate::LlmError;
use crate::cache::KvCache;
use crate::decoder::Decoder;

/// Tokens read between two looks at whether anybody still waits.
const CHUNK: usize = 256;

/// A decoder together with the keys and values of what it read last. A prompt
/// that begins like the last one is read from where they part.
#[derive(Debug)]
pub(crate) struct Session {
    decoder: Decoder,
    cache: KvCache,
    /// The tokens whose keys and values the cache holds.
    held: Vec<u32>,
    limit: usize,
}

impl Session {
    /// At most `limit` tokens fit, prompt and answer together.
    pub(crate) fn new(decoder: Decoder, limit: usize) -> Result<Self, LlmError> {
        let cache = decoder.new_cache()?;
        Ok(Self {
            decoder,
            cache,
            held: Vec::new(),
            limit,
        })
    }

    /// Reads a prompt and gives the logits behind its last token, or `None`
    /// where `go_on`, asked between chunks, broke off.
    pub(crate) fn begin(
        &mut self,
        prompt: &[u32],
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Option<Vec<f32>>, LlmError> {
        self.check(prompt, prompt.len())?;
        let shared = self
            .held
            .iter()
            .zip(prompt)
            .take_while(|(held, new)| held == new)
            .count()
            // The last token is read in any case: its logits are wanted.
            .min(prompt.len() - 1);
        self.cache.truncate(shared);
        self.held.truncate(shared);
        tracing::debug!(prompt = prompt.len(), shared, "reading a prompt");

        let mut output = None;
        for chunk in prompt[shared..].chunks(CHUNK) {
            if go_on().is_break() {
                return Ok(None);
            }
            output = Some(self.read(chunk)?);
        }
        let Some(output) = output else {
            return Err(LlmError::EmptyPrompt);
        };
        Ok(Some(on_pool(|| self.decoder.logits(&output))?))
    }

    /// Reads one more token and gives the logits behind it.
    pub(crate) fn step(&mut self, token: u32) -> Result<Vec<f32>, LlmError> {
        self.check(&[token], self.held.len() + 1)?;
        let output = self.read(&[token])?;
        Ok(on_pool(|| self.decoder.logits(&output))?)
    }

    fn check(&self, tokens: &[u32], total: usize) -> Result<(), LlmError> {
        if tokens.is_empty() {
            return Err(LlmError::EmptyPrompt);
        }
        if total > self.limit {
            return Err(LlmError::Context {
                tokens: total,
                limit: self.limit,
            });
        }
        let size = self.decoder.config().vocabulary;
        match tokens.iter().find(|token| **token as usize >= size) {
            Some(token) => Err(LlmError::UnknownToken {
                token: *token,
                size,
            }),
            None => Ok(()),
        }
    }

    fn read(&mut self, chunk: &[u32]) -> Result<candle_core::Tensor, LlmError> {
        self.cache.reserve(chunk.len(), self.limit)?;
        let output = on_pool(|| self.decoder.read(chunk, &mut self.cache))?;
        self.held.extend_from_slice(chunk);
        Ok(output)
    }
}
