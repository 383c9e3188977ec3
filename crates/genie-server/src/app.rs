//! The router and what its handlers share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use genie_core::{ServerConfig, WatchWork};
use genie_rag::Engine;
use genie_state::{Originals, State, Workspace, WorkspaceId, WorkspaceSettings};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::{SecurityServer, authorize};
use crate::backup::{self, Backups};
use crate::cross_origin::{self, PageOrigin};
use crate::documents::DocumentSink;
use crate::evaluations::Evaluator;
use crate::failure::Failure;
use crate::identity::IdentityProvider;
use crate::jobs::Lanes;
use crate::limits::Limits;
use crate::meter::Meter;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::routes::{Needs, Route, routes};
use crate::upkeep::Upkeep;
use crate::uploads::Uploads;
use crate::watch::Running;
use crate::workspaces::{OpenWorkspace, Workspaces};
use crate::{envelope, origin};

/// How long the work of one request may take: a long answer of a small model
/// on two old cores.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// Seconds between tries to deliver: eight tries in nine hours, so that a relay
/// may be away for a night.
const DELIVERY_PAUSES: [u64; 7] = [10, 30, 120, 600, 1800, 7200, 21_600];
/// Searches, and documents in memory, at the same time: answers wait for the
/// language model most of their time, these for a processor or the disk.
const MOST_AT_ONCE: usize = 16;
/// Searches that wait for their turn: a few seconds on two old cores.
const LONGEST_LINE: usize = 256;

/// What is kept of callers and workspaces.
#[derive(Clone)]
pub struct Accounts {
    /// Workspaces, keys, conversations, jobs, usage, the trail.
    pub state: State,
    /// The indexes of workspaces other than the default one.
    pub workspaces: Arc<dyn Workspaces>,
    /// The folder where documents wait for their indexing.
    pub uploads: PathBuf,
    /// The file that gets an anchor of the trail each day.
    pub anchors: PathBuf,
}

/// Gets a span that was just made and the value of a `traceparent`.
pub type TraceParent = fn(&tracing::Span, &str);

/// Gives the bytes that are free.
pub type FreeSpace = Arc<dyn Fn() -> std::io::Result<u64> + Send + Sync>;

/// What the service is made of.
#[derive(Clone)]
pub struct AppState {
    /// Answers and searches in the default workspace.
    pub engine: Arc<Engine>,
    /// Takes documents of the default workspace; without one it takes none.
    pub indexer: Option<Arc<dyn DocumentSink>>,
    /// Where the bytes of the default workspace's documents are kept; without
    /// it they are not.
    pub originals: Option<Originals>,
    /// Fetches and delivers; without it nothing leaves the service.
    pub outbound: Option<Arc<dyn Outbound>>,
    /// Evaluates; without it the service does not.
    pub evaluator: Option<Arc<dyn Evaluator>>,
    /// Without accounts there is one workspace, no key is valid, and nothing
    /// is kept.
    pub accounts: Option<Accounts>,
    /// Tells how much is free where the installation keeps its files; without
    /// it health says nothing of the disk.
    pub free_space: Option<FreeSpace>,
    /// Makes backups; without one none can be asked for.
    pub backups: Option<Arc<dyn Backups>>,
    /// Whose tokens name people; without one only keys count. Needs accounts.
    pub identity: Option<Arc<IdentityProvider>>,
    /// Who may say for whom it asks, by the certificate that it connects with;
    /// without one certificates of clients say nothing. Needs accounts.
    pub security_server: Option<SecurityServer>,
    /// Pages of other origins that browsers let use the service.
    pub page_origins: Vec<PageOrigin>,
    /// Makes a request's span part of the trace that the caller's
    /// `traceparent` names, where the program writes traces.
    pub trace_parent: Option<TraceParent>,
    /// The name of the service, which is also the id of its default model.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// Where it listens and how much it takes on.
    pub server: ServerConfig,
    /// How long the work of one request may take.
    pub request_timeout: Duration,
    /// How long a delivery to a webhook waits after each failed try; after
    /// the try that follows the last of them it is given up.
    pub delivery_pauses: Vec<Duration>,
}

impl AppState {
    /// The service named `genie` in this crate's version, which takes no
    /// documents and gives each request five minutes.
    #[must_use]
    pub fn new(engine: Arc<Engine>, server: ServerConfig) -> Self {
        Self {
            engine,
            indexer: None,
            originals: None,
            outbound: None,
            evaluator: None,
            accounts: None,
            free_space: None,
            backups: None,
            identity: None,
            security_server: None,
            page_origins: Vec::new(),
            trace_parent: None,
            name: "genie".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            server,
            request_timeout: REQUEST_TIMEOUT,
            delivery_pauses: DELIVERY_PAUSES.map(Duration::from_secs).to_vec(),
        }
    }
}

/// The routes of the service.
///
/// Requests have to be extended with their peer's address, as [`crate::serve`]
/// does: callers without a key are those on this machine.
pub fn app(state: AppState) -> Router {
    app_with_upkeep(state).0
}

/// As [`app`], with the work that goes on beside it.
pub fn app_with_upkeep(state: AppState) -> (Router, Upkeep) {
    let routes = routes();
    let service = Service::of(state, &routes);
    let router = routes
        .into_iter()
        .fold(Router::new(), |router, route| {
            router.route(route.path, route.handler)
        })
        .fallback(no_such_route)
        .layer(from_fn_with_state(Arc::clone(&service), authorize))
        .layer(from_fn_with_state(Arc::clone(&service), origin::guard))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(Arc::clone(&service), envelope::envelope))
        .layer(from_fn_with_state(
            Arc::clone(&service),
            envelope::correlate,
        ))
        .layer(from_fn_with_state(
            Arc::clone(&service),
            cross_origin::allow,
        ))
        .with_state(Arc::clone(&service));
    (router, Upkeep { service })
}

/// What handlers share.
pub(crate) struct Service {
    pub(crate) state: AppState,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) started: std::time::SystemTime,
    pub(crate) needs: Needs,
    pub(crate) limits: Limits,
    pub(crate) meter: Meter,
    /// Told when a job was queued.
    pub(crate) backup: backup::Turn,
    /// Keeps those who bring files and those who remove them apart.
    pub(crate) uploads: Uploads,
    /// Told when a document was removed.
    pub(crate) removed: Notify,
    pub(crate) lanes: Lanes,
    /// Jobs that this process works on.
    pub(crate) running: Running,
    permits: Arc<Semaphore>,
    /// Work of milliseconds has a line of its own: it waits behind its like,
    /// not behind answers.
    short: Arc<Semaphore>,
    /// Requests that hold a whole document in memory are fewer than answers,
    /// which hold a text.
    documents: Arc<Semaphore>,
    /// How many the last two let through.
    at_once: usize,
    waiting: AtomicUsize,
}

impl Service {
    /// The service behind these routes.
    pub(crate) fn of(state: AppState, routes: &[Route]) -> Arc<Self> {
        let metrics = Arc::new(Metrics::new(&state.version));
        if let Some(model) = state.engine.generate() {
            model.watch(Arc::clone(&metrics) as Arc<dyn WatchWork>);
        }
        let at_once = state.server.max_requests.min(MOST_AT_ONCE);
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(state.server.max_requests)),
            short: Arc::new(Semaphore::new(at_once)),
            documents: Arc::new(Semaphore::new(at_once)),
            at_once,
            waiting: AtomicUsize::new(0),
            metrics,
            started: std::time::SystemTime::now(),
            needs: Needs::of(routes),
            limits: Limits::new(state.server.requests_per_minute),
            meter: Meter::default(),
            lanes: Lanes::default(),
            running: Running::default(),
            backup: backup::Turn::default(),
            uploads: Uploads::default(),
            removed: Notify::new(),
            state,
        })
    }

    /// The right to do the work of one request, at once or not at all: a
    /// queue here would only hide that the models are busy.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.at_once(&self.permits)
    }

    /// As [`Self::admit`] for work with a whole document in memory.
    pub(crate) fn admit_document(&self) -> Result<OwnedSemaphorePermit, Failure> {
        self.at_once(&self.documents)
    }

    fn at_once(&self, permits: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(permits).try_acquire_owned().map_err(|_| {
            self.metrics.rejected();
            Failure::busy()
        })
    }

    /// The right to do the work of a queued answer, when it is its turn. It
    /// waits as long as that takes: nobody else does.
    pub(crate) async fn admit_in_time(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let turn = Arc::clone(&self.permits).acquire_owned().await;
        // Never closed.
        turn.map_err(|_| Failure::internal())
    }

    /// The way out, or that there is none.
    pub(crate) fn outbound(&self) -> Result<&Arc<dyn Outbound>, Failure> {
        self.state.outbound.as_ref().ok_or_else(|| {
            Failure::new(
                axum::http::StatusCode::FORBIDDEN,
                "no_outbound",
                "this service neither fetches nor delivers; its operator can allow hosts with \
                 [fetch] and [webhooks] in config.toml",
            )
        })
    }

    /// The right to do work of milliseconds, such as a search, when it is its
    /// turn: first come, first served, and refused at once where the line is
    /// long.
    pub(crate) async fn in_turn(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let _place = Place::take(&self.waiting).ok_or_else(|| {
            self.metrics.rejected();
            Failure::busy()
        })?;
        let turn = Arc::clone(&self.short).acquire_owned();
        match tokio::time::timeout(self.state.request_timeout, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            // Never closed, so it is the time that is over.
            Ok(Err(_)) | Err(_) => Err(Failure::too_slow()),
        }
    }

    /// What is kept, or that nothing is.
    pub(crate) fn with_accounts(&self) -> Result<&Accounts, Failure> {
        self.state.accounts.as_ref().ok_or_else(|| {
            Failure::new(
                axum::http::StatusCode::NOT_IMPLEMENTED,
                "no_accounts",
                "this service keeps no workspaces, keys or conversations",
            )
        })
    }

    /// As [`Self::with_accounts`] for those who only need the state.
    pub(crate) fn accounts(&self) -> Result<&State, Failure> {
        self.with_accounts().map(|accounts| &accounts.state)
    }

    /// The workspace of this id.
    pub(crate) async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, Failure> {
        match &self.state.accounts {
            Some(accounts) => Ok(accounts.state.workspace(id).await?),
            None => Ok((*id == WorkspaceId::default_workspace()).then(Workspace::alone)),
        }
    }

    /// The index and the models of a workspace.
    pub(crate) async fn open(&self, workspace: &Workspace) -> Result<OpenWorkspace, Failure> {
        let has_settings = workspace.settings != WorkspaceSettings::default();
        let accounts = match &self.state.accounts {
            Some(accounts) if has_settings || workspace.id != WorkspaceId::default_workspace() => {
                accounts
            }
            _ => {
                return Ok(OpenWorkspace {
                    engine: Arc::clone(&self.state.engine),
                    indexer: self.state.indexer.clone(),
                    originals: self.state.originals.clone(),
                });
            }
        };
        let workspaces = Arc::clone(&accounts.workspaces);
        let workspace = workspace.clone();
        let opened = tokio::task::spawn_blocking(move || workspaces.open(&workspace))
            .await
            .map_err(|_| Failure::internal())?
            .map_err(Failure::from)?;
        if let Some(model) = opened.engine.generate() {
            // One of its own may not be watched yet.
            model.watch(Arc::clone(&self.metrics) as Arc<dyn WatchWork>);
        }
        Ok(opened)
    }

    /// The language models that a workspace may choose.
    pub(crate) fn chat_models(&self) -> Vec<String> {
        let accounts = self.state.accounts.as_ref();
        accounts.map_or_else(Vec::new, |accounts| accounts.workspaces.chat_models())
    }

    /// Requests that are in work now.
    pub(crate) fn in_work(&self) -> usize {
        let free = [&self.permits, &self.short, &self.documents]
            .map(|permits| permits.available_permits())
            .iter()
            .sum();
        (self.state.server.max_requests + 2 * self.at_once).saturating_sub(free)
    }
}

/// A place in the line, given back when it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        (before < LONGEST_LINE).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn no_such_route() -> Failure {
    Failure::new(
        axum::http::StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this path",
    )
}

// The panic's message is printed by the panic hook, with its place.
fn panicked(_panic: Box<dyn std::any::Any + Send>) -> Response {
    Failure::internal().into_response()
}
