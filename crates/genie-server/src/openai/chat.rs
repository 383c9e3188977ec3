//! `POST /v1/chat/completions`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use axum::response::sse::Event;
use axum::response::{IntoResponse, Response};

use super::body::Completion;
use super::models::check_chat_model;
use super::request::ChatRequest;
use crate::answer::{events, json_event};
use crate::app::Service;
use crate::body::ApiJson;
use crate::failure::{Failure, Surface};
use crate::work::{Job, Piece, Stop, streamed, whole};

pub(crate) async fn chat_completions(
    State(service): State<Arc<Service>>,
    stop: Stop,
    ApiJson(request): ApiJson<ChatRequest>,
) -> Result<Response, Failure> {
    let model = match &request.model {
        Some(model) => {
            check_chat_model(&service, model)?;
            model.clone()
        }
        None => service.state.name.clone(),
    };
    let question = request.question()?;
    let completion = Completion {
        id: format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()),
        created: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        model,
        max_tokens: question.max_tokens,
    };
    let job = Job {
        question,
        field: "messages",
        permit: service.admit()?,
        stop,
    };
    if request.stream == Some(true) {
        let chunks = Chunks {
            completion,
            includes_usage: request.includes_usage(),
        };
        return Ok(events(streamed(&service, job), move |piece| {
            chunks.of(piece)
        }));
    }
    let answer = whole(&service, job).await?;
    Ok(Json(completion.whole(&answer)).into_response())
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
            Piece::Delta(text) => vec![json_event(None, &self.completion.delta(&text))],
            Piece::Done(answer) => {
                let mut events = vec![json_event(None, &self.completion.closing(&answer))];
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
