//! `GET /v1/models`.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use genie_state::Page;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::{Access, Permission};
use crate::app::Service;
use crate::failure::{Failure, Field};

/// Workspaces that are listed as models at most.
const MOST_WORKSPACES: u32 = 1000;

/// The service itself first, then the models behind it, then the workspaces
/// that the caller may ask.
pub(crate) async fn models(
    State(service): State<Arc<Service>>,
    access: Access,
) -> Result<Json<Value>, Failure> {
    let mut ids: Vec<String> = own(&service).into_iter().map(str::to_owned).collect();
    ids.extend(workspaces(&service, &access).await?);
    let data: Vec<Value> = ids.iter().map(|id| describe(&service, id)).collect();
    Ok(Json(json!({"object": "list", "data": data})))
}

/// The part of a path that names a model.
#[derive(Debug, Deserialize)]
pub(crate) struct ModelPath {
    model: String,
}

pub(crate) async fn model(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(ModelPath { model: id }): Path<ModelPath>,
) -> Result<Json<Value>, Failure> {
    let is_own = own(&service).contains(&id.as_str());
    if is_own || workspaces(&service, &access).await?.contains(&id) {
        Ok(Json(describe(&service, &id)))
    } else {
        Err(no_such_model(&id))
    }
}

/// The workspace in `genie/<workspace>`.
pub(super) fn workspace_of<'a>(service: &Service, model: &'a str) -> Option<&'a str> {
    model
        .strip_prefix(service.state.name.as_str())?
        .strip_prefix('/')
}

async fn workspaces(service: &Service, access: &Access) -> Result<Vec<String>, Failure> {
    let Ok(state) = service.accounts() else {
        return Ok(Vec::new());
    };
    let page = Page::new(1, MOST_WORKSPACES).map_err(|_| Failure::internal())?;
    let known = state.workspaces(page).await?;
    let allowed = known.results.into_iter().filter(|workspace| {
        let role = access.caller.role_in(&workspace.id);
        role.is_some_and(|role| access.caller.may(role, Permission::Answer))
    });
    Ok(allowed
        .map(|workspace| format!("{}/{}", service.state.name, workspace.id))
        .collect())
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

fn own(service: &Service) -> Vec<&str> {
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
