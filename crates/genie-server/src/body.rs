//! Request bodies, read with limits.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::app::Service;
use crate::failure::Failure;

/// A client that sends slower than this is holding a connection, not asking.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body of at most the configured length.
pub(crate) struct ApiJson<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Service>> for ApiJson<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, service: &Arc<Service>) -> Result<Self, Failure> {
        if !says_json(request.headers()) {
            return Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body has to be JSON, and the Content-Type has to be application/json",
            ));
        }
        let (parts, body) = request.into_parts();
        let limits = BodyLimits {
            bytes: service.state.server.max_body_bytes,
            time: READ_TIMEOUT,
        };
        let bytes = read(&parts.headers, body, limits).await?;
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            Failure::new(
                StatusCode::BAD_REQUEST,
                "invalid_utf8",
                format!("the body is not UTF-8 from byte {} on", error.valid_up_to()),
            )
        })?;
        // The message speaks of the client's own text: what was expected, and
        // the line and column.
        serde_json::from_str(text).map(Self).map_err(|error| {
            Failure::new(
                StatusCode::BAD_REQUEST,
                "invalid_json",
                format!("the body can't be read: {error}"),
            )
        })
    }
}

/// What a body may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimits {
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// The whole body, or why not.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: BodyLimits,
) -> Result<Vec<u8>, Failure> {
    let too_large = || {
        Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("the body has more than {} bytes", limits.bytes),
        )
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limits.bytes) {
        return Err(too_large());
    }
    let collect = async {
        let mut bytes = Vec::new();
        let mut pieces = body.into_data_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| {
                Failure::new(
                    StatusCode::BAD_REQUEST,
                    "incomplete_body",
                    "the body ended early",
                )
            })?;
            if bytes.len() + piece.len() > limits.bytes {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    tokio::time::timeout(limits.time, collect)
        .await
        .map_err(|_| {
            Failure::new(
                StatusCode::REQUEST_TIMEOUT,
                "slow_body",
                "the body did not arrive in time",
            )
        })?
}

fn says_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 5
            && essence.to_ascii_lowercase().starts_with("application/")
            && essence.to_ascii_lowercase().ends_with("+json"))
}
