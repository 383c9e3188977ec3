//! One conversation's tokens at a time, with what of them is already read.

use std::ops::ControlFlow;

use candle_core::Tensor;
use genie_compute::on_pool;
use genie_core::Tenant;

use crate::LlmError;
use crate::cache::KvCache;
use crate::decoder::Decoder;
use crate::prefix::{BLOCK, Prefixes};

/// Tokens read between two looks at whether anybody still waits.
const CHUNK: usize = 256;

/// A decoder together with the keys and values of what it read last, and of
/// what was read before that. A prompt is read from where it parts with what
/// was read for the same tenant.
#[derive(Debug)]
pub(crate) struct Session {
    decoder: Decoder,
    cache: KvCache,
    /// The tokens whose keys and values the cache holds.
    held: Vec<u32>,
    tenant: Tenant,
    /// What was held before.
    kept: Prefixes,

    limit: usize,
}

impl Session {
    /// At most `limit` tokens fit, prompt and answer together. Of what was
    /// read before, `budget` bytes are kept.
    pub(crate) fn new(decoder: Decoder, limit: usize, budget: usize) -> Result<Self, LlmError> {
        let cache = decoder.new_cache()?;
        Ok(Self {
            decoder,
            cache,
            held: Vec::new(),
            tenant: Tenant::default(),
            kept: Prefixes::new(budget),
            limit,
        })
    }

    /// Reads a prompt and gives the logits behind its last token, or `None`
    /// where `go_on`, asked between chunks, broke off.
    pub(crate) fn begin(
        &mut self,
        tenant: &Tenant,
        prompt: &[u32],
        go_on: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Option<Vec<f32>>, LlmError> {
        self.check(prompt, prompt.len())?;
        // The last token is read in any case: its logits are wanted.
        let shared = self.reuse(tenant, &prompt[..prompt.len() - 1])?;
        tracing::debug!(prompt = prompt.len(), shared, "reading a prompt");

        let mut output = None;
        for chunk in prompt[shared..].chunks(CHUNK) {
            if go_on().is_break() {
                return Ok(None);
            }
            output = Some(self.read(chunk, 1)?);
        }
        let Some(output) = output else {
            return Err(LlmError::EmptyPrompt);
        };
        self.logits(&output)?
            .pop()
            .map_or(Err(LlmError::EmptyPrompt), |logits| Ok(Some(logits)))
    }

    /// Makes the cache hold as much of `tokens` as is known, and gives their
    /// number.
    pub(crate) fn reuse(&mut self, tenant: &Tenant, tokens: &[u32]) -> Result<usize, LlmError> {
        let shared = if self.tenant == *tenant {
            common(&self.held, tokens)
        } else {
            0
        };
        if shared < self.held.len() {
            let Self {
                kept, cache, held, ..
            } = self;
            kept.keep(&self.tenant, held, |start| cache.copy(start..start + BLOCK))?;
        }
        self.keep(shared);
        self.tenant = tenant.clone();
        let known = self.kept.find(tenant, tokens);
        if known.len() * BLOCK > shared {
            let whole = shared / BLOCK;
            self.keep(whole * BLOCK);
            self.cache
                .reserve((known.len() - whole) * BLOCK, self.limit)?;
            for block in &known[whole..] {
                self.cache.append(block)?;
            }
            self.held
                .extend_from_slice(&tokens[whole * BLOCK..known.len() * BLOCK]);
        }
        Ok(self.held.len())
    }

    /// Reads more tokens in one pass and gives the logits behind each.
    pub(crate) fn step(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, LlmError> {
        self.check(tokens, self.held.len() + tokens.len())?;
        let output = self.read(tokens, tokens.len())?;
        self.logits(&output)
    }

    /// Forgets what stands behind the first `length` tokens.
    pub(crate) fn keep(&mut self, length: usize) {
        self.cache.truncate(length);
        self.held.truncate(length);
    }

    /// The tokens read so far.
    pub(crate) fn held(&self) -> &[u32] {
        &self.held
    }

    /// Tokens for which there is room.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.held.len())
    }

    /// Whether several tokens of a pass come out as they would one by one.
    pub(crate) fn steps_are_exact(&self) -> bool {
        self.decoder.rows_are_independent()
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

    fn read(&mut self, chunk: &[u32], wanted: usize) -> Result<Tensor, LlmError> {
        self.cache.reserve(chunk.len(), self.limit)?;
        let output = on_pool(|| self.decoder.read(chunk, wanted, &mut self.cache))?;
        self.held.extend_from_slice(chunk);
        Ok(output)
    }

    fn logits(&self, output: &Tensor) -> Result<Vec<Vec<f32>>, LlmError> {
        Ok(on_pool(|| self.decoder.logits(output))?)
    }
}

/// How many tokens both begin with.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
