//! The service with its state on a PostgreSQL server.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::genie::{Genie, with_articles};
use crate::service::Service;

/// A database of its own on the server of the tests, gone at the end.
struct Database {
    server: String,
    name: String,
}

impl Database {
    /// `None` where there is no server, or no `psql` to make a database with.
    fn new() -> Option<Self> {
        let server = std::env::var("GENIE_TEST_POSTGRES").unwrap_or_default();
        if server.is_empty() {
            eprintln!("skipped: GENIE_TEST_POSTGRES names no PostgreSQL server");
            return None;
        }
        if Command::new("psql").arg("--version").output().is_err() {
            eprintln!("skipped: there is no psql to make a database with");
            return None;
        }
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("genie_e2e_{}_{number}", std::process::id());
        let made = Self { server, name };
        made.run(&format!("CREATE DATABASE {}", made.name));
        Some(made)
    }

    fn run(&self, sql: &str) {
        let done = Command::new("psql")
            .args([&self.server, "--no-psqlrc", "--quiet", "--command", sql])
            .output()
            .expect("psql starts");
        let told = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{sql}: {told}");
    }

    fn url(&self) -> String {
        let (address, query) = match self.server.split_once('?') {
            Some((address, query)) => (address, format!("?{query}")),
            None => (self.server.as_str(), String::new()),
        };
        let (host, _) = address.rsplit_once('/').expect("a URL with a database");
        format!("{host}/{}{query}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.run(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

#[test]
fn a_service_on_postgresql_has_everything_after_a_restart() {
    let Some(database) = Database::new() else {
        return;
    };
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    scratch.write("home/config.toml", "[retrieval]\nmin_similarity = 0.1\n");
    let genie = genie.set("GENIE_DATABASE_URL", database.url());
    let service = Service::start(&genie);
    let made = service.post("/api/v1/workspaces", &json!({"id": "health"}));
    assert_eq!(made.status, 201, "{}", made.text);
    // Beside the service, by the same database.
    let key = ["key", "create", "--name", "k", "--workspace", "health"];
    let made = genie.json(&[&key[..], &["--role", "owner", "--json"]].concat());
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    let base = "/api/v1/workspaces/health";
    let text = "The harbour office measures the depth of the southern basin.";
    let document = json!({"uri": "harbour.md", "text": text});
    let added = service.post(&format!("{base}/documents"), &document);
    assert_eq!(added.status, 201, "{}", added.text);
    let opened = service.post(&format!("{base}/conversations"), &json!({"title": "kept"}));
    let id = opened.json()["id"].as_str().expect("an id").to_owned();
    let messages = format!("{base}/conversations/{id}/messages");
    let question = json!({"question": "What does the harbour office measure?"});
    let asked = service.post(&messages, &question);
    assert_eq!(asked.status, 201, "{}", asked.text);
    let cited = |answer: &Value| answer["citations"][0]["document"].clone();
    assert_eq!(cited(&asked.json()["answer"]["answer"]), "harbour.md");
    service.stop().ended(0);

    let service = Service::start(&genie);
    let ready = service.get("/actuator/health/readiness").ok().json();
    assert_eq!(ready["components"]["state"]["status"], "UP", "{ready}");
    let kept = service.get(&messages).ok().json();
    assert_eq!(kept["count"], 2, "{kept}");
    let me = service.get_with_key("/api/v1/me", &secret).ok().json();
    assert_eq!(me["workspace"], "health");
    let again = service.post(&format!("{base}/answer"), &question).ok();
    assert_eq!(cited(&again.json()), "harbour.md");
    let listed = service.get(&format!("{base}/documents")).ok().json();
    assert_eq!(listed["count"], 1, "{listed}");
    let verdict = service.get("/api/v1/audit/verify").ok().json();
    assert_eq!(verdict["whole"], true, "{verdict}");
    service.stop().ended(0);
    let used = genie.json(&["usage", "--workspace", "health", "--json"]);
    assert_eq!(used[0]["answers"], 2, "{used}");
    // Nothing of it went into a file.
    assert!(!scratch.home().join("state/genie.db").exists());
}

/// Twelve ask at once where five answers are left, twice, the second time
/// after a restart and with one written down: no more and no fewer are given.
fn answers_end_with_the_quota(genie: &Genie) {
    let service = Service::start(genie);
    let text = "The harbour office measures the depth of the southern basin.";
    let document = json!({"uri": "harbour.md", "text": text});
    let question = json!({"question": "What does the harbour office measure?"});
    let given = |service: &Service, workspace: &str| {
        let path = format!("/api/v1/workspaces/{workspace}/answer");
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..12)
                .map(|_| scope.spawn(|| service.post(&path, &question)))
                .collect();
            let replies = asking
                .into_iter()
                .map(|asked| asked.join().expect("a reply"));
            let mut given = 0;
            for reply in replies {
                if reply.status == 200 {
                    given += 1;
                } else {
                    assert_eq!(reply.status, 429, "{}", reply.text);
                    // While the others are answered, or when they are.
                    let code = &reply.json()["code"];
                    assert!(code == "busy" || code == "quota_used_up", "{code}");
                }
            }
            given
        })
    };
    for id in ["one", "two"] {
        let new = json!({"id": id, "settings": {"answers_per_day": 5}});
        assert_eq!(service.post("/api/v1/workspaces", &new).status, 201);
        let documents = format!("/api/v1/workspaces/{id}/documents");
        assert_eq!(service.post(&documents, &document).status, 201);
    }
    assert_eq!(given(&service, "one"), 5);
    assert_eq!(given(&service, "one"), 0);
    let path = "/api/v1/workspaces/two/answer";
    assert_eq!(service.post(path, &question).status, 200);
    service.stop().ended(0);
    let service = Service::start(genie);
    assert_eq!(given(&service, "two"), 4);
    service.stop().ended(0);
}

#[test]
fn no_more_is_answered_at_once_than_a_quota_has_left() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    scratch.write("home/config.toml", "[retrieval]\nmin_similarity = 0.1\n");
    answers_end_with_the_quota(&genie);
}

#[test]
fn no_more_is_answered_at_once_than_a_quota_has_left_on_postgresql() {
    let Some(database) = Database::new() else {
        return;
    };
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    scratch.write("home/config.toml", "[retrieval]\nmin_similarity = 0.1\n");
    answers_end_with_the_quota(&genie.set("GENIE_DATABASE_URL", database.url()));
}
