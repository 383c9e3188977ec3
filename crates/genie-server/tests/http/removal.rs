//! Workspaces that are removed with time to think better of it.

use genie_state::{Role, Timestamp, WorkspaceId};
use serde_json::json;

use crate::Reply;
use crate::tenants::{Service, service, with_keys};

const REMOVED: &str = "/api/v1/removed-workspaces";

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
    let actions: Vec<_> = trail.iter().rev().map(|one| one.action.as_str()).collect();
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
