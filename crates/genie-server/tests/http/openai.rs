//! `/v1`.

use serde_json::{Value, json};

use crate::fixture::ASKED;
use crate::{get, post, silent, talking};

fn asking(extra: &Value) -> Value {
    let mut body = json!({"model": "genie", "messages": [{"role": "user", "content": ASKED}]});
    for (key, value) in extra.as_object().expect("fields") {
        body[key] = value.clone();
    }
    body
}

#[tokio::test]
async fn a_completion_has_the_answer_its_usage_and_its_citations() {
    let reply = post(&talking(), "/v1/chat/completions", asking(&json!({}))).await;
    assert_eq!(reply.status, 200);
    let body = reply.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "genie");
    assert_eq!(
        body["choices"][0]["message"]["content"],
        "It connects 42 networks [1]."
    );
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["citations"][0]["document"], "reports/exchange.pdf");
    assert_eq!(body["degraded"], false);
    let usage = &body["usage"];
    let count = |key: &str| usage[key].as_u64().expect("a count");
    assert!(count("completion_tokens") > 0);
    assert_eq!(
        count("total_tokens"),
        count("prompt_tokens") + count("completion_tokens")
    );
}

#[tokio::test]
async fn a_streamed_completion_ends_with_citations_usage_and_done() {
    let streamed = asking(&json!({"stream": true, "stream_options": {"include_usage": true}}));
    let reply = post(&talking(), "/v1/chat/completions", streamed).await;
    let mut chunks: Vec<_> = reply.events().into_iter().map(|(_, data)| data).collect();
    assert_eq!(chunks.pop().as_deref(), Some("[DONE]"));
    let chunks: Vec<Value> = chunks
        .iter()
        .map(|chunk| serde_json::from_str(chunk).expect("JSON"))
        .collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, "It connects 42 networks [1].");
    let [.., closing, usage] = &chunks[..] else {
        panic!("too few chunks");
    };
    assert_eq!(closing["choices"][0]["finish_reason"], "stop");
    assert_eq!(closing["citations"][0]["number"], 1);
    assert_eq!(usage["choices"], json!([]));
    assert!(usage["usage"]["total_tokens"].as_u64() > Some(0));
    let ids: std::collections::HashSet<_> =
        chunks.iter().map(|chunk| chunk["id"].as_str()).collect();
    assert_eq!(ids.len(), 1);
    let plain = asking(&json!({"stream": true}));
    let reply = post(&talking(), "/v1/chat/completions", plain).await;
    assert!(!reply.text.contains("\"usage\""), "nobody asked for it");
}

#[tokio::test]
async fn without_a_model_a_completion_is_degraded() {
    let body = post(&silent(), "/v1/chat/completions", asking(&json!({})))
        .await
        .json();
    assert_eq!(body["degraded"], true);
    assert!(!body["citations"].as_array().expect("a list").is_empty());
}

#[tokio::test]
async fn listed_models_are_accepted_and_others_not() {
    let app = talking();
    let listed = get(&app, "/v1/models").await.json();
    let ids: Vec<_> = listed["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|model| model["id"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(ids, ["genie", "fake-chat", "fake-embed"]);
    for id in &ids {
        assert_eq!(get(&app, &format!("/v1/models/{id}")).await.status, 200);
    }
    for model in ["genie", "fake-chat"] {
        let body = asking(&json!({"model": model}));
        assert_eq!(post(&app, "/v1/chat/completions", body).await.status, 200);
    }
    for model in ["gpt-9", "fake-embed"] {
        let body = asking(&json!({"model": model}));
        let reply = post(&app, "/v1/chat/completions", body).await;
        assert_eq!(reply.status, 404);
        assert_eq!(reply.json()["error"]["code"], "model_not_found");
        assert_eq!(reply.json()["error"]["param"], "model");
    }
    assert_eq!(get(&app, "/v1/models/gpt-9").await.status, 404);
}

#[tokio::test]
async fn errors_have_openai_s_shape() {
    let app = talking();
    for body in [
        asking(&json!({"n": 2})),
        asking(&json!({"messages": []})),
        asking(&json!({"messages": [{"role": "user", "content": ""}]})),
        asking(&json!({"temperature": "hot"})),
    ] {
        let reply = post(&app, "/v1/chat/completions", body).await;
        assert_eq!(reply.status, 400);
        let error = &reply.json()["error"];
        assert_eq!(error["type"], "invalid_request_error");
        assert!(error["message"].is_string() && error.get("param").is_some());
    }
}

#[tokio::test]
async fn embeddings_come_as_floats_or_base64() {
    let app = silent();
    let body = json!({"model": "fake-embed", "input": ["one text", "another longer text"]});
    let floats = post(&app, "/v1/embeddings", body).await.json();
    assert_eq!(floats["data"][1]["index"], 1);
    assert_eq!(
        floats["data"][0]["embedding"].as_array().map(Vec::len),
        Some(128)
    );
    assert_eq!(
        floats["usage"],
        json!({"prompt_tokens": 5, "total_tokens": 5})
    );
    let body = json!({"model": "genie", "input": "one text", "encoding_format": "base64",
        "input_type": "query", "dimensions": 128});
    let base64 = post(&app, "/v1/embeddings", body).await.json();
    let text = base64["data"][0]["embedding"].as_str().expect("base64");
    assert_eq!(text.len(), (128 * 4_usize).div_ceil(3) * 4);
    for input in [
        json!([]),
        json!(""),
        json!(["a", ""]),
        json!([1, 2]),
        json!(null),
    ] {
        let reply = post(&app, "/v1/embeddings", json!({"input": input})).await;
        assert_eq!(reply.status, 400, "{input}");
    }
    let wrong = json!({"model": "fake-chat", "input": "x"});
    assert_eq!(post(&app, "/v1/embeddings", wrong).await.status, 404);
    let cut = json!({"input": "one text", "dimensions": 32});
    let cut = post(&app, "/v1/embeddings", cut).await.json();
    let vector = cut["data"][0]["embedding"].as_array().expect("a vector");
    assert_eq!(vector.len(), 32);
    let squares = vector.iter().map(|x| x.as_f64().expect("a number").powi(2));
    let length: f64 = squares.sum();
    // Both words may lie behind the cut.
    assert!(length < 1e-6 || (length - 1.0).abs() < 1e-3, "{length}");
    let wrong = json!({"input": "x", "dimensions": 5});
    assert_eq!(post(&app, "/v1/embeddings", wrong).await.status, 400);
}

#[tokio::test]
async fn texts_are_put_in_the_order_of_a_query() {
    let app = silent();
    let documents = json!([
        "A tower on the hill",
        {"text": "How many networks does it connect"},
        "It connects 42 networks",
    ]);
    let body = json!({"query": "connects 42 networks", "documents": documents, "top_n": 2,
        "return_documents": true, "model": "fake-embed"});
    let reply = post(&app, "/v1/rerank", body).await;
    assert_eq!(reply.status, 200);
    let body = reply.json();
    let results = body["results"].as_array().expect("results");
    assert_eq!(results.len(), 2);
    assert_eq!(results[0]["index"], 2);
    assert_eq!(results[1]["index"], 1);
    assert_eq!(
        results[1]["document"]["text"],
        "How many networks does it connect"
    );
    let score = |result: &Value| result["relevance_score"].as_f64().expect("a score");
    assert!(score(&results[0]) > score(&results[1]));
    assert!(body["usage"]["total_tokens"].as_u64().expect("a count") > 0);

    for wrong in [
        json!({"query": "a", "documents": []}),
        json!({"query": " ", "documents": ["a"]}),
        json!({"query": "a", "documents": ["a"], "top_n": 0}),
        json!({"query": "a", "documents": vec!["a"; 257]}),
        json!({"query": "a", "documents": [7]}),
        json!({"query": "a", "documents": ["a"], "budget_ms": 0}),
        json!({"query": "a", "documents": ["a", "b".repeat(20_001)]}),
    ] {
        assert_eq!(
            post(&app, "/v1/rerank", wrong.clone()).await.status,
            400,
            "{wrong}"
        );
    }
    let long = json!({"query": "a", "documents": ["a", "b".repeat(20_001)]});
    let told = post(&app, "/v1/rerank", long).await.text;
    assert!(told.contains("20000") && told.contains("at 1"), "{told}");
    let large = json!({"query": "a", "documents": vec!["b".repeat(20_000); 60]});
    let status = post(&app, "/v1/rerank", large).await.status;
    assert_eq!(status, 413, "the body as a whole is bounded");
    let all = json!({"query": "a", "documents": vec!["a b c"; 70], "budget_ms": 60_000});
    let body = post(&app, "/v1/rerank", all).await.json();
    assert_eq!(body["results"].as_array().map(Vec::len), Some(70));
    assert_eq!(body.get("unread"), None, "there was time for all");
    let other = json!({"query": "a", "documents": ["a"], "model": "another"});
    assert_eq!(post(&app, "/v1/rerank", other).await.status, 404);
}
