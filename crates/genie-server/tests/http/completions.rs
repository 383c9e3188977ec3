//! Completions in a form, and of the language model alone.

use std::sync::Arc;

use axum::Router;
use genie_core::{ChatRole, Constraint};
use genie_testkit::FakeGenerate;
use serde_json::{Value, json};

use crate::fixture::{self, ASKED};
use crate::{post, silent, talking};

const PATH: &str = "/v1/chat/completions";
const DRAFT: &str = "It connects 42 networks.";

fn asking(extra: &Value) -> Value {
    let mut body = json!({"messages": [{"role": "user", "content": ASKED}]});
    for (key, value) in extra.as_object().expect("fields") {
        body[key] = value.clone();
    }
    body
}

fn app(model: FakeGenerate, direct: bool) -> (Router, Arc<FakeGenerate>) {
    let model = Arc::new(model);
    let mut state = fixture::state(Some(model.clone()));
    state.server.direct_model = direct;
    (genie_server::app(state), model)
}

fn schema() -> Value {
    json!({"type": "json_schema", "json_schema": {"name": "exchange", "strict": true, "schema": {
        "type": "object",
        "properties": {"networks": {"type": "integer"}, "owner": {"type": "string"}},
        "required": ["networks", "owner"],
        "additionalProperties": false,
    }}})
}

const FILLED: &str = r#"{"networks": 42, "owner": "the state"}"#;

#[tokio::test]
async fn an_answer_in_a_form_tells_which_values_are_supported() {
    let (app, model) = app(
        FakeGenerate::new().answering(DRAFT).answering(FILLED),
        false,
    );
    let reply = post(&app, PATH, asking(&json!({"response_format": schema()}))).await;
    assert_eq!(reply.status, 200);
    let body = reply.json();
    let message = &body["choices"][0]["message"];
    assert_eq!(message["content"], FILLED);
    assert_eq!(message["refusal"], Value::Null);
    assert_eq!(body["grounding"], "documents");
    assert_eq!(body["answer"], "It connects 42 networks [1].");
    assert_eq!(body["citations"][0]["document"], "reports/exchange.pdf");
    assert_eq!(
        body["values"],
        json!([
            {"path": "/networks", "support": "cited", "citation": 1},
            {"path": "/owner", "support": "none", "citation": null},
        ])
    );
    // The draft is free, and what is written from it is held to the form.
    let seen = model.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].constraint, None);
    assert!(matches!(
        seen[1].constraint,
        Some(Constraint::JsonSchema(_))
    ));
}

#[tokio::test]
async fn a_streamed_form_comes_as_a_whole() {
    let (app, _) = app(
        FakeGenerate::new().answering(DRAFT).answering(FILLED),
        false,
    );
    let asked = asking(&json!({"response_format": schema(), "stream": true}));
    let reply = post(&app, PATH, asked).await;
    let chunks = chunks(&reply.events());
    let texts: Vec<&str> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .filter(|text| !text.is_empty())
        .collect();
    assert_eq!(texts, [FILLED]);
    let last = chunks.last().expect("chunks");
    assert_eq!(last["values"][1]["support"], "none");
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn what_documents_do_not_say_is_a_refusal_and_no_form() {
    for stream in [false, true] {
        // The model holds that the passages don't answer.
        let model = FakeGenerate::new().choosing(&[-5.0, -0.01]);
        let (app, model) = app(model, false);
        let asked = asking(&json!({"response_format": schema(), "stream": stream}));
        let reply = post(&app, PATH, asked).await;
        assert_eq!(reply.status, 200);
        let refusal = if stream {
            assert!(!reply.text.contains("\"content\":\"The"), "{}", reply.text);
            chunks(&reply.events()).iter().find_map(|chunk| {
                chunk["choices"][0]["delta"]["refusal"]
                    .as_str()
                    .map(str::to_owned)
            })
        } else {
            let message = reply.json()["choices"][0]["message"].clone();
            assert_eq!(message["content"], Value::Null);
            message["refusal"].as_str().map(str::to_owned)
        };
        assert!(
            refusal.is_some_and(|refusal| !refusal.is_empty()),
            "{}",
            reply.text
        );
        assert!(model.seen().is_empty(), "nothing is written");
    }
}

#[tokio::test]
async fn a_bad_form_is_refused_before_anything_is_done() {
    let hostile = json!({"type": "json_schema", "json_schema": {"schema": {"title": "hostile"}}});
    let reply = post(
        &talking(),
        PATH,
        asking(&json!({"response_format": hostile})),
    )
    .await;
    assert_eq!(reply.status, 400);
    let error = &reply.json()["error"];
    assert_eq!(error["param"], "response_format");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| text.contains("it is hostile"))
    );
    // Only a model writes into a form.
    let reply = post(&silent(), PATH, asking(&json!({"guided_regex": "[0-9]+"}))).await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.json()["error"]["param"], "response_format");
}

#[tokio::test]
async fn the_model_alone_is_asked_only_where_the_operator_allows_it() {
    let asked = asking(&json!({"grounding": "none"}));
    let reply = post(&talking(), PATH, asked.clone()).await;
    assert_eq!(reply.status, 403);
    assert_eq!(reply.json()["error"]["code"], "direct_model_disabled");

    let (app, model) = app(FakeGenerate::new().answering("Whatever."), true);
    let asked = asking(
        &json!({"grounding": "none", "stop": "END", "seed": 5, "max_tokens": 9,
        "messages": [{"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Why?"}]}),
    );
    let reply = post(&app, PATH, asked).await;
    assert_eq!(reply.status, 200);
    let body = reply.json();
    assert_eq!(body["choices"][0]["message"]["content"], "Whatever.");
    // Nothing was checked, and it says so.
    assert_eq!(body["grounding"], "none");
    assert_eq!(body["citations"], json!([]));
    assert_eq!(body["dropped_messages"], 0);
    let request = model.seen().remove(0);
    assert_eq!(request.messages[0].role, ChatRole::System);
    assert_eq!(request.stop, ["END"]);
    assert_eq!((request.sampling.seed, request.max_tokens), (5, 9));
}

#[tokio::test]
async fn each_choice_has_its_own_seed() {
    let (app, model) = app(
        FakeGenerate::new()
            .answering("A.")
            .answering("B.")
            .answering("C."),
        true,
    );
    let asked = asking(&json!({"grounding": "none", "n": 3, "temperature": 1, "seed": 10}));
    let body = post(&app, PATH, asked).await.json();
    let choices = body["choices"].as_array().expect("choices");
    let mut texts: Vec<_> = choices
        .iter()
        .map(|choice| choice["message"]["content"].as_str().expect("a text"))
        .collect();
    // Who comes first gets which text is not decided.
    texts.sort_unstable();
    assert_eq!(texts, ["A.", "B.", "C."]);
    let indexes: Vec<_> = choices
        .iter()
        .map(|choice| choice["index"].as_u64())
        .collect();
    assert_eq!(indexes, [Some(0), Some(1), Some(2)]);
    let mut seeds: Vec<u64> = model.seen().iter().map(|it| it.sampling.seed).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [10, 11, 12]);
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "description": "Tells it.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}])
}

#[tokio::test]
async fn calls_of_tools_are_told_apart_from_text() {
    const CALL: &str = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Geneva\"}}\n\
                        </tool_call>";
    for stream in [false, true] {
        let (app, model) = app(FakeGenerate::new().answering(CALL), true);
        let asked = asking(
            &json!({"grounding": "none", "tools": tools(), "stream": stream,
            "tool_choice": "required"}),
        );
        let reply = post(&app, PATH, asked).await;
        assert_eq!(reply.status, 200);
        let (calls, reason) = if stream {
            let chunks = chunks(&reply.events());
            assert!(!reply.text.contains("<tool_call>"), "{}", reply.text);
            let find =
                |at: &dyn Fn(&Value) -> Value| chunks.iter().map(at).find(|it| !it.is_null());
            (
                find(&|chunk| chunk["choices"][0]["delta"]["tool_calls"].clone()),
                find(&|chunk| chunk["choices"][0]["finish_reason"].clone()),
            )
        } else {
            let choice = reply.json()["choices"][0].clone();
            assert_eq!(choice["message"]["content"], Value::Null);
            (
                Some(choice["message"]["tool_calls"].clone()),
                Some(choice["finish_reason"].clone()),
            )
        };
        let call = calls.expect("calls")[0].clone();
        assert_eq!(call["type"], "function");
        assert!(
            call["id"]
                .as_str()
                .is_some_and(|id| id.starts_with("call_"))
        );
        assert_eq!(
            call["function"],
            json!({"name": "weather", "arguments": "{\"city\":\"Geneva\"}"})
        );
        assert_eq!(reason, Some(json!("tool_calls")));
        let request = model.seen().remove(0);
        assert_eq!(request.tools[0].name, "weather");
        assert!(matches!(
            request.constraint,
            Some(Constraint::Calls { several: true, .. })
        ));
    }
}

#[tokio::test]
async fn a_stream_of_the_model_alone_has_its_pieces_and_says_what_it_is() {
    let (app, _) = app(FakeGenerate::new().answering("One two three."), true);
    let asked = asking(&json!({"grounding": "none", "stream": true,
        "stream_options": {"include_usage": true}}));
    let reply = post(&app, PATH, asked).await;
    let events = reply.events();
    assert_eq!(events.last().map(|(_, data)| data.as_str()), Some("[DONE]"));
    let chunks = chunks(&events);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let pieces: Vec<&str> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(pieces, ["", "One ", "two ", "three."]);
    let last = chunks.last().expect("chunks");
    assert_eq!(last["usage"]["completion_tokens"], 3);
    assert_eq!(last["grounding"], "none");
}

#[tokio::test]
async fn a_stream_tells_with_each_piece_how_probable_it_was() {
    let (app, _) = app(FakeGenerate::new().answering("One two three."), true);
    let asked = asking(&json!({"grounding": "none", "stream": true, "logprobs": true}));
    let chunks = chunks(&post(&app, PATH, asked).await.events());
    let told: Vec<(&str, &str)> = chunks
        .iter()
        .filter_map(|chunk| {
            let choice = &chunk["choices"][0];
            let tokens = choice["logprobs"]["content"].as_array()?;
            assert_eq!(tokens.len(), 1, "{choice}");
            assert_eq!(tokens[0]["logprob"], -0.5);
            Some((
                choice["delta"]["content"].as_str()?,
                tokens[0]["token"].as_str()?,
            ))
        })
        .collect();
    assert_eq!(
        told,
        [("One ", "One "), ("two ", "two "), ("three.", "three.")]
    );
}

#[tokio::test]
async fn what_documents_cannot_give_is_refused_there() {
    let (app, _) = app(FakeGenerate::new(), true);
    for (field, extra) in [
        ("n", json!({"n": 2})),
        ("stop", json!({"stop": "a"})),
        ("logprobs", json!({"logprobs": true})),
        ("tools", json!({"tools": tools()})),
        ("truncation", json!({"truncation": "auto"})),
        ("grounding", json!({"grounding": "web"})),
    ] {
        let reply = post(&app, PATH, asking(&extra)).await;
        assert_eq!(reply.status, 400, "{extra}");
        assert_eq!(reply.json()["error"]["param"], field);
    }
}

/// All events but the last, which only says that it is.
fn chunks(events: &[(String, String)]) -> Vec<Value> {
    events
        .iter()
        .filter(|(_, data)| data != "[DONE]")
        .map(|(_, data)| serde_json::from_str(data).expect("JSON"))
        .collect()
}
