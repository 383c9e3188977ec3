//! The router and what its handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use genie_core::ServerConfig;
use genie_rag::Engine;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::catch_panic::CatchPanicLayer;

use crate::documents::DocumentSink;
use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::{answer, documents, envelope, health, openai, origin, page};

/// How long the work of one request may take: a long answer of a small model
/// on two old cores.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

/// What the service is made of.
#[derive(Clone)]
pub struct AppState {
    /// Answers and searches.
    pub engine: Arc<Engine>,
    /// Takes documents that are sent to the service; without one it takes
    /// none.
    pub indexer: Option<Arc<dyn DocumentSink>>,
    /// The name of the service, which is also the id of its default model.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// Where it listens and how much it takes on.
    pub server: ServerConfig,
    /// How long the work of one request may take.
    pub request_timeout: Duration,
}

impl AppState {
    /// The service named `genie` in this crate's version, which takes no
    /// documents and gives each request five minutes.
    #[must_use]
    pub fn new(engine: Arc<Engine>, server: ServerConfig) -> Self {
        Self {
            engine,
            indexer: None,
            name: "genie".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            server,
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

/// The routes of the service.
///
/// Requests have to be extended with their peer's address, as [`crate::serve`]
/// does, for documents to be added or removed: that is for loopback peers.
pub fn app(state: AppState) -> Router {
    let service = Arc::new(Service {
        permits: Arc::new(Semaphore::new(state.server.max_requests)),
        metrics: Metrics::new(&state.version),
        started: std::time::SystemTime::now(),
        state,
    });
    Router::new()
        .route("/", get(page::index))
        .route("/app.js", get(page::script))
        .route("/style.css", get(page::style))
        .route("/icon.svg", get(page::icon))
        .route("/v1/chat/completions", post(openai::chat_completions))
        .route("/v1/embeddings", post(openai::embeddings))
        .route("/v1/rerank", post(openai::rerank))
        .route("/v1/models", get(openai::models))
        .route("/v1/models/{model}", get(openai::model))
        .route("/api/v1/answer", post(answer::answer))
        .route("/api/v1/search", post(answer::search))
        .route(
            "/api/v1/documents",
            get(documents::list).post(documents::add),
        )
        .route(
            "/api/v1/documents/{id}",
            get(documents::read).delete(documents::remove),
        )
        .route("/healthcheck", get(health::healthcheck))
        .route("/actuator/health", get(health::readiness))
        .route("/actuator/health/liveness", get(health::liveness))
        .route("/actuator/health/readiness", get(health::readiness))
        .route("/metrics", get(health::metrics))
        .fallback(no_such_route)
        .layer(from_fn_with_state(Arc::clone(&service), origin::guard))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&service), envelope::envelope))
        .layer(from_fn(envelope::correlate))
        .with_state(service)
}

/// What handlers share.
pub(crate) struct Service {
    pub(crate) state: AppState,
    pub(crate) metrics: Metrics,
    pub(crate) started: std::time::SystemTime,
    permits: Arc<Semaphore>,
}

impl Service {
    /// The right to do the work of one request, at once or not at all: a
    /// queue here would only hide that the models are busy.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            self.metrics.rejected();
            Failure::busy()
        })
    }

    /// Requests that are in work now.
    pub(crate) fn in_work(&self) -> usize {
        self.state
            .server
            .max_requests
            .saturating_sub(self.permits.available_permits())
    }
}

async fn no_such_route() -> Failure {
    Failure::new(
        axum::http::StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this path",
    )
}

// The panic's message is printed by the panic hook, with its place.
fn panicked(_panic: Box<dyn std::any::Any + Send>) -> Response {
    Failure::internal().into_response()
}
