//! Documents, health and metrics.

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use genie_server::AppState;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::fixture::{ASKED, Talker, state};
use crate::{Reply, get, post, request, send, silent, talking};

async fn upload(app: &Router, uri: &str, bytes: &'static [u8]) -> Reply {
    let request = request("POST", &format!("/api/v1/documents?uri={uri}"))
        .body(Body::from(bytes))
        .expect("a request");
    send(app, request).await
}

async fn delete(app: &Router, id: &str) -> Reply {
    let request = request("DELETE", &format!("/api/v1/documents/{id}"))
        .body(Body::empty())
        .expect("a request");
    send(app, request).await
}

#[tokio::test]
async fn documents_are_listed_in_pages() {
    let app = silent();
    let all = get(&app, "/api/v1/documents").await.json();
    assert_eq!(all["count"], 2);
    assert_eq!(all["next"], Value::Null);
    assert_eq!(all["results"][1]["uri"], "reports/exchange.pdf");
    assert_eq!(all["results"][1]["media_type"], "application/pdf");
    let first = get(&app, "/api/v1/documents?pageSize=1").await.json();
    assert_eq!(first["previous"], Value::Null);
    let next = first["next"].as_str().expect("a second page").to_owned();
    let second = get(&app, &next).await.json();
    assert_eq!(second["results"], json!([all["results"][1]]));
    assert_eq!(second["next"], Value::Null);
    assert_eq!(second["previous"], "/api/v1/documents?page=1&pageSize=1");
    let behind = get(&app, "/api/v1/documents?page=9&pageSize=1")
        .await
        .json();
    assert_eq!(behind["results"], json!([]));
    assert_eq!(behind["previous"], "/api/v1/documents?page=2&pageSize=1");
    for wrong in ["page=0", "pageSize=0", "pageSize=1001", "page=x", "page=-1"] {
        let reply = get(&app, &format!("/api/v1/documents?{wrong}")).await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
    let largest = format!("/api/v1/documents?page={}&pageSize=1000", u32::MAX);
    assert_eq!(get(&app, &largest).await.status, 200);
}

#[tokio::test]
async fn a_document_is_added_found_and_removed() {
    let app = silent();
    let text = b"Every lighthouse needs a generator.";
    let added = upload(&app, "a%2Fb.txt", text).await;
    assert_eq!(added.status, 201, "{}", added.text);
    assert_eq!(added.json()["uri"], "a/b.txt");
    assert_eq!(added.json()["status"], "indexed");
    let again = upload(&app, "a%2Fb.txt", text).await;
    assert_eq!(
        (again.status.as_u16(), again.json()["status"].as_str()),
        (200, Some("unchanged"))
    );
    let found = post(&app, "/api/v1/search", json!({"query": "lighthouse"})).await;
    assert_eq!(found.json()["passages"][0]["document"], "a/b.txt");
    let id = added.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        get(&app, &format!("/api/v1/documents/{id}")).await.status,
        200
    );
    assert_eq!(delete(&app, &id).await.status, 204);
    let gone = delete(&app, &id).await;
    assert_eq!(gone.status, 404);
    assert_eq!(gone.json()["code"], "document_not_found");
    assert_eq!(delete(&app, "no-id").await.status, 404);
    assert_eq!(
        get(&app, &format!("/api/v1/documents/{id}")).await.status,
        404
    );
}

#[tokio::test]
async fn documents_that_cannot_be_taken_are_refused() {
    let app = silent();
    let unreadable = upload(&app, "x", b"bad").await;
    assert_eq!(unreadable.status, 422);
    assert_eq!(unreadable.json()["message"], "this is no document");
    let failed = upload(&app, "x", b"panic").await;
    assert_eq!(failed.status, 500);
    assert_eq!(failed.json()["code"], "internal_error");
    for label in ["", "%20", "a%0Ab"] {
        assert_eq!(upload(&app, label, b"text").await.status, 400, "{label}");
    }
    let mut state = state(None);
    state.indexer = None;
    let without = genie_server::app(state);
    assert_eq!(upload(&without, "x", b"text").await.status, 501);
}

#[tokio::test]
async fn only_this_machine_changes_documents() {
    let mut state = state(None);
    state.server.allow_remote = true;
    let app = genie_server::app(state);
    for method in ["POST", "DELETE"] {
        let path = match method {
            "POST" => "/api/v1/documents?uri=x".to_owned(),
            _ => format!("/api/v1/documents/{}", "0".repeat(64)),
        };
        let mut far = request(method, &path)
            .body(Body::empty())
            .expect("a request");
        let peer = SocketAddr::from(([192, 0, 2, 1], 50_000));
        far.extensions_mut().insert(ConnectInfo(peer));
        assert_eq!(send(&app, far).await.status, 401);
        let mut unknown = request(method, &path)
            .body(Body::empty())
            .expect("a request");
        unknown.extensions_mut().clear();
        assert_eq!(send(&app, unknown).await.status, 401);
    }
}

#[tokio::test]
async fn health_tells_what_works() {
    let up = get(&talking(), "/healthcheck").await.json();
    assert_eq!(up["status"], "up");
    assert_eq!(up["parts"]["index"]["chunks"], 2);
    assert_eq!(up["parts"]["chat"]["model"], "fake-chat");
    let app = silent();
    let degraded = get(&app, "/healthcheck").await;
    assert_eq!(
        (degraded.status.as_u16(), degraded.json()["status"].as_str()),
        (200, Some("degraded"))
    );
    for path in [
        "/actuator/health",
        "/actuator/health/liveness",
        "/actuator/health/readiness",
    ] {
        assert_eq!(get(&app, path).await.json()["status"], "UP", "{path}");
    }
}

#[tokio::test]
async fn readiness_tells_each_part_and_nothing_else_of_it() {
    let parts = async |app: &Router| {
        let reply = get(app, "/actuator/health/readiness").await;
        let status = reply.status.as_u16();
        assert_eq!(reply.json(), get(app, "/actuator/health").await.json());
        (status, reply.json())
    };
    let part = |status: &str| json!({"status": status});
    let chat = |status: &str, model: Value| json!({"status": status, "details": {"model": model, "chosen": {}}});
    let up = json!({
        "status": "UP",
        "components": {
            "index": part("UP"),
            "state": part("UNKNOWN"),
            "embedding": {"status": "UP", "details": {"model": "fake-embed"}},
            "chat": chat("UP", json!("fake-chat")),
            "disk": part("UNKNOWN"),
        },
    });
    assert_eq!(parts(&talking()).await, (200, up));
    // None is no failure; one that has ended is.
    let (status, body) = parts(&silent()).await;
    assert_eq!(
        (status, &body["components"]["chat"]),
        (200, &chat("UNKNOWN", json!(null)))
    );
    let ended = genie_server::app(state(Some(Arc::new(Talker::failing()))));
    let (status, body) = parts(&ended).await;
    assert_eq!(
        (status, &body["status"], &body["components"]["chat"]),
        (
            503,
            &json!("OUT_OF_SERVICE"),
            &chat("DOWN", json!("fake-chat"))
        )
    );
    let health = get(&ended, "/healthcheck").await;
    assert_eq!(
        (health.status.as_u16(), &health.json()["status"]),
        (503, &json!("down"))
    );
    for (free, is_enough) in [(Ok(1 << 30), true), (Ok(1 << 20), false), (Err(()), false)] {
        let service = AppState {
            free_space: Some(Arc::new(move || {
                free.map_err(|()| std::io::Error::other("/srv/secret is gone"))
            })),
            ..state(None)
        };
        let (status, body) = parts(&genie_server::app(service)).await;
        let (wanted, disk) = if is_enough {
            (200, "UP")
        } else {
            (503, "DOWN")
        };
        assert_eq!((status, &body["components"]["disk"]), (wanted, &part(disk)));
        assert!(!body.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn metrics_count_requests_answers_and_tokens() {
    let app = talking();
    post(&app, "/api/v1/answer", json!({"question": ASKED})).await;
    get(&app, "/nowhere/secret-path").await;
    let text = get(&app, "/metrics").await.text;
    for line in [
        r#"genie_http_requests_total{method="POST",route="/api/v1/answer",status="200"} 1"#,
        r#"genie_http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
        r#"genie_answers_total{outcome="answered"} 1"#,
        "genie_queue_full_total 0",
        "genie_requests_in_work 0",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(text.contains(r#"genie_tokens_total{kind="completion"}"#));
    assert!(text.contains("genie_http_request_duration_seconds_bucket"));
    assert!(!text.contains("secret-path"));
}
