//! `POST /mcp`: the protocol over HTTP.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::Response;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};

use super::server::Server;
use crate::access::Access;
use crate::app::Service;
use crate::body::{BodyLimits, READ_TIMEOUT, read};
use crate::failure::Failure;

/// What a refusal says at most.
const LONGEST_REFUSAL: usize = 1 << 10;

/// Answers one message. `Host` and `Origin` were looked at before, by the
/// layer that does so for all routes.
pub(crate) async fn handle(
    State(service): State<Arc<Service>>,
    // Taken so that a route without the layer in front can't be a mistake.
    _access: Access,
    request: Request,
) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let limits = BodyLimits {
        bytes: service.state.server.max_body_bytes,
        time: READ_TIMEOUT,
    };
    let bytes = read(&parts.headers, body, limits).await?;
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(limits.bytes)
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let protocol = StreamableHttpService::new(
        move || Ok(Server::over_http(Arc::clone(&service))),
        Arc::new(NeverSessionManager::default()),
        config,
    );
    let request = Request::from_parts(parts, Body::from(bytes));
    let response = protocol.handle(request).await.map(Body::new);
    told(response).await
}

/// A refusal of the transport is plain text; it becomes an error as all
/// others are. Answers and the protocol's own errors are JSON and stay.
async fn told(response: Response) -> Result<Response, Failure> {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return Ok(response);
    }
    if status.is_server_error() {
        tracing::error!(%status, "the protocol's transport failed");
        return Err(Failure::internal());
    }
    let text = to_bytes(response.into_body(), LONGEST_REFUSAL)
        .await
        .unwrap_or_default();
    let reason = String::from_utf8_lossy(&text).into_owned();
    // What can't be read as a message is the client's mistake in the form that
    // this interface promises for it.
    let status = match status {
        StatusCode::NOT_ACCEPTABLE
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::UNSUPPORTED_MEDIA_TYPE => status,
        _ => StatusCode::BAD_REQUEST,
    };
    Err(Failure::new(status, "invalid_request", reason))
}
