//! Tokens in, tokens out: the decoder, its sampling and its chat templates.
//!
//! [`ChatModel`] loads a GGUF file and implements [`genie_core::Generate`].
//! The families llama, qwen2, qwen3, smollm3, olmo2 and gemma3 are
//! configurations of one decoder, read from the file: which halves of a head
//! the rotary positions turn and in which layers, how far a layer looks back,
//! whether projections have biases, what is normalized, whether the output
//! matrix is the embedding. Weights stay quantized.
//!
//! One thread owns the model, takes requests from a bounded queue and works on
//! several at once: each pass reads the next token of every answer and a piece
//! of a prompt. It keeps the keys and values of earlier prompts, each tenant's
//! apart, so that a second question about the same passages costs its own
//! tokens only.
//!
//! A text can be held to a form (JSON, a JSON Schema, a regular expression …):
//! tokens that lead out of it get no chance, and it ends where it is complete.
//!
//! A model file and a retrieved passage both come from outside. The header is
//! checked against the file's size before anything is allocated, the chat
//! template runs on limited fuel, and no text of a message can become a
//! control token.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use std::path::Path;
//!
//! use genie_core::{ChatMessage, ChatRole, ContentHash, Generate, GenerateRequest};
//! use genie_llm::{ChatModel, ChatModelOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hash = ContentHash::of(b"as the registry says");
//! let options = ChatModelOptions::new("some-model", hash);
//! let model = ChatModel::load(Path::new("model.gguf"), options)?;
//! let question = ChatMessage::new(ChatRole::User, "What is an IXP?");
//! let request = GenerateRequest::new(vec![question], 100);
//! let answer = model.generate(request, &mut |piece| {
//!     print!("{piece}");
//!     ControlFlow::Continue(())
//! })?;
//! assert!(answer.usage.completion_tokens <= 100);
//! # Ok(())
//! # }
//! ```

mod admission;
mod answer;
mod blocks;
mod cache;
#[cfg(test)]
mod candle_tests;
mod chat;
mod config;
mod decoder;
mod device_cache;
mod error;
#[cfg(test)]
mod family_tests;
mod gguf;
mod grammar;
mod header;
mod job;
mod line;
mod lookup;
#[cfg(test)]
mod lookup_tests;
mod options;
mod perplexity;
mod pieces;
mod prefix;
mod prompt_data;
#[cfg(test)]
mod reader;
#[cfg(test)]
mod reference_tests;
mod rope;
mod rule;
#[cfg(test)]
mod rule_tests;
mod sampler;
mod scheduler;
#[cfg(test)]
mod scheduler_tests;
#[cfg(test)]
mod sharing_tests;
mod stream;
mod template;
#[cfg(test)]
mod tiny;
mod tokenizer;
mod weights;

pub use chat::ChatModel;
pub use error::{FileProblem, LlmError};
pub use options::ChatModelOptions;
pub use perplexity::{Perplexity, perplexity};
