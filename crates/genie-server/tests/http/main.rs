//! The service as its clients see it, over fakes.
#![allow(
    clippy::expect_used,
    reason = "a fixture that fails is a test that fails"
)]

mod answers;
mod completions;
mod content;
mod description;
mod encrypted;
mod files;
mod fixture;
mod indexed;
mod isolation;
mod later;
mod left_behind;
mod limits;
mod mcp;
mod mutual;
mod openai;
mod provider;
mod removal;
mod responses;
mod serving;
mod tenants;
mod tokens;
mod workspaces;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt as _;

use fixture::{Gate, Talker};

/// What came back.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("a text"))
    }

    /// Name and data of each server-sent event.
    fn events(&self) -> Vec<(String, String)> {
        self.text
            .split("\n\n")
            .filter(|block| !block.trim().is_empty() && !block.starts_with(':'))
            .map(|block| {
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .unwrap_or_default()
                        .trim()
                        .to_owned()
                };
                (field("event:"), field("data:"))
            })
            .collect()
    }
}

async fn send(app: &Router, request: Request<Body>) -> Reply {
    let response = app.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 16 << 20).await.expect("a body");
    Reply {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).expect("UTF-8"),
    }
}

/// A request to localhost from this machine.
fn request(method: &str, path: &str) -> axum::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost:8080")
        .extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 50_000))))
}

async fn get(app: &Router, path: &str) -> Reply {
    let request = request("GET", path).body(Body::empty()).expect("a request");
    send(app, request).await
}

async fn post(app: &Router, path: &str, body: Value) -> Reply {
    send(app, json_request(path, &body)).await
}

fn json_request(path: &str, body: &Value) -> Request<Body> {
    request("POST", path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .expect("a request")
}

/// Says one thing that the passages support and one that they don't.
fn talking() -> Router {
    let talker = Talker::saying(&["It connects 42 networks. ", "It was painted in 1999."]);
    genie_server::app(fixture::state(Some(Arc::new(talker))))
}

fn silent() -> Router {
    genie_server::app(fixture::state(None))
}

/// A service whose model says nothing until the gate is opened.
fn gated(change: impl FnOnce(&mut genie_server::AppState)) -> (Router, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let talker = Talker::saying(&["It connects 42 networks. "]).behind(&gate);
    let mut state = fixture::state(Some(Arc::new(talker)));
    change(&mut state);
    (genie_server::app(state), gate)
}
