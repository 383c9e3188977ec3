//! The OpenAI-compatible interface: chat completions, embeddings, models.

mod body;
mod calls;
mod chat;
mod direct;
mod direct_body;
mod direct_request;
mod embeddings;
mod form;
mod models;
mod request;
mod rerank;

pub(crate) use self::chat::chat_completions;
pub(crate) use self::embeddings::{EmbeddingsRequest, embeddings};
pub(crate) use self::models::{model, models};
pub(crate) use self::request::ChatRequest;
pub(crate) use self::rerank::{RerankRequest, rerank};
