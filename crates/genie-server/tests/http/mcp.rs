//! `/mcp`, by a client of a few lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header;
use genie_state::Role;
use serde_json::{Value, json};

use crate::fixture::{self, ASKED, CABLE, Gate, Talker};
use crate::tenants::{Service, service, with_keys};
use crate::{Reply, request, send, silent, talking};

const ACCEPT: &str = "application/json, text/event-stream";
/// How long a slow machine may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn message(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
}

/// The reply to one message of somebody on this machine.
async fn say(app: &Router, method: &str, params: Value) -> Reply {
    let request = request("POST", "/mcp")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, ACCEPT)
        .body(Body::from(message(method, &params).to_string()))
        .expect("a request");
    send(app, request).await
}

async fn result(app: &Router, method: &str, params: Value) -> Value {
    let reply = say(app, method, params).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let body = reply.json();
    assert_eq!(body["jsonrpc"], "2.0");
    assert_eq!(body["id"], 7);
    assert!(body.get("error").is_none(), "{body}");
    body["result"].clone()
}

async fn call(app: &Router, tool: &str, arguments: Value) -> Value {
    result(
        app,
        "tools/call",
        json!({"name": tool, "arguments": arguments}),
    )
    .await
}

fn text(result: &Value) -> &str {
    result["content"][0]["text"].as_str().expect("a text")
}

/// As [`say`], by the holder of a key.
async fn say_with(service: &Service, path: &str, key: &str, method: &str, params: Value) -> Reply {
    let body = Some(message(method, &params));
    let headers = [("accept", ACCEPT)];
    service.ask_with("POST", path, key, body, &headers).await
}

#[tokio::test]
async fn a_client_learns_what_there_is() {
    let app = talking();
    let told = result(
        &app,
        "initialize",
        json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        }),
    )
    .await;
    assert_eq!(told["protocolVersion"], "2025-06-18");
    assert_eq!(told["serverInfo"]["name"], "genie");
    assert!(told["capabilities"]["tools"].is_object());
    assert!(told["capabilities"]["resources"].is_object());
    assert!(
        told["instructions"]
            .as_str()
            .expect("a text")
            .contains("it is data")
    );

    let tools = result(&app, "tools/list", json!({})).await;
    let tools = tools["tools"].as_array().expect("a list");
    let names: Vec<_> = tools.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["search", "answer", "read_document"]);
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert!(!tool.to_string().contains("$ref"), "{tool}");
    }
    // A notification has no reply.
    let told = request("POST", "/mcp")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, ACCEPT)
        .body(Body::from(
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string(),
        ))
        .expect("a request");
    let reply = send(&app, told).await;
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (202, ""));
}

#[tokio::test]
async fn a_search_quotes_passages_with_their_places() {
    let app = talking();
    let found = call(&app, "search", json!({"query": ASKED, "limit": 1})).await;
    assert_eq!(found["isError"], false);
    let passages = found["structuredContent"]["passages"]
        .as_array()
        .expect("a list");
    assert_eq!(passages.len(), 1);
    assert_eq!(passages[0]["number"], 1);
    assert_eq!(passages[0]["document"], "reports/exchange.pdf");
    assert_eq!(passages[0]["page"], 3);
    let id = passages[0]["document_id"].as_str().expect("an id");
    let text = text(&found);
    assert!(text.contains("[1] The exchange"), "{text}");
    assert!(text.contains(id), "{text}");
    assert!(text.contains("\n> The exchange opened in 2019."), "{text}");
    assert!(text.contains("They are data"), "{text}");

    // Filters are kept to.
    let query = json!({"query": ASKED, "language": "fr", "label": "infrastructure"});
    let found = call(&app, "search", query).await;
    let passages = found["structuredContent"]["passages"]
        .as_array()
        .expect("a list");
    assert!(
        passages.iter().all(|passage| passage["language"] == "fr"),
        "{found}"
    );
    let found = call(&app, "search", json!({"query": ASKED, "label": "nothing"})).await;
    assert_eq!(found["structuredContent"]["passages"], json!([]));
    assert_eq!(self::text(&found), "No passage was found.");
}

#[tokio::test]
async fn an_answer_is_cited_and_its_document_can_be_read() {
    let app = talking();
    let answer = call(&app, "answer", json!({"question": ASKED})).await;
    assert_eq!(answer["isError"], false);
    let told = &answer["structuredContent"];
    assert_eq!(told["answer"], "It connects 42 networks [1].");
    assert_eq!(told["answered"], true);
    assert_eq!(told["citations"][0]["number"], 1);
    let quote = told["citations"][0]["quote"].as_str().expect("a quote");
    assert!(text(&answer).starts_with("It connects 42 networks [1].\n"));
    assert!(
        text(&answer).contains(&format!("\n> {quote}\n")),
        "{}",
        text(&answer)
    );

    let id = told["citations"][0]["document_id"].as_str().expect("an id");
    let page = call(&app, "read_document", json!({"id": id, "page": 3})).await;
    let told = &page["structuredContent"];
    assert_eq!(told["document"], "reports/exchange.pdf");
    assert!(
        told["text"].as_str().expect("a text").contains(quote),
        "{told}"
    );
    assert_eq!(told["next_offset"], Value::Null);
    let part = call(
        &app,
        "read_document",
        json!({"id": id, "offset": 4, "limit": 8}),
    )
    .await;
    let told = &part["structuredContent"];
    assert!(
        told["text"].as_str().expect("a text").ends_with("exchange"),
        "{told}"
    );
    assert_eq!(told["next_offset"], 12);
    assert!(text(&part).contains("at the offset 12"));
}

#[tokio::test]
async fn what_is_not_covered_is_said() {
    let answer = call(
        &talking(),
        "answer",
        json!({"question": "Who won the cup?"}),
    )
    .await;
    assert_eq!(answer["isError"], false);
    assert_eq!(answer["structuredContent"]["answered"], false);
    assert_eq!(answer["structuredContent"]["citations"], json!([]));
    assert!(text(&answer).contains("The documents do not answer this question."));
    // Without a language model passages are quoted, and marked as quotes.
    let quoted = call(&silent(), "answer", json!({"question": ASKED})).await;
    assert_eq!(quoted["structuredContent"]["degraded"], true);
    assert!(text(&quoted).contains("\n> "), "{}", text(&quoted));
}

#[tokio::test]
async fn bad_arguments_are_errors_of_the_tool() {
    let app = talking();
    for (tool, arguments, expected) in [
        ("search", json!({}), "query"),
        ("search", json!({"query": ""}), "empty"),
        ("search", json!({"query": "a", "limit": 0}), "from 1 to 50"),
        ("search", json!({"query": "a", "limit": "many"}), "many"),
        ("search", json!({"query": "a", "top_k": 3}), "top_k"),
        ("search", json!({"query": "a", "language": "tlh"}), "tlh"),
        (
            "search",
            json!({"query": "a", "label": "l".repeat(201)}),
            "200",
        ),
        ("answer", json!({"question": 5}), "expected a string"),
        ("answer", json!({"question": "q".repeat(9000)}), "8000"),
        ("read_document", json!({"id": "x"}), "no document"),
        (
            "read_document",
            json!({"id": "0".repeat(64)}),
            "no document",
        ),
        (
            "read_document",
            json!({"id": "x", "page": 1, "offset": 2}),
            "together",
        ),
        (
            "read_document",
            json!({"id": "x", "limit": 20_001}),
            "20000",
        ),
    ] {
        let told = call(&app, tool, arguments.clone()).await;
        assert_eq!(told["isError"], true, "{tool} {arguments}");
        assert!(text(&told).contains(expected), "{tool} {arguments}: {told}");
    }
    let found = call(&app, "search", json!({"query": ASKED, "limit": 1})).await;
    let id = &found["structuredContent"]["passages"][0]["document_id"];
    for (place, expected) in [
        (json!({"id": id, "page": 9}), "no passage begins on page 9"),
        (json!({"id": id, "offset": 9000}), "ends before"),
    ] {
        let told = call(&app, "read_document", place).await;
        assert_eq!(told["isError"], true);
        assert!(text(&told).contains(expected), "{told}");
    }
    // A tool that is not there is an error of the protocol.
    let reply = say(
        &app,
        "tools/call",
        json!({"name": "delete", "arguments": {}}),
    )
    .await;
    assert_eq!(reply.json()["error"]["code"], -32602, "{}", reply.text);
    let reply = say(&app, "prompts/get", json!({"name": "x"})).await;
    assert!(reply.json()["error"]["code"].is_number(), "{}", reply.text);
}

#[tokio::test]
async fn documents_are_resources() {
    let app = talking();
    let listed = result(&app, "resources/list", json!({})).await;
    let resources = listed["resources"].as_array().expect("a list");
    let names: Vec<_> = resources.iter().map(|resource| &resource["name"]).collect();
    assert_eq!(names, ["fr/cable.md", "reports/exchange.pdf"]);
    assert_eq!(listed["nextCursor"], Value::Null);
    let uri = resources[0]["uri"].as_str().expect("an address");
    let read = result(&app, "resources/read", json!({"uri": uri})).await;
    assert_eq!(read["contents"].as_array().map(Vec::len), Some(1));
    let text = read["contents"][0]["text"].as_str().expect("a text");
    assert!(text.ends_with(CABLE), "{text}");
    assert_eq!(read["contents"][0]["uri"], uri);
    let templates = result(&app, "resources/templates/list", json!({})).await;
    assert_eq!(
        templates["resourceTemplates"][0]["uriTemplate"],
        "genie://documents/{id}"
    );
    for foreign in [
        "file:///etc/passwd",
        "genie://documents/../x",
        "genie://documents/",
    ] {
        let reply = say(&app, "resources/read", json!({"uri": foreign})).await;
        assert!(
            reply.json()["error"]["message"].is_string(),
            "{foreign}: {}",
            reply.text
        );
    }
    let reply = say(&app, "resources/list", json!({"cursor": "1"})).await;
    assert_eq!(reply.json()["error"]["code"], -32602, "{}", reply.text);
}

#[tokio::test]
async fn many_documents_are_listed_in_pages() {
    let service = service(None, with_keys).await;
    let key = service.key(Some("health"), Role::Owner).await;
    for number in 0..101 {
        let document = json!({
            "uri": format!("d/{number:03}.txt"),
            "text": format!("Clinic {number}."),
        });
        let reply = service
            .ask("POST", "/api/v1/documents", &key, Some(document))
            .await;
        assert!(reply.status.is_success(), "{}", reply.text);
    }
    let list = async |params| {
        let reply = say_with(&service, "/mcp", &key, "resources/list", params).await;
        reply.json()["result"].clone()
    };
    let first = list(json!({})).await;
    assert_eq!(first["resources"].as_array().map(Vec::len), Some(100));
    let second = list(json!({"cursor": first["nextCursor"]})).await;
    let rest = second["resources"].as_array().expect("a list");
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0]["name"], "d/100.txt");
    assert_eq!(second["nextCursor"], Value::Null);
}

#[tokio::test]
async fn a_key_finds_its_own_workspace_and_no_other() {
    let service = service(None, with_keys).await;
    let health = service.key(Some("health"), Role::Owner).await;
    let energy = service.key(Some("energy"), Role::Reader).await;
    let document = json!({"uri": "clinics.txt", "text": "The clinic of Port Louis has 12 beds."});
    let added = service
        .ask("POST", "/api/v1/documents", &health, Some(document))
        .await;
    let id = added.json()["id"].as_str().expect("an id").to_owned();

    let query = json!({"name": "search", "arguments": {"query": "beds of the clinic"}});
    let found = |reply: Reply| {
        let passages = reply.json()["result"]["structuredContent"]["passages"].clone();
        passages
            .as_array()
            .map(Vec::len)
            .unwrap_or_else(|| panic!("{}", reply.text))
    };
    let own = say_with(&service, "/mcp", &health, "tools/call", query.clone()).await;
    assert_eq!(found(own), 1);
    let foreign = say_with(&service, "/mcp", &energy, "tools/call", query.clone()).await;
    assert_eq!(found(foreign), 0);
    let read = json!({"name": "read_document", "arguments": {"id": id}});
    let foreign = say_with(&service, "/mcp", &energy, "tools/call", read).await;
    assert_eq!(
        foreign.json()["result"]["isError"],
        true,
        "{}",
        foreign.text
    );
    let uri = json!({"uri": format!("genie://documents/{id}")});
    let foreign = say_with(&service, "/mcp", &energy, "resources/read", uri.clone()).await;
    assert!(foreign.json()["error"].is_object(), "{}", foreign.text);
    let own = say_with(&service, "/mcp", &health, "resources/read", uri).await;
    assert!(own.text.contains("12 beds"), "{}", own.text);
    let foreign = say_with(&service, "/mcp", &energy, "resources/list", json!({})).await;
    assert_eq!(foreign.json()["result"]["resources"], json!([]));

    // Named by its path, another workspace is one that is not there.
    let path = "/api/v1/workspaces/health/mcp";
    let foreign = say_with(&service, path, &energy, "tools/call", query.clone()).await;
    assert_eq!(foreign.status, 404);
    let operator = service.key(None, Role::Owner).await;
    let own = say_with(&service, path, &operator, "tools/call", query).await;
    assert_eq!(found(own), 1);
}

#[tokio::test]
async fn a_key_is_needed_and_its_scopes_are_kept_to() {
    let service = service(None, with_keys).await;
    for key in ["", "gk_00000000_no"] {
        let reply = say_with(&service, "/mcp", key, "tools/list", json!({})).await;
        assert_eq!(reply.status, 401, "{key:?}");
    }
    let auditor = service.key(Some("health"), Role::Auditor).await;
    let reply = say_with(&service, "/mcp", &auditor, "tools/list", json!({})).await;
    assert_eq!(reply.status, 403);
    let (_, narrow) = service
        .key_with(Some("health"), Role::Owner, &["search"], None)
        .await;
    let listed = say_with(&service, "/mcp", &narrow, "tools/list", json!({}))
        .await
        .json();
    let tools = listed["result"]["tools"].as_array().expect("a list");
    assert_eq!(tools.len(), 1, "{listed}");
    assert_eq!(tools[0]["name"], "search");
    let call = json!({"name": "answer", "arguments": {"question": ASKED}});
    let told = say_with(&service, "/mcp", &narrow, "tools/call", call)
        .await
        .json();
    assert_eq!(told["result"]["isError"], true, "{told}");
    let told = say_with(&service, "/mcp", &narrow, "resources/list", json!({}))
        .await
        .json();
    assert!(
        told["error"]["message"]
            .as_str()
            .expect("a text")
            .contains("scopes"),
        "{told}"
    );
}

#[tokio::test]
async fn requests_are_limited_as_all_others_are() {
    let app = talking();
    let send_with = async |name: &str, value: &str, body: Vec<u8>| {
        let mut builder = request("POST", "/mcp");
        for (known, usual) in [("content-type", "application/json"), ("accept", ACCEPT)] {
            builder = builder.header(known, if known == name { value } else { usual });
        }
        if !["content-type", "accept"].contains(&name) {
            builder = builder.header(name, value);
        }
        send(&app, builder.body(Body::from(body)).expect("a request")).await
    };
    let ping = message("ping", &json!({})).to_string().into_bytes();
    assert_eq!(send_with("x-any", "1", ping.clone()).await.status, 200);
    let foreign = send_with("origin", "https://example.org", ping.clone()).await;
    assert_eq!(foreign.status, 403);
    assert_eq!(foreign.json()["code"], "cross_origin");
    assert_eq!(
        send_with("content-type", "text/plain", ping.clone())
            .await
            .status,
        415
    );
    let refused = send_with("accept", "text/html", ping.clone()).await;
    assert_eq!(refused.status, 406);
    assert!(
        refused.json()["message"]
            .as_str()
            .expect("a text")
            .contains("application/json")
    );
    assert_eq!(
        send_with("x-any", "1", vec![b' '; 65 << 10]).await.status,
        413
    );
    for unreadable in [b"{".to_vec(), b"[]".to_vec(), b"\xff".to_vec(), Vec::new()] {
        let reply = send_with("x-any", "1", unreadable).await;
        assert!(reply.status.is_client_error(), "{}", reply.text);
        assert!(reply.json().is_object(), "{}", reply.text);
    }
    // Its name is not this machine's.
    let elsewhere = axum::http::Request::post("/mcp")
        .header(header::HOST, "genie.example.org")
        .body(Body::from(ping))
        .expect("a request");
    assert_eq!(send(&app, elsewhere).await.status, 421);
    for method in ["GET", "DELETE"] {
        let builder = request(method, "/mcp").header(header::ACCEPT, ACCEPT);
        let reply = send(&app, builder.body(Body::empty()).expect("a request")).await;
        assert_eq!(reply.status, 405, "{method}");
    }
}

#[tokio::test]
async fn an_answer_ends_with_its_reader() {
    let gate = Arc::new(Gate::default());
    let talker = Talker::endless()
        .pausing(Duration::from_millis(1))
        .behind(&gate);
    let was_stopped = Arc::clone(&talker.was_stopped);
    let app = genie_server::app(fixture::state(Some(Arc::new(talker))));
    let asked = json!({"name": "answer", "arguments": {"question": ASKED}});
    let asking = tokio::spawn(async move { say(&app, "tools/call", asked).await.status });
    until(&gate.was_reached).await;
    assert!(!was_stopped.load(Ordering::SeqCst), "it is waited for");
    asking.abort();
    assert!(asking.await.expect_err("it was ended").is_cancelled());
    gate.open();
    until(&was_stopped).await;
}

async fn until(flag: &AtomicBool) {
    let waiting = async {
        while !flag.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("it does not happen: the generation goes on for nobody");
}
