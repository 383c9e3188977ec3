//! Whether the service works, for people, probes and scrapers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::Service;
use crate::failure::log;

/// `up`, or `degraded` where answers are quoted passages for want of a
/// language model, or `down` (503) where the index can't be read or the state
/// does not answer.
pub(crate) async fn healthcheck(State(service): State<Arc<Service>>) -> Response {
    let (chunks, state) = tokio::join!(chunks(&service), state(&service));
    let engine = &service.state.engine;
    let chat = engine.generate().map(|model| model.model().name.clone());
    let (code, status) = match (chunks.filter(|_| state != "down"), &chat) {
        (None, _) => (StatusCode::SERVICE_UNAVAILABLE, "down"),
        (Some(_), None) => (StatusCode::OK, "degraded"),
        (Some(_), Some(_)) => (StatusCode::OK, "up"),
    };
    let body = json!({
        "status": status,
        "name": service.state.name,
        "version": service.state.version,
        "parts": {
            "index": {
                "status": if chunks.is_some() { "up" } else { "down" },
                "chunks": chunks,
            },
            "state": {"status": state},
            "embedding": {
                "status": "up",
                "model": engine.embed().identity().model,
            },
            "chat": {
                "status": if chat.is_some() { "up" } else { "absent" },
                "model": chat,
            },
        },
    });
    (code, Json(body)).into_response()
}

/// The process answers.
pub(crate) async fn liveness() -> Response {
    Json(json!({"status": "UP"})).into_response()
}

/// The index can be read and the state answers, so questions can be answered.
pub(crate) async fn readiness(State(service): State<Arc<Service>>) -> Response {
    let (chunks, state) = tokio::join!(chunks(&service), state(&service));
    match chunks.filter(|_| state != "down") {
        Some(_) => Json(json!({"status": "UP"})).into_response(),
        None => not_ready().await,
    }
}

/// Questions can't be answered now.
pub(crate) async fn not_ready() -> Response {
    let body = Json(json!({"status": "OUT_OF_SERVICE"}));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

/// The text that Prometheus scrapes.
pub(crate) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let text = service.metrics.render(service.in_work());
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

/// `up`, `down`, or `absent` in a service that keeps nothing.
async fn state(service: &Service) -> &'static str {
    let Ok(state) = service.accounts() else {
        return "absent";
    };
    match state.ping().await {
        Ok(()) => "up",
        Err(error) => {
            log(&error);
            "down"
        }
    }
}

async fn chunks(service: &Arc<Service>) -> Option<usize> {
    let engine = Arc::clone(&service.state.engine);
    match tokio::task::spawn_blocking(move || engine.store().count()).await {
        Ok(Ok(count)) => Some(count),
        Ok(Err(error)) => {
            log(&error);
            None
        }
        Err(_) => None,
    }
}
