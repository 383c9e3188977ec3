//! `/api/v1/answer` and `/api/v1/search`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use genie_core::HandOverConfig;
use genie_server::{AnswerBody, SearchBody};
use serde_json::{Value, json};

use crate::fixture::{self, ASKED, EXCHANGE, Talker};
use crate::{get, json_request, post, request, send, silent, talking};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn a_model_that_goes_in_circles_is_stopped() {
    let talker = Talker::saying(&[
        "It connects 42 networks. ",
        "It connects 42 networks. ",
        "Members pay one fee a year. ",
    ]);
    let was_stopped = Arc::clone(&talker.was_stopped);
    let app = genie_server::app(fixture::state(Some(Arc::new(talker))));
    let reply = post(&app, "/api/v1/answer", json!({"question": ASKED})).await;
    assert_eq!(reply.json()["answer"], "It connects 42 networks [1].");
    assert!(was_stopped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn the_wait_for_the_first_token_includes_what_comes_before_the_draft() {
    let pause = Duration::from_millis(30);
    let talker = Talker::saying(&["It connects 42 networks. "]).pausing(pause);
    let app = genie_server::app(fixture::state(Some(Arc::new(talker))));
    let reply = post(&app, "/api/v1/answer", json!({"question": ASKED})).await;
    let wait = reply.json()["timings_ms"]["first_token"].as_f64();
    assert!(wait.is_some_and(|wait| wait >= 30.0), "{wait:?}");
}

#[tokio::test]
async fn an_answer_has_exactly_the_documented_shape() {
    let reply = post(&talking(), "/api/v1/answer", json!({"question": ASKED})).await;
    assert_eq!(reply.status, 200);
    let body = reply.json();
    assert_eq!(
        keys(&body),
        [
            "answer",
            "answered",
            "citations",
            "confidence",
            "degraded",
            "hand_over",
            "language",
            "model",
            "passages",
            "timings_ms",
            "usage"
        ]
    );
    assert_eq!(body["answer"], "It connects 42 networks [1].");
    assert_eq!(body["language"], "en");
    assert_eq!(body["answered"], true);
    assert_eq!(body["degraded"], false);
    let confidence = body["confidence"].as_f64().expect("a number");
    assert!((0.0..=1.0).contains(&confidence), "{confidence}");
    assert_eq!(body["hand_over"], Value::Null);
    assert_eq!(body["model"], "fake-chat");
    assert_eq!(
        body["citations"],
        json!([{
            "number": 1,
            "document": "reports/exchange.pdf",
            "title": "The exchange",
            "page": 3,
            "section": "The exchange › Figures",
            "start": 29,
            "end": 53,
            "quote": "It connects 42 networks.",
        }])
    );
    let passage = &body["passages"][0];
    assert_eq!(
        keys(passage),
        [
            "document",
            "end",
            "language",
            "page",
            "score",
            "section",
            "similarity",
            "start",
            "text",
            "title"
        ]
    );
    assert_eq!(passage["text"], EXCHANGE);
    assert_eq!(
        keys(&body["timings_ms"]),
        ["embed", "first_token", "search", "total"]
    );
    assert_eq!(
        keys(&body["usage"]),
        ["completion_tokens", "prompt_tokens", "total_tokens"]
    );
    let read_back: AnswerBody = serde_json::from_str(&reply.text).expect("the public type");
    // As text, for a JSON value would widen the scores to more digits.
    assert_eq!(serde_json::to_string(&read_back).expect("JSON"), reply.text);
}

#[tokio::test]
async fn a_streamed_answer_has_sources_then_text_then_the_whole() {
    let app = talking();
    let whole = post(&app, "/api/v1/answer", json!({"question": ASKED})).await;
    let mut asked = json_request("/api/v1/answer", &json!({"question": ASKED}));
    asked.headers_mut().insert(
        header::ACCEPT,
        "text/event-stream".parse().expect("a value"),
    );
    let reply = send(&app, asked).await;
    assert_eq!(reply.header("content-type"), "text/event-stream");
    let events = reply.events();
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["sources", "delta", "sentence", "citations", "done"]);
    // Clients that read line by line need the name before the body.
    assert!(reply.text.starts_with("event: sources\ndata: {"));
    assert!(reply.text.contains("\n\nevent: done\ndata: {"));
    let data = |at: usize| serde_json::from_str::<Value>(&events[at].1).expect("JSON");
    assert_eq!(data(0)["passages"][0]["text"], EXCHANGE);
    assert_eq!(data(1)["text"], "It connects 42 networks [1].");
    let (mut done, mut expected) = (data(4), whole.json());
    for body in [&mut done, &mut expected] {
        body["timings_ms"] = Value::Null;
    }
    assert_eq!(done, expected);
    let by_field = post(
        &app,
        "/api/v1/answer",
        json!({"question": ASKED, "stream": true}),
    )
    .await;
    assert_eq!(by_field.events().len(), 5);
}

#[tokio::test]
async fn a_stream_that_fails_at_once_has_the_status_of_that() {
    let long = "Why? ".repeat(3000);
    for path in ["/api/v1/answer", "/v1/chat/completions"] {
        let message = json!({"role": "user", "content": long});
        let question = match path {
            "/api/v1/answer" => json!({"question": long, "stream": true}),
            _ => json!({"model": "genie", "messages": [message], "stream": true}),
        };
        let reply = post(&talking(), path, question).await;
        assert_eq!(reply.status, 400, "{path}: {}", reply.text);
        assert!(reply.text.contains("characters"), "{}", reply.text);
    }
}

#[tokio::test]
async fn what_the_documents_do_not_cover_is_not_answered() {
    let question = json!({"question": "Zebra pudding?", "language": "fr"});
    let body = post(&talking(), "/api/v1/answer", question).await.json();
    assert_eq!(body["answered"], false);
    assert_eq!(body["language"], "fr");
    assert_eq!(body["citations"], json!([]));
    assert_eq!(body["model"], Value::Null);
    assert_eq!(body["timings_ms"]["first_token"], Value::Null);
}

#[tokio::test]
async fn a_person_is_named_where_nothing_is_answered_or_the_answer_is_doubtful() {
    let contact = "helpdesk@example.org";
    let app = |below| {
        let hand_over = HandOverConfig {
            contact: Some(contact.to_owned()),
            below,
        };
        genie_server::app(fixture::handing_over(
            Talker::saying(&["It connects 42 networks. "]),
            hand_over,
        ))
    };
    let named = |reason| json!({"reason": reason, "contact": contact});
    let question = json!({"question": "Zebra pudding?"});
    let body = post(&app(0.0), "/api/v1/answer", question).await.json();
    assert_eq!(body["hand_over"], named("not_answered"));
    assert_eq!(body["confidence"], Value::Null);

    let question = json!({"question": ASKED});
    let path = "/api/v1/answer";
    let sure = post(&app(0.0), path, question.clone()).await.json();
    assert_eq!(
        (&sure["answered"], &sure["hand_over"]),
        (&json!(true), &Value::Null)
    );
    let doubtful = post(&app(1.0), path, question).await.json();
    assert_eq!(doubtful["hand_over"], named("low_confidence"));
    assert_eq!(doubtful["answer"], sure["answer"]);
}

#[tokio::test]
async fn without_a_model_passages_are_quoted() {
    let body = post(&silent(), "/api/v1/answer", json!({"question": ASKED}))
        .await
        .json();
    assert_eq!(body["degraded"], true);
    assert_eq!(body["answered"], true);
    let quote = body["citations"][0]["quote"].as_str().expect("a quote");
    assert!(EXCHANGE.contains(quote));
}

#[tokio::test]
async fn a_search_honours_its_filter() {
    let app = silent();
    let found = post(&app, "/api/v1/search", json!({"query": " networks "})).await;
    let body: SearchBody = serde_json::from_str(&found.text).expect("the public type");
    assert_eq!(body.query, "networks");
    assert_eq!(body.passages.len(), 2);
    assert_eq!(body.passages[0].document, "reports/exchange.pdf");
    let stages = body.passages[0].stages.expect("a search explains itself");
    assert_eq!((stages.fused.rank, stages.dense.rank), (1, 1));
    assert_eq!(stages.lexical.map(|stage| stage.rank), Some(1));
    assert_eq!(stages.tokens, None, "these passages have no codes");
    assert_eq!(stages.bonus, None, "what has no codes gets no bonus");
    assert_eq!(stages.scored.map(|stage| stage.rank), Some(1));
    assert_eq!(body.left_out, None, "nobody asked for it");
    let explained = json!({"query": "networks", "top_k": 1, "explain": true});
    let found = post(&app, "/api/v1/search", explained).await;
    let body: SearchBody = serde_json::from_str(&found.text).expect("the public type");
    let left_out = body.left_out.expect("it was asked for");
    assert_eq!((body.passages.len(), left_out.len()), (1, 1));
    assert_eq!(
        (left_out[0].reason.as_str(), &left_out[0].of),
        ("top_k", &None)
    );
    let stages = left_out[0].passage.stages.expect("it came so far");
    assert_eq!(stages.scored.map(|stage| stage.rank), Some(2));
    let french = json!({"query": "networks", "filter": {"languages": ["fr"]}});
    let body = post(&app, "/api/v1/search", french).await.json();
    assert_eq!(body["passages"].as_array().map(Vec::len), Some(1));
    assert_eq!(body["passages"][0]["language"], "fr");
    let one = json!({"query": "networks", "top_k": 1, "language": "es"});
    let body = post(&app, "/api/v1/search", one).await.json();
    assert_eq!(body["passages"].as_array().map(Vec::len), Some(1));
    assert_eq!(body["language"], "es");
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let app = talking();
    for (path, body, told) in [
        ("/api/v1/answer", json!({"question": "  "}), "question"),
        (
            "/api/v1/answer",
            json!({"question": "a".repeat(8001)}),
            "8000",
        ),
        (
            "/api/v1/answer",
            json!({"question": 5}),
            "expected a string",
        ),
        (
            "/api/v1/answer",
            json!({"question": "?", "fliter": {}}),
            "fliter",
        ),
        ("/api/v1/answer", json!({}), "question"),
        ("/api/v1/search", json!({"query": ""}), "query"),
        (
            "/api/v1/search",
            json!({"query": "x", "top_k": 51}),
            "from 1 to 50",
        ),
    ] {
        let reply = post(&app, path, body).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
        let body = reply.json();
        assert_eq!(body["status"], "400");
        let message = body["message"].as_str().expect("a message");
        assert!(message.contains(told), "{message}");
    }
}

#[tokio::test]
async fn the_page_loads_and_reaches_nothing_else() {
    let app = talking();
    let page = get(&app, "/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none';"));
    assert!(!policy.contains("unsafe"));
    for path in ["/app.js", "/style.css", "/icon.svg"] {
        assert!(page.text.contains(path), "{path} is used");
        assert_eq!(get(&app, path).await.status, 200);
    }
    let script = get(&app, "/app.js").await.text;
    for text in [&page.text, &script] {
        assert!(!text.contains("://"), "no other host is named");
        for markup in ["innerHTML", "outerHTML", "insertAdjacent", "document.write"] {
            assert!(!text.contains(markup), "{markup}");
        }
    }
    let head = request("HEAD", "/").body(Body::empty()).expect("a request");
    assert_eq!(send(&app, head).await.status, 200);
}
