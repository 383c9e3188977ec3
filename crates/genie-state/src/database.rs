//! One database, opened.

use std::fmt;
use std::path::PathBuf;

/// Where the state is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// A server, by its URL: `postgres://user:password@host/database`.
    Postgres(String),
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => f.debug_tuple("Sqlite").field(file).finish(),
            // The URL holds a password.
            Self::Postgres(_) => f.write_str("Postgres(…)"),
        }
    }
}

/// The state of an installation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State {}
