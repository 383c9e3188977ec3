//! The OpenAI-compatible interface: chat completions, responses, embeddings,
//! models, and documents as files of a vector store.

mod body;
mod calls;
mod chat;
mod direct;
mod direct_body;
mod direct_request;
mod embeddings;
mod files;
mod filters;
mod form;
mod listing;
mod models;
mod request;
mod rerank;
mod responses;
mod vector_stores;

pub(crate) use self::chat::chat_completions;
pub(crate) use self::embeddings::{EmbeddingsRequest, embeddings};
pub(crate) use self::files::{
    FileForm, content as file_content, list as files, remove as delete_file, show as file, upload,
};
pub(crate) use self::listing::ListQuery;
pub(crate) use self::models::{model, models};
pub(crate) use self::request::ChatRequest;
pub(crate) use self::rerank::{RerankRequest, rerank};
pub(crate) use self::responses::{
    ResponsesRequest, ShowQuery, create as create_response, input_items, remove as delete_response,
    show as response,
};
pub(crate) use self::vector_stores::{
    AttachRequest, StoreSearch, attach, detach, file as store_file,
    file_content as store_file_content, files as store_files, list as vector_stores, no_new_store,
    no_such_change, search as search_store, show as vector_store,
};

/// Seconds since 1970.
fn now() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
