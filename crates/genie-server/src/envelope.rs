//! What every request and response has, whatever it is about: a correlation
//! id, a log line, metrics, security headers, and errors in the right shape.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use crate::access::Correlation;
use crate::app::Service;
use crate::failure::{Failure, Surface};

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// The id that an X-Road security server gives a request.
const X_ROAD_ID: HeaderName = HeaderName::from_static("x-road-id");
/// Why the caller asks, as a security server passes it on.
const X_ROAD_ISSUE: HeaderName = HeaderName::from_static("x-road-issue");
const CORRELATION_ID_LENGTH: usize = 128;
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// Version 0 has 55 characters, later ones may have more.
const TRACE_PARENT_LENGTH: usize = 256;

/// Pages bring their own policy; nothing else may do anything in a browser.
const NOTHING_ALLOWED: &str = "default-src 'none'; frame-ancestors 'none'";

/// Gives the request a correlation id and everything logged for it a span.
pub(crate) async fn correlate(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = correlation_id(request.headers());
    let span = tracing::info_span!(
        "request",
        correlation_id = %id,
        otel.kind = "server",
        http.request.method = known(request.method()),
        http.route = tracing::field::Empty,
        http.response.status_code = tracing::field::Empty,
    );
    if let Some(take_up) = service.state.trace_parent
        && let Some(parent) = trace_parent(request.headers())
    {
        take_up(&span, parent);
    }
    let intent = request
        .headers()
        .get(X_ROAD_ISSUE)
        .and_then(|issue| issue.to_str().ok());
    let correlation = Correlation {
        id: id.clone(),
        intent: intent.filter(|intent| is_sound(intent)).map(str::to_owned),
    };
    request.extensions_mut().insert(correlation);
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(CORRELATION_ID, value);
    }
    response
}

/// Gives the response a correlation id, where there is no more to tell.
pub(crate) async fn echo(request: Request, next: Next) -> Response {
    let id = correlation_id(request.headers());
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(CORRELATION_ID, value);
    }
    response
}

/// Finishes the response, then counts and logs it.
pub(crate) async fn envelope(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let surface = Surface::of(request.uri().path());
    let method = known(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let mut response = shaped(next.run(request).await, surface);
    secure(response.headers_mut());
    let status = response.status();
    let elapsed = started.elapsed();
    let span = tracing::Span::current();
    span.record("http.route", route.as_str());
    span.record("http.response.status_code", status.as_u16());
    service.metrics.request(method, &route, status, elapsed);
    tracing::info!(
        method,
        route,
        status = status.as_u16(),
        milliseconds = elapsed.as_millis(),
        "answered a request"
    );
    response
}

/// Gives a failed response its body. Those without a [`Failure`] were made by
/// the router, which knows no more than the status.
fn shaped(mut response: Response, surface: Surface) -> Response {
    let status = response.status();
    let failure = match response.extensions_mut().remove::<Failure>() {
        Some(failure) => failure,
        None if status == StatusCode::METHOD_NOT_ALLOWED => Failure::new(
            status,
            "method_not_allowed",
            "this path does not take that method",
        ),
        // A health check that fails says so in a body of its own.
        None if status.is_client_error() && !is_json(response.headers()) => {
            Failure::new(status, "invalid_request", "the request can't be read")
        }
        None => return response,
    };
    let mut shaped = (status, Json(failure.body(surface))).into_response();
    for name in [header::RETRY_AFTER, header::ALLOW, header::WWW_AUTHENTICATE] {
        if let Some(value) = response.headers_mut().remove(&name) {
            shaped.headers_mut().insert(name, value);
        }
    }
    shaped
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

pub(crate) fn secure(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, NOTHING_ALLOWED),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
}

/// The caller's place in a trace (W3C Trace Context), if there is one and only
/// one; what it says is read by whoever writes traces.
fn trace_parent(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(TRACE_PARENT).iter();
    let value = values.next()?.to_str().ok()?;
    (values.next().is_none() && value.len() <= TRACE_PARENT_LENGTH).then_some(value)
}

/// The client's id where it is sound, else the security server's, else a new
/// one. It ends up in logs, so it is short and of harmless characters.
fn correlation_id(headers: &HeaderMap) -> String {
    [CORRELATION_ID, X_ROAD_ID]
        .iter()
        .filter_map(|name| headers.get(name)?.to_str().ok())
        .find(|id| is_sound(id))
        .map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

fn is_sound(id: &str) -> bool {
    (1..=CORRELATION_ID_LENGTH).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte))
}

/// Methods are labels of metrics, and a client may send any word as one.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_in_a_trace_is_taken_up() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let long = "0".repeat(TRACE_PARENT_LENGTH + 1);
        for (values, expected) in [
            (&[][..], None),
            (&[parent][..], Some(parent)),
            (&[parent, parent][..], None),
            (&[long.as_str()][..], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(TRACE_PARENT, value.parse().expect("a header value"));
            }
            assert_eq!(trace_parent(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn a_sound_id_is_kept_and_another_replaced() {
        let id = |name: HeaderName, value: &str| {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
            correlation_id(&HeaderMap::from_iter([(name, value)]))
        };
        assert_eq!(id(CORRELATION_ID, "Abc-1.2_3:4"), "Abc-1.2_3:4");
        assert_eq!(id(X_ROAD_ID, "EE-7f"), "EE-7f");
        let long = "a".repeat(129);
        for unsound in ["", "a b", "a\tb", "é", "a;b", long.as_str()] {
            let made = id(CORRELATION_ID, unsound);
            assert_ne!(made, unsound);
            assert!(is_sound(&made));
        }
    }
}
