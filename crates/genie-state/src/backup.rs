//! Copies of the database.

use std::fs::{self, File};
use std::path::Path;

use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Connection, Row};

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

/// Copies all tables of a server's database, as they are before their schema
/// changes, into a schema of PostgreSQL beside theirs: all of them or none. A
/// copy that was made before a change that then failed is replaced.
pub(crate) async fn copy_tables(
    connection: &mut AnyConnection,
    found: i64,
) -> Result<(), StateError> {
    let copy = format!("genie_before_{found}");
    tracing::info!(
        schema = found,
        copy,
        "copying the tables of the state database before its schema changes"
    );
    let mut write = connection.begin().await?;
    let copied = match into_schema(&mut write, &copy).await {
        Ok(()) => write.commit().await,
        Err(error) => Err(error),
    };
    copied.map_err(|source| StateError::NoCopy {
        copy,
        source: source.into(),
    })
}

/// All tables, and where their schema's number stands.
const TABLES: [&str; 13] = [
    "_sqlx_migrations",
    "api_keys",
    "audit",
    "audit_head",
    "conversations",
    "feedback",
    "jobs",
    "members",
    "messages",
    "settings_history",
    "usage_days",
    "workspace_names",
    "workspaces",
];

async fn into_schema(write: &mut AnyConnection, copy: &str) -> Result<(), sqlx::Error> {
    let rows = sqlx::query(
        "SELECT CAST(tablename AS TEXT) AS name FROM pg_tables \
         WHERE schemaname = current_schema()",
    )
    .fetch_all(&mut *write)
    .await?;
    // The names are those of our own tables, and the number of a schema: the
    // database may hold more than ours.
    let mut sql = format!("DROP SCHEMA IF EXISTS {copy} CASCADE; CREATE SCHEMA {copy};");
    for row in &rows {
        let name: String = row.try_get("name")?;
        if !TABLES.contains(&name.as_str()) {
            continue;
        }
        sql.push_str(&format!(
            "CREATE TABLE {copy}.\"{name}\" AS TABLE \"{name}\";"
        ));
    }
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(write).await?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_migrations_is_copied() {
        let mut made = 0;
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        for entry in fs::read_dir(folder).expect("migrations") {
            let sql = fs::read_to_string(entry.expect("an entry").path()).expect("SQL");
            for statement in sql.split("CREATE TABLE ").skip(1) {
                let name = statement.split([' ', '(']).next().unwrap_or_default();
                assert!(TABLES.contains(&name), "{name} is not copied");
                made += 1;
            }
        }
        assert_eq!(made + 1, TABLES.len());
    }
}
