//! `genie serve`: the page and the HTTP interfaces.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use genie_core::Config;
use genie_ingest::Source;
use genie_rag::{IndexError, IndexStatus, Indexer};
use genie_server::{AddedBody, AddedStatus, AppState, DocumentSink, SinkError, app, serve};
use tokio::net::TcpListener;

use crate::cli::{Common, Serve};
use crate::wiring::Parts;
use crate::{Ended, interrupt, progress, settings};

use super::say;

/// How often the flag that signals raise is looked at.
const SIGNAL_POLL: Duration = Duration::from_millis(100);

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
    let waiting = progress::waiting("loading models");
    let parts = Parts::open(common, &config)?;
    let engine = Arc::new(parts.engine(common, &config)?);
    waiting.finish_and_clear();
    let address = listener.local_addr()?;
    if let Some(edge) = &parts.edge {
        edge.set_holder_url(Some(format!("http://{address}")))?;
    }
    let mut state = AppState::new(Arc::clone(&engine), config.server);
    state.server.listen = address;
    state.indexer = Some(Arc::new(Sink {
        indexer: parts.indexer(),
    }));
    let model = engine
        .generate()
        .map_or("none: answers are quoted passages", |model| {
            model.model().name.as_str()
        });
    say(&format!(
        "genie is ready on http://{address} (language model: {model}). Ctrl-C stops it.\n"
    ))?;
    let outcome = runtime.block_on(serve(listener, app(state), async {
        while !interrupt::requested() {
            tokio::time::sleep(SIGNAL_POLL).await;
        }
    }));
    runtime.shutdown_timeout(Duration::from_secs(5));
    outcome?;
    Ok(Ended::Done)
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

/// Takes documents that are sent to the service.
struct Sink {
    indexer: Indexer,
}

impl DocumentSink for Sink {
    fn add(&self, uri: String, bytes: Vec<u8>) -> Result<AddedBody, SinkError> {
        let source = Source {
            bytes: &bytes,
            uri: &uri,
            media_type: None,
        };
        let indexed = self
            .indexer
            .index(&source, &mut |_| !interrupt::requested());
        let indexed = indexed.map_err(|error| match error {
            IndexError::Ingest(error) => SinkError::Unreadable {
                reason: error.to_string(),
            },
            IndexError::Embed(genie_core::EmbedError::Busy) | IndexError::Cancelled => {
                SinkError::Busy
            }
            error => SinkError::Backend(Box::new(error)),
        })?;
        Ok(AddedBody {
            id: indexed.document.id.to_string(),
            uri: indexed.document.uri,
            status: match indexed.status {
                IndexStatus::Indexed => AddedStatus::Indexed,
                IndexStatus::Unchanged => AddedStatus::Unchanged,
                IndexStatus::Replaced => AddedStatus::Replaced,
            },
            chunks: indexed.document.chunks,
        })
    }
}
