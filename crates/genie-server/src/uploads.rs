//! The files of documents that wait for their indexing, and the removal of
//! those that no open job names: a worker died over a job until it was set
//! aside, a person was erased, the service was killed between a file and its
//! job.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use genie_core::DocumentId;
use genie_state::WorkspaceId;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::app::{Accounts, Service};
use crate::failure::{Failure, log};
use crate::jobs;

/// A file that no job names may belong to another process's request, which
/// queues its job within seconds.
pub(crate) const SETTLED: Duration = Duration::from_secs(3600);

/// Keeps requests that bring documents and the removal of files apart. Whoever
/// writes a file holds a share until the file's job is queued; whoever removes
/// holds all of it, so that what no job names then is named by none soon.
#[derive(Debug, Clone, Default)]
pub(crate) struct Uploads(Arc<RwLock<()>>);

impl Uploads {
    /// While it is held nothing is removed.
    pub(crate) async fn bring(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.0).read_owned().await
    }

    /// While it is held nothing is brought.
    pub(crate) async fn clear(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.0).write_owned().await
    }
}

/// Removes the files of all workspaces that no open job names and that nobody
/// changed for so long. Gives how many there were.
pub(crate) async fn sweep(service: &Service, settled: Duration) -> Result<u64, Failure> {
    let folder = service.with_accounts()?.uploads.clone();
    let found = tokio::task::spawn_blocking(move || names(&folder))
        .await
        .map_err(|_| Failure::internal())?
        .map_err(|error| {
            log(&error);
            Failure::storage(&error)
        })?;
    let mut removed = 0;
    for name in found {
        // What is called otherwise is not of this service.
        let Ok(workspace) = name.parse() else {
            continue;
        };
        removed += sweep_workspace(service, &workspace, settled).await?;
    }
    Ok(removed)
}

/// As [`sweep`] for one workspace, which need not be there any more.
pub(crate) async fn sweep_workspace(
    service: &Service,
    workspace: &WorkspaceId,
    settled: Duration,
) -> Result<u64, Failure> {
    let accounts: &Accounts = service.with_accounts()?;
    let folder = accounts.uploads.join(workspace.as_str());
    let clearing = service.uploads.clear().await;
    let named: HashSet<String> = jobs::waiting_files(&accounts.state, workspace)
        .await?
        .into_iter()
        .collect();
    let removing = tokio::task::spawn_blocking(move || {
        let removed = remove(&folder, &named, settled);
        // Not earlier, even where nobody waits for this any more.
        drop(clearing);
        removed
    });
    let removed = removing
        .await
        .map_err(|_| Failure::internal())?
        .map_err(|error| {
            log(&error);
            Failure::storage(&error)
        })?;
    if removed > 0 {
        tracing::info!(%workspace, removed, "removed files that no job waits for");
    }
    Ok(removed)
}

/// The names of what is in a folder; none where there is no folder.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in entries(folder)? {
        if let Ok(name) = entry?.file_name().into_string() {
            found.push(name);
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<std::fs::DirEntry>>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(error),
    }
}

fn remove(folder: &Path, named: &HashSet<String>, settled: Duration) -> io::Result<u64> {
    let now = SystemTime::now();
    let mut removed = 0;
    for entry in entries(folder)? {
        let entry = entry?;
        // Of a link that would be the link's own, which is no file either.
        let metadata = match entry.metadata() {
            Ok(metadata) if metadata.is_file() => metadata,
            _ => continue,
        };
        let is_named = entry
            .file_name()
            .to_str()
            .is_some_and(|name| named.contains(name));
        // A time in the future is no age at all.
        let age = now
            .duration_since(metadata.modified()?)
            .unwrap_or(Duration::ZERO);
        if is_named || age < settled || !is_ours(&entry.path()) {
            continue;
        }
        match std::fs::remove_file(entry.path()) {
            Ok(()) => removed += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// Whether this service gave the file its name: a document's id, or what is
/// written before it gets one.
fn is_ours(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.starts_with(".tmp") || name.parse::<DocumentId>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settled_files_of_this_service_without_a_job_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let [waiting, left] =
            [b"waiting", b"left..."].map(|bytes| DocumentId::of(bytes).to_string());
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "text").expect("a file");
            path
        };
        let kept = [write(&waiting), write("notes.txt")];
        let gone = [write(&left), write(".tmpX4b")];
        std::fs::create_dir(folder.path().join("inner")).expect("a folder");
        let named = HashSet::from([waiting]);
        let hour = Duration::from_secs(3600);
        assert_eq!(remove(folder.path(), &named, hour).expect("read"), 0);
        assert_eq!(
            remove(folder.path(), &named, Duration::ZERO).expect("read"),
            2
        );
        assert!(kept.iter().all(|path| path.exists()));
        assert!(gone.iter().all(|path| !path.exists()));
        assert!(folder.path().join("inner").exists());
        let nowhere = folder.path().join("nowhere");
        assert_eq!(remove(&nowhere, &named, hour).expect("nothing"), 0);
    }
}
