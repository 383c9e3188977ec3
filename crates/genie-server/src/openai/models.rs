//! `GET /v1/models`.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::app::Service;
use crate::failure::{Failure, Field};

/// The service itself first, then the models behind it.
pub(crate) async fn models(State(service): State<Arc<Service>>) -> Json<Value> {
    let data: Vec<Value> = ids(&service)
        .iter()
        .map(|id| describe(&service, id))
        .collect();
    Json(json!({"object": "list", "data": data}))
}

pub(crate) async fn model(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    if ids(&service).contains(&id.as_str()) {
        Ok(Json(describe(&service, &id)))
    } else {
        Err(no_such_model(&id))
    }
}

/// Accepts the service's name and the language model's.
pub(super) fn check_chat_model(service: &Service, id: &str) -> Result<(), Failure> {
    check(
        id,
        &[Some(service.state.name.as_str()), chat_model(service)],
    )
}

/// Accepts the service's name and the embedding model's.
pub(super) fn check_embedding_model(service: &Service, id: &str) -> Result<(), Failure> {
    let names = [service.state.name.as_str(), embedding_model(service)];
    check(id, &names.map(Some))
}

/// Seconds since 1970 at which the service started.
pub(super) fn started(service: &Service) -> u64 {
    service
        .started
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn check(id: &str, known: &[Option<&str>]) -> Result<(), Failure> {
    if known.contains(&Some(id)) {
        Ok(())
    } else {
        Err(no_such_model(id))
    }
}

fn ids(service: &Service) -> Vec<&str> {
    let mut ids = vec![service.state.name.as_str()];
    ids.extend(chat_model(service));
    ids.push(embedding_model(service));
    ids
}

fn chat_model(service: &Service) -> Option<&str> {
    let generate = service.state.engine.generate()?;
    Some(generate.model().name.as_str())
}

fn embedding_model(service: &Service) -> &str {
    service.state.engine.embed().identity().model.as_str()
}

fn describe(service: &Service, id: &str) -> Value {
    json!({
        "id": id,
        "object": "model",
        "created": started(service),
        "owned_by": service.state.name,
    })
}

fn no_such_model(id: &str) -> Failure {
    let shown: String = id.chars().take(100).collect();
    let reason =
        format!("the model {shown:?} does not do this here, or does not exist; see /v1/models");
    Failure {
        fields: vec![Field {
            field: "model",
            reason: reason.clone(),
        }],
        ..Failure::new(StatusCode::NOT_FOUND, "model_not_found", reason)
    }
}
