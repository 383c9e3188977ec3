//! What is refused, and how.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;
use tower::ServiceExt as _;

use crate::fixture::ASKED;
use crate::{gated, get, json_request, post, request, send, talking};

#[tokio::test]
async fn bodies_are_checked_before_they_are_read() {
    let app = talking();
    let send_body = async |content_type: Option<&str>, body: Vec<u8>| {
        let mut builder = request("POST", "/api/v1/answer");
        if let Some(content_type) = content_type {
            builder = builder.header(header::CONTENT_TYPE, content_type);
        }
        send(&app, builder.body(Body::from(body)).expect("a request")).await
    };
    let json = Some("application/json; charset=utf-8");
    let plain = br#"{"question": "?"}"#.to_vec();
    assert_eq!(send_body(json, plain.clone()).await.status, 200);
    assert_eq!(send_body(None, plain.clone()).await.status, 415);
    assert_eq!(send_body(Some("text/plain"), plain).await.status, 415);
    assert_eq!(send_body(json, vec![b' '; 65 << 10]).await.status, 413);
    let not_utf8 = send_body(json, b"{\"question\": \"\xff\"}".to_vec()).await;
    assert_eq!(not_utf8.status, 400);
    assert_eq!(not_utf8.json()["code"], "invalid_utf8");
    assert_eq!(send_body(json, b"{".to_vec()).await.status, 400);
    assert_eq!(send_body(json, Vec::new()).await.status, 400);
    let deep = format!("{{\"question\": {}", "[".repeat(5000));
    assert_eq!(send_body(json, deep.into_bytes()).await.status, 400);
}

#[tokio::test]
async fn unknown_paths_and_methods_have_the_shape_of_their_interface() {
    let app = talking();
    let reply = get(&app, "/v1/nothing").await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.json()["error"]["code"], "not_found");
    let reply = get(&app, "/api/v1/nothing").await;
    assert_eq!(reply.json()["code"], "not_found");
    let reply = get(&app, "/api/v1/answer").await;
    assert_eq!(reply.status, 405);
    assert_eq!(reply.header("allow"), "POST");
    assert_eq!(reply.json()["code"], "method_not_allowed");
    let reply = get(&app, "/v1/chat/completions").await;
    assert_eq!(reply.json()["error"]["code"], "method_not_allowed");
}

#[tokio::test]
async fn one_request_more_than_accepted_is_refused_at_once() {
    let (app, gate) = gated(|state| state.server.max_requests = 1);
    let asked = json!({"question": ASKED, "stream": true});
    let first = app
        .clone()
        .oneshot(json_request("/api/v1/answer", &asked))
        .await
        .expect("infallible");
    let second = post(&app, "/api/v1/answer", json!({"question": ASKED})).await;
    assert_eq!(second.status, 429);
    assert_eq!(second.header("retry-after"), "2");
    assert_eq!(second.json()["code"], "busy");
    let chat = json!({"messages": [{"role": "user", "content": ASKED}]});
    let third = post(&app, "/v1/chat/completions", chat).await;
    assert_eq!(third.json()["error"]["type"], "rate_limit_error");
    assert_eq!(get(&app, "/healthcheck").await.status, 200);
    let metrics = get(&app, "/metrics").await.text;
    assert!(metrics.contains("genie_queue_full_total 2"), "{metrics}");
    assert!(metrics.contains("genie_requests_in_work 1"), "{metrics}");
    gate.open();
    let body = axum::body::to_bytes(first.into_body(), 1 << 20)
        .await
        .expect("a body");
    assert!(String::from_utf8_lossy(&body).contains("event: done"));
}

#[tokio::test]
async fn searches_wait_for_their_turn_and_not_for_answers() {
    let (app, gate) = gated(|state| state.server.max_requests = 1);
    let asked = json!({"question": ASKED, "stream": true});
    let answering = app
        .clone()
        .oneshot(json_request("/api/v1/answer", &asked))
        .await
        .expect("infallible");
    let searches = (0..40).map(|_| post(&app, "/api/v1/search", json!({"query": "networks"})));
    for reply in futures_util::future::join_all(searches).await {
        assert_eq!(reply.status, 200, "{}", reply.text);
    }
    gate.open();
    drop(answering);
}

#[tokio::test]
async fn work_that_takes_too_long_is_given_up() {
    let (app, gate) = gated(|state| state.request_timeout = Duration::from_millis(50));
    let reply = post(&app, "/api/v1/answer", json!({"question": ASKED})).await;
    gate.open();
    assert_eq!(reply.status, 504);
    assert_eq!(reply.json()["code"], "timeout");
}

#[tokio::test]
async fn names_of_other_machines_are_refused() {
    let app = talking();
    let asked = async |host: Option<&str>| {
        let mut builder = Request::builder().uri("/healthcheck");
        if let Some(host) = host {
            builder = builder.header(header::HOST, host);
        }
        send(&app, builder.body(Body::empty()).expect("a request"))
            .await
            .status
            .as_u16()
    };
    assert_eq!(asked(Some("localhost:8080")).await, 200);
    assert_eq!(asked(Some("127.0.0.1")).await, 200);
    assert_eq!(asked(Some("[::1]:8080")).await, 200);
    assert_eq!(asked(Some("rebound.example:8080")).await, 421);
    assert_eq!(asked(Some("user@localhost")).await, 400);
    assert_eq!(asked(None).await, 400);
    let twice = Request::builder()
        .uri("/healthcheck")
        .header(header::HOST, "localhost")
        .header(header::HOST, "rebound.example")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(send(&app, twice).await.status, 400);
    let mut state = crate::fixture::state(None);
    state.server.allow_remote = true;
    let open = Request::builder()
        .uri("/healthcheck")
        .header(header::HOST, "genie.example")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(send(&genie_server::app(state), open).await.status, 200);
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing() {
    let app = talking();
    let asked = async |name: &str, value: &str| {
        let mut request = json_request("/api/v1/search", &json!({"query": "x"}));
        let name: header::HeaderName = name.parse().expect("a name");
        request
            .headers_mut()
            .insert(name, value.parse().expect("a value"));
        send(&app, request).await.status.as_u16()
    };
    assert_eq!(asked("origin", "http://localhost:8080").await, 200);
    for foreign in [
        "http://localhost:3000",
        "http://evil.example",
        "null",
        "http://localhost:8080.evil.example",
        "file://",
    ] {
        assert_eq!(asked("origin", foreign).await, 403, "{foreign}");
    }
    assert_eq!(asked("sec-fetch-site", "same-origin").await, 200);
    assert_eq!(asked("sec-fetch-site", "cross-site").await, 403);
}

#[tokio::test]
async fn only_pages_of_named_origins_are_let_in_from_elsewhere() {
    const PORTAL: &str = "https://portal.example.org";
    let mut state = crate::fixture::state(None);
    state.page_origins = vec![PORTAL.parse().expect("an origin")];
    let app = genie_server::app(state);
    let allowed = |reply: &crate::Reply| {
        let value = reply.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        value.map(|value| value.to_str().expect("a text").to_owned())
    };
    let from = async |origins: &[&str], method: &str, path: &str| {
        let mut request = match method {
            "POST" => json_request(path, &json!({"query": "x"})),
            _ => request(method, path)
                .body(Body::empty())
                .expect("a request"),
        };
        for origin in origins {
            let origin = origin.parse().expect("a value");
            request.headers_mut().append(header::ORIGIN, origin);
        }
        if method == "OPTIONS" {
            let asked = header::ACCESS_CONTROL_REQUEST_METHOD;
            request
                .headers_mut()
                .insert(asked, "POST".parse().expect("a value"));
        }
        send(&app, request).await
    };
    let before = from(&[PORTAL], "OPTIONS", "/api/v1/search").await;
    assert_eq!((before.status.as_u16(), &*before.text), (204, ""));
    assert_eq!(allowed(&before).as_deref(), Some(PORTAL));
    let sent = before.header("access-control-allow-headers");
    assert!(sent.contains("authorization") && sent.contains("x-genie-workspace"));
    assert!(
        !before
            .headers
            .contains_key("access-control-allow-credentials")
    );
    // Refusals can be read, too.
    for (method, path, status) in [
        ("POST", "/api/v1/search", 200),
        ("GET", "/v1/models", 200),
        ("GET", "/nowhere", 404),
        ("POST", "/healthcheck", 405),
    ] {
        let reply = from(&[PORTAL], method, path).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text);
        assert_eq!(allowed(&reply).as_deref(), Some(PORTAL), "{path}");
        assert_eq!(reply.header("vary"), "origin");
    }
    for foreign in [
        &["https://portal.example.org.evil.example"][..],
        &["http://portal.example.org"],
        &["https://portal.example.org:8443"],
        &["null"],
        &[PORTAL, "https://evil.example"],
    ] {
        let before = from(foreign, "OPTIONS", "/api/v1/search").await;
        assert_ne!(before.status, 204, "{foreign:?}");
        assert_eq!(allowed(&before), None);
        let reply = from(foreign, "POST", "/api/v1/search").await;
        assert_eq!(
            (reply.status.as_u16(), allowed(&reply)),
            (403, None),
            "{foreign:?}"
        );
        assert_eq!(allowed(&from(foreign, "GET", "/v1/models").await), None);
    }
}

#[tokio::test]
async fn every_response_has_its_headers() {
    let app = talking();
    for path in ["/healthcheck", "/nowhere", "/v1/models", "/"] {
        let request = request("GET", path)
            .header("x-correlation-id", "trace-7")
            .body(Body::empty())
            .expect("a request");
        let reply = send(&app, request).await;
        assert_eq!(reply.header("x-correlation-id"), "trace-7", "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        let policy = reply.header("content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        let road = |name: &header::HeaderName| name.as_str().starts_with("x-road");
        assert!(!reply.headers.keys().any(road));
    }
    let made = get(&app, "/healthcheck").await;
    assert_eq!(made.header("x-correlation-id").len(), 36);
}
