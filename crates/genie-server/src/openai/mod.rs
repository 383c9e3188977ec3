//! The OpenAI-compatible interface: chat completions, embeddings, models.

mod body;
mod chat;
mod embeddings;
mod models;
mod request;
mod rerank;

pub(crate) use self::chat::chat_completions;
pub(crate) use self::embeddings::{EmbeddingsRequest, embeddings};
pub(crate) use self::models::{model, models};
pub(crate) use self::request::ChatRequest;
pub(crate) use self::rerank::{RerankRequest, rerank};
