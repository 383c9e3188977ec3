//! What refused and abandoned work leaves behind: nothing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use genie_state::{JobState, Role, Timestamp, WorkspaceId};
use serde_json::json;

use crate::tenants::{Service, service, with_keys};

const PREFER: [(&str, &str); 1] = [("prefer", "respond-async")];

async fn queued(service: &Service, key: &str, text: &str) {
    let body = json!({"uri": "exchange.txt", "text": text});
    let reply = service
        .ask_with("POST", "/api/v1/documents", key, Some(body), &PREFER)
        .await;
    assert_eq!(reply.status, 202, "{}", reply.text);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .collect()
}

/// As if nobody had touched it for a day.
fn age(file: &Path) {
    let file = File::options().write(true).open(file).expect("a file");
    let day = Duration::from_secs(24 * 3600);
    file.set_modified(SystemTime::now() - day).expect("a time");
}

#[tokio::test]
async fn a_job_that_was_set_aside_leaves_no_bytes() {
    let mut service = service(None, with_keys).await;
    let key = service.key(Some("health"), Role::Editor).await;
    queued(&service, &key, "It connects 42 networks.").await;
    let folder = service.folder.path().join("uploads/health");
    let [left] = files(&folder).try_into().expect("one file");
    age(&left);
    // Three workers take it and are never heard of again.
    let lease = Duration::from_secs(60);
    let mut now = Timestamp::now();
    for worker in ["a", "b", "c"] {
        let taken = service
            .state
            .claim(worker, &["document.add"], lease, now)
            .await
            .expect("read");
        assert!(taken.is_some(), "{worker}");
        now = now.after(lease + lease);
    }
    let none = service
        .state
        .claim("d", &["document.add"], lease, now)
        .await
        .expect("read");
    assert_eq!(none, None);
    let id: WorkspaceId = "health".parse().expect("an id");
    let page = genie_state::Page::new(1, 10).expect("a page");
    let jobs = service.state.jobs(&id, page).await.expect("read");
    assert_eq!(jobs.results[0].state, JobState::Failed);
    assert!(left.exists());
    // Somebody else's upload is just being written, and one folder belongs to
    // a workspace that is gone.
    let fresh = folder.join(".tmpAbC");
    std::fs::write(&fresh, "half of").expect("a file");
    let gone = service.folder.path().join("uploads/forgotten");
    std::fs::create_dir(&gone).expect("a folder");
    let orphan = gone.join(left.file_name().expect("a name"));
    std::fs::write(&orphan, "text").expect("a file");
    age(&orphan);
    let upkeep = service.upkeep.take().expect("not run yet");
    upkeep.run(std::future::ready(())).await;
    assert!(!left.exists() && !orphan.exists());
    assert!(fresh.exists());
}

#[tokio::test]
async fn what_an_erased_person_sent_is_erased_with_its_job() {
    let service = service(None, with_keys).await;
    let ana = service.key(Some("health"), Role::Editor).await;
    let bo = service.key(Some("health"), Role::Editor).await;
    queued(&service, &ana, "It connects 42 networks.").await;
    queued(&service, &bo, "Members pay one fee a year.").await;
    let folder = service.folder.path().join("uploads/health");
    assert_eq!(files(&folder).len(), 2);
    let erased = service.ask("DELETE", "/api/v1/me/data", &ana, None).await;
    assert_eq!(erased.status, 200, "{}", erased.text);
    let [kept] = files(&folder).try_into().expect("one file");
    let text = std::fs::read_to_string(kept).expect("a text");
    assert_eq!(text, "Members pay one fee a year.");
}

#[tokio::test]
async fn what_two_people_sent_is_left_by_the_one_who_is_not_erased() {
    let service = service(None, with_keys).await;
    let ana = service.key(Some("health"), Role::Editor).await;
    let bo = service.key(Some("health"), Role::Editor).await;
    for key in [&ana, &bo, &ana] {
        queued(&service, key, "It connects 42 networks.").await;
    }
    let id: WorkspaceId = "health".parse().expect("an id");
    assert_eq!(service.state.open_jobs(&id).await.expect("read").len(), 2);
    let erased = service.ask("DELETE", "/api/v1/me/data", &ana, None).await;
    assert_eq!(erased.status, 200, "{}", erased.text);
    assert_eq!(service.state.open_jobs(&id).await.expect("read").len(), 1);
    let folder = service.folder.path().join("uploads/health");
    let [kept] = files(&folder).try_into().expect("one file");
    let text = std::fs::read_to_string(kept).expect("a text");
    assert_eq!(text, "It connects 42 networks.");
}

#[tokio::test]
async fn a_caller_over_its_rate_writes_nothing() {
    let service = service(None, |state| {
        with_keys(state);
        state.server.requests_per_minute = 5;
    })
    .await;
    let (key, secret) = service
        .key_with(Some("health"), Role::Reader, &[], None)
        .await;
    let mut statuses = Vec::new();
    for number in 0..12 {
        // Each time another workspace, and at last one that may not be read.
        let path = match number {
            0 => "/api/v1/workspaces/health/audit".to_owned(),
            number => format!("/api/v1/workspaces/w{number}/audit"),
        };
        let reply = service.ask("GET", &path, &secret, None).await;
        statuses.push(reply.status.as_u16());
    }
    assert_eq!(statuses[..5], [403, 404, 404, 404, 404]);
    assert!(
        statuses[5..].iter().all(|status| *status == 429),
        "{statuses:?}"
    );
    let page = genie_state::Page::new(1, 100).expect("a page");
    let trail = service.state.audit_page(None, page).await.expect("read");
    let own = genie_state::Subject::key(&key.id);
    let refused = trail.results.iter().filter(|record| record.subject == own);
    assert_eq!(refused.count(), 5);
}
