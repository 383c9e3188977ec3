//! The state of the installation, for commands.

use std::future::Future;

use anyhow::{Context, bail};
use genie_core::Config;
use genie_state::{Database, NewAudit, Page, Paged, State, StateError, Subject, WorkspaceId};
use rand::TryRngCore;
use rand::rngs::OsRng;
use tokio::runtime::Runtime;

use crate::cli::{Common, Serve};
use crate::settings;

/// The state, opened, with the runtime that it needs.
pub(crate) struct Accounts {
    runtime: Runtime,
    pub(crate) state: State,
}

impl Accounts {
    /// Opens the state as configured. A service that runs on the same state
    /// sees at once what a command changes.
    pub(crate) fn open(common: &Common) -> anyhow::Result<Self> {
        Self::of(&settings::read(common, &Serve::default())?)
    }

    /// Opens the state of a configuration.
    pub(crate) fn of(config: &Config) -> anyhow::Result<Self> {
        Self::at(&database(config))
    }

    /// Opens the state that is kept there.
    pub(crate) fn at(database: &Database) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the runtime can't be started")?;
        let state = runtime
            .block_on(State::open(database))
            .context("the state can't be opened")?;
        Ok(Self { runtime, state })
    }

    /// Waits for something that the state does.
    pub(crate) fn wait<T>(
        &self,
        work: impl Future<Output = Result<T, StateError>>,
    ) -> anyhow::Result<T> {
        Ok(self.runtime.block_on(work)?)
    }

    /// Everything of a list, page by page.
    pub(crate) fn every<T, F: Future<Output = Result<Paged<T>, StateError>>>(
        &self,
        mut list: impl FnMut(Page) -> F,
    ) -> anyhow::Result<Vec<T>> {
        let mut found = Vec::new();
        for number in 1.. {
            let page = self.wait(list(Page::new(number, Page::MAX_SIZE)?))?;
            let full = page.results.len() == Page::MAX_SIZE as usize;
            found.extend(page.results);
            if !full {
                break;
            }
        }
        Ok(found)
    }

    /// Fails where there is no such workspace.
    pub(crate) fn needs(&self, workspace: &WorkspaceId) -> anyhow::Result<()> {
        if self.wait(self.state.workspace(workspace))?.is_none() {
            bail!("there is no workspace {workspace}; `genie workspace list` shows them");
        }
        Ok(())
    }

    /// Records what a command did.
    pub(crate) fn record(
        &self,
        action: &str,
        workspace: Option<&WorkspaceId>,
        object: impl ToString,
    ) -> anyhow::Result<()> {
        self.wait(self.state.audit(NewAudit {
            subject: Subject::local(),
            workspace: workspace.cloned(),
            action: action.to_owned(),
            object: Some(object.to_string()),
            outcome: "ok".to_owned(),
            correlation: format!("command-{:016x}", OsRng.try_next_u64()?),
            intent: None,
            model: None,
            logic: env!("CARGO_PKG_VERSION").to_owned(),
        }))?;
        Ok(())
    }
}

impl Drop for Accounts {
    fn drop(&mut self) {
        self.runtime.block_on(self.state.close());
    }
}

/// Where a configuration keeps the state.
pub(crate) fn database(config: &Config) -> Database {
    match &config.database_url {
        Some(url) => Database::Postgres(url.clone()),
        None => Database::Sqlite(config.places.database()),
    }
}
