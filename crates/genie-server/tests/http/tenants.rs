//! A service with accounts: a state in a folder of its own, and an index in
//! memory for each workspace.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, header, request};
use axum::response::Response;
use genie_core::{Authentication, Generate, Store, StoreError};
use genie_server::{Accounts, AppState, OpenWorkspace, Upkeep, Workspaces, app_with_upkeep};
use genie_state::{
    ApiKey, Database, KeepingStore, NewKey, NewWorkspace, Originals, Role, State, Subject,
    Timestamp, Workspace, WorkspaceId, WorkspaceSettings,
};
use genie_testkit::MemoryStore;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::fixture;
use crate::{Reply, send};

/// The service, with what it stands on.
pub(crate) struct Service {
    pub(crate) app: Router,
    pub(crate) state: State,
    pub(crate) upkeep: Option<Upkeep>,
    pub(crate) folder: tempfile::TempDir,
}

/// Two workspaces beside the default one: `health` and `energy`.
pub(crate) async fn service(
    generate: Option<Arc<dyn Generate>>,
    change: impl FnOnce(&mut AppState),
) -> Service {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::Sqlite(folder.path().join("state/genie.db"));
    let state = State::open(&database).await.expect("a state");
    for id in ["health", "energy"] {
        let new = NewWorkspace {
            id: id.parse().expect("an id"),
            name: id.to_uppercase(),
            settings: WorkspaceSettings::default(),
            by: Subject::local(),
        };
        state.create_workspace(new).await.expect("a workspace");
    }
    let mut service = fixture::state(generate.clone());
    service.accounts = Some(Accounts {
        state: state.clone(),
        workspaces: Arc::new(Memory {
            generate,
            folder: folder.path().join("workspaces"),
            open: Mutex::default(),
        }),
        uploads: folder.path().join("uploads"),
        anchors: folder.path().join("anchors.jsonl"),
    });
    change(&mut service);
    let (app, upkeep) = app_with_upkeep(service);
    Service {
        app,
        state,
        upkeep: Some(upkeep),
        folder,
    }
}

/// Every request needs a key.
pub(crate) fn with_keys(service: &mut AppState) {
    service.server.authentication = Authentication::Required;
    service.server.requests_per_minute = 0;
}

struct Memory {
    generate: Option<Arc<dyn Generate>>,
    folder: PathBuf,
    open: Mutex<HashMap<WorkspaceId, Arc<dyn Store>>>,
}

impl Workspaces for Memory {
    fn open(&self, workspace: &Workspace) -> Result<OpenWorkspace, StoreError> {
        let originals = self.originals(workspace).expect("a folder");
        let mut open = self.open.lock().expect("nobody panics with it");
        let store = open.entry(workspace.id.clone()).or_insert_with(|| {
            let store = Arc::new(MemoryStore::new());
            Arc::new(KeepingStore::new(store, originals.clone()))
        });
        let opened = fixture::opened(store, self.generate.clone());
        Ok(OpenWorkspace {
            originals: Some(originals),
            ..opened
        })
    }

    fn chat_models(&self) -> Vec<String> {
        vec!["offered".to_owned()]
    }

    fn originals(&self, workspace: &Workspace) -> Option<Originals> {
        Some(Originals::at(self.folder.join(workspace.id.as_str())))
    }

    fn erase(&self, workspace: &Workspace) -> Result<(), StoreError> {
        let mut open = self.open.lock().expect("nobody panics with it");
        if let Some(store) = open.remove(&workspace.id) {
            assert!(store.count().is_ok());
        }
        Ok(())
    }
}

impl Service {
    /// Begins to work on jobs, until the one is told or dropped and the other
    /// has ended.
    pub(crate) fn work(
        &mut self,
    ) -> (
        tokio::sync::oneshot::Sender<()>,
        tokio::task::JoinHandle<()>,
    ) {
        let upkeep = self.upkeep.take().expect("not taken yet");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let working = tokio::spawn(upkeep.run(async {
            // Dropped where a test fails, which is to be told as what it is.
            stopped.await.ok();
        }));
        (stop, working)
    }

    /// The job that a reply tells of, once it is over.
    pub(crate) async fn finished(&self, queued: &Reply, key: &str) -> Value {
        let id = queued.json()["id"].as_str().expect("an id").to_owned();
        self.finished_at(&format!("/api/v1/jobs/{id}"), key).await
    }

    /// As [`Self::finished`] of the job at this path.
    pub(crate) async fn finished_at(&self, path: &str, key: &str) -> Value {
        // Longer than any job takes on a busy machine.
        for _ in 0..6000 {
            let job = self.ask("GET", path, key, None).await.json();
            if job["state"] != "queued" && job["state"] != "running" {
                return job;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the job at {path} does not end");
    }

    /// A key of this role in a workspace, or in all of them.
    pub(crate) async fn key(&self, workspace: Option<&str>, role: Role) -> String {
        self.key_with(workspace, role, &[], None).await.1
    }

    /// As [`Self::key`] with scopes and an end.
    pub(crate) async fn key_with(
        &self,
        workspace: Option<&str>,
        role: Role,
        scopes: &[&str],
        expires: Option<Timestamp>,
    ) -> (ApiKey, String) {
        let new = NewKey {
            quotas: Default::default(),
            name: "test".to_owned(),
            workspace: workspace.map(|id| id.parse().expect("an id")),
            role,
            scopes: scopes.iter().map(ToString::to_string).collect(),
            expires,
            by: Subject::local(),
        };
        let (key, secret) = self.state.create_key(new).await.expect("a key");
        (key, secret.reveal().to_owned())
    }

    /// A request from another machine.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: Option<Value>,
    ) -> Reply {
        self.ask_with(method, path, key, body, &[]).await
    }

    /// As [`Self::ask`] with more headers.
    pub(crate) async fn ask_with(
        &self,
        method: &str,
        path: &str,
        key: &str,
        body: Option<Value>,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = as_caller(method, path, key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        send(&self.app, request.body(body).expect("a request")).await
    }

    /// Posts JSON and gives the reply before its body is there.
    pub(crate) async fn begin(&self, path: &str, key: &str, body: &Value) -> Response {
        let request = as_caller("POST", path, key)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        let reply = self.app.clone().oneshot(request).await;
        reply.expect("infallible")
    }
}

/// From another machine, with a key unless it is empty.
fn as_caller(method: &str, path: &str, key: &str) -> request::Builder {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost:8080")
        .extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 50_000))));
    if key.is_empty() {
        return request;
    }
    request.header(header::AUTHORIZATION, format!("Bearer {key}"))
}
