//! Copies of a SQLite database.

use std::fs::{self, File};
use std::path::Path;

use sqlx::{AnyConnection, ConnectOptions, Connection};

use crate::database::{Engine, make_private};
use crate::{State, StateError};

impl State {
    /// Writes a copy of the database into a new file, as it is at one moment;
    /// reads and writes go on meanwhile. The copy is on the disk when this
    /// returns.
    ///
    /// # Errors
    ///
    /// [`StateError::BackupElsewhere`] on PostgreSQL,
    /// [`StateError::BackupExists`] where the file is there already,
    /// [`StateError::DiskFull`] where it does not fit.
    pub async fn backup_to(&self, file: &Path) -> Result<(), StateError> {
        if self.engine() == Engine::Postgres {
            return Err(StateError::BackupElsewhere);
        }
        if file.exists() {
            return Err(StateError::BackupExists(file.to_owned()));
        }
        // A connection of its own: the writer's would keep writes waiting.
        let mut connection = self.writer().connect_options().connect().await?;
        let copied = replace_copy(&mut connection, file).await;
        connection.close().await?;
        copied
    }
}

/// Copies the database into `file`, which appears whole or not at all.
pub(crate) async fn replace_copy(
    connection: &mut AnyConnection,
    file: &Path,
) -> Result<(), StateError> {
    let part = file.with_extension("part");
    let path = part
        .to_str()
        .ok_or_else(|| StateError::Address("the path is not valid Unicode".into()))?
        .to_owned();
    if part.exists() {
        fs::remove_file(&part).map_err(StateError::file(&part))?;
    }
    // SQLite takes an empty file, so the copy is private from the start.
    make_private(&part)?;
    let copied = sqlx::query("VACUUM INTO $1")
        .bind(path)
        .execute(connection)
        .await
        .map_err(StateError::from)
        .and_then(|_| durable(&part, file));
    if copied.is_err() {
        // What went wrong is worth more than whether the part could be removed.
        let _ = fs::remove_file(&part);
    }
    copied
}

fn durable(part: &Path, file: &Path) -> Result<(), StateError> {
    File::open(part)
        .and_then(|open| open.sync_all())
        .map_err(StateError::file(part))?;
    fs::rename(part, file).map_err(StateError::file(file))?;
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|open| open.sync_all())
        .map_err(StateError::file(folder))
}
