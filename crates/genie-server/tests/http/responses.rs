//! `/v1/responses`.

use std::sync::Arc;

use genie_core::Generate;
use genie_state::Role;
use serde_json::{Value, json};

use crate::fixture::{ASKED, EXCHANGE, Talker, state};
use crate::tenants::{Service, service, with_keys};
use crate::{Reply, post, silent, talking};

fn talker() -> Option<Arc<dyn Generate>> {
    Some(Arc::new(Talker::saying(&["It connects 42 networks. "])))
}

/// A service with the exchange's document in `health`, and a key for it.
async fn with_document() -> (Service, String) {
    let service = service(talker(), with_keys).await;
    let key = service.key(Some("health"), Role::Owner).await;
    let document = json!({"uri": "exchange.txt", "text": EXCHANGE});
    let reply = service
        .ask("POST", "/api/v1/documents", &key, Some(document))
        .await;
    assert!(reply.status.is_success(), "{}", reply.text);
    (service, key)
}

async fn respond(service: &Service, key: &str, body: Value) -> Value {
    let reply = service.ask("POST", "/v1/responses", key, Some(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

fn id(response: &Value) -> &str {
    response["id"].as_str().expect("an id")
}

async fn conversations(service: &Service, key: &str) -> Value {
    service
        .ask("GET", "/api/v1/conversations", key, None)
        .await
        .json()
}

#[tokio::test]
async fn a_response_has_the_answer_with_its_citations() {
    let body = json!({"model": "genie", "input": ASKED, "instructions": "Be brief.",
        "metadata": {"case": "7"}});
    let reply = post(&talking(), "/v1/responses", body).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let body = reply.json();
    assert_eq!(body["object"], "response");
    assert_eq!(body["status"], "completed");
    assert_eq!(body["model"], "genie");
    assert_eq!(body["instructions"], "Be brief.");
    assert_eq!(body["metadata"], json!({"case": "7"}));
    // There is nothing here that it could be stored in.
    assert_eq!(body["store"], false);
    assert_eq!(body["output"].as_array().map(Vec::len), Some(1));
    let message = &body["output"][0];
    assert_eq!(
        (&message["type"], &message["role"]),
        (&json!("message"), &json!("assistant"))
    );
    let part = &message["content"][0];
    assert_eq!(part["type"], "output_text");
    assert_eq!(part["text"], "It connects 42 networks [1].");
    let annotation = &part["annotations"][0];
    assert_eq!(annotation["type"], "file_citation");
    assert_eq!(annotation["index"], 24);
    assert_eq!(annotation["filename"], "reports/exchange.pdf");
    assert!(
        annotation["file_id"]
            .as_str()
            .expect("an id")
            .starts_with("file-")
    );
    assert!(EXCHANGE.contains(annotation["quote"].as_str().expect("a quote")));
    let usage = &body["usage"];
    let count = |key: &str| usage[key].as_u64().expect("a count");
    assert!(count("output_tokens") > 0);
    assert_eq!(
        count("total_tokens"),
        count("input_tokens") + count("output_tokens")
    );
    assert_eq!(body["answered"], true);
}

#[tokio::test]
async fn events_are_numbered_and_end_with_the_response() {
    let body = json!({"input": [{"role": "user", "content": ASKED}], "stream": true,
        "tools": [{"type": "file_search"}], "include": ["file_search_call.results"]});
    let reply = post(&talking(), "/v1/responses", body).await;
    let events: Vec<Value> = reply
        .events()
        .into_iter()
        .map(|(name, data)| {
            let event: Value = serde_json::from_str(&data).expect("JSON");
            assert_eq!(event["type"], name);
            event
        })
        .collect();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().expect("a type"))
        .collect();
    assert_eq!(
        kinds,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.file_search_call.in_progress",
            "response.file_search_call.searching",
            "response.file_search_call.completed",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.annotation.added",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let text: String = events
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(text.trim_end(), "It connects 42 networks [1].");
    let response = &events.last().expect("an end")["response"];
    assert_eq!(response["id"], events[0]["response"]["id"]);
    assert_eq!(response["output"][1]["content"][0], events[11]["part"]);
    assert_eq!(response["output"][1]["id"], events[8]["item_id"]);
    let search = &response["output"][0];
    assert_eq!(search["type"], "file_search_call");
    assert_eq!(search["queries"], json!([ASKED]));
    assert_eq!(search["results"][0]["filename"], "reports/exchange.pdf");
}

#[tokio::test]
async fn a_failure_is_told_as_an_event() {
    let body = json!({"input": "q".repeat(9000), "stream": true});
    let refused = post(&talking(), "/v1/responses", body).await;
    assert_eq!(refused.status, 400, "known before the stream begins");

    let app = genie_server::app(state(Some(Arc::new(Talker::failing()))));
    let body = json!({"input": ASKED, "stream": true});
    let reply = post(&app, "/v1/responses", body).await;
    let events = reply.events();
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["response.created", "response.in_progress"]);
    let (name, last) = events.last().expect("an end");
    assert_eq!(name, "response.failed");
    let last: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(last["response"]["status"], "failed");
    assert_eq!(last["response"]["error"]["code"], "server_error");
}

#[tokio::test]
async fn a_stored_response_is_read_gone_on_from_and_erased() {
    let (service, key) = with_document().await;
    let first = respond(&service, &key, json!({"input": ASKED})).await;
    assert_eq!(first["store"], true);
    let path = format!("/v1/responses/{}", id(&first));
    let again = service.ask("GET", &path, &key, None).await;
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(again.json(), first);
    let input = service
        .ask("GET", &format!("{path}/input_items"), &key, None)
        .await
        .json();
    assert_eq!(input["data"][0]["content"][0]["text"], ASKED);

    let second = json!({"input": "And when was that?", "previous_response_id": first["id"]});
    let second = respond(&service, &key, second).await;
    assert_eq!(second["previous_response_id"], first["id"]);
    // One conversation, named by its first question.
    let kept = conversations(&service, &key).await;
    assert_eq!(kept["count"], 1, "{kept}");
    assert_eq!(kept["results"][0]["messages"], 4);
    assert_eq!(kept["results"][0]["title"], ASKED);

    let erased = service.ask("DELETE", &path, &key, None).await;
    assert_eq!(erased.status, 200, "{}", erased.text);
    assert_eq!(erased.json()["deleted"], true);
    for method in ["GET", "DELETE"] {
        let gone = service.ask(method, &path, &key, None).await;
        assert_eq!(gone.status, 404, "{method}");
        assert_eq!(gone.json()["error"]["code"], "response_not_found");
    }
    let third = json!({"input": ASKED, "previous_response_id": first["id"]});
    let refused = service
        .ask("POST", "/v1/responses", &key, Some(third))
        .await;
    assert_eq!(refused.status, 404);
    assert_eq!(refused.json()["error"]["param"], "previous_response_id");
    // What came behind it is still there.
    let path = format!("/v1/responses/{}", id(&second));
    assert_eq!(service.ask("GET", &path, &key, None).await.status, 200);
    assert_eq!(
        conversations(&service, &key).await["results"][0]["messages"],
        2
    );

    let trail = service.ask("GET", "/api/v1/audit", &key, None).await.json();
    let actions: Vec<_> = trail["results"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|record| record["action"].as_str().expect("a word"))
        .collect();
    assert!(actions.contains(&"response.delete"), "{actions:?}");
}

#[tokio::test]
async fn what_is_not_to_be_stored_is_not() {
    let (service, key) = with_document().await;
    let told = respond(&service, &key, json!({"input": ASKED, "store": false})).await;
    assert_eq!(told["store"], false);
    let path = format!("/v1/responses/{}", id(&told));
    assert_eq!(service.ask("GET", &path, &key, None).await.status, 404);
    assert_eq!(conversations(&service, &key).await["count"], 0);
    // A failed question leaves no conversation either.
    let empty = json!({"input": " "});
    let refused = service
        .ask("POST", "/v1/responses", &key, Some(empty))
        .await;
    assert_eq!(refused.status, 400);
    assert_eq!(conversations(&service, &key).await["count"], 0);
    // Without a state nothing can be promised.
    for body in [
        json!({"input": ASKED, "store": true}),
        json!({"input": ASKED, "previous_response_id": told["id"]}),
    ] {
        let refused = post(&silent(), "/v1/responses", body).await;
        assert_eq!(refused.status, 501, "{}", refused.text);
    }
}

#[tokio::test]
async fn a_streamed_response_is_stored_too() {
    let (service, key) = with_document().await;
    let body = json!({"input": ASKED, "stream": true});
    let reply = service.ask("POST", "/v1/responses", &key, Some(body)).await;
    let (name, last) = reply.events().pop().expect("events");
    assert_eq!(name, "response.completed");
    let last: Value = serde_json::from_str(&last).expect("JSON");
    let path = format!("/v1/responses/{}", id(&last["response"]));
    let kept = service.ask("GET", &path, &key, None).await;
    assert_eq!(kept.json(), last["response"]);
}

#[tokio::test]
async fn a_response_is_its_caller_s_alone() {
    let (service, key) = with_document().await;
    let told = respond(&service, &key, json!({"input": ASKED})).await;
    let path = format!("/v1/responses/{}", id(&told));
    let colleague = service.key(Some("health"), Role::Owner).await;
    let stranger = service.key(Some("energy"), Role::Owner).await;
    for other in [&colleague, &stranger] {
        for method in ["GET", "DELETE"] {
            let reply = service.ask(method, &path, other, None).await;
            assert_eq!(reply.status, 404, "{}", reply.text);
            assert_eq!(reply.json()["error"]["code"], "response_not_found");
        }
        let body = json!({"input": ASKED, "previous_response_id": told["id"]});
        let reply = service
            .ask("POST", "/v1/responses", other, Some(body))
            .await;
        assert_eq!(reply.status, 404, "{}", reply.text);
    }
    for unknown in [
        "resp_x",
        "resp_00000000000000000000000000000000_health",
        "x",
    ] {
        let reply = service
            .ask("GET", &format!("/v1/responses/{unknown}"), &key, None)
            .await;
        assert_eq!(reply.status, 404, "{unknown}");
    }
}

#[tokio::test]
async fn a_workspace_is_named_as_a_model_or_as_a_vector_store() {
    let (service, _) = with_document().await;
    let operator = service.key(None, Role::Owner).await;
    let by_model = json!({"model": "genie/health", "input": ASKED});
    let by_store = json!({"model": "genie", "input": ASKED,
        "tools": [{"type": "file_search", "vector_store_ids": ["vs_health"]}]});
    for body in [by_model, by_store] {
        let told = respond(&service, &operator, body).await;
        assert_eq!(told["answered"], true, "{told}");
        assert!(id(&told).ends_with("_health"));
        // Its id says where it is.
        let path = format!("/v1/responses/{}", id(&told));
        assert_eq!(service.ask("GET", &path, &operator, None).await.status, 200);
        let next = json!({"input": ASKED, "previous_response_id": told["id"]});
        let next = respond(&service, &operator, next).await;
        assert_eq!(next["answered"], true, "{next}");
        let elsewhere = json!({"model": "genie/energy", "input": ASKED,
            "previous_response_id": told["id"]});
        let refused = service
            .ask("POST", "/v1/responses", &operator, Some(elsewhere))
            .await;
        assert_eq!(refused.status, 404);
    }
    let both = json!({"model": "genie/energy", "input": ASKED,
        "tools": [{"type": "file_search", "vector_store_ids": ["vs_health"]}]});
    let refused = service
        .ask("POST", "/v1/responses", &operator, Some(both))
        .await;
    assert_eq!(refused.status, 400);
    // A key of another workspace can't name this one.
    let stranger = service.key(Some("energy"), Role::Owner).await;
    for body in [
        json!({"model": "genie/health", "input": ASKED}),
        json!({"input": ASKED,
            "tools": [{"type": "file_search", "vector_store_ids": ["vs_health"]}]}),
    ] {
        let refused = service
            .ask("POST", "/v1/responses", &stranger, Some(body))
            .await;
        assert_eq!(refused.status, 404, "{}", refused.text);
    }
    let unknown = json!({"model": "gpt-9", "input": ASKED});
    let refused = service
        .ask("POST", "/v1/responses", &operator, Some(unknown))
        .await;
    assert_eq!(refused.json()["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn responses_that_fork_keep_their_own_history() {
    let (service, key) = with_document().await;
    let first = respond(&service, &key, json!({"input": ASKED})).await;
    let asked = |text: &str, before: &Value| json!({"input": text, "previous_response_id": before});
    let left = respond(&service, &key, asked("What does it connect?", &first["id"])).await;
    let right = respond(&service, &key, asked("When did it open?", &first["id"])).await;
    for fork in [&left, &right] {
        assert_eq!(fork["previous_response_id"], first["id"]);
        let next = respond(&service, &key, asked("Who pays a fee?", &fork["id"])).await;
        assert_eq!(next["previous_response_id"], fork["id"]);
    }
    let kept = conversations(&service, &key).await;
    assert_eq!(kept["count"], 1);
    assert_eq!(kept["results"][0]["messages"], 10);
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused_in_openai_s_shape() {
    let app = talking();
    for (field, body) in [
        ("background", json!({"input": ASKED, "background": true})),
        (
            "text",
            json!({"input": ASKED, "text": {"format": {"type": "json_object"}}}),
        ),
        (
            "tools",
            json!({"input": ASKED, "tools": [{"type": "web_search"}]}),
        ),
        (
            "tools",
            json!({"input": ASKED,
            "tools": [{"type": "file_search", "vector_store_ids": ["other"]}]}),
        ),
        ("input", json!({"model": "genie"})),
    ] {
        let reply: Reply = post(&app, "/v1/responses", body).await;
        assert_eq!(reply.status, 400, "{}", reply.text);
        assert_eq!(reply.json()["error"]["param"], field);
        assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    }
}
