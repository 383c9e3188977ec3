//! Whether the service works, for people, probes and scrapers.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::app::Service;
use crate::chosen::ChosenModel;
use crate::failure::log;

/// Bytes that have to be free: an answer is given when its record is on the
/// disk.
const LEAST_FREE: u64 = 10 << 20;

/// How something is that answers depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Up,
    Down,
    /// The service has none, and does without.
    Absent,
}

impl Health {
    fn of(works: bool) -> Self {
        if works { Self::Up } else { Self::Down }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Absent => "absent",
        }
    }

    /// As Spring's actuator writes it.
    fn actuator(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::Absent => "UNKNOWN",
        }
    }
}

/// How everything is that answers depend on.
struct Parts {
    chunks: Option<usize>,
    state: Health,
    embedding: Health,
    chat: Health,
    disk: Health,
    /// The language models that workspaces have chosen beside the
    /// installation's, and how each is.
    chosen: BTreeMap<String, ChosenModel>,
}

impl Parts {
    async fn of(service: &Arc<Service>) -> Self {
        let (chunks, state, disk, chosen) = tokio::join!(
            chunks(service),
            state(service),
            disk(service),
            chosen(service)
        );
        let engine = &service.state.engine;
        Self {
            chunks,
            state,
            embedding: Health::of(engine.embed().is_running()),
            chat: engine
                .generate()
                .map_or(Health::Absent, |model| Health::of(model.is_running())),
            disk,
            chosen,
        }
    }

    /// The models, which of what, and how those are that workspaces chose.
    fn models(&self, service: &Service) -> Models {
        let engine = &service.state.engine;
        Models {
            embedding: engine.embed().identity().model.clone(),
            chat: engine.generate().map(|model| model.model().name.clone()),
            chosen: self
                .chosen
                .iter()
                .map(|(name, how)| (name.clone(), how.as_str()))
                .collect(),
        }
    }

    fn named(&self) -> [(&'static str, Health); 5] {
        [
            ("index", Health::of(self.chunks.is_some())),
            ("state", self.state),
            ("embedding", self.embedding),
            ("chat", self.chat),
            ("disk", self.disk),
        ]
    }

    fn are_well(&self) -> bool {
        self.named().iter().all(|(_, part)| *part != Health::Down)
    }
}

/// The models that answers are made with, by name.
struct Models {
    embedding: String,
    chat: Option<String>,
    chosen: BTreeMap<String, &'static str>,
}

/// `up`, or `degraded` where answers are quoted passages for want of a
/// language model, or `down` (503) where a part is and questions can't be
/// answered.
pub(crate) async fn healthcheck(State(service): State<Arc<Service>>) -> Response {
    let parts = Parts::of(&service).await;
    let (code, status) = match (parts.are_well(), parts.chat) {
        (false, _) => (StatusCode::SERVICE_UNAVAILABLE, "down"),
        (true, Health::Up) => (StatusCode::OK, "up"),
        (true, _) => (StatusCode::OK, "degraded"),
    };
    let mut all = serde_json::Map::new();
    for (name, part) in parts.named() {
        all.insert(name.to_owned(), json!({"status": part.as_str()}));
    }
    let models = parts.models(&service);
    all["index"]["chunks"] = json!(parts.chunks);
    all["embedding"]["model"] = json!(models.embedding);
    all["chat"]["model"] = json!(models.chat);
    all["chat"]["chosen"] = json!(models.chosen);
    let body = json!({
        "status": status,
        "name": service.state.name,
        "version": service.state.version,
        "parts": all,
    });
    (code, Json(body)).into_response()
}

/// The process answers.
pub(crate) async fn liveness() -> Response {
    Json(json!({"status": "UP"})).into_response()
}

/// Whether questions can be answered, and how each part is that it takes; of a
/// part no more than that and which model it is, for anybody may ask.
pub(crate) async fn readiness(State(service): State<Arc<Service>>) -> Response {
    let parts = Parts::of(&service).await;
    let (code, status) = match parts.are_well() {
        true => (StatusCode::OK, "UP"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "OUT_OF_SERVICE"),
    };
    let components = parts.named().map(|(name, part)| {
        let component = json!({"status": part.actuator()});
        (name.to_owned(), component)
    });
    let mut components = serde_json::Map::from_iter(components);
    let models = parts.models(&service);
    components["embedding"]["details"] = json!({"model": models.embedding});
    components["chat"]["details"] = json!({"model": models.chat, "chosen": models.chosen});
    (
        code,
        Json(json!({"status": status, "components": components})),
    )
        .into_response()
}

/// Questions can't be answered yet.
pub(crate) async fn not_ready() -> Response {
    let body = Json(json!({"status": "OUT_OF_SERVICE"}));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

/// The text that Prometheus scrapes.
pub(crate) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let text = service.metrics.render(service.in_work());
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

/// Absent in a service that keeps nothing.
async fn state(service: &Service) -> Health {
    let Ok(state) = service.accounts() else {
        return Health::Absent;
    };
    match state.ping().await {
        Ok(()) => Health::Up,
        Err(error) => {
            log(&error);
            Health::Down
        }
    }
}

/// What workspaces have chosen, and how it is; nothing where the state can't be
/// asked, which is told of the state.
async fn chosen(service: &Arc<Service>) -> BTreeMap<String, ChosenModel> {
    let Some(accounts) = &service.state.accounts else {
        return BTreeMap::new();
    };
    let workspaces = Arc::clone(&accounts.workspaces);
    let Ok(names) = accounts.state.chosen_models().await else {
        return BTreeMap::new();
    };
    if names.is_empty() {
        return BTreeMap::new();
    }
    let looked = tokio::task::spawn_blocking(move || {
        names
            .into_iter()
            .map(|name| {
                let how = workspaces.chosen_model(&name);
                (name, how)
            })
            .collect()
    });
    looked.await.unwrap_or_default()
}

/// Absent where nobody can say how much is free.
async fn disk(service: &Service) -> Health {
    let Some(free) = service.state.free_space.clone() else {
        return Health::Absent;
    };
    match tokio::task::spawn_blocking(move || free()).await {
        Ok(Ok(free)) => Health::of(free >= LEAST_FREE),
        Ok(Err(error)) => {
            log(&error);
            Health::Down
        }
        Err(_) => Health::Down,
    }
}

async fn chunks(service: &Arc<Service>) -> Option<usize> {
    let engine = Arc::clone(&service.state.engine);
    match tokio::task::spawn_blocking(move || engine.store().count()).await {
        Ok(Ok(count)) => Some(count),
        Ok(Err(error)) => {
            log(&error);
            None
        }
        Err(_) => None,
    }
}
