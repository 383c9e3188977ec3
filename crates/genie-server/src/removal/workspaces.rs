//! Removing workspaces, at once or with time to think better of it.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use genie_state::{RemovedWorkspace, StateError, Timestamp, Workspace};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Keep, record_erasure};
use crate::access::{Access, Done, no_such_workspace};
use crate::app::{Accounts, Service};
use crate::conversations::IdPath;
use crate::documents::ApiQuery;
use crate::failure::{Failure, log};
use crate::paging::{PageBody, Paging};
use crate::workspaces::WorkspaceBody;

/// A workspace that was removed and is not erased yet.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RemovedBody {
    id: String,
    name: String,
    /// Until then it can be restored; then it is erased.
    erase_after: String,
}

/// Hides the workspace, and erases it where it is not to be kept.
pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiQuery(keep): ApiQuery<Keep>,
) -> Result<StatusCode, Failure> {
    let erase_after = keep.until(Timestamp::now())?;
    let accounts = service.with_accounts()?;
    let id = &access.workspace.id;
    let removed = accounts
        .state
        .remove_workspace(id, erase_after.unwrap_or_else(Timestamp::now))
        .await
        .map_err(|error| match error {
            StateError::Protected => Failure::new(
                StatusCode::CONFLICT,
                "workspace_protected",
                "the default workspace can't be removed",
            ),
            error => error.into(),
        })?;
    if !removed {
        return Err(no_such_workspace());
    }
    if erase_after.is_none() {
        erase(accounts, access.workspace.clone()).await?;
    }
    access
        .record(&accounts.state, Done::to("workspace.delete", id))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    _access: Access,
    paging: Paging,
) -> Result<Json<PageBody<RemovedBody>>, Failure> {
    let removed = service
        .accounts()?
        .removed_workspaces(paging.page()?)
        .await?;
    Ok(Json(paging.body(removed)))
}

pub(crate) async fn restore(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<WorkspaceBody>, Failure> {
    let nothing = || {
        Failure::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "no workspace with this id can be restored",
        )
    };
    let id = path.id.parse().map_err(|_| nothing())?;
    let state = service.accounts()?;
    let restored = state
        .restore_workspace(&id, Timestamp::now())
        .await?
        .ok_or_else(nothing)?;
    let access = Access {
        workspace: restored.clone(),
        ..access
    };
    access
        .record(state, Done::to("workspace.restore", &id))
        .await?;
    Ok(Json(WorkspaceBody::from(&restored)))
}

/// Erases the removed workspaces whose time has come, also those whose
/// erasure was cut off.
pub(crate) async fn erase_due(service: &Service) -> Result<(), Failure> {
    let accounts = service.with_accounts()?;
    let due = accounts.state.workspaces_to_erase(Timestamp::now()).await?;
    for workspace in due {
        let id = workspace.id.clone();
        if let Err(failure) = erase(accounts, workspace).await {
            // The others are not to wait for it.
            tracing::warn!(workspace = %id, code = failure.code, "a removed workspace could not be erased; it is tried again");
            continue;
        }
        record_erasure(&accounts.state, &id, "workspace.erase", &id).await?;
        tracing::info!(workspace = %id, "erased a removed workspace");
    }
    Ok(())
}

/// Erases a removed workspace: its files first, so that it is done again where
/// this is cut off.
async fn erase(accounts: &Accounts, workspace: Workspace) -> Result<(), Failure> {
    let id = workspace.id.clone();
    let workspaces = Arc::clone(&accounts.workspaces);
    let uploads = accounts.uploads.join(id.as_str());
    tokio::task::spawn_blocking(move || {
        workspaces.erase(&workspace)?;
        match std::fs::remove_dir_all(uploads) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                log(&error);
                Err(Failure::storage(&error))
            }
            _ => Ok(()),
        }
    })
    .await
    .map_err(|_| Failure::internal())??;
    // Another service of the installation may have been quicker.
    accounts.state.delete_workspace(&id).await?;
    Ok(())
}

impl From<RemovedWorkspace> for RemovedBody {
    fn from(removed: RemovedWorkspace) -> Self {
        Self {
            id: removed.workspace.id.to_string(),
            name: removed.workspace.name,
            erase_after: removed.erase_after.to_string(),
        }
    }
}
