//! One database, opened.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Connection, Executor, Transaction,
};

use crate::{StateError, backup, schema};

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

/// Which of the two databases it is, where that makes a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

/// The state of an installation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct State(Arc<Pools>);

#[derive(Debug)]
struct Pools {
    engine: Engine,
    /// SQLite has one writer at a time. Whoever waits for it does so here, in
    /// turn: waiting in SQLite is a lottery that somebody loses for seconds.
    writer: AnyPool,
    reader: AnyPool,
}

/// Whoever changes the schema of a server has the lock of this number, "genie"
/// in ASCII.
const CHANGING: i64 = 0x67_656e_6965;
/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connections that read a SQLite file at the same time.
const SQLITE_READERS: u32 = 4;
/// Connections to a server; its own limit is usually 100 for all programs.
const POSTGRES_CONNECTIONS: u32 = 12;

/// `synchronous = FULL` makes a commit durable when it is acknowledged;
/// `secure_delete` overwrites what is deleted.
const WRITER_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
     PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;";
const READER_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON;";

impl State {
    /// Opens a database, makes it where it is a file that is not there, and
    /// brings its schema up to date. A file with an older schema is copied to
    /// `backup-before-<schema>.db` beside it first, the tables of a server to
    /// the schema `genie_before_<schema>` of the same database.
    ///
    /// # Errors
    ///
    /// [`StateError::NewerSchema`] where a later version wrote it;
    /// [`StateError::NoCopy`] where it can't be copied before it changes;
    /// [`StateError::Unavailable`], [`StateError::Corrupt`],
    /// [`StateError::File`] where it can't be reached or read.
    pub async fn open(database: &Database) -> Result<Self, StateError> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(install_default_drivers);
        let pools = match database {
            Database::Sqlite(file) => open_file(file).await?,
            Database::Postgres(url) => open_server(url).await?,
        };
        let state = Self(Arc::new(pools));
        state.ensure_default_workspace().await?;
        Ok(state)
    }

    /// Asks the database for nothing, to see that it answers.
    ///
    /// # Errors
    ///
    /// Where it does not.
    pub async fn ping(&self) -> Result<(), StateError> {
        sqlx::query("SELECT 1").execute(self.reader()).await?;
        Ok(())
    }

    /// Lets what runs end and closes all connections. Requests that come later
    /// fail.
    pub async fn close(&self) {
        self.0.reader.close().await;
        self.0.writer.close().await;
    }

    pub(crate) fn engine(&self) -> Engine {
        self.0.engine
    }

    pub(crate) fn reader(&self) -> &AnyPool {
        &self.0.reader
    }

    pub(crate) fn writer(&self) -> &AnyPool {
        &self.0.writer
    }

    /// Begins a write. Every write is a transaction with a commit of its own,
    /// even of one statement: of a statement alone that returns rows, SQLite
    /// would commit when it is put aside, where nobody sees that fail.
    /// Dropped without a commit, nothing of it happened.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>, StateError> {
        let begin = match self.0.engine {
            // A transaction that first reads and then writes can't wait for
            // another writer; this one is a writer from the start.
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres => "BEGIN",
        };
        Ok(self.0.writer.begin_with(begin).await?)
    }
}

async fn open_file(file: &Path) -> Result<Pools, StateError> {
    // Paths are made absolute so that the URL has no other part to mistake
    // them for.
    let file = std::path::absolute(file).map_err(StateError::file(file))?;
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    make_folder(&folder)?;
    make_private(&file)?;
    // Two programs that start together must not both migrate.
    let turn = file.with_extension("lock");
    let turn = tokio::task::spawn_blocking(move || lock(&turn))
        .await
        .map_err(|error| StateError::Unavailable(error.into()))??;
    let url = sqlite_url(&file)?;
    let writer = connect(&url, 1, Some(WRITER_SETTINGS)).await?;
    let migrated = migrate_file(&writer, &file).await;
    drop(turn);
    if let Err(error) = migrated {
        writer.close().await;
        return Err(error);
    }
    let reader = connect(&url, SQLITE_READERS, Some(READER_SETTINGS)).await?;
    Ok(Pools {
        engine: Engine::Sqlite,
        writer,
        reader,
    })
}

async fn migrate_file(pool: &AnyPool, file: &Path) -> Result<(), StateError> {
    let migrator = schema::migrator(Engine::Sqlite);
    let mut connection = pool.acquire().await?;
    let found = schema::found(&mut connection, &migrator).await?;
    if found > 0 && found < schema::newest(&migrator) {
        let copy = file.with_file_name(format!("backup-before-{found}.db"));
        tracing::info!(schema = found, copy = %copy.display(), "copying the state database before its schema changes");
        backup::replace_copy(&mut connection, &copy).await?;
    }
    migrator.run_direct(None, &mut *connection, false).await?;
    Ok(())
}

async fn open_server(url: &str) -> Result<Pools, StateError> {
    let pool = connect(url, POSTGRES_CONNECTIONS, None).await?;
    let migrator = schema::migrator(Engine::Postgres);
    let migrated = async {
        let mut connection = pool.acquire().await?;
        let found = schema::found(&mut connection, &migrator).await?;
        if found > 0 && found < schema::newest(&migrator) {
            // Of programs that start together one copies and changes; the
            // others find it done.
            lock_server(&mut connection, "pg_advisory_lock").await?;
            let found = schema::found(&mut connection, &migrator).await?;
            if found < schema::newest(&migrator) {
                backup::copy_tables(&mut connection, found).await?;
                migrator.run_direct(None, &mut *connection, false).await?;
            }
            lock_server(&mut connection, "pg_advisory_unlock").await?;
            return Ok(());
        }
        Ok::<_, StateError>(migrator.run_direct(None, &mut *connection, false).await?)
    }
    .await;
    if let Err(error) = migrated {
        pool.close().await;
        return Err(error);
    }
    Ok(Pools {
        engine: Engine::Postgres,
        writer: pool.clone(),
        reader: pool,
    })
}

/// Takes or gives back the turn to change the schema; a connection that is
/// closed gives it back as well.
async fn lock_server(
    connection: &mut AnyConnection,
    function: &'static str,
) -> Result<(), StateError> {
    sqlx::query(AssertSqlSafe(format!(
        "SELECT CAST({function}($1) AS TEXT)"
    )))
    .bind(CHANGING)
    .execute(connection)
    .await?;
    Ok(())
}

async fn connect(
    url: &str,
    connections: u32,
    settings: Option<&'static str>,
) -> Result<AnyPool, StateError> {
    // Statements hold what people wrote, so none is logged.
    let options: AnyConnectOptions = url
        .parse::<AnyConnectOptions>()?
        .disable_statement_logging();
    // A pool tries until its patience ends and then only says so; this says
    // at once what is wrong.
    let mut first = options.connect().await?;
    if let Some(settings) = settings {
        first.execute(sqlx::raw_sql(settings)).await?;
    }
    first.close().await?;
    let mut pool = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE);
    if let Some(settings) = settings {
        // A file is not gone after a while as a server may be.
        pool = pool
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(sqlx::raw_sql(settings)).await?;
                    Ok(())
                })
            });
    }
    Ok(pool.connect_with(options).await?)
}

/// Everything but what a path is made of is escaped, `?` and `%` above all.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

fn sqlite_url(file: &Path) -> Result<String, StateError> {
    let path = file
        .to_str()
        .ok_or_else(|| StateError::Address("the path is not valid Unicode".into()))?;
    Ok(format!(
        "sqlite://{}?mode=rw",
        utf8_percent_encode(path, PATH)
    ))
}

fn make_folder(folder: &Path) -> Result<(), StateError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(StateError::file(folder))
}

/// Makes the file so that only its owner can read it; its journals get the
/// same mode.
pub(crate) fn make_private(file: &Path) -> Result<File, StateError> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map_err(StateError::file(file))
}

fn lock(file: &Path) -> Result<File, StateError> {
    let open = make_private(file)?;
    open.lock().map_err(StateError::file(file))?;
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let database = Database::Postgres("postgres://a:secret@b/c".to_owned());
        assert!(!format!("{database:?}").contains("secret"));
    }

    #[test]
    fn any_path_makes_an_address() {
        assert_eq!(
            sqlite_url(Path::new("/a b/c?d%20#é.db")).ok().as_deref(),
            Some("sqlite:///a%20b/c%3Fd%2520%23%C3%A9.db?mode=rw")
        );
    }
}
