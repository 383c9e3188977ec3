//! `POST /v1/chat/completions`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};

use super::body::Completion;
use super::direct;
use super::direct_body::DirectBody;
use super::direct_request::DirectRequest;
use super::models::{check_chat_model, workspace_of};
use super::request::ChatRequest;
use crate::access::{Access, Permission};
use crate::answer::{answered, events, json_event, recorded};
use crate::app::Service;
use crate::body::ApiJson;
use crate::failure::{Failure, Surface};
use crate::work::{Job, Piece, Stop, streamed, whole};

pub(crate) async fn chat_completions(
    State(service): State<Arc<Service>>,
    access: Access,
    stop: Stop,
    ApiJson(request): ApiJson<ChatRequest>,
) -> Result<Response, Failure> {
    let (model, access) = match &request.model {
        Some(model) => (model.clone(), asked(&service, access, model).await?),
        None => (service.state.name.clone(), access),
    };
    let mut completion = Completion {
        id: format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()),
        created: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        model,
        max_tokens: None,
        has_form: false,
    };
    if request.is_direct()? {
        direct::allowed(&service)?;
        let most = access.workspace.settings.max_tokens;
        let request = DirectRequest::read(&request, most.map(|most| most as usize))?;
        let body = DirectBody {
            completion,
            tools: request.request.tools.clone(),
            choices: request.choices,
        };
        return direct::complete(&service, access, stop, request, body).await;
    }
    let question = access.bounded(request.question()?);
    completion.max_tokens = question.max_tokens;
    completion.has_form = question.form.is_some();
    let permit = service.admit_answer(&access, question.max_tokens).await?;
    let job = Job {
        question,
        field: "messages",
        permit,
        workspace: access.open(&service).await?,
        stop,
    };
    if request.stream == Some(true) {
        let chunks = Chunks {
            completion,
            includes_usage: request.includes_usage(),
        };
        let answering = recorded(&service, &access, streamed(&service, job));
        return events(answering, move |piece| chunks.of(piece)).await;
    }
    let answer = whole(&service, job).await?;
    answered(&service, &access, &answer).await?;
    Ok(Json(completion.whole(&answer)).into_response())
}

/// The access to what the model's name names: a workspace, or the one that
/// the request is about anyway.
async fn asked(service: &Service, access: Access, model: &str) -> Result<Access, Failure> {
    match workspace_of(service, model) {
        Some(id) => access.moved(service, id, Permission::Answer).await,
        None => {
            check_chat_model(service, model)?;
            Ok(access)
        }
    }
}

/// Turns the pieces of an answer into chunks.
struct Chunks {
    completion: Completion,
    includes_usage: bool,
}

impl Chunks {
    fn of(&self, piece: Piece) -> Vec<Event> {
        match piece {
            // OpenAI has no place for passages; the citations come at the end.
            Piece::Sources(_) => vec![json_event(None, &self.completion.opening())],
            // What is in a form is told as a whole, when all of it was looked
            // at.
            Piece::Delta(_) if self.completion.has_form => Vec::new(),
            Piece::Delta(text) => vec![json_event(None, &self.completion.delta(&text))],
            Piece::Done(answer) => {
                let mut events = Vec::new();
                if self.completion.has_form {
                    events.push(json_event(None, &self.completion.in_form(&answer)));
                }
                events.push(json_event(None, &self.completion.closing(&answer)));
                if self.includes_usage {
                    events.push(json_event(None, &self.completion.usage(&answer)));
                }
                events.push(done());
                events
            }
            Piece::Failed(failure) => {
                vec![json_event(None, &failure.body(Surface::OpenAi)), done()]
            }
        }
    }
}

fn done() -> Event {
    Event::default().data("[DONE]")
}
