//! What a chat model is loaded with.

use candle_core::Device;
use genie_core::ContentHash;

/// Tokens of one request that a queue is made for.
const TOKENS: usize = 6 << 10;

/// How a model is loaded.
#[derive(Debug, Clone)]
pub struct ChatModelOptions {
    /// The registry name.
    pub name: String,
    /// SHA-256 of the file, as the registry or a check found it.
    pub hash: ContentHash,
    /// Where the tensors live.
    pub device: Device,
    /// Requests that wait at most; one more is answered
    /// [`genie_core::GenerateError::Busy`]. One tenant may have three quarters of them.
    pub queue: usize,
    /// Tokens of prompts and answers that wait at most, those asked for
    /// counted; more are answered [`genie_core::GenerateError::Busy`]. One tenant may have
    /// three quarters of them.
    pub queue_tokens: usize,
    /// Tokens of prompt and answer together at most, where that should be
    /// less than the model was trained for.
    pub context: Option<usize>,
    /// Requests that are worked on at once, which share keys and values where
    /// they begin alike; answers are written side by side, which costs little more than
    /// one of them.
    pub slots: usize,
    /// Bytes of keys and values for requests that are worked on. One that
    /// does not fit beside the others waits, and one that never could is
    /// answered [`genie_core::GenerateError::ContextOverflow`].
    pub held: usize,
    /// Bytes of keys and values that are kept of earlier prompts and answers,
    /// so that what begins like them is answered sooner; 0 keeps none. A token
    /// takes layers × key heads × head width × 4 bytes: 29 kB of a model with
    /// 1.5 billion weights. On a GPU it is twice that.
    pub kept: usize,
}

impl ChatModelOptions {
    /// On the processor, with a queue of 16 and the model's own context.
    #[must_use]
    pub fn new(name: impl Into<String>, hash: ContentHash) -> Self {
        Self {
            name: name.into(),
            hash,
            device: Device::Cpu,
            queue: 16,
            queue_tokens: 16 * TOKENS,
            context: None,
            slots: 8,
            held: 2 << 30,
            kept: 256 << 20,
        }
    }

    /// With a queue of so many requests, 16 or more, and of tokens in
    /// proportion.
    #[must_use]
    pub fn with_queue(mut self, requests: usize) -> Self {
        self.queue = self.queue.max(requests);
        self.queue_tokens = self.queue.saturating_mul(TOKENS);
        self
    }
}
