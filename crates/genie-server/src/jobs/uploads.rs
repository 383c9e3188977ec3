//! Bytes that wait for a job, in files of their own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use genie_core::DocumentId;
use genie_state::{Job, State, WorkspaceId};
use serde::{Deserialize, Serialize};

use crate::app::{Accounts, Service};
use crate::failure::{Failure, log};

/// Where the bytes of a job wait and what they are called. Payloads of jobs
/// with bytes have these members, whatever else is in them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Upload {
    pub(crate) uri: String,
    pub(crate) file: String,
}

/// The part of a payload that names a file.
#[derive(Deserialize)]
struct Named {
    file: String,
}

/// Keeps bytes for a job; gives the name they are found by.
pub(crate) async fn keep(
    accounts: &Accounts,
    workspace: &WorkspaceId,
    bytes: Vec<u8>,
) -> Result<String, Failure> {
    let folder = accounts.uploads.join(workspace.as_str());
    tokio::task::spawn_blocking(move || {
        let file = DocumentId::of(&bytes).to_string();
        write(&folder, &folder.join(&file), &bytes)?;
        Ok(file)
    })
    .await
    .map_err(|_| Failure::internal())?
    .map_err(|error: std::io::Error| {
        log(&error);
        Failure::storage(&error)
    })
}

/// Whole and on disk before its name is there.
fn write(folder: &Path, place: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(place).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Where the bytes of a job are.
pub(crate) fn kept(accounts: &Accounts, workspace: &WorkspaceId, file: &str) -> Option<PathBuf> {
    // Written by this service, and still only an id is a name of a file.
    let id: DocumentId = file.parse().ok()?;
    let folder = accounts.uploads.join(workspace.as_str());
    Some(folder.join(id.to_string()))
}

/// Removes the kept bytes of a job that is over.
pub(crate) async fn forget(service: &Arc<Service>, accounts: &Accounts, job: &Job) {
    let Some(place) = file_of(job).and_then(|file| kept(accounts, &job.workspace, &file)) else {
        return;
    };
    // Nobody brings the same bytes again between the look and the removal.
    let _clearing = service.uploads.clear().await;
    // Another job may wait with the same bytes under another name; where that
    // can't be told, the next sweep looks again.
    let Ok(files) = waiting_files(&accounts.state, &job.workspace).await else {
        return;
    };
    let name = place.file_name();
    if files.iter().any(|file| name == Some(file.as_ref())) {
        return;
    }
    match tokio::fs::remove_file(&place).await {
        // Gone with an earlier job, or with the same one called off twice.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => log(&error),
        _ => {}
    }
}

fn file_of(job: &Job) -> Option<String> {
    serde_json::from_str::<Named>(&job.payload)
        .ok()
        .map(|named| named.file)
}

/// The files that jobs of a workspace which are not over still need.
pub(crate) async fn waiting_files(
    state: &State,
    workspace: &WorkspaceId,
) -> Result<Vec<String>, Failure> {
    let jobs = state.open_jobs(workspace).await?;
    Ok(jobs.iter().filter_map(file_of).collect())
}
