//! What is in documents, and what becomes of them: text, bytes, labels,
//! certificates, and indexing anew.

use genie_core::ContentHash;
use genie_state::Role;
use serde_json::{Value, json};

use crate::Reply;
use crate::tenants::{Service, service, with_keys};

const TEXT: &str = "The canary of Port Louis sings at noon.";

async fn added(service: &Service, key: &str, uri: &str, text: &str) -> String {
    let body = json!({"uri": uri, "text": text});
    let reply = service
        .ask("POST", "/api/v1/documents", key, Some(body))
        .await;
    assert!(reply.status.is_success(), "{}", reply.text);
    reply.json()["id"].as_str().expect("an id").to_owned()
}

/// The names of all files below a folder that hold these bytes.
fn holding(folder: &std::path::Path, wanted: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes.windows(wanted.len()).any(|part| part == wanted)
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[tokio::test]
async fn the_text_is_told_in_passages_and_by_page() {
    let service = service(None, with_keys).await;
    let key = service.key(Some("health"), Role::Reader).await;
    let editor = service.key(Some("health"), Role::Editor).await;
    let paged = added(&service, &editor, "canary.pdf", TEXT).await;
    let plain = added(&service, &editor, "song.md", "It sings. All day.").await;
    let get = async |path: String| service.ask("GET", &path, &key, None).await;
    let whole = get(format!("/api/v1/documents/{paged}/text")).await.json();
    assert_eq!(whole["count"], 1);
    assert_eq!(whole["results"][0]["text"], TEXT);
    assert_eq!(whole["results"][0]["section"], json!(["Sent", "Figures"]));
    assert_eq!(
        (&whole["results"][0]["start"], &whole["results"][0]["end"]),
        (&json!(0), &json!(TEXT.len()))
    );
    let path = |rest: &str| format!("/api/v1/documents/{paged}/{rest}");
    for (section, status) in [
        ("Sent", 200),
        ("Sent%20%E2%80%BA%20Figures", 200),
        ("Sen", 404),
        ("Figures", 404),
    ] {
        let reply = get(path(&format!("text?section={section}"))).await;
        assert_eq!(reply.status, status, "{section}: {}", reply.text);
    }
    // A link to another page is about the same section.
    let behind = get(path(
        "text?section=Sent%20%E2%80%BA%20Figures&page=2&pageSize=1",
    ))
    .await;
    let previous = behind.json()["previous"]
        .as_str()
        .expect("a link")
        .to_owned();
    assert_eq!(get(previous).await.json()["count"], 1);
    let page = get(path("pages/3")).await.json();
    assert_eq!((&page["page"], &page["pages"]), (&json!(3), &json!(3)));
    assert_eq!(page["passages"][0]["text"], TEXT);
    assert_eq!(
        get(path("pages/1")).await.json()["passages"],
        json!([]),
        "nothing begins there"
    );
    for page in ["0", "4", "-1", "x", "99999999999999999999"] {
        let reply = get(path(&format!("pages/{page}"))).await;
        assert_eq!(reply.status, 404, "{page}");
        assert_eq!(reply.json()["code"], "page_not_found");
    }
    let reply = get(format!("/api/v1/documents/{plain}/pages/1")).await;
    assert!(reply.text.contains("has no pages"), "{}", reply.text);
    let unknown = "0".repeat(64);
    for rest in ["text", "pages/1", "content", "certificate"] {
        let reply = get(format!("/api/v1/documents/{unknown}/{rest}")).await;
        assert_eq!(reply.json()["code"], "document_not_found", "{rest}");
    }
}

#[tokio::test]
async fn a_document_is_saved_as_it_was_sent_and_never_shown() {
    let service = service(None, with_keys).await;
    let key = service.key(Some("health"), Role::Editor).await;
    let text = "<script>alert(1)</script> sings";
    let id = added(&service, &key, "../a/b\".html", text).await;
    let path = format!("/api/v1/documents/{id}/content");
    let reply = service.ask("GET", &path, &key, None).await;
    assert_eq!((reply.status.as_u16(), reply.text.as_str()), (200, text));
    let disposition = reply.header("content-disposition");
    assert!(disposition.starts_with("attachment; "), "{disposition}");
    assert!(!disposition.contains(".."), "{disposition}");
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
    assert!(
        reply
            .header("content-security-policy")
            .starts_with("sandbox;")
    );
    assert_eq!(reply.header("etag"), format!("\"{id}\""));
    // Nobody else's.
    let stranger = service.key(Some("energy"), Role::Owner).await;
    assert_eq!(service.ask("GET", &path, &stranger, None).await.status, 404);
}

#[tokio::test]
async fn a_removed_document_is_in_no_file() {
    let service = service(None, with_keys).await;
    let key = service.key(Some("health"), Role::Editor).await;
    let id = added(&service, &key, "canary.md", TEXT).await;
    let folder = service.folder.path();
    assert_eq!(
        holding(folder, TEXT.as_bytes()).len(),
        1,
        "its bytes are kept"
    );
    let path = format!("/api/v1/documents/{id}");
    assert_eq!(service.ask("DELETE", &path, &key, None).await.status, 204);
    assert_eq!(holding(folder, TEXT.as_bytes()), Vec::<String>::new());
    // What can't be read is not kept at all.
    let bad = json!({"uri": "bad.md", "text": "bad canary of Quito"});
    let refused = service
        .ask("POST", "/api/v1/documents", &key, Some(bad))
        .await;
    assert_eq!(refused.status, 422);
    assert_eq!(holding(folder, b"canary of Quito"), Vec::<String>::new());
}

#[tokio::test]
async fn bytes_are_counted_in_a_quota() {
    let service = service(None, with_keys).await;
    let owner = service.key(Some("health"), Role::Owner).await;
    let settings = json!({"settings": {"max_bytes": 60}});
    let changed = service
        .ask("PATCH", "/api/v1/workspaces/health", &owner, Some(settings))
        .await;
    assert_eq!(
        changed.json()["settings"]["max_bytes"],
        60,
        "{}",
        changed.text
    );
    let id = added(&service, &owner, "a.md", &"a".repeat(50)).await;
    let send = async |text: String| {
        let body = json!({"uri": "b.md", "text": text});
        service
            .ask("POST", "/api/v1/documents", &owner, Some(body))
            .await
    };
    let refused = send("b".repeat(11)).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["code"]),
        (409, &json!("quota_reached")),
    );
    assert_eq!(send("b".repeat(10)).await.status, 201);
    let path = format!("/api/v1/documents/{id}");
    assert_eq!(service.ask("DELETE", &path, &owner, None).await.status, 204);
    assert_eq!(send("c".repeat(50)).await.status, 201);
}

#[tokio::test]
async fn title_and_labels_are_changed() {
    let service = service(None, with_keys).await;
    let key = service.key(Some("health"), Role::Editor).await;
    let id = added(&service, &key, "canary.md", TEXT).await;
    let path = format!("/api/v1/documents/{id}");
    let patch = async |body: Value| service.ask("PATCH", &path, &key, Some(body)).await;
    let changed = patch(json!({"labels": ["birds/song", "islands", "islands"]})).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.json()["labels"], json!(["birds/song", "islands"]));
    assert_eq!(changed.json()["title"], "Sent");
    let changed = patch(json!({"title": " A song "})).await.json();
    assert_eq!(
        (&changed["title"], &changed["labels"]),
        (&json!("A song"), &json!(["birds/song", "islands"]))
    );
    assert_eq!(service.ask("GET", &path, &key, None).await.json(), changed);
    let query = json!({"query": "canary", "filter": {"labels": ["birds"]}});
    let found = service
        .ask("POST", "/api/v1/search", &key, Some(query))
        .await;
    assert_eq!(found.json()["passages"][0]["title"], "A song");
    for wrong in [
        json!({"title": ""}),
        json!({"title": "a\u{7}"}),
        json!({"title": "a".repeat(301)}),
        json!({"labels": ["a//b"]}),
        json!({"labels": [""]}),
        json!({"labels": vec!["a"; 33]}),
        json!({"label": []}),
    ] {
        assert_eq!(patch(wrong.clone()).await.status, 400, "{wrong}");
    }
    assert_eq!(patch(json!({})).await.status, 422);
    let unknown = format!("/api/v1/documents/{}", "0".repeat(64));
    let body = json!({"title": "a"});
    assert_eq!(
        service
            .ask("PATCH", &unknown, &key, Some(body))
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn what_is_kept_is_indexed_anew_as_a_job() {
    let mut service = service(None, with_keys).await;
    let (stop, working) = service.work();
    let key = service.key(Some("health"), Role::Editor).await;
    let id = added(&service, &key, "canary.md", TEXT).await;
    let path = format!("/api/v1/documents/{id}");
    let title = json!({"title": "A song"});
    service.ask("PATCH", &path, &key, Some(title)).await;
    let queued = service
        .ask("POST", &format!("{path}/reindex"), &key, None)
        .await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    assert_eq!(queued.json()["kind"], "document.reindex");
    let done = service.finished(&queued, &key).await;
    assert_eq!(
        (&done["state"], &done["result"]["id"]),
        (&json!("done"), &json!(id)),
        "{done}"
    );
    let after = service.ask("GET", &path, &key, None).await.json();
    assert_eq!(after["title"], "A song", "what was said of it stays");
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
    let file = format!("/v1/files/file-{id}/content");
    let bytes = service.ask("GET", &file, &key, None).await;
    assert_eq!((bytes.status.as_u16(), bytes.text.as_str()), (200, TEXT));
    assert_eq!(bytes.header("content-type"), "text/markdown");
    // Without the bytes there is nothing to begin with.
    let folder = service.folder.path().join("workspaces/health");
    std::fs::remove_file(folder.join(&id)).expect("the file");
    let refused = service
        .ask("POST", &format!("{path}/reindex"), &key, None)
        .await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["code"]),
        (409, &json!("original_not_kept"))
    );
    assert_eq!(
        service
            .ask("GET", &format!("{path}/content"), &key, None)
            .await
            .status,
        409
    );
}

/// The statement with members in the order of their names and without white
/// space, written down a second time.
fn in_order(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: std::collections::BTreeMap<_, _> = members.iter().collect();
            let members = sorted
                .iter()
                .map(|(name, value)| format!("{}:{}", json!(name), in_order(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(list) => {
            let list: Vec<_> = list.iter().map(in_order).collect();
            format!("[{}]", list.join(","))
        }
        other => other.to_string(),
    }
}

#[tokio::test]
async fn a_certificate_holds_what_can_be_checked() {
    let service = service(None, with_keys).await;
    let key = service.key(Some("health"), Role::Owner).await;
    let id = added(&service, &key, "canary.md", TEXT).await;
    let get = async |path: &str| -> Reply {
        let path = format!("/api/v1/documents/{id}{path}");
        service.ask("GET", &path, &key, None).await
    };
    let certificate = get("/certificate").await.json();
    let statement = &certificate["statement"];
    assert_eq!(
        statement["document"]["id"],
        json!(ContentHash::of(TEXT.as_bytes()).to_string())
    );
    assert_eq!(
        statement["text_sha256"],
        json!(ContentHash::of(format!("{TEXT}\n").as_bytes()).to_string())
    );
    assert_eq!(statement["index"]["embedding_model"], "fake-embed");
    assert_eq!(statement["original_kept"], true);
    assert_eq!(
        certificate["sha256"],
        json!(ContentHash::of(in_order(statement).as_bytes()).to_string())
    );
    // Both of what was done and of the statement itself the trail knows.
    let trail = service.ask("GET", "/api/v1/audit", &key, None).await.json();
    let recorded = |hash: &Value| {
        let records = trail["results"].as_array().expect("records");
        let record = records.iter().find(|record| record["hash"] == *hash);
        record.cloned().expect("a record with this hash")
    };
    let issued = recorded(&certificate["record"]["hash"]);
    assert_eq!(issued["action"], "document.certify");
    assert_eq!(issued["object"], certificate["sha256"]);
    let before = statement["trail"].as_array().expect("a list");
    assert_eq!(before.len(), 1);
    assert_eq!(recorded(&before[0]["hash"])["action"], "document.add");
}
