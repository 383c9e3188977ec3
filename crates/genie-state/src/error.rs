//! What can go wrong.

use std::io;
use std::path::PathBuf;

use sqlx::error::ErrorKind;
use sqlx::migrate::MigrateError;

/// The error the database gave, hidden behind its text.
pub type DatabaseError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A request to the state that was not carried out. Nothing of it was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// There is something of that name, or there was: the name of a workspace
    /// is not used again, because the audit trail speaks of it.
    #[error("that exists already, or existed once")]
    Exists,
    /// What the request speaks of is not there.
    #[error("there is no such workspace")]
    NotFound,
    /// The default workspace can't be deleted.
    #[error("the workspace `default` can't be deleted")]
    Protected,
    /// A value is outside of its limits.
    #[error("{0}")]
    Invalid(String),
    /// A later version of this program wrote the database.
    #[error(
        "the state database has schema {found}, this program knows schemas up to {known}; run the newer program, or restore the backup made before the change"
    )]
    NewerSchema {
        /// The schema of the database.
        found: i64,
        /// The newest schema this program can use.
        known: i64,
    },
    /// The tables of a server could not be copied before their schema changes.
    #[error(
        "the tables of the state database could not be copied to {copy} before its schema changes, so it was left as it is; the account of database_url needs the right CREATE on the database, and the disk of the server as much room as the tables take"
    )]
    NoCopy {
        /// The schema, in PostgreSQL's sense, that was to hold the copies.
        copy: String,
        /// Why not.
        #[source]
        source: DatabaseError,
    },
    /// A migration that was applied is not the one in this program.
    #[error(
        "migration {version} of the state database is not the one this program knows; restore a backup"
    )]
    ForeignSchema {
        /// The number of the migration.
        version: i64,
    },
    /// The database does not answer now; the same request may succeed later.
    #[error("the state database is not available: {0}")]
    Unavailable(#[source] DatabaseError),
    /// The disk of the database is full.
    #[error("the disk of the state database is full")]
    DiskFull,
    /// The file is damaged, or not a database.
    #[error("the state database is damaged: {0}; restore a backup")]
    Corrupt(#[source] DatabaseError),
    /// A stored value can't be read.
    #[error("the state database holds a value that can't be read: {0}")]
    Unreadable(#[source] DatabaseError),
    /// PostgreSQL has tools of its own for backups.
    #[error("a PostgreSQL database is backed up with pg_dump, see the documentation of PostgreSQL")]
    BackupElsewhere,
    /// The file of a backup is there already.
    #[error("{} exists; a backup is a new file", .0.display())]
    BackupExists(PathBuf),
    /// The text of what was erased is still in the journal, because somebody
    /// reads the database. Asking again clears it.
    #[error("the journal of the state database could not be cleared; ask again")]
    NotCleared,
    /// The address of the database can't be used.
    #[error("the address of the state database can't be used: {0}")]
    Address(#[source] DatabaseError),
    /// What was asked for could not be handed on.
    #[error("what was read of the state database could not be written: {0}")]
    Output(#[source] io::Error),
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Anything else the database refused.
    #[error("the state database: {0}")]
    Database(#[source] DatabaseError),
}

impl StateError {
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull => Self::DiskFull,
            _ => Self::File { path, source },
        }
    }

    pub(crate) fn unreadable(
        error: impl Into<Box<dyn std::error::Error + Send + Sync + 'static>>,
    ) -> Self {
        Self::Unreadable(error.into())
    }
}

impl From<sqlx::Error> for StateError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error;
        match &error {
            Error::Database(database) => match database.kind() {
                ErrorKind::UniqueViolation => Self::Exists,
                ErrorKind::ForeignKeyViolation => Self::NotFound,
                _ => {
                    let code = database.code().unwrap_or_default().into_owned();
                    by_code(&code, error)
                }
            },
            Error::Configuration(_) | Error::InvalidArgument(_) => Self::Address(error.into()),
            Error::Io(io) if io.kind() == io::ErrorKind::StorageFull => Self::DiskFull,
            Error::Io(_)
            | Error::Tls(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed => Self::Unavailable(error.into()),
            Error::ColumnDecode { .. }
            | Error::Decode(_)
            | Error::ColumnNotFound(_)
            | Error::TypeNotFound { .. } => Self::Unreadable(error.into()),
            _ => Self::Database(error.into()),
        }
    }
}

/// SQLite's result codes are numbers whose lowest byte is the kind
/// (<https://www.sqlite.org/rescode.html>), PostgreSQL's SQLSTATEs five
/// characters whose first two are the class
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn by_code(code: &str, error: sqlx::Error) -> StateError {
    let error = Box::new(error);
    if code.len() == 5 {
        return match (&code[..2], code) {
            (_, "53100") => StateError::DiskFull,
            ("08" | "53" | "57" | "40" | "55", _) | (_, "3D000" | "28P01" | "28000") => {
                StateError::Unavailable(error)
            }
            ("XX", _) => StateError::Corrupt(error),
            _ => StateError::Database(error),
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(13) => StateError::DiskFull,
        // Busy, locked, read-only, can't be opened, protocol of locking.
        Ok(5 | 6 | 8 | 14 | 15) => StateError::Unavailable(error),
        // An error of reading or writing, for instance a disk that is gone.
        Ok(10) => StateError::Unavailable(error),
        Ok(11 | 26) => StateError::Corrupt(error),
        _ => StateError::Database(error),
    }
}

impl From<MigrateError> for StateError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
            MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
                Self::ForeignSchema { version }
            }
            other => Self::Database(Box::new(other)),
        }
    }
}
