//! The OpenAI-compatible interface: chat completions, embeddings, models.

mod body;
mod chat;
mod embeddings;
mod models;
mod request;
mod rerank;

pub(crate) use chat::chat_completions;
pub(crate) use embeddings::embeddings;
pub(crate) use models::{model, models};
pub(crate) use rerank::rerank;
