//! The schema and the way to it.

use std::borrow::Cow;

use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AssertSqlSafe, SqlSafeStr};

use crate::StateError;
use crate::database::Engine;

/// Where sqlx notes what was applied.
const APPLIED: &str = "_sqlx_migrations";

const TABLES: &str = include_str!("../migrations/0001_tables.sql");
const REMOVED_WORKSPACES: &str = include_str!("../migrations/0003_removed_workspaces.sql");
const REMOVED_CONVERSATIONS: &str = include_str!("../migrations/0004_removed_conversations.sql");
const QUOTAS: &str = include_str!("../migrations/0005_quotas.sql");
const APPEND_ONLY_SQLITE: &str = include_str!("../migrations/0002_append_only.sqlite.sql");
const APPEND_ONLY_POSTGRES: &str = include_str!("../migrations/0002_append_only.postgres.sql");

/// All migrations, oldest first. What is released is not changed any more: a
/// database knows the hash of what was applied to it.
pub(crate) fn migrator(engine: Engine) -> Migrator {
    let (name, append_only) = match engine {
        Engine::Sqlite => ("TEXT COLLATE BINARY", APPEND_ONLY_SQLITE),
        Engine::Postgres => ("TEXT COLLATE \"C\"", APPEND_ONLY_POSTGRES),
    };
    Migrator::with_migrations(vec![
        migration(1, "tables", TABLES.replace(" NAME", &format!(" {name}"))),
        migration(2, "append only", append_only.to_owned()),
        migration(3, "removed workspaces", REMOVED_WORKSPACES.to_owned()),
        migration(4, "removed conversations", REMOVED_CONVERSATIONS.to_owned()),
        migration(5, "quotas", QUOTAS.to_owned()),
    ])
}

fn migration(version: i64, description: &'static str, sql: String) -> Migration {
    Migration::new(
        version,
        Cow::Borrowed(description),
        MigrationType::Simple,
        // The text is a file of this crate.
        AssertSqlSafe(sql).into_sql_str(),
        false,
    )
}

/// The newest schema this program can use.
pub(crate) fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|step| step.version).max().unwrap_or(0)
}

/// The schema of the database; 0 where it is empty.
///
/// # Errors
///
/// Where the database does not answer, or is of a later version.
pub(crate) async fn found(
    connection: &mut AnyConnection,
    migrator: &Migrator,
) -> Result<i64, StateError> {
    connection.ensure_migrations_table(APPLIED).await?;
    let applied = connection.list_applied_migrations(APPLIED).await?;
    let found = applied.iter().map(|step| step.version).max().unwrap_or(0);
    let known = newest(migrator);
    if found > known {
        return Err(StateError::NewerSchema { found, known });
    }
    Ok(found)
}
