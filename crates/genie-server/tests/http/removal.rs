//! Workspaces, documents and conversations that are removed with time to think
//! better of it.

use genie_state::{Role, Timestamp, WorkspaceId};
use serde_json::json;

use crate::Reply;
use crate::tenants::{Service, service, with_keys};

const REMOVED: &str = "/api/v1/removed-workspaces";
const DOCUMENTS: &str = "/api/v1/removed-documents";
const CONVERSATIONS: &str = "/api/v1/removed-conversations";

async fn beds(service: &Service, key: &str) -> Reply {
    let query = json!({"query": "How many beds has the clinic of Port Louis?"});
    service
        .ask("POST", "/api/v1/search", key, Some(query))
        .await
}

#[tokio::test]
async fn a_workspace_that_is_kept_for_days_comes_back_with_all_it_had() {
    let service = service(None, with_keys).await;
    let operator = service.key(None, Role::Owner).await;
    let editor = service.key(Some("health"), Role::Editor).await;
    let text = json!({"uri": "clinics.txt", "text": "The clinic of Port Louis has 12 beds."});
    let added = service
        .ask("POST", "/api/v1/documents", &editor, Some(text))
        .await;
    assert_eq!(added.status, 201, "{}", added.text);
    let delete = async |query: &str| {
        let path = format!("/api/v1/workspaces/health{query}");
        service.ask("DELETE", &path, &operator, None).await
    };
    for wrong in ["?keep_days=0", "?keep_days=366", "?keep_days=soon"] {
        assert_eq!(delete(wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(delete("?keep_days=7").await.status, 204);
    // As if it had never been there.
    let gone = beds(&service, &editor).await;
    assert_eq!(gone.status, 404, "{}", gone.text);
    assert_eq!(gone.json()["code"], "workspace_not_found");
    assert_eq!(delete("").await.status, 404);
    let all = service.ask("GET", "/api/v1/workspaces", &operator, None);
    assert_eq!(all.await.json()["count"], 2);
    let removed = service.ask("GET", REMOVED, &operator, None).await.json();
    assert_eq!(
        (&removed["count"], &removed["results"][0]["id"]),
        (&1.into(), &"health".into()),
        "{removed}"
    );
    let erased_after = removed["results"][0]["erase_after"].as_str();
    let erased_after: Timestamp = erased_after.expect("a time").parse().expect("a time");
    assert!(erased_after > Timestamp::now());

    let restore = async |id: &str| {
        let path = format!("{REMOVED}/{id}/restore");
        service.ask("POST", &path, &operator, None).await
    };
    for unknown in ["energy", "nowhere", "No%20Name"] {
        assert_eq!(restore(unknown).await.status, 404, "{unknown}");
    }
    let restored = restore("health").await;
    assert_eq!(restored.status, 200, "{}", restored.text);
    assert_eq!(restored.json()["id"], "health");
    let found = beds(&service, &editor).await;
    assert_eq!(found.json()["passages"][0]["document"], "clinics.txt");
    assert_eq!(restore("health").await.status, 404);

    // Without days there is no way back.
    assert_eq!(delete("").await.status, 204);
    assert_eq!(restore("health").await.status, 404);
    let removed = service.ask("GET", REMOVED, &operator, None).await.json();
    assert_eq!(removed["count"], 0, "{removed}");
    let health = "health".parse().expect("an id");
    let trail = service.state.audit_page(
        Some(&health),
        genie_state::Page::new(1, 100).expect("a page"),
    );
    let trail = trail.await.expect("a trail").results;
    let done = trail.iter().filter(|one| one.outcome == "ok");
    let actions: Vec<_> = done.rev().map(|one| one.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "document.add",
            "workspace.delete",
            "workspace.restore",
            "workspace.delete"
        ]
    );
}

#[tokio::test]
async fn what_an_erasure_that_was_cut_off_has_left_goes_with_the_next_upkeep() {
    let mut service = service(None, with_keys).await;
    let [due, kept]: [WorkspaceId; 2] = ["health", "energy"].map(|id| id.parse().expect("an id"));
    let uploads = service.folder.path().join("uploads/health");
    std::fs::create_dir_all(&uploads).expect("a folder");
    std::fs::write(uploads.join("left"), "text").expect("a file");
    let now = Timestamp::now();
    let day = std::time::Duration::from_secs(24 * 3600);
    for (id, time) in [(&due, now), (&kept, now.after(day))] {
        assert!(
            service
                .state
                .remove_workspace(id, time)
                .await
                .expect("written")
        );
    }
    let upkeep = service.upkeep.take().expect("not run yet");
    upkeep.run(std::future::ready(())).await;
    assert!(!uploads.exists());
    let page = || genie_state::Page::new(1, 100).expect("a page");
    let left = service.state.removed_workspaces(page()).await;
    let left = left.expect("a list").results;
    let left: Vec<_> = left.iter().map(|one| one.workspace.id.as_str()).collect();
    assert_eq!(left, ["energy"]);
    let trail = service.state.audit_page(Some(&due), page()).await;
    let trail = trail.expect("a trail").results;
    assert_eq!(trail[0].action, "workspace.erase");
}

/// The clinic's document, and its id.
async fn clinics(service: &Service, key: &str) -> String {
    let text = json!({"uri": "clinics.txt", "text": "The clinic of Port Louis has 12 beds."});
    let added = service
        .ask("POST", "/api/v1/documents", key, Some(text))
        .await;
    assert_eq!(added.status, 201, "{}", added.text);
    added.json()["id"].as_str().expect("an id").to_owned()
}

async fn actions(service: &Service, workspace: &str) -> Vec<String> {
    let id = workspace.parse().expect("an id");
    let page = genie_state::Page::new(1, 100).expect("a page");
    let trail = service.state.audit_page(Some(&id), page).await;
    let trail = trail.expect("a trail").results;
    let done = trail.into_iter().filter(|one| one.outcome == "ok");
    done.rev().map(|one| one.action).collect()
}

#[tokio::test]
async fn a_document_that_is_kept_for_days_comes_back_with_what_was_said_of_it() {
    let mut service = service(None, with_keys).await;
    let (stop, working) = service.work();
    let editor = service.key(Some("health"), Role::Editor).await;
    let reader = service.key(Some("health"), Role::Reader).await;
    let other = service.key(Some("energy"), Role::Editor).await;
    let id = clinics(&service, &editor).await;
    let at = format!("/api/v1/documents/{id}");
    let change = json!({"title": "Clinics", "labels": ["care/beds"]});
    let changed = service.ask("PATCH", &at, &editor, Some(change)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let before = service.ask("GET", &at, &editor, None).await.json();

    for wrong in ["?keep_days=0", "?keep_days=366", "?keep_days=-1"] {
        let path = format!("{at}{wrong}");
        assert_eq!(
            service.ask("DELETE", &path, &editor, None).await.status,
            400
        );
    }
    let kept = format!("{at}?keep_days=7");
    assert_eq!(
        service.ask("DELETE", &kept, &reader, None).await.status,
        403
    );
    assert_eq!(service.ask("DELETE", &kept, &other, None).await.status, 404);
    assert_eq!(
        service.ask("DELETE", &kept, &editor, None).await.status,
        204
    );
    assert_eq!(
        service.ask("DELETE", &kept, &editor, None).await.status,
        404
    );
    assert_eq!(service.ask("GET", &at, &editor, None).await.status, 404);
    let content = format!("{at}/content");
    assert_eq!(
        service.ask("GET", &content, &editor, None).await.status,
        404
    );
    let found = beds(&service, &editor).await.json();
    assert_eq!(found["passages"], json!([]), "{found}");
    let elsewhere = service.ask("GET", DOCUMENTS, &other, None).await.json();
    assert_eq!(elsewhere["count"], 0, "{elsewhere}");
    let removed = service.ask("GET", DOCUMENTS, &editor, None).await.json();
    assert_eq!(removed["count"], 1, "{removed}");
    let removed = &removed["results"][0];
    for field in ["id", "uri", "title", "labels", "bytes", "chunks"] {
        assert_eq!(removed[field], before[field], "{field}");
    }
    let erased_after = removed["erase_after"].as_str();
    let erased_after: Timestamp = erased_after.expect("a time").parse().expect("a time");
    assert!(erased_after > Timestamp::now());

    let restore = |id: &str| format!("{DOCUMENTS}/{id}/restore");
    let unknown = "0".repeat(64);
    for (path, key) in [
        (restore(&unknown), &editor),
        (restore("no-id"), &editor),
        (restore(&id), &other),
    ] {
        let reply = service.ask("POST", &path, key, None).await;
        assert_eq!(reply.status, 404, "{path}: {}", reply.text);
    }
    // Its name is taken for a while.
    let newer = json!({"uri": "clinics.txt", "text": "The clinic was closed."});
    let newer = service
        .ask("POST", "/api/v1/documents", &editor, Some(newer))
        .await;
    let newer = newer.json()["id"].as_str().expect("an id").to_owned();
    let refused = service.ask("POST", &restore(&id), &editor, None).await;
    assert_eq!(refused.status, 409, "{}", refused.text);
    assert_eq!(refused.json()["code"], "document_exists");
    let path = format!("/api/v1/documents/{newer}");
    assert_eq!(
        service.ask("DELETE", &path, &editor, None).await.status,
        204
    );

    let queued = service.ask("POST", &restore(&id), &editor, None).await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    let job = service.finished(&queued, &editor).await;
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(service.ask("GET", &at, &editor, None).await.json(), before);
    let content = service.ask("GET", &content, &editor, None).await;
    assert_eq!(content.text, "The clinic of Port Louis has 12 beds.");
    let found = beds(&service, &editor).await;
    assert_eq!(found.json()["passages"][0]["document"], "clinics.txt");
    let left = service.ask("GET", DOCUMENTS, &editor, None).await.json();
    assert_eq!(left["count"], 0, "{left}");

    // Without days nothing is left, also of what was removed before.
    assert_eq!(
        service.ask("DELETE", &kept, &editor, None).await.status,
        204
    );
    assert_eq!(service.ask("DELETE", &at, &editor, None).await.status, 204);
    assert_eq!(service.ask("DELETE", &at, &editor, None).await.status, 404);
    let gone = service.ask("POST", &restore(&id), &editor, None).await;
    assert_eq!(gone.status, 404, "{}", gone.text);
    let folder = service.folder.path().join("workspaces/health");
    let left = std::fs::read_dir(folder).expect("a folder").count();
    assert_eq!(left, 0, "files");
    assert_eq!(
        actions(&service, "health").await,
        [
            "document.add",
            "document.change",
            "document.remove",
            "document.add",
            "document.delete",
            "document.restore",
            "document.download",
            "document.remove",
            "document.delete",
        ]
    );
    stop.send(()).expect("it works");
    working.await.expect("it ends");
}

#[tokio::test]
async fn a_document_that_was_erased_before_its_turn_is_not_restored() {
    let mut service = service(None, with_keys).await;
    let editor = service.key(Some("health"), Role::Editor).await;
    let id = clinics(&service, &editor).await;
    let at = format!("/api/v1/documents/{id}");
    let kept = format!("{at}?keep_days=1");
    assert_eq!(
        service.ask("DELETE", &kept, &editor, None).await.status,
        204
    );
    let path = format!("{DOCUMENTS}/{id}/restore");
    let queued = service.ask("POST", &path, &editor, None).await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    assert_eq!(service.ask("DELETE", &at, &editor, None).await.status, 204);
    let (stop, working) = service.work();
    let job = service.finished(&queued, &editor).await;
    assert_eq!(job["state"], "failed", "{job}");
    assert_eq!(job["reason"], "the document was erased");
    assert_eq!(service.ask("GET", &at, &editor, None).await.status, 404);
    stop.send(()).expect("it works");
    working.await.expect("it ends");
}

#[tokio::test]
async fn what_was_removed_is_erased_when_its_time_has_come() {
    let mut service = service(None, with_keys).await;
    let editor = service.key(Some("health"), Role::Editor).await;
    let id = clinics(&service, &editor).await;
    let delete = format!("/api/v1/documents/{id}?keep_days=7");
    assert_eq!(
        service.ask("DELETE", &delete, &editor, None).await.status,
        204
    );
    let body = json!({"title": "Beds"});
    let begun = service
        .ask("POST", "/api/v1/conversations", &editor, Some(body))
        .await;
    let begun = begun.json()["id"].as_str().expect("an id").to_owned();
    let delete = format!("/api/v1/conversations/{begun}?keep_days=7");
    assert_eq!(
        service.ask("DELETE", &delete, &editor, None).await.status,
        204
    );

    // A week later.
    let folder = service.folder.path().join("workspaces/health");
    let originals = genie_state::Originals::at(&folder);
    let document = id.parse().expect("an id");
    let removed = originals.read_removed(&document).expect("read");
    let (removed, bytes) = removed.expect("it is there");
    originals.stage(&bytes).expect("room").keep().expect("room");
    let due = genie_state::RemovedDocument {
        erase_after: Timestamp::now(),
        ..removed
    };
    assert!(originals.set_aside(&due).expect("written"));
    assert!(originals.remove(&document).expect("removed"));
    let upkeep = service.upkeep.take().expect("not run yet");
    upkeep.run(std::future::ready(())).await;

    let documents = service.ask("GET", DOCUMENTS, &editor, None).await.json();
    assert_eq!(documents["count"], 0, "{documents}");
    assert_eq!(std::fs::read_dir(folder).expect("a folder").count(), 0);
    // This one has its time still.
    let talks = service
        .ask("GET", CONVERSATIONS, &editor, None)
        .await
        .json();
    assert_eq!(talks["count"], 1, "{talks}");
    let actions = actions(&service, "health").await;
    assert_eq!(actions.last().map(String::as_str), Some("document.erase"));
}

#[tokio::test]
async fn a_conversation_that_is_kept_for_days_comes_back_to_whose_it_is() {
    let service = service(None, with_keys).await;
    let ana = service.key(Some("health"), Role::Reader).await;
    let bo = service.key(Some("health"), Role::Owner).await;
    let body = json!({"title": "Beds"});
    let begun = service
        .ask("POST", "/api/v1/conversations", &ana, Some(body))
        .await
        .json();
    let id = begun["id"].as_str().expect("an id");
    let at = format!("/api/v1/conversations/{id}");
    let kept = format!("{at}?keep_days=30");
    assert_eq!(service.ask("DELETE", &kept, &bo, None).await.status, 404);
    assert_eq!(service.ask("DELETE", &kept, &ana, None).await.status, 204);
    assert_eq!(service.ask("GET", &at, &ana, None).await.status, 404);
    let mine = service.ask("GET", CONVERSATIONS, &ana, None).await.json();
    assert_eq!(mine["results"][0]["title"], "Beds", "{mine}");
    let others = service.ask("GET", CONVERSATIONS, &bo, None).await.json();
    assert_eq!(others["count"], 0, "{others}");
    let restore = format!("{CONVERSATIONS}/{id}/restore");
    assert_eq!(service.ask("POST", &restore, &bo, None).await.status, 404);
    let restored = service.ask("POST", &restore, &ana, None).await;
    assert_eq!(restored.status, 200, "{}", restored.text);
    assert_eq!(restored.json(), begun);
    assert_eq!(service.ask("GET", &at, &ana, None).await.json(), begun);
    assert_eq!(service.ask("DELETE", &at, &ana, None).await.status, 204);
    assert_eq!(service.ask("POST", &restore, &ana, None).await.status, 404);
}

#[tokio::test]
async fn erasing_a_document_leaves_the_answers_of_one_that_has_its_name_by_now() {
    let service = service(None, with_keys).await;
    let editor = service.key(Some("health"), Role::Editor).await;
    let old = clinics(&service, &editor).await;
    let path = format!("/api/v1/documents/{old}");
    let kept = format!("{path}?keep_days=3");
    let gone = service.ask("DELETE", &kept, &editor, None).await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    let newer = json!({"uri": "clinics.txt", "text": "The clinic of Port Louis has 40 beds now."});
    let newer = service
        .ask("POST", "/api/v1/documents", &editor, Some(newer))
        .await;
    let newer = newer.json()["id"].as_str().expect("an id").to_owned();
    let begun = service
        .ask("POST", "/api/v1/conversations", &editor, Some(json!({})))
        .await;
    let begun = begun.json()["id"].as_str().expect("an id").to_owned();
    let messages = format!("/api/v1/conversations/{begun}/messages");
    let question = json!({"question": "How many beds has the clinic of Port Louis?"});
    let asked = service
        .ask("POST", &messages, &editor, Some(question))
        .await
        .json();
    let told = asked["answer"]["text"].as_str().expect("an answer");
    assert!(told.contains("40 beds"), "{asked}");
    let text = async || {
        let kept = service.ask("GET", &messages, &editor, None).await.json();
        kept["results"][1]["text"]
            .as_str()
            .expect("a text")
            .to_owned()
    };
    let erased = service.ask("DELETE", &path, &editor, None).await;
    assert_eq!(erased.status, 204, "{}", erased.text);
    assert_eq!(text().await, told);
    let path = format!("/api/v1/documents/{newer}");
    let erased = service.ask("DELETE", &path, &editor, None).await;
    assert_eq!(erased.status, 204, "{}", erased.text);
    assert_eq!(text().await, genie_state::ERASED);
}
