//! `POST /api/v1/answer` and `POST /api/v1/search`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;

use crate::app::Service;
use crate::body::ApiJson;
use crate::failure::{Failure, Surface};
use crate::question::{AnswerRequest, SearchRequestBody};
use crate::wire::{AnswerBody, PassageBody, SearchBody};
use crate::work::{Job, Piece, Stop, streamed, whole, with_engine};

/// Comments keep proxies and clients from giving up while a slow model reads
/// its prompt.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

pub(crate) async fn answer(
    State(service): State<Arc<Service>>,
    stop: Stop,
    headers: HeaderMap,
    ApiJson(request): ApiJson<AnswerRequest>,
) -> Result<Response, Failure> {
    let wants_stream = request.wants_stream(&headers);
    let job = Job {
        question: request.into_question()?,
        field: "question",
        permit: service.admit()?,
        stop,
    };
    if wants_stream {
        return Ok(events(streamed(&service, job), |piece| vec![event(piece)]));
    }
    let answer = whole(&service, job).await?;
    Ok(Json(AnswerBody::from(&answer)).into_response())
}

pub(crate) async fn search(
    State(service): State<Arc<Service>>,
    ApiJson(request): ApiJson<SearchRequestBody>,
) -> Result<Json<SearchBody>, Failure> {
    let request = request.into_request()?;
    let permit = service.admit()?;
    let query = request.query.trim().to_owned();
    let outcome = with_engine(&service, permit, move |engine| engine.search(request))
        .await?
        .map_err(|error| Failure::of_engine(error, "query"))?;
    Ok(Json(SearchBody::new(&query, &outcome)))
}

/// Server-sent events for the pieces of an answer. `to_events` is told of the
/// end like of any other piece; work that ended without one has failed.
pub(crate) fn events<F>(pieces: mpsc::Receiver<Piece>, to_events: F) -> Response
where
    F: FnMut(Piece) -> Vec<Event> + Send + 'static,
{
    Sse::new(event_stream(pieces, to_events))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

fn event_stream<F>(
    pieces: mpsc::Receiver<Piece>,
    to_events: F,
) -> impl Stream<Item = Result<Event, Infallible>>
where
    F: FnMut(Piece) -> Vec<Event> + Send + 'static,
{
    use futures_util::{StreamExt, stream};
    stream::unfold(
        (Some(pieces), to_events),
        |(pieces, mut to_events): (Option<mpsc::Receiver<Piece>>, F)| async move {
            let mut pieces = pieces?;
            let piece = pieces
                .recv()
                .await
                .unwrap_or_else(|| Piece::Failed(Failure::internal()));
            let is_last = matches!(piece, Piece::Done(_) | Piece::Failed(_));
            let events = to_events(piece);
            Some((events, ((!is_last).then_some(pieces), to_events)))
        },
    )
    .flat_map(|events| stream::iter(events.into_iter().map(Ok)))
}

/// An event with this body, and a name where it has one. The name is written
/// first: clients that read line by line know then what the body is.
pub(crate) fn json_event<T: Serialize>(name: Option<&str>, body: &T) -> Event {
    let event = name.map_or_else(Event::default, |name| Event::default().event(name));
    // The bodies are plain structs and maps with text keys, which always
    // serialize.
    event.json_data(body).unwrap_or_default()
}

#[derive(Serialize)]
struct Sources {
    passages: Vec<PassageBody>,
}

fn event(piece: Piece) -> Event {
    match piece {
        Piece::Sources(passages) => json_event(Some("sources"), &Sources { passages }),
        Piece::Delta(text) => json_event(Some("delta"), &json!({"text": text})),
        Piece::Done(answer) => json_event(Some("done"), &AnswerBody::from(&*answer)),
        Piece::Failed(failure) => json_event(Some("error"), &failure.body(Surface::Tmf)),
    }
}
