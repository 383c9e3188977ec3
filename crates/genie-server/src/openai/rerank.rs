//! `POST /v1/rerank`: texts of the caller in the order of a query, in the
//! shape that Jina and Cohere share.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::models::check_embedding_model;
use crate::access::Access;
use crate::app::Service;
use crate::body::ApiJson;
use crate::failure::Failure;
use crate::work::with_engine;

/// Texts of a request. All of them are read by the embedding model, at some
/// tens a second on two cores.
const MOST_DOCUMENTS: usize = 256;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct RerankRequest {
    #[serde(default)]
    model: Option<String>,
    query: String,
    documents: Vec<Document>,
    #[serde(default)]
    top_n: Option<usize>,
    #[serde(default)]
    return_documents: bool,
}

/// A text, alone or in an object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Document {
    Text(String),
    Object { text: String },
}

impl Document {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) | Self::Object { text } => text,
        }
    }
}

pub(crate) async fn rerank(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiJson(request): ApiJson<RerankRequest>,
) -> Result<Json<Value>, Failure> {
    if let Some(model) = &request.model {
        check_embedding_model(&service, model)?;
    }
    let count = request.documents.len();
    if !(1..=MOST_DOCUMENTS).contains(&count) {
        return Err(Failure::invalid(
            "documents",
            format!("has {count} texts, but has to have from 1 to {MOST_DOCUMENTS}"),
        ));
    }
    if request.top_n == Some(0) {
        return Err(Failure::invalid("top_n", "is 0, but has to be 1 or more"));
    }
    let texts: Vec<String> = request
        .documents
        .into_iter()
        .map(Document::into_text)
        .collect();
    let texts = Arc::new(texts);
    let query = request.query;
    let ranked = {
        let texts = Arc::clone(&texts);
        with_engine(&service, &access, move |engine| {
            engine.rerank(&query, &texts)
        })
        .await?
        .map_err(|error| Failure::of_engine(error, "query"))?
    };
    let results: Vec<Value> = ranked
        .order
        .iter()
        .take(request.top_n.unwrap_or(usize::MAX))
        .map(|(index, score)| {
            let mut result = json!({"index": index, "relevance_score": score});
            if request.return_documents {
                result["document"] = json!({"text": texts[*index]});
            }
            result
        })
        .collect();
    Ok(Json(json!({
        "id": format!("rerank-{}", uuid::Uuid::new_v4().simple()),
        "object": "list",
        "model": service.state.engine.embed().identity().model,
        "results": results,
        "usage": {"prompt_tokens": ranked.tokens, "total_tokens": ranked.tokens},
    })))
}
