//! `/v1/responses`: a question, its answer as items with annotations, and
//! what is kept of both.
//!
//! A response that is stored is a question with its answer in one of the
//! caller's conversations. The next one names it as the one before it, which
//! is how a conversation goes on; naming the same twice forks it.

mod body;
mod events;
mod id;
mod kept;
mod request;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use genie_state::MessageId;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::body::Told;
use self::events::Events;
use self::id::ResponseId;
use self::kept::{Keeping, history, kept};
pub(crate) use self::request::ResponsesRequest;
use super::models::{check_chat_model, workspace_of};
use super::vector_stores::store_id;
use crate::access::{Access, Done, Permission};
use crate::answer::events;
use crate::app::Service;
use crate::body::ApiJson;
use crate::bounds::Never;
use crate::conversations::IdPath;
use crate::documents::ApiQuery;
use crate::failure::Failure;
use crate::work::{Job, Stop, streamed, whole};

pub(crate) async fn create(
    State(service): State<Arc<Service>>,
    access: Access,
    stop: Stop,
    ApiJson(request): ApiJson<ResponsesRequest>,
) -> Result<Response, Failure> {
    let (mut question, mut frame) = request.checked()?;
    let previous: Option<ResponseId> = frame
        .previous
        .as_deref()
        .map(|id| {
            id.parse()
                .map_err(|()| no_such_response("previous_response_id"))
        })
        .transpose()?;
    // What is asked for explicitly is done or refused; a default is neither.
    if frame.store == Some(true) || previous.is_some() {
        service.accounts()?;
    }
    let access = asked(&service, access, &frame, previous.as_ref()).await?;
    if frame.model.is_empty() {
        frame.model.clone_from(&service.state.name);
    }
    if let Some(search) = &mut frame.search {
        search.store = store_id(&access);
    }
    let stores = frame.store.unwrap_or(true) && service.state.accounts.is_some();
    frame.store = Some(stores);
    let mut conversation = None;
    if let Some(previous) = &previous {
        let (known, mut turns) = history(&service, &access, previous).await?;
        conversation = Some(known);
        turns.append(&mut question.history);
        question.history = turns;
    }
    let id = ResponseId {
        message: MessageId::random(),
        workspace: access.workspace.id.clone(),
    };
    let told = Told {
        id,
        frame,
        question: question.text.clone(),
    };
    let streams = request.streams();
    let question = access.bounded(question);
    let permit = service.admit_answer(&access, question.max_tokens).await?;
    let job = Job {
        question,
        field: "input",
        permit,
        workspace: access.open(&service).await?,
        stop,
    };
    let keeping = Keeping {
        service: Arc::clone(&service),
        access,
        told: told.clone(),
        conversation,
    };
    if streams {
        let pieces = keeping.stream(streamed(&service, job));
        let mut written = Events::new(told);
        return events(pieces, move |piece| written.of(piece)).await;
    }
    let answer = whole(&service, job).await?;
    keeping.keep(&answer).await?;
    Ok(Json(told.whole_of(&answer)).into_response())
}

/// What may be asked of a stored response.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct ShowQuery {
    /// A stored response is not told again piece by piece.
    #[serde(default)]
    #[schemars(with = "Option<Never>")]
    stream: Option<bool>,
}

pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
    ApiQuery(query): ApiQuery<ShowQuery>,
) -> Result<Json<Value>, Failure> {
    if query.stream == Some(true) {
        return Err(Failure::invalid(
            "stream",
            "a stored response is told in one piece",
        ));
    }
    let kept = kept(&service, &access, &path.id).await?;
    Ok(Json(kept.told.whole(&kept.answer, None)))
}

/// The question, which is all of a request's input that is kept.
pub(crate) async fn input_items(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<Value>, Failure> {
    let kept = kept(&service, &access, &path.id).await?;
    let id = format!("msg_{}", id::short(&kept.question));
    let item = json!({
        "id": id,
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_text", "text": kept.told.question}],
    });
    Ok(Json(json!({
        "object": "list",
        "data": [item],
        "first_id": id,
        "last_id": id,
        "has_more": false,
    })))
}

pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<Value>, Failure> {
    let kept = kept(&service, &access, &path.id).await?;
    let access = moved(&service, access, &kept.told.id, "id").await?;
    let state = service.accounts()?;
    let message = &kept.told.id.message;
    if !state.delete_exchange(&access.owner(), message).await? {
        return Err(no_such_response("id"));
    }
    access
        .record(state, Done::to("response.delete", message))
        .await?;
    Ok(Json(json!({
        "id": kept.told.id.to_string(),
        "object": "response",
        "deleted": true,
    })))
}

/// The access to what the request names: a workspace as a model or as a vector
/// store, the one of the response before, or the one it is about anyway.
async fn asked(
    service: &Service,
    access: Access,
    frame: &body::Frame,
    previous: Option<&ResponseId>,
) -> Result<Access, Failure> {
    let model = frame.model.as_str();
    let by_model = workspace_of(service, model);
    if by_model.is_none() && !model.is_empty() {
        check_chat_model(service, model)?;
    }
    let by_store = frame
        .search
        .as_ref()
        .map(|search| search.store.as_str())
        .filter(|store| !store.is_empty())
        .map(|store| {
            store
                .strip_prefix(super::vector_stores::PREFIX)
                .ok_or_else(|| Failure::invalid("tools", "there is no vector store with this id"))
        })
        .transpose()?;
    if let (Some(model), Some(store)) = (by_model, by_store)
        && model != store
    {
        return Err(Failure::invalid(
            "tools",
            "the vector store is another workspace than the model",
        ));
    }
    let access = match by_model.or(by_store) {
        Some(id) => access.moved(service, id, Permission::Answer).await?,
        None => match previous {
            Some(previous) => moved(service, access, previous, "previous_response_id").await?,
            None => access,
        },
    };
    match previous {
        Some(previous) if previous.workspace != access.workspace.id => {
            Err(no_such_response("previous_response_id"))
        }
        _ => Ok(access),
    }
}

/// The access to the workspace of a response. One that is another's looks as
/// if it were not there.
async fn moved(
    service: &Service,
    access: Access,
    id: &ResponseId,
    field: &'static str,
) -> Result<Access, Failure> {
    access
        .moved(service, id.workspace.as_str(), Permission::Answer)
        .await
        .map_err(|failure| match failure.status {
            axum::http::StatusCode::NOT_FOUND => no_such_response(field),
            _ => failure,
        })
}

fn no_such_response(field: &'static str) -> Failure {
    let reason = "this caller has no stored response with this id";
    Failure {
        status: axum::http::StatusCode::NOT_FOUND,
        code: "response_not_found",
        ..Failure::invalid(field, reason)
    }
}
