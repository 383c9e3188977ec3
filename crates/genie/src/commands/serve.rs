//! `genie serve`: the page and the HTTP interfaces.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use genie_core::{Authentication, Config};
use genie_server::{
    Accounts, AppState, Certificate, Gate, IdentityProvider, Outbound, app_with_upkeep, serve,
    serve_tls,
};
use genie_state::{Database, Originals, State};
use tokio::net::TcpListener;

use crate::cli::{Common, Serve};
use crate::fetch::HttpFetch;
use crate::outbound::Client;
use crate::suites::Suites;
use crate::tenants::{Sink, Tenants};
use crate::warm::{read_dictionaries, warm_up};
use crate::wiring::{self, Installed, Parts, Vectors};
use crate::{Ended, interrupt, progress, settings, telemetry};

use super::backup::Live;
use super::say;

/// How often the flag that signals raise is looked at.
const SIGNAL_POLL: Duration = Duration::from_millis(100);
/// What is left to do once requests are over gets this long.
const LAST_WORK: Duration = Duration::from_secs(5);

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: &Serve) -> anyhow::Result<Ended> {
    let config = settings::read(common, arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the runtime can't be started")?;
    // The port first: it is the quickest thing to fail, and loading models
    // takes seconds.
    let listener = runtime.block_on(bind(&config))?;
    let certificate = config
        .tls
        .as_ref()
        .map(|files| Certificate::load(&files.certificate, &files.key))
        .transpose()?;
    let trust = settings::trust(&config)?;
    let page_origins = trust.page_origins;
    let (certificate, security_server) = match (certificate, trust.security_server) {
        (Some(certificate), Some(road)) => (
            Some(certificate.asking_clients(&road.authorities, road.revocation_lists.as_deref())?),
            Some(road.server),
        ),
        (certificate, _) => (certificate, None),
    };
    let identity = trust
        .identity
        .map(|settings| IdentityProvider::new(settings, HttpFetch::new()).map(Arc::new))
        .transpose()?;
    let scheme = if certificate.is_some() {
        "https"
    } else {
        "http"
    };
    let address = listener.local_addr()?;
    // It answers from now on that it lives and is not ready yet.
    let (router, gate) = Gate::closed();
    let serving = runtime.spawn(async move {
        match certificate {
            Some(certificate) => {
                serve_tls(listener, Arc::new(certificate), router, interrupted()).await
            }
            None => serve(listener, router, interrupted()).await,
        }
    });
    let opening = runtime.spawn(state(config.clone()));
    let waiting = progress::waiting("loading models");
    wiring::use_threads(&config);
    // Beside each other: each does a good part of its work in one thread.
    let (vectors, parts, generate) = std::thread::scope(|scope| {
        let model = scope.spawn(|| wiring::language_model(common, &config));
        scope.spawn(read_dictionaries);
        let searching = searching(common, &config);
        let model = model
            .join()
            .map_err(|_| anyhow::anyhow!("loading the language model stopped unexpectedly"))?;
        let (vectors, parts) = searching?;
        anyhow::Ok((vectors, parts, model?))
    })?;
    let state = runtime.block_on(opening)??;
    let engine = Arc::new(parts.engine_with(generate.clone(), &config));
    waiting.finish_and_clear();
    if let Some(edge) = &parts.edge {
        edge.set_holder_url(Some(format!("{scheme}://{address}")))?;
    }
    let store = Arc::clone(&parts.store);
    let installed = Installed {
        common: common.clone(),
        config: config.clone(),
        store: OnceLock::new(),
    };
    let tenants = Tenants::new(vectors, generate, installed, config.clone(), store);
    let tenants = Arc::new(tenants);
    let backups = Live::new(config.clone(), Arc::clone(&tenants))?;
    let mut service = AppState::new(Arc::clone(&engine), config.server);
    service.server.listen = address;
    service.indexer = Some(Arc::new(Sink::new(parts.indexer())));
    service.originals = Some(Originals::at(config.places.originals()));
    service.outbound =
        Client::new(config.outbound.clone()).map(|client| Arc::new(client) as Arc<dyn Outbound>);
    service.evaluator = Some(Arc::new(Suites {
        tenants: Arc::clone(&tenants),
    }));
    service.trace_parent = Some(telemetry::take_up);
    service.identity = identity;
    service.security_server = security_server;
    service.page_origins = page_origins;
    service.accounts = Some(Accounts {
        state: state.clone(),
        workspaces: tenants,
        uploads: config.places.uploads(),
        anchors: config.places.uploads().with_file_name("anchors.jsonl"),
    });
    let home = config.places.home.clone();
    service.free_space = Some(Arc::new(move || fs4::available_space(&home)));
    service.backups = Some(Arc::new(backups));
    let model = engine
        .generate()
        .map_or("none: answers are quoted passages", |model| {
            model.model().name.as_str()
        });
    let keys = match config.server.authentication {
        Authentication::SingleUser => "",
        Authentication::Required => " Every request needs a key; `genie key create` makes one.",
    };
    let (router, upkeep) = app_with_upkeep(service);
    gate.open(router);
    let upkeep = runtime.spawn(upkeep.run(interrupted()));
    say(&format!(
        "genie is ready on {scheme}://{address} (language model: {model}).{keys} Ctrl-C stops it.\n"
    ))?;
    let outcome = runtime.block_on(serving).context("serving failed")?;
    runtime.block_on(async {
        // It writes down what is still in memory; a job that takes longer
        // goes to the next start.
        let ended = tokio::time::timeout(LAST_WORK, upkeep).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("work beside the requests did not end in time");
        }
        state.close().await;
    });
    runtime.shutdown_timeout(Duration::from_secs(3));
    outcome?;
    Ok(Ended::Done)
}

/// What searches, with its first searches done.
fn searching(common: &Common, config: &Config) -> anyhow::Result<(Vectors, Parts)> {
    let (vectors, parts) = Parts::with_vectors(common, config)?;
    let mut config = config.clone();
    // That would need the language model.
    config.retrieval.rerank.judged = 0;
    warm_up(&parts.engine_with(None, &config));
    Ok((vectors, parts))
}

/// Returns when the program is to stop.
pub(super) async fn interrupted() {
    while !interrupt::requested() {
        tokio::time::sleep(SIGNAL_POLL).await;
    }
}

/// The state as configured, brought up to date.
async fn state(config: Config) -> anyhow::Result<State> {
    let database = match config.database_url {
        Some(url) => Database::Postgres(url),
        None => Database::Sqlite(config.places.database()),
    };
    State::open(&database)
        .await
        .context("the state can't be opened")
}

async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let address = config.server.listen;
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "{address} can't be listened on; is another program using the port? \
             `--listen 127.0.0.1:0` takes a free one"
        )
    })
}
