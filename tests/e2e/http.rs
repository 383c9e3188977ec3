//! The HTTP interfaces of the real binary.

use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::answers::citations_are_exact;
use crate::genie::{Genie, MINILM, SMOLLM, alone, models};
use crate::material::{Scratch, checkout};
use crate::service::Service;

/// A service with the quick models over the articles.
fn service(scratch: &Scratch, chat: Option<&str>) -> Option<Service> {
    let names: Vec<_> = std::iter::once(MINILM).chain(chat).collect();
    let models = models(&names)?;
    scratch.write("home/config.toml", "[retrieval]\nmin_similarity = 0.1\n");
    let genie =
        Genie::quick(&scratch.home(), &models).set("GENIE_CHAT_MODEL", chat.unwrap_or("none"));
    scratch.articles();
    genie.run(&["ingest", "docs"]).ended(0);
    Some(Service::start(&genie))
}

#[test]
fn an_answer_is_json_or_events_in_order() {
    let _turn = alone();
    let scratch = Scratch::new();
    let Some(service) = service(&scratch, Some(SMOLLM)) else {
        return;
    };
    let body = json!({"question": "What is an Internet exchange point?", "max_tokens": 60});
    let whole = service.post("/api/v1/answer", &body).ok().json();
    for key in [
        "answer",
        "language",
        "answered",
        "degraded",
        "citations",
        "passages",
        "model",
        "timings_ms",
        "usage",
    ] {
        assert!(whole.get(key).is_some(), "no {key} in {whole}");
    }
    assert_eq!(whole["language"], "en");
    assert_eq!(whole["model"], SMOLLM);
    assert_eq!(whole["passages"][0]["document"], "docs/exchange.md");
    citations_are_exact(&whole, &scratch.path(""));

    let events = service.events("/api/v1/answer", &body);
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.first(), Some(&"sources"), "{names:?}");
    assert_eq!(names.last(), Some(&"done"), "{names:?}");
    let middle = &names[1..names.len() - 1];
    // Each sentence as text and with what it cites, and then the citations.
    let (citations, sentences) = middle.split_last().expect("some text");
    assert_eq!(*citations, "citations", "{names:?}");
    assert!(
        !sentences.is_empty()
            && sentences
                .chunks(2)
                .all(|pair| pair == ["delta", "sentence"]),
        "{names:?}"
    );
    let written: String = events
        .iter()
        .filter(|(name, _)| name == "delta")
        .map(|(_, data)| data["text"].as_str().expect("text"))
        .collect();
    let done = &events.last().unwrap().1;
    assert_eq!(
        written.split_whitespace().collect::<Vec<_>>(),
        done["answer"]
            .as_str()
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
    );
    assert!(done["timings_ms"]["total"].as_f64().unwrap() > 0.0);
    assert!(done["citations"].is_array());
    // Greedy: the same question has the same answer.
    assert_eq!(done["answer"], whole["answer"]);
    service.stop().ended(0);
}

#[test]
fn the_openai_package_talks_to_it() {
    let Some(python) = std::env::var_os("GENIE_TEST_PYTHON").map(PathBuf::from) else {
        eprintln!("skipped: GENIE_TEST_PYTHON names no Python that has the package openai");
        return;
    };
    let _turn = alone();
    let scratch = Scratch::new();
    let Some(service) = service(&scratch, Some(SMOLLM)) else {
        return;
    };
    let done = Command::new(python)
        .arg(checkout().join("tests/e2e/openai_client.py"))
        .arg(format!("{}/v1", service.url))
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .output()
        .expect("Python starts");
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    service.stop().ended(0);
}

#[test]
fn health_metrics_models_and_the_page() {
    let scratch = Scratch::new();
    let Some(service) = service(&scratch, None) else {
        return;
    };
    let health = service.get("/healthcheck").ok().json();
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(health["parts"]["embedding"]["model"], MINILM);
    assert_eq!(health["parts"]["index"]["status"], "up");

    let listed = service.get("/v1/models").ok().json();
    assert_eq!(listed["object"], "list", "{listed}");

    let body = json!({"query": "repair ship", "top_k": 1});
    let found = service.post("/api/v1/search", &body).ok().json();
    assert_eq!(found["passages"].as_array().unwrap().len(), 1);
    assert_eq!(found["passages"][0]["document"], "docs/cable.md");

    let body = json!({"model": MINILM, "input": ["cable", "ship"]});
    let embedded = service.post("/v1/embeddings", &body).ok().json();
    assert_eq!(embedded["data"].as_array().unwrap().len(), 2);
    let vector = embedded["data"][1]["embedding"].as_array().unwrap();
    assert_eq!(vector.len(), 384);
    let length: f64 = vector
        .iter()
        .map(|value| value.as_f64().unwrap().powi(2))
        .sum();
    assert!((length - 1.0).abs() < 1e-3, "a vector of length {length}");

    let metrics = service.get("/metrics").ok().text;
    assert!(
        metrics.contains("# TYPE") && metrics.contains("/api/v1/search"),
        "{metrics}"
    );

    let page = service.get("/").ok().text;
    assert!(page.contains("<!doctype html>") || page.contains("<!DOCTYPE html>"));
    for path in ["/", "/app.js", "/style.css"] {
        let text = service.get(path).ok().text;
        for place in [
            "src=\"http",
            "href=\"http",
            "src=\"//",
            "url(http",
            "@import",
            "import(",
        ] {
            assert!(
                !text.contains(place),
                "{path} loads from elsewhere: {place}"
            );
        }
    }
    service.stop().ended(0);
}

#[test]
fn requests_that_make_no_sense_are_refused_in_words() {
    let scratch = Scratch::new();
    let Some(service) = service(&scratch, None) else {
        return;
    };
    for (path, body, status) in [
        ("/api/v1/answer", json!({"question": ""}), 400),
        ("/api/v1/answer", json!({"question": "?", "topk": 3}), 400),
        ("/api/v1/search", json!({"query": "a", "top_k": 0}), 400),
        ("/v1/chat/completions", json!({"messages": []}), 400),
        ("/no/such/path", json!({}), 404),
    ] {
        let reply = service.post(path, &body);
        assert!(
            reply.status == status || (status == 400 && reply.status == 422),
            "{path} {body}: {reply:?}"
        );
        let said = reply.json();
        let message = said["message"]
            .as_str()
            .or(said["error"]["message"].as_str());
        assert!(
            message.is_some_and(|text| !text.is_empty()),
            "{path}: {said}"
        );
    }
    // It is still well.
    service.get("/healthcheck").ok();
    service.stop().ended(0);
}
