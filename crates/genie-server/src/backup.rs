//! A backup of the whole installation, made while it runs.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::access::{Access, Done};
use crate::app::Service;
use crate::failure::{Failure, log};

/// Bytes that are sent at a time.
const PIECE: usize = 1 << 18;
/// The archive's media type.
pub(crate) const TAR: &str = "application/x-tar";

/// Makes backups of an installation that is in use.
pub trait Backups: Send + Sync {
    /// Writes the archive to a new file at `path`. Readers are not kept from
    /// their work; writers to an index wait while that index is copied.
    ///
    /// # Errors
    ///
    /// Fails where something can't be read or the file can't be written.
    fn write(&self, path: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

    /// A folder on a disk with room for a copy of everything.
    fn folder(&self) -> &Path;
}

/// One backup at a time: each takes the disk's whole bandwidth.
#[derive(Default)]
pub(crate) struct Turn(Arc<Mutex<()>>);

pub(crate) async fn create(
    State(service): State<Arc<Service>>,
    access: Access,
) -> Result<Response, Failure> {
    let Some(backups) = service.state.backups.clone() else {
        return Err(Failure::new(
            axum::http::StatusCode::NOT_IMPLEMENTED,
            "no_backups",
            "this service has nothing of which backups are made",
        ));
    };
    let Ok(turn) = Arc::clone(&service.backup.0).try_lock_owned() else {
        return Err(Failure::new(
            axum::http::StatusCode::CONFLICT,
            "backup_in_work",
            "a backup is being made; ask again when it is done",
        ));
    };
    let made = tokio::task::spawn_blocking(move || make(&*backups)).await;
    let (folder, file) = made.map_err(|_| Failure::internal())??;
    let length = file.metadata().map_err(|error| Failure::storage(&error))?;
    if let Ok(state) = service.accounts() {
        let bytes = length.len();
        access
            .record(state, Done::to("backup.create", bytes))
            .await?;
    }
    // The folder and the turn go when the last byte is sent, or the reader is
    // gone.
    let rest = Some((file, folder, turn));
    let body = Body::from_stream(stream::try_unfold(rest, |rest| async {
        let Some((mut file, folder, turn)) = rest else {
            return Ok(None);
        };
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE];
            let count = file.read(&mut piece)?;
            piece.truncate(count);
            std::io::Result::Ok((piece, file))
        });
        let (piece, file) = read.await.map_err(std::io::Error::other)??;
        if piece.is_empty() {
            return Ok(None);
        }
        std::io::Result::Ok(Some((Bytes::from(piece), Some((file, folder, turn)))))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TAR));
    headers.insert(header::CONTENT_LENGTH, length.len().into());
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"genie-backup.tar\""),
    );
    Ok(response)
}

fn make(backups: &dyn Backups) -> Result<(TempDir, File), Failure> {
    let storage = |error: std::io::Error| Failure::storage(&error);
    let folder = TempDir::with_prefix_in(".backup-", backups.folder()).map_err(storage)?;
    let path = folder.path().join("backup.tar");
    backups.write(&path).map_err(|error| {
        log(&*error);
        Failure::new(
            axum::http::StatusCode::INTERNAL_SERVER_ERROR,
            "backup_failed",
            "the backup could not be made; the service's log says why",
        )
    })?;
    let file = File::open(&path).map_err(storage)?;
    Ok((folder, file))
}
