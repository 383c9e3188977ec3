//! `/v1/files` and `/v1/vector_stores`.

use axum::body::Body;
use axum::http::{Request, header};
use genie_state::Role;
use serde_json::{Value, json};

use crate::fixture::ASKED;
use crate::tenants::{Service, service, with_keys};
use crate::{Reply, get, post, request, send, talking};

const BOUNDARY: &str = "a-line-of-its-own";
const CLINICS: &str = "The clinic of Port Louis has 12 beds.";

/// A form of these fields: name, file name, value.
fn form(fields: &[(&str, Option<&str>, &str)]) -> (String, String) {
    let mut body = String::new();
    for (name, file, value) in fields {
        let file = file.map_or_else(String::new, |file| format!("; filename=\"{file}\""));
        body.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n\
             {value}\r\n"
        ));
    }
    body.push_str(&format!("--{BOUNDARY}--\r\n"));
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}

fn upload(fields: &[(&str, Option<&str>, &str)]) -> Request<Body> {
    let (kind, body) = form(fields);
    request("POST", "/v1/files")
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from(body))
        .expect("a request")
}

fn ids(list: &Value) -> Vec<&str> {
    let data = list["data"].as_array().expect("a list");
    data.iter()
        .map(|item| item["id"].as_str().expect("an id"))
        .collect()
}

#[tokio::test]
async fn a_file_is_uploaded_found_read_and_removed() {
    let app = talking();
    let fields = [
        ("purpose", None, "assistants"),
        ("file", Some("clinics.txt"), CLINICS),
    ];
    let reply = send(&app, upload(&fields)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let file = reply.json();
    assert_eq!(file["object"], "file");
    assert_eq!(file["filename"], "clinics.txt");
    assert_eq!(file["bytes"], CLINICS.len());
    assert_eq!(file["status"], "processed");
    let id = file["id"].as_str().expect("an id");

    let listed = get(&app, "/v1/files?purpose=assistants").await.json();
    assert!(ids(&listed).contains(&id), "{listed}");
    assert_eq!(
        get(&app, "/v1/files?purpose=batch").await.json()["data"],
        json!([])
    );
    let first = get(&app, "/v1/files?limit=1").await.json();
    assert_eq!(first["has_more"], true);
    let rest = format!("/v1/files?after={}", ids(&first)[0]);
    assert_eq!(ids(&get(&app, &rest).await.json()).len(), 2);
    let shown = get(&app, &format!("/v1/files/{id}")).await.json();
    assert_eq!(shown["filename"], "clinics.txt");
    let content = get(&app, &format!("/v1/files/{id}/content")).await;
    assert_eq!(content.header("content-type"), "text/plain; charset=utf-8");
    assert!(content.text.ends_with(CLINICS), "{}", content.text);

    // It is in the store already, and is found there.
    let found = json!({"query": "How many beds has the clinic?", "max_num_results": 1});
    let found = post(&app, "/v1/vector_stores/vs_default/search", found).await;
    assert_eq!(found.status, 200, "{}", found.text);
    let found = found.json();
    assert_eq!(found["data"][0]["file_id"], id);
    assert_eq!(found["data"][0]["content"][0]["text"], CLINICS);
    let score = found["data"][0]["score"].as_f64().expect("a score");
    assert!((0.0..=1.0).contains(&score), "{found}");

    let removed = request("DELETE", &format!("/v1/files/{id}"))
        .body(Body::empty())
        .expect("a request");
    let removed = send(&app, removed).await;
    assert_eq!(
        removed.json(),
        json!({"id": id, "object": "file", "deleted": true})
    );
    for path in ["", "/content"] {
        let gone = get(&app, &format!("/v1/files/{id}{path}")).await;
        assert_eq!(gone.status, 404);
        assert_eq!(gone.json()["error"]["code"], "file_not_found");
    }
}

#[tokio::test]
async fn a_form_that_makes_no_sense_is_refused() {
    let app = talking();
    let file = ("file", Some("a.txt"), "Some text.");
    let purpose = ("purpose", None, "assistants");
    for (fields, expected) in [
        (vec![], "purpose"),
        (vec![file], "purpose"),
        (vec![purpose], "file"),
        (vec![("purpose", None, "fine-tune"), file], "assistants"),
        (vec![purpose, file, file], "one file"),
        (
            vec![purpose, file, ("expires_after[seconds]", None, "60")],
            "expire",
        ),
        (vec![purpose, ("file", None, "no name")], "one file"),
        (vec![purpose, ("file", Some(" "), "Some text.")], "uri"),
    ] {
        let reply = send(&app, upload(&fields)).await;
        assert_eq!(reply.status, 400, "{fields:?}: {}", reply.text);
        let error = reply.json()["error"]["message"].clone();
        assert!(
            error.as_str().expect("a text").contains(expected),
            "{error}"
        );
    }
    let unreadable = [purpose, ("file", Some("a.txt"), "bad")];
    assert_eq!(send(&app, upload(&unreadable)).await.status, 422);
    let json = request("POST", "/v1/files")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from("{}"))
        .expect("a request");
    assert_eq!(send(&app, json).await.status, 415);
}

#[tokio::test]
async fn a_workspace_is_the_one_vector_store() {
    let app = talking();
    let listed = get(&app, "/v1/vector_stores").await.json();
    assert_eq!(ids(&listed), ["vs_default"]);
    let store = get(&app, "/v1/vector_stores/vs_default").await.json();
    assert_eq!(store, listed["data"][0]);
    assert_eq!(store["file_counts"]["completed"], 2);
    assert_eq!(store["status"], "completed");
    let files = get(&app, "/v1/vector_stores/vs_default/files").await.json();
    assert_eq!(files["data"][0]["object"], "vector_store.file");
    assert_eq!(files["data"][0]["vector_store_id"], "vs_default");
    assert_eq!(files["data"][0]["attributes"]["language"], "fr");
    let id = ids(&files)[0].to_owned();
    let path = format!("/v1/vector_stores/vs_default/files/{id}");
    assert_eq!(get(&app, &path).await.json()["status"], "completed");
    let content = get(&app, &format!("{path}/content")).await.json();
    assert!(
        content["data"][0]["text"]
            .as_str()
            .expect("a text")
            .contains("3500")
    );

    let attached = post(
        &app,
        "/v1/vector_stores/vs_default/files",
        json!({"file_id": id}),
    )
    .await;
    assert_eq!(attached.json()["status"], "completed", "{}", attached.text);
    for (body, status) in [
        (json!({"file_id": "file-x"}), 404),
        (json!({"file_id": id, "attributes": {"a": "b"}}), 400),
        (
            json!({"file_id": id, "chunking_strategy": {"type": "static"}}),
            400,
        ),
        (json!({}), 400),
    ] {
        let reply = post(&app, "/v1/vector_stores/vs_default/files", body.clone()).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text);
    }
    let removed = request("DELETE", &path)
        .body(Body::empty())
        .expect("a request");
    assert_eq!(send(&app, removed).await.json()["deleted"], true);
    assert_eq!(get(&app, &format!("/v1/files/{id}")).await.status, 404);

    // What a workspace is not.
    for (method, path) in [
        ("POST", "/v1/vector_stores"),
        ("POST", "/v1/vector_stores/vs_default"),
        ("DELETE", "/v1/vector_stores/vs_default"),
    ] {
        let refused = request(method, path)
            .body(Body::empty())
            .expect("a request");
        let refused = send(&app, refused).await;
        assert_eq!(refused.status, 400, "{method} {path}");
        let message = refused.json()["error"]["message"].clone();
        assert!(message.as_str().expect("a text").contains("workspace"));
    }
    for path in ["vs_other", "default", "vs_"] {
        let unknown = get(&app, &format!("/v1/vector_stores/{path}")).await;
        assert_eq!(unknown.status, 404, "{path}");
        assert_eq!(unknown.json()["error"]["code"], "vector_store_not_found");
    }
}

#[tokio::test]
async fn a_search_keeps_to_its_filters_and_its_threshold() {
    let app = talking();
    let search = async |body: Value| -> Reply {
        post(&app, "/v1/vector_stores/vs_default/search", body).await
    };
    let filter = json!({"type": "eq", "key": "language", "value": "fr"});
    let found = search(json!({"query": ASKED, "filters": filter}))
        .await
        .json();
    let data = found["data"].as_array().expect("a list");
    assert!(!data.is_empty());
    assert!(
        data.iter().all(|hit| hit["attributes"]["language"] == "fr"),
        "{found}"
    );
    let high = json!({"score_threshold": 0.999});
    let found = search(json!({"query": ASKED, "ranking_options": high}))
        .await
        .json();
    assert_eq!(found["data"], json!([]));
    for (field, body) in [
        ("query", json!({"query": ["a", "b"]})),
        ("query", json!({"query": " "})),
        (
            "max_num_results",
            json!({"query": "a", "max_num_results": 0}),
        ),
        (
            "rewrite_query",
            json!({"query": "a", "rewrite_query": true}),
        ),
        ("filters", json!({"query": "a", "filters": {"type": "ne"}})),
    ] {
        let refused = search(body).await;
        assert_eq!(refused.status, 400, "{field}");
        assert_eq!(refused.json()["error"]["param"], field);
    }
}

#[tokio::test]
async fn a_store_of_another_workspace_is_not_there() {
    let service: Service = service(None, with_keys).await;
    let health = service.key(Some("health"), Role::Owner).await;
    let energy = service.key(Some("energy"), Role::Owner).await;
    let (kind, body) = form(&[
        ("purpose", None, "user_data"),
        ("file", Some("clinics.txt"), CLINICS),
    ]);
    let sent = Request::post("/v1/files")
        .header(header::HOST, "localhost:8080")
        .header(header::AUTHORIZATION, format!("Bearer {health}"))
        .header(header::CONTENT_TYPE, kind)
        .extension(axum::extract::ConnectInfo(std::net::SocketAddr::from((
            [192, 0, 2, 7],
            50_000,
        ))))
        .body(Body::from(body))
        .expect("a request");
    let file = send(&service.app, sent).await.json()["id"].clone();
    let file = file.as_str().expect("an id");
    let own = service
        .ask("GET", "/v1/vector_stores", &health, None)
        .await
        .json();
    assert_eq!(ids(&own), ["vs_health"]);
    for path in [
        format!("/v1/files/{file}"),
        format!("/v1/files/{file}/content"),
        "/v1/vector_stores/vs_health".to_owned(),
        "/v1/vector_stores/vs_health/files".to_owned(),
        format!("/v1/vector_stores/vs_health/files/{file}"),
        format!("/v1/vector_stores/vs_energy/files/{file}"),
    ] {
        let foreign = service.ask("GET", &path, &energy, None).await;
        assert_eq!(foreign.status, 404, "{path}: {}", foreign.text);
    }
    let query = Some(json!({"query": "beds"}));
    let path = "/v1/vector_stores/vs_health/search";
    assert_eq!(
        service
            .ask("POST", path, &energy, query.clone())
            .await
            .status,
        404
    );
    assert_eq!(service.ask("POST", path, &health, query).await.status, 200);
    for path in [
        format!("/v1/files/{file}"),
        format!("/v1/vector_stores/vs_health/files/{file}"),
    ] {
        let foreign = service.ask("DELETE", &path, &energy, None).await;
        assert_eq!(foreign.status, 404, "{path}");
    }
    let path = format!("/v1/vector_stores/vs_health/files/{file}");
    assert_eq!(service.ask("GET", &path, &health, None).await.status, 200);
    // A reader reads and changes nothing.
    let reader = service.key(Some("health"), Role::Reader).await;
    assert_eq!(service.ask("GET", &path, &reader, None).await.status, 200);
    assert_eq!(
        service.ask("DELETE", &path, &reader, None).await.status,
        403
    );
}
