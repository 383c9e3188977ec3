//! `/v1/vector_stores`: a workspace is a vector store, and its documents are
//! the store's files.
//!
//! There is nothing between a workspace and its index, so stores are made and
//! removed as workspaces are, and a file that leaves its store is gone.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use genie_core::DocumentRecord;
use genie_rag::SearchRequest;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::files::{file_id, known, remove_file, text};
use super::filters::filter;
use super::listing::ListQuery;
use crate::access::{Access, Permission};
use crate::app::Service;
use crate::body::ApiJson;
use crate::bounds::{Asked, Never};
use crate::conversations::IdPath;
use crate::documents::ApiQuery;
use crate::failure::Failure;
use crate::question::TOP_K;
use crate::work::with_engine;

pub(super) const PREFIX: &str = "vs_";
/// As OpenAI's.
const USUAL_FILES: usize = 20;
const USUAL_RESULTS: usize = 10;
/// Microseconds of a second.
const MICROS: i64 = 1_000_000;

/// The store that the workspace of an access is.
pub(super) fn store_id(access: &Access) -> String {
    format!("{PREFIX}{}", access.workspace.id)
}

/// The parts of a path that name a file of a store.
#[derive(Debug, Deserialize)]
pub(crate) struct FilePath {
    id: String,
    file: String,
}

/// A file that shall be in a store.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct AttachRequest {
    file_id: String,
    #[serde(default)]
    attributes: Option<Map<String, Value>>,
    #[serde(default)]
    chunking_strategy: Option<Value>,
}

/// A text, alone or as the only one of a list.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum OneText {
    Text(Asked),
    List(#[schemars(length(equal = 1))] Vec<Asked>),
}

/// A search in a store.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct StoreSearch {
    /// A text, or a list with one.
    #[schemars(with = "OneText")]
    query: Value,
    #[serde(default)]
    #[schemars(range(min = 1, max = 50))]
    max_num_results: Option<usize>,
    /// Comparisons of `language`, `label`, `date` and `file_id`, alone or
    /// joined by `and`.
    #[serde(default)]
    filters: Option<Value>,
    #[serde(default)]
    ranking_options: Option<RankingOptions>,
    #[serde(default)]
    #[schemars(with = "Option<Never>")]
    rewrite_query: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct RankingOptions {
    /// Only results with at least this score.
    #[serde(default)]
    score_threshold: Option<f32>,
}

/// The one store that the request is about.
pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<Value>, Failure> {
    let store = object(&service, &access).await?;
    Ok(Json(query.page(vec![store], USUAL_FILES)?))
}

pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<Value>, Failure> {
    let access = moved(&service, &access, &path.id, Permission::ReadDocuments).await?;
    Ok(Json(object(&service, &access).await?))
}

/// Workspaces are not made by the way.
pub(crate) async fn no_new_store() -> Failure {
    Failure::new(
        StatusCode::BAD_REQUEST,
        "not_supported",
        "a workspace is the vector store; GET /v1/vector_stores names this one, POST \
         /api/v1/workspaces makes another",
    )
}

/// Nor changed or removed.
pub(crate) async fn no_such_change() -> Failure {
    Failure::new(
        StatusCode::BAD_REQUEST,
        "not_supported",
        "a workspace is the vector store; /api/v1/workspaces/{workspace} changes and removes it",
    )
}

pub(crate) async fn files(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<Value>, Failure> {
    let access = moved(&service, &access, &path.id, Permission::ReadDocuments).await?;
    let is_wanted = query
        .filter
        .as_deref()
        .is_none_or(|state| state == "completed");
    let records = if is_wanted {
        with_engine(&service, &access, |engine| engine.store().documents()).await??
    } else {
        Vec::new()
    };
    let files = records.iter().map(|record| file_object(&access, record));
    Ok(Json(query.page(files.collect(), USUAL_FILES)?))
}

/// A file of the workspace is in its store already.
pub(crate) async fn attach(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    ApiJson(request): ApiJson<AttachRequest>,
) -> Result<Json<Value>, Failure> {
    let access = moved(&service, &access, &path.id, Permission::WriteDocuments).await?;
    if request
        .attributes
        .is_some_and(|attributes| !attributes.is_empty())
    {
        return Err(Failure::invalid(
            "attributes",
            "are not kept here; a document's front matter has its labels and its date",
        ));
    }
    if request
        .chunking_strategy
        .is_some_and(|strategy| !strategy.is_null() && strategy["type"] != "auto")
    {
        return Err(Failure::invalid(
            "chunking_strategy",
            "has to be auto: documents are cut along their sections and sentences",
        ));
    }
    let record = known(&service, &access, &request.file_id).await?;
    Ok(Json(file_object(&access, &record)))
}

pub(crate) async fn file(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<FilePath>,
) -> Result<Json<Value>, Failure> {
    let access = moved(&service, &access, &path.id, Permission::ReadDocuments).await?;
    let record = known(&service, &access, &path.file).await?;
    Ok(Json(file_object(&access, &record)))
}

pub(crate) async fn file_content(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<FilePath>,
) -> Result<Json<Value>, Failure> {
    let access = moved(&service, &access, &path.id, Permission::ReadDocuments).await?;
    let text = text(&service, &access, &path.file).await?;
    Ok(Json(json!({
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": text}],
        "has_more": false,
        "next_page": null,
    })))
}

/// Without its store there is no file: the document is removed.
pub(crate) async fn detach(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<FilePath>,
) -> Result<Json<Value>, Failure> {
    let access = moved(&service, &access, &path.id, Permission::WriteDocuments).await?;
    let id = remove_file(&service, &access, &path.file).await?;
    Ok(Json(json!({
        "id": file_id(&id),
        "object": "vector_store.file.deleted",
        "deleted": true,
    })))
}

pub(crate) async fn search(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    ApiJson(request): ApiJson<StoreSearch>,
) -> Result<Json<Value>, Failure> {
    let access = moved(&service, &access, &path.id, Permission::Search).await?;
    let query = match &request.query {
        Value::String(query) => query.clone(),
        Value::Array(queries) if queries.len() == 1 => {
            queries[0].as_str().unwrap_or_default().to_owned()
        }
        _ => return Err(Failure::invalid("query", "has to be one text")),
    };
    if request.rewrite_query == Some(true) {
        return Err(Failure::invalid("rewrite_query", "is not supported here"));
    }
    let limit = request.max_num_results.unwrap_or(USUAL_RESULTS);
    if !TOP_K.contains(&limit) {
        return Err(Failure::invalid(
            "max_num_results",
            format!("is {limit}, but has to be from 1 to {}", TOP_K.end()),
        ));
    }
    let filter = request.filters.as_ref().map(filter).transpose()?;
    let searched = SearchRequest {
        query: query.clone(),
        language: None,
        filter: filter.unwrap_or_default(),
        limit: Some(limit),
    };
    let outcome = with_engine(&service, &access, move |engine| engine.search(searched))
        .await?
        .map_err(|error| Failure::of_engine(error, "query"))?;
    service.meter.search(&access);
    let options = request.ranking_options;
    let least = options
        .and_then(|options| options.score_threshold)
        .unwrap_or(0.0);
    let data: Vec<Value> = outcome
        .passages
        .iter()
        .map(|passage| (passage, passage.hit.similarity.clamp(0.0, 1.0)))
        .filter(|(_, score)| *score >= least)
        .map(|(passage, score)| {
            let hit = &passage.hit;
            let mut attributes = attributes(&hit.document);
            attributes.insert("section".to_owned(), json!(hit.chunk.section_path()));
            if let Some(page) = hit.chunk.page {
                attributes.insert("page".to_owned(), json!(page));
            }
            json!({
                "file_id": file_id(&hit.document.id),
                "filename": hit.document.uri,
                "score": score,
                "attributes": attributes,
                "content": [{"type": "text", "text": hit.chunk.text}],
            })
        })
        .collect();
    Ok(Json(json!({
        "object": "vector_store.search_results.page",
        "search_query": [query],
        "data": data,
        "has_more": false,
        "next_page": null,
    })))
}

/// The access to the workspace that a store is. One that is another's looks
/// as if it were not there.
async fn moved(
    service: &Service,
    access: &Access,
    store: &str,
    permission: Permission,
) -> Result<Access, Failure> {
    let id = store.strip_prefix(PREFIX).ok_or_else(no_such_store)?;
    access
        .moved(service, id, permission)
        .await
        .map_err(|failure| match failure.status {
            StatusCode::NOT_FOUND => no_such_store(),
            _ => failure,
        })
}

fn no_such_store() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "vector_store_not_found",
        "there is no vector store with this id",
    )
}

async fn object(service: &Arc<Service>, access: &Access) -> Result<Value, Failure> {
    let records = with_engine(service, access, |engine| engine.store().documents()).await??;
    let workspace = &access.workspace;
    Ok(json!({
        "id": store_id(access),
        "object": "vector_store",
        "created_at": workspace.created.as_micros() / MICROS,
        "name": workspace.name,
        "usage_bytes": records.iter().map(|record| record.bytes).sum::<u64>(),
        "file_counts": {
            "in_progress": 0,
            "completed": records.len(),
            "failed": 0,
            "cancelled": 0,
            "total": records.len(),
        },
        "status": "completed",
        "expires_after": null,
        "expires_at": null,
        "last_active_at": null,
        "metadata": {},
    }))
}

fn file_object(access: &Access, record: &DocumentRecord) -> Value {
    json!({
        "id": file_id(&record.id),
        "object": "vector_store.file",
        "created_at": 0,
        "usage_bytes": record.bytes,
        "vector_store_id": store_id(access),
        "status": "completed",
        "last_error": null,
        "chunking_strategy": {"type": "other"},
        "attributes": attributes(record),
    })
}

/// What is known of a document and can be filtered by.
fn attributes(record: &DocumentRecord) -> Map<String, Value> {
    let mut attributes = Map::new();
    attributes.insert("title".to_owned(), json!(record.title));
    if let Some(language) = record.language {
        attributes.insert("language".to_owned(), json!(language.code()));
    }
    if let Some(date) = record.date {
        attributes.insert("date".to_owned(), json!(date.to_string()));
    }
    if !record.labels.is_empty() {
        attributes.insert("label".to_owned(), json!(record.labels.join(", ")));
    }
    attributes
}
