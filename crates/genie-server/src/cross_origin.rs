//! Pages of other origins that a browser lets use the service (CORS, as the
//! Fetch standard has it): none but those that are named.
//!
//! Callers are told apart by what they send in a header, never by a cookie, so
//! browsers are not asked to send any.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::Service;

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// What callers send.
const SENT: &str = "accept, authorization, content-type, last-event-id, mcp-protocol-version, \
                    mcp-session-id, openai-organization, openai-project, prefer, traceparent, \
                    x-api-key, x-correlation-id, x-genie-workspace";
/// What they may read beside the body.
const SHOWN: &str = "content-disposition, location, mcp-session-id, preference-applied, \
                     retry-after, www-authenticate, x-correlation-id";
/// Seconds for which a browser need not ask again.
const KNOWN_FOR: &str = "600";

/// Where pages come from: `https://portal.example.org`, with a port where it
/// is not the usual one. Written as browsers write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOrigin(String);

/// The text is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no origin of pages; write it as browsers do, such as `https://portal.example.org` \
     or `http://localhost:3000`: small letters, no path, no usual port, no `*`"
)]
pub struct PageOriginError(String);

impl FromStr for PageOrigin {
    type Err = PageOriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || PageOriginError(text.chars().take(200).collect());
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let usual_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(wrong()),
        };
        let authority: Authority = rest.parse().map_err(|_| wrong())?;
        let host = authority.host();
        let is_host = !host.is_empty() && !host.contains('*') && !rest.contains('@');
        // A colon without digits is no port to browsers.
        let is_port = match rest.strip_prefix(host) {
            Some("") => true,
            Some(_) => authority
                .port_u16()
                .is_some_and(|port| port != usual_port && rest.ends_with(&format!(":{port}"))),
            None => false,
        };
        let is_small = !text.contains(|c: char| c.is_ascii_uppercase());
        (is_host && is_port && is_small && HeaderValue::from_str(text).is_ok())
            .then(|| Self(text.to_owned()))
            .ok_or_else(wrong)
    }
}

impl PageOrigin {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The origin of the page that asks, if it is one of these.
pub(crate) fn named<'a>(headers: &HeaderMap, origins: &'a [PageOrigin]) -> Option<&'a PageOrigin> {
    let mut values = headers.get_all(header::ORIGIN).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    origins
        .iter()
        .find(|origin| value.as_bytes() == origin.0.as_bytes())
}

/// Tells browsers that pages of the named origins may use the service.
pub(crate) async fn allow(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(origin) = named(request.headers(), &service.state.page_origins) else {
        return next.run(request).await;
    };
    let is_asking_before = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_asking_before {
        let told = [
            (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, SENT),
            (header::ACCESS_CONTROL_MAX_AGE, KNOWN_FOR),
        ];
        (StatusCode::NO_CONTENT, told).into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    // Checked when it was read.
    if let Ok(origin) = HeaderValue::from_str(&origin.0) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(SHOWN),
    );
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_as_browsers_write_them() {
        for origin in [
            "https://portal.example.org",
            "https://portal.example.org:8443",
            "http://localhost:3000",
            "http://127.0.0.1:8080",
            "http://[::1]:3000",
        ] {
            assert_eq!(
                origin.parse().as_ref().map(PageOrigin::as_str),
                Ok(origin),
                "{origin}"
            );
        }
        for wrong in [
            "",
            "*",
            "null",
            "portal.example.org",
            "https://",
            "https://*.example.org",
            "https://portal.example.org/",
            "https://portal.example.org/path",
            "https://portal.example.org:443",
            "http://portal.example.org:80",
            "https://portal.example.org:",
            "https://portal.example.org:0443",
            "https://Portal.example.org",
            "https://a@portal.example.org",
            "ftp://portal.example.org",
            "https://a b",
        ] {
            assert!(wrong.parse::<PageOrigin>().is_err(), "{wrong:?}");
        }
    }
}
