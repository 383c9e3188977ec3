//! What answers while the models are still being loaded.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower::ServiceExt;

use crate::failure::{Failure, Surface};
use crate::{envelope, health};

/// How soon it is worth asking again: models load in seconds.
const SOON: u64 = 2;

/// Lets requests through to the service once there is one.
#[derive(Debug, Clone)]
pub struct Gate {
    service: Arc<OnceLock<Router>>,
}

impl Gate {
    /// A closed gate, and the router to serve from the start. Closed, it says
    /// that the process lives and that it is not ready; everything else is
    /// answered 503 with the time to come back.
    pub fn closed() -> (Router, Self) {
        let gate = Self {
            service: Arc::new(OnceLock::new()),
        };
        let router = Router::new()
            .route("/actuator/health/liveness", get(health::liveness))
            .route("/actuator/health/readiness", get(health::not_ready))
            .fallback(not_yet)
            .layer(from_fn(envelope::echo))
            .layer(from_fn_with_state(gate.clone(), pass));
        (router, gate)
    }

    /// Opens the gate to `service`, for good.
    pub fn open(&self, service: Router) {
        // The first service stays.
        let _ = self.service.set(service);
    }
}

async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    match gate.service.get() {
        Some(service) => match service.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => next.run(request).await,
    }
}

async fn not_yet(request: Request) -> Response {
    let surface = Surface::of(request.uri().path());
    let failure = Failure::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "starting",
        "the service is starting: its models are being loaded",
    );
    let body = axum::Json(failure.body(surface));
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, SOON.into());
    envelope::secure(headers);
    response
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};

    use super::*;

    async fn status(router: &Router, path: &str) -> (StatusCode, Option<String>) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router.clone().oneshot(request).await.expect("infallible");
        let status = response.status();
        let retry = response.headers().get(header::RETRY_AFTER);
        let retry = retry.map(|value| value.to_str().expect("text").to_owned());
        let body = to_bytes(response.into_body(), 10_000)
            .await
            .expect("a body");
        assert!(!body.is_empty());
        (status, retry)
    }

    #[tokio::test]
    async fn it_says_that_it_lives_and_is_not_ready_until_it_is_opened() {
        let (router, gate) = Gate::closed();
        let soon = Some(SOON.to_string());
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let live = "/actuator/health/liveness";
        assert_eq!(status(&router, live).await, (StatusCode::OK, None));
        let ready = "/actuator/health/readiness";
        assert_eq!(status(&router, ready).await.0, unavailable);
        assert_eq!(status(&router, "/v1/models").await, (unavailable, soon));
        gate.open(Router::new().fallback(|| async { "served" }));
        for path in [live, ready, "/v1/models"] {
            assert_eq!(status(&router, path).await, (StatusCode::OK, None));
        }
    }
}
