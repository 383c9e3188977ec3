//! The language model without the documents, for callers that ask for it with
//! `"grounding": "none"` where the operator allows it. Nothing that it says is
//! checked, and each reply says so.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use genie_core::{
    ChatRole, Generate, GenerateError, GenerateRequest, Generation, TokenWeight, Usage,
};
use genie_rag::Engine;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::direct_body::DirectBody;
use super::direct_request::DirectRequest;
use crate::access::{Access, Done};
use crate::answer::{DOUBT, KEEP_ALIVE, json_event};
use crate::app::Service;
use crate::failure::{Failure, Surface};
use crate::work::{Stop, blocking};

/// Pieces that wait for a slow reader before generation does.
const PIECES_AHEAD: usize = 32;
/// A reader that takes nothing for this long has left without saying so.
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// What comes of a request; `Done` or `Failed` is last.
#[derive(Debug)]
enum Piece {
    Text {
        choice: usize,
        text: String,
        weights: Vec<TokenWeight>,
    },
    Done(Box<Written>),
    Failed(Failure),
}

/// All choices.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) choices: Vec<Generation>,
    /// Messages that were left out so that the others fit.
    pub(super) dropped: usize,
}

impl Written {
    /// Tokens of all choices; the prompt is the same for all and counts once.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.choices.first().map_or(0, |it| it.usage.prompt_tokens),
            completion_tokens: self
                .choices
                .iter()
                .map(|choice| choice.usage.completion_tokens)
                .sum(),
        }
    }
}

/// Refuses where the operator has not opened the model.
pub(super) fn allowed(service: &Service) -> Result<(), Failure> {
    if service.state.server.direct_model {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::FORBIDDEN,
        "direct_model_disabled",
        "this service answers from its documents only; its operator can allow grounding \"none\" \
         with server.direct_model = true in config.toml",
    ))
}

pub(super) async fn complete(
    service: &Arc<Service>,
    access: Access,
    stop: Stop,
    request: DirectRequest,
    body: DirectBody,
) -> Result<Response, Failure> {
    let most = request.request.max_tokens * request.choices;
    let permit = service.admit_text(&access, most).await?;
    let engine = access.open(service).await?.engine;
    let DirectRequest {
        stream,
        includes_usage,
        ..
    } = request;
    let (sender, pieces) = mpsc::channel(PIECES_AHEAD);
    let outlet = Outlet {
        sender,
        runtime: Handle::current(),
        deadline: Instant::now() + service.state.request_timeout,
        stop,
    };
    // Not joined: it reports through the channel, and ends when that closes.
    drop(blocking(service, permit, move |_| {
        let last = match write(&engine, request, &outlet) {
            Ok(written) => Piece::Done(Box::new(written)),
            Err(failure) => Piece::Failed(failure),
        };
        outlet.send(last).ok();
    }));
    let mut pieces = recorded(service, access, pieces);
    if stream {
        let first = match tokio::time::timeout(DOUBT, pieces.recv()).await {
            Ok(Some(Piece::Failed(failure))) => return Err(failure),
            Ok(None) => return Err(Failure::internal()),
            Ok(first) => first,
            Err(_) => None,
        };
        let opening: Vec<Value> = (0..body.choices)
            .map(|choice| body.opening(choice))
            .collect();
        return Ok(events(first, pieces, opening, move |piece| match piece {
            Piece::Text {
                choice,
                text,
                weights,
            } => body.delta(choice, &text, &weights).into_iter().collect(),
            Piece::Done(written) => body.closing(&written, includes_usage),
            Piece::Failed(failure) => vec![failure.body(Surface::OpenAi)],
        }));
    }
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Text { .. } => {}
            Piece::Done(written) => return Ok(Json(body.whole(&written)).into_response()),
            Piece::Failed(failure) => return Err(failure),
        }
    }
    Err(Failure::internal())
}

/// Server-sent events: those of the opening, then what `to_chunks` makes of
/// each piece, then the end. Work that ended without a last piece has failed.
fn events<F>(
    first: Option<Piece>,
    pieces: mpsc::Receiver<Piece>,
    opening: Vec<Value>,
    to_chunks: F,
) -> Response
where
    F: FnMut(Piece) -> Vec<Value> + Send + 'static,
{
    let rest = stream::unfold(
        (first, Some(pieces), to_chunks),
        |(first, pieces, mut to_chunks): (_, Option<mpsc::Receiver<Piece>>, F)| async move {
            let mut pieces = pieces?;
            let piece = match first {
                Some(first) => Some(first),
                None => pieces.recv().await,
            };
            let piece = piece.unwrap_or_else(|| Piece::Failed(Failure::internal()));
            let is_last = matches!(piece, Piece::Done(_) | Piece::Failed(_));
            let chunks = to_chunks(piece);
            let mut events: Vec<Event> = told(&chunks);
            if is_last {
                events.push(Event::default().data("[DONE]"));
            }
            Some((events, (None, (!is_last).then_some(pieces), to_chunks)))
        },
    );
    let events = stream::iter([told(&opening)]).chain(rest);
    let events =
        events.flat_map(|events| stream::iter(events.into_iter().map(Ok::<_, Infallible>)));
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

fn told(chunks: &[Value]) -> Vec<Event> {
    chunks.iter().map(|chunk| json_event(None, chunk)).collect()
}

/// The same pieces; usage and trail are written before the end is told.
fn recorded(
    service: &Arc<Service>,
    access: Access,
    mut pieces: mpsc::Receiver<Piece>,
) -> mpsc::Receiver<Piece> {
    let (sender, receiver) = mpsc::channel(1);
    let service = Arc::clone(service);
    // Not joined: it ends with either of the two channels.
    tokio::spawn(async move {
        let mut texts = 0;
        loop {
            let piece = tokio::select! {
                piece = pieces.recv() => piece,
                () = sender.closed() => None,
            };
            let Some(mut piece) = piece else { break };
            if let Piece::Done(written) = &piece {
                service.meter.generation(&access, written.usage());
                service.metrics.generation(written.usage());
                if let Err(failure) = record(&service, &access).await {
                    piece = Piece::Failed(failure);
                }
            }
            let is_end = matches!(piece, Piece::Done(_) | Piece::Failed(_));
            texts += u64::from(matches!(piece, Piece::Text { .. }));
            let has_left = sender.send(piece).await.is_err();
            if is_end {
                return;
            }
            if has_left {
                break;
            }
        }
        service.meter.generation_broken_off(&access, texts);
    });
    receiver
}

async fn record(service: &Service, access: &Access) -> Result<(), Failure> {
    let Some(accounts) = &service.state.accounts else {
        return Ok(());
    };
    let done = Done {
        action: "generate",
        object: None,
        model: service
            .state
            .engine
            .generate()
            .map(|model| model.model().name.clone()),
    };
    access.record(&accounts.state, done).await
}

/// Writes all choices side by side: the model works on them in the same
/// passes.
fn write(engine: &Engine, request: DirectRequest, outlet: &Outlet) -> Result<Written, Failure> {
    let model = engine.generate().ok_or_else(|| {
        Failure::invalid("grounding", "needs a language model, and none is at hand")
    })?;
    let DirectRequest {
        mut request,
        choices,
        truncates,
        ..
    } = request;
    let mut dropped = 0;
    loop {
        let written = std::thread::scope(|scope| {
            let running: Vec<_> = (0..choices)
                .map(|choice| {
                    let mut request = request.clone();
                    request.sampling.seed = request.sampling.seed.wrapping_add(choice as u64);
                    scope.spawn(move || one(model, request, choice, outlet))
                })
                .collect();
            running
                .into_iter()
                .map(|thread| match thread.join() {
                    Ok(result) => result.map_err(Some),
                    // The panic hook has printed what went wrong.
                    Err(_) => Err(None),
                })
                .collect::<Result<Vec<_>, _>>()
        });
        return match written {
            Ok(choices) => Ok(Written { choices, dropped }),
            Err(Some(GenerateError::ContextOverflow { .. }))
                if truncates && drop_oldest(&mut request, &mut dropped) =>
            {
                continue;
            }
            Err(Some(error)) => Err(error.into()),
            Err(None) => Err(Failure::internal()),
        };
    }
}

fn one(
    model: &dyn Generate,
    request: GenerateRequest,
    choice: usize,
    outlet: &Outlet,
) -> Result<Generation, GenerateError> {
    model.generate_weighed(request, &mut |text, weights| {
        if outlet.is_over() {
            return ControlFlow::Break(());
        }
        if text.is_empty() && weights.is_empty() {
            return ControlFlow::Continue(());
        }
        let piece = Piece::Text {
            choice,
            text: text.to_owned(),
            weights: weights.to_vec(),
        };
        match outlet.send(piece) {
            Ok(()) => ControlFlow::Continue(()),
            Err(()) => ControlFlow::Break(()),
        }
    })
}

/// Leaves out the oldest message that is not the system's, and those behind
/// it up to the next one of the user: what a tool said without the call makes
/// no sense. False where only the last question is left.
fn drop_oldest(request: &mut GenerateRequest, dropped: &mut usize) -> bool {
    let messages = &mut request.messages;
    let is_system = |role: ChatRole| role == ChatRole::System;
    let Some(first) = messages.iter().position(|it| !is_system(it.role)) else {
        return false;
    };
    let next = messages
        .iter()
        .skip(first + 1)
        .position(|message| message.role == ChatRole::User);
    let Some(next) = next.map(|offset| first + 1 + offset) else {
        return false;
    };
    let before = messages.len();
    let mut index = 0;
    messages.retain(|message| {
        let goes = (first..next).contains(&index) && !is_system(message.role);
        index += 1;
        !goes
    });
    *dropped += before - messages.len();
    true
}

/// The sending end, used from blocking threads.
struct Outlet {
    sender: mpsc::Sender<Piece>,
    runtime: Handle,
    deadline: Instant,
    stop: Stop,
}

impl Outlet {
    fn is_over(&self) -> bool {
        self.stop.is_set() || self.sender.is_closed() || Instant::now() >= self.deadline
    }

    fn send(&self, piece: Piece) -> Result<(), ()> {
        // The threads of single choices know no runtime until they are in it.
        let sending =
            async { tokio::time::timeout(READER_PATIENCE, self.sender.send(piece)).await };
        match self.runtime.block_on(sending) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use genie_core::ChatMessage;

    #[test]
    fn the_oldest_turn_goes_first_and_the_question_stays() {
        let said = |role, text: &str| ChatMessage::new(role, text);
        let mut request = GenerateRequest::new(
            vec![
                said(ChatRole::System, "s"),
                said(ChatRole::User, "1"),
                said(ChatRole::Assistant, "call"),
                said(ChatRole::Tool, "result"),
                said(ChatRole::User, "2"),
                said(ChatRole::Assistant, "3"),
                said(ChatRole::User, "4"),
            ],
            10,
        );
        let mut dropped = 0;
        let texts = |request: &GenerateRequest| -> String {
            let texts = request.messages.iter().map(|it| it.content.as_str());
            texts.collect::<Vec<_>>().join(" ")
        };
        assert!(drop_oldest(&mut request, &mut dropped));
        assert_eq!((texts(&request).as_str(), dropped), ("s 2 3 4", 3));
        assert!(drop_oldest(&mut request, &mut dropped));
        assert_eq!((texts(&request).as_str(), dropped), ("s 4", 5));
        assert!(!drop_oldest(&mut request, &mut dropped));
        assert_eq!(texts(&request), "s 4");
    }
}
