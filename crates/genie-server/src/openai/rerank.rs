//! `POST /v1/rerank`: texts of the caller in the order of a query, in the
//! shape that Jina and Cohere share.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::models::check_embedding_model;
use crate::access::Access;
use crate::app::Service;
use crate::body::ApiJson;
use crate::bounds::{Asked, Ranked};
use crate::failure::Failure;
use crate::work::{Stop, with_engine_while};

/// Texts of a request. All of them are read by the embedding model, at some
/// tens a second on two cores.
const MOST_DOCUMENTS: usize = 256;
/// Characters of a text. Of so long a one the model reads the beginning.
const LONGEST_DOCUMENT: usize = 20_000;
/// Milliseconds after which no further text is read, unless the request says
/// otherwise.
const BUDGET_MS: usize = 10_000;
/// What it may say.
const BUDGETS_MS: RangeInclusive<usize> = 1..=60_000;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct RerankRequest {
    #[serde(default)]
    model: Option<String>,
    #[schemars(with = "Asked")]
    query: String,
    #[schemars(length(min = 1, max = 256))]
    documents: Vec<Document>,
    #[serde(default)]
    #[schemars(range(min = 1))]
    top_n: Option<usize>,
    #[serde(default)]
    return_documents: bool,
    /// Milliseconds after which no further text is read, 10000 unless said.
    /// At least 32 are.
    #[serde(default)]
    #[schemars(range(min = 1, max = 60000))]
    budget_ms: Option<usize>,
}

/// A text, alone or in an object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Document {
    Text(#[schemars(with = "Ranked")] String),
    Object {
        #[schemars(with = "Ranked")]
        text: String,
    },
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
    stop: Stop,
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
    let budget = request.budget_ms.unwrap_or(BUDGET_MS);
    if !BUDGETS_MS.contains(&budget) {
        let (least, most) = (BUDGETS_MS.start(), BUDGETS_MS.end());
        return Err(Failure::invalid(
            "budget_ms",
            format!("is {budget}, but has to be from {least} to {most}"),
        ));
    }
    let texts: Vec<String> = request
        .documents
        .into_iter()
        .map(Document::into_text)
        .collect();
    check_lengths(&texts)?;
    let texts = Arc::new(texts);
    let query = request.query;
    let ranked = {
        let texts = Arc::clone(&texts);
        let budget = Duration::from_millis(budget as u64);
        with_engine_while(&service, &access, stop, move |engine, watch| {
            engine.rerank(&query, &texts, budget, watch)
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
    let mut body = json!({
        "id": format!("rerank-{}", uuid::Uuid::new_v4().simple()),
        "object": "list",
        "model": service.state.engine.embed().identity().model,
        "results": results,
        "usage": {"prompt_tokens": ranked.tokens, "total_tokens": ranked.tokens},
    });
    if !ranked.unread.is_empty() {
        body["unread"] = json!(ranked.unread);
    }
    Ok(Json(body))
}

/// The size of the whole is that of the body, which is bounded for all
/// requests.
fn check_lengths(texts: &[String]) -> Result<(), Failure> {
    for (index, text) in texts.iter().enumerate() {
        let length = text.chars().count();
        if length > LONGEST_DOCUMENT {
            return Err(Failure::invalid(
                "documents",
                format!(
                    "has a text of {length} characters at {index}, but at most \
                     {LONGEST_DOCUMENT} are accepted"
                ),
            ));
        }
    }
    Ok(())
}
