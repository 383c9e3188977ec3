//! Workspaces, documents and conversations that are removed: at once, or
//! hidden for some days in which the removal can be taken back.

pub(crate) mod conversations;
pub(crate) mod documents;
pub(crate) mod workspaces;

use std::fmt;
use std::time::Duration;

use genie_state::{NewAudit, State, StateError, Subject, Timestamp, WorkspaceId};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::app::Service;
use crate::failure::Failure;

const DAY: Duration = Duration::from_secs(24 * 3600);
const MOST_DAYS: u32 = 365;

/// How long a removal can be taken back.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Keep {
    /// Days for which it can be restored; without it, it is erased at once.
    #[serde(default)]
    #[schemars(range(min = 1, max = 365))]
    keep_days: Option<u32>,
}

impl Keep {
    /// Until when it is kept; `None` where it is not.
    pub(crate) fn until(&self, now: Timestamp) -> Result<Option<Timestamp>, Failure> {
        match self.keep_days {
            None => Ok(None),
            Some(days) if (1..=MOST_DAYS).contains(&days) => Ok(Some(now.after(DAY * days))),
            Some(_) => Err(Failure::invalid(
                "keep_days",
                format!("has to be from 1 to {MOST_DAYS}"),
            )),
        }
    }
}

/// Erases what was removed and whose time has come; gives what could not be
/// erased, and why.
pub(crate) async fn erase_due(service: &Service) -> Vec<(&'static str, Failure)> {
    [
        ("workspaces", workspaces::erase_due(service).await),
        ("documents", documents::erase_due(service).await),
        ("conversations", conversations::erase_due(service).await),
    ]
    .into_iter()
    .filter_map(|(what, erased)| Some((what, erased.err()?)))
    .collect()
}

/// Records that something was erased whose time had come.
pub(crate) async fn record_erasure(
    state: &State,
    workspace: &WorkspaceId,
    action: &str,
    object: impl fmt::Display,
) -> Result<(), StateError> {
    state
        .audit(NewAudit {
            subject: Subject::local(),
            workspace: Some(workspace.clone()),
            action: action.to_owned(),
            object: Some(object.to_string()),
            outcome: "ok".to_owned(),
            correlation: "upkeep".to_owned(),
            intent: None,
            model: None,
            logic: env!("CARGO_PKG_VERSION").to_owned(),
        })
        .await?;
    Ok(())
}
