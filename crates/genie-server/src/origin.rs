//! Which names and which pages a browser may use to get here.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use genie_core::ServerConfig;

use crate::app::Service;
use crate::cross_origin::named;
use crate::failure::Failure;

/// Refuses names that are not this machine's and changes asked for by pages
/// of another origin.
pub(crate) async fn guard(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let server = &service.state.server;
    let headers = request.headers();
    let uri_host = request.uri().authority();
    let checked = host(headers, uri_host).and_then(|host| {
        check_host(&host, server)?;
        match *request.method() {
            Method::GET | Method::HEAD => Ok(()),
            _ if named(headers, &service.state.page_origins).is_some() => Ok(()),
            _ => check_origin(headers, &host),
        }
    });
    match checked {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

/// The one name that the request is for.
fn host(headers: &HeaderMap, uri: Option<&Authority>) -> Result<Authority, Failure> {
    let unreadable = || {
        Failure::new(
            StatusCode::BAD_REQUEST,
            "invalid_host",
            "the request needs exactly one readable Host",
        )
    };
    let mut values = headers.get_all(header::HOST).iter();
    let host = match (values.next(), uri) {
        (Some(value), _) => value.to_str().ok().and_then(|host| host.parse().ok()),
        (None, uri) => uri.cloned(),
    };
    if values.next().is_some() {
        return Err(unreadable());
    }
    host.filter(|host| !host.as_str().contains('@'))
        .ok_or_else(unreadable)
}

/// A page elsewhere can point a name of its own at 127.0.0.1 (DNS rebinding)
/// and would then be of the same origin; its name gives it away.
fn check_host(host: &Authority, server: &ServerConfig) -> Result<(), Failure> {
    if server.allow_remote || is_this_machine(host.host(), server.listen.ip()) {
        return Ok(());
    }
    Err(Failure::new(
        StatusCode::MISDIRECTED_REQUEST,
        "misdirected",
        "this service answers to localhost and the address it listens on, not to the name in \
         the Host header",
    ))
}

fn is_this_machine(host: &str, listen: IpAddr) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        return true;
    }
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(&name);
    address
        .parse::<IpAddr>()
        .is_ok_and(|address| address.to_canonical().is_loopback() || address == listen)
}

/// Browsers say where a script that sends something comes from.
fn check_origin(headers: &HeaderMap, host: &Authority) -> Result<(), Failure> {
    let foreign_site = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none");
    let foreign_origin = headers.get_all(header::ORIGIN).iter().any(|origin| {
        let authority = origin.to_str().ok().and_then(|origin| {
            origin
                .strip_prefix("http://")
                .or_else(|| origin.strip_prefix("https://"))
        });
        !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str()))
    });
    if foreign_site || foreign_origin {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "cross_origin",
            "pages of another origin may not use this service",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_are_told_from_others() {
        let listen = IpAddr::from([10, 0, 0, 7]);
        for own in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "genie.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "10.0.0.7",
        ] {
            assert!(is_this_machine(own, listen), "{own}");
        }
        for other in [
            "example.org",
            "localhost.example.org",
            "notlocalhost",
            "10.0.0.8",
            "[::2]",
            "0.0.0.0",
            "127.0.0.1.example.org",
            "",
        ] {
            assert!(!is_this_machine(other, listen), "{other}");
        }
    }
}
