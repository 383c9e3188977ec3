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
use genie_core::{Answer, Citation, DocumentId};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;

use crate::access::{Access, Done};
use crate::app::Service;
use crate::body::ApiJson;
use crate::deferred;
use crate::documents::prefers_job;
use crate::failure::{Failure, Surface};
use crate::question::{AnswerRequest, SearchRequestBody, wants_stream};
use crate::wire::{AnswerBody, PassageBody, SearchBody};
use crate::work::{Job, Piece, Stop, streamed, whole, with_engine};

/// Comments keep proxies and clients from giving up while a slow model reads
/// its prompt.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// What is wrong with a request, and that there is no room for it, is mostly
/// known after milliseconds; the head of a stream waits so long for it.
pub(crate) const DOUBT: Duration = Duration::from_secs(2);

pub(crate) async fn answer(
    State(service): State<Arc<Service>>,
    access: Access,
    stop: Stop,
    headers: HeaderMap,
    ApiJson(request): ApiJson<AnswerRequest>,
) -> Result<Response, Failure> {
    let wants_stream = wants_stream(request.stream, &headers);
    if !wants_stream && prefers_job(&headers) {
        return deferred::queue(&service, &access, request, None).await;
    }
    let request = request.without_webhook()?;
    let question = access.bounded(request.into_question()?);
    let permit = service.admit_answer(&access, question.max_tokens).await?;
    let job = Job {
        question,
        field: "question",
        permit,
        workspace: access.open(&service).await?,
        stop,
    };
    if wants_stream {
        let answering = recorded(&service, &access, streamed(&service, job));
        return events(answering, told_in_full()).await;
    }
    let answer = whole(&service, job).await?;
    answered(&service, &access, &answer).await?;
    Ok(Json(AnswerBody::from(&answer)).into_response())
}

/// Counts and records an answer that was given.
pub(crate) async fn answered(
    service: &Service,
    access: &Access,
    answer: &Answer,
) -> Result<(), Failure> {
    service.meter.answer(access, answer);
    let Some(accounts) = &service.state.accounts else {
        return Ok(());
    };
    let done = Done {
        action: "answer",
        object: None,
        model: answer.model.clone(),
    };
    access.record(&accounts.state, done).await
}

/// The document that a citation is from: that of the passage it was found in.
pub(crate) fn cited_document(answer: &Answer, citation: &Citation) -> Option<DocumentId> {
    answer
        .passages
        .iter()
        .map(|passage| &passage.hit)
        .filter(|hit| hit.document.uri == citation.document)
        .find(|hit| {
            let span = hit.chunk.span;
            (span.start()..=span.end()).contains(&citation.span.start())
        })
        .map(|hit| hit.document.id)
}

/// The same pieces; the answer is recorded before its end is told.
pub(crate) fn recorded(
    service: &Arc<Service>,
    access: &Access,
    mut pieces: mpsc::Receiver<Piece>,
) -> mpsc::Receiver<Piece> {
    let (sender, receiver) = mpsc::channel(1);
    let (service, access) = (Arc::clone(service), access.clone());
    // Not joined: it ends with either of the two channels.
    tokio::spawn(async move {
        let mut has_begun = false;
        while let Some(piece) = next(&mut pieces, &sender).await {
            let piece = match piece {
                Piece::Done(answer) => match answered(&service, &access, &answer).await {
                    Ok(()) => Piece::Done(answer),
                    Err(failure) => Piece::Failed(failure),
                },
                other => other,
            };
            let is_end = matches!(piece, Piece::Done(_) | Piece::Failed(_));
            has_begun |= matches!(piece, Piece::Delta(_));
            let has_left = sender.send(piece).await.is_err();
            if is_end {
                return;
            }
            if has_left {
                break;
            }
        }
        // Whoever leaves with the last word has had the answer.
        if has_begun {
            service.meter.broken_off(&access);
        }
    });
    receiver
}

/// The next piece, while somebody waits for it: work for a reader that left
/// ends with its receiver.
pub(crate) async fn next(
    pieces: &mut mpsc::Receiver<Piece>,
    reader: &mpsc::Sender<Piece>,
) -> Option<Piece> {
    tokio::select! {
        piece = pieces.recv() => piece,
        () = reader.closed() => None,
    }
}

pub(crate) async fn search(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiJson(request): ApiJson<SearchRequestBody>,
) -> Result<Json<SearchBody>, Failure> {
    let explain = request.explain;
    let mut request = request.into_request()?;
    let preset = access.workspace.settings.top_k.map(|top_k| top_k as usize);
    request.limit = request.limit.or(preset);
    let query = request.query.trim().to_owned();
    let outcome = with_engine(&service, &access, move |engine| engine.search(request))
        .await?
        .map_err(|error| Failure::of_engine(error, "query"))?;
    service.meter.search(&access);
    let body = SearchBody::new(&query, &outcome);
    Ok(Json(if explain {
        body.explained(&outcome)
    } else {
        body
    }))
}

/// Server-sent events for the pieces of an answer. `to_events` is told of the
/// end like of any other piece; work that ended without one has failed.
///
/// # Errors
///
/// Fails where the work did before anything came of it: then the status can
/// tell.
pub(crate) async fn events<F>(
    mut pieces: mpsc::Receiver<Piece>,
    to_events: F,
) -> Result<Response, Failure>
where
    F: FnMut(Piece) -> Vec<Event> + Send + 'static,
{
    let first = match tokio::time::timeout(DOUBT, pieces.recv()).await {
        Ok(Some(Piece::Failed(failure))) => return Err(failure),
        Ok(None) => return Err(Failure::internal()),
        Ok(first) => first,
        Err(_) => None,
    };
    Ok(Sse::new(event_stream(first, pieces, to_events))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response())
}

fn event_stream<F>(
    first: Option<Piece>,
    pieces: mpsc::Receiver<Piece>,
    to_events: F,
) -> impl Stream<Item = Result<Event, Infallible>>
where
    F: FnMut(Piece) -> Vec<Event> + Send + 'static,
{
    use futures_util::{StreamExt, stream};
    stream::unfold(
        (first, Some(pieces), to_events),
        |(first, pieces, mut to_events): (Option<Piece>, Option<mpsc::Receiver<Piece>>, F)| async move {
            let mut pieces = pieces?;
            let piece = match first {
                Some(first) => Some(first),
                None => pieces.recv().await,
            };
            let piece = piece.unwrap_or_else(|| Piece::Failed(Failure::internal()));
            let is_last = matches!(piece, Piece::Done(_) | Piece::Failed(_));
            let events = to_events(piece);
            Some((events, (None, (!is_last).then_some(pieces), to_events)))
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

/// Turns pieces into events. Pieces of text are verified
/// sentences, so each is told twice: as text to be shown and as a sentence
/// with its citations; what the numbers stand for comes before the end.
pub(crate) fn told_in_full() -> impl FnMut(Piece) -> Vec<Event> + Send + 'static {
    let mut sentences = 0_usize;
    move |piece| {
        let more = match &piece {
            Piece::Delta(text) => {
                let index = sentences;
                sentences += 1;
                let sentence =
                    json!({"index": index, "text": text.trim(), "citations": cited(text)});
                Some(json_event(Some("sentence"), &sentence))
            }
            Piece::Done(answer) => {
                let citations = AnswerBody::from(&**answer).citations;
                Some(json_event(
                    Some("citations"),
                    &json!({"citations": citations}),
                ))
            }
            Piece::Sources(_) | Piece::Failed(_) => None,
        };
        let is_end = matches!(piece, Piece::Done(_));
        match (more, event(piece)) {
            (Some(more), event) if is_end => vec![more, event],
            (Some(more), event) => vec![event, more],
            (None, event) => vec![event],
        }
    }
}

/// The numbers of the markers `[n]` in a sentence.
fn cited(text: &str) -> Vec<usize> {
    text.split('[')
        .skip(1)
        .filter_map(|rest| rest.split_once(']')?.0.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_told_from_other_brackets() {
        assert_eq!(cited("Ten [sic] cables [1][12]. "), [1, 12]);
        assert!(cited("None [a1] and [ 2").is_empty());
    }
}
