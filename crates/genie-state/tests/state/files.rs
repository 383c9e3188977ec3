//! The file of a SQLite database, and databases that can't be used.

use std::fs;
use std::path::Path;

use genie_state::{AuditVerdict, Database, Page, State, StateError, WorkspaceId};
use sqlx::{AnyConnection, Connection};

use crate::place::{on_postgres, on_sqlite, run, whole};

/// Whether some file below a folder holds these bytes.
pub(crate) fn any_holds(folder: &Path, bytes: &[u8]) -> bool {
    fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .any(|path| {
            if path.is_dir() {
                return any_holds(&path, bytes);
            }
            let content = fs::read(&path).expect("a file");
            content.windows(bytes.len()).any(|window| window == bytes)
        })
}

/// Names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

async fn execute(file: &Path, sql: &'static str) {
    let url = format!("sqlite://{}", file.display());
    let mut connection = AnyConnection::connect(&url).await.expect("by hand");
    sqlx::raw_sql(sql)
        .execute(&mut connection)
        .await
        .expect(sql);
    connection.close().await.expect("closed");
}

#[test]
#[cfg(unix)]
fn nobody_else_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    on_sqlite(async |place| {
        let Database::Sqlite(file) = &place.database else {
            return;
        };
        let folder = file.parent().expect("a folder");
        place
            .state
            .backup_to(&folder.join("copy.db"))
            .await
            .expect("copied");
        let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode(folder), 0o700);
        let found = names(folder);
        assert!(found.contains(&"genie.db-wal".to_owned()), "{found:?}");
        assert!(found.contains(&"copy.db".to_owned()), "{found:?}");
        for name in found {
            assert_eq!(mode(&folder.join(&name)), 0o600, "{name}");
        }
    });
}

#[test]
fn a_backup_is_the_database_at_one_moment() {
    on_sqlite(async |place| {
        let Database::Sqlite(file) = &place.database else {
            return;
        };
        place.workspace("health").await;
        place
            .state
            .audit(crate::audit::entry(1))
            .await
            .expect("recorded");
        let copy = file.with_file_name("copy.db");
        place.state.backup_to(&copy).await.expect("copied");
        place.workspace("later").await;
        assert!(matches!(
            place.state.backup_to(&copy).await,
            Err(StateError::BackupExists(_))
        ));
        let restored = State::open(&Database::Sqlite(copy)).await.expect("opened");
        let list = restored.workspaces(whole()).await.expect("a list");
        let ids: Vec<_> = list.results.iter().map(|w| w.id.as_str()).collect();
        assert_eq!(ids, ["default", "health"]);
        let verdict = restored.verify_audit().await.expect("a verdict");
        assert!(matches!(verdict, AuditVerdict::Whole { records: 1, .. }));
    });
}

#[test]
fn a_server_is_backed_up_by_its_own_tools() {
    on_postgres("backup", async |place| {
        let refused = place.state.backup_to(Path::new("copy.db")).await;
        let error = refused.expect_err("refused");
        assert!(matches!(error, StateError::BackupElsewhere));
        assert!(error.to_string().contains("pg_dump"));
    });
}

const NEWER: &str = "INSERT INTO _sqlx_migrations \
     (version, description, success, checksum, execution_time) VALUES (99, 'later', ";

#[test]
fn a_newer_schema_is_refused() {
    on_sqlite(async |place| {
        place.by_hand(&format!("{NEWER} 1, X'00', 0)")).await;
        refuses_newer(&place.database).await;
    });
    on_postgres("newer", async |place| {
        place.by_hand(&format!("{NEWER} true, '\\x00', 0)")).await;
        refuses_newer(&place.database).await;
    });
}

async fn refuses_newer(database: &Database) {
    let error = State::open(database).await.expect_err("refused");
    assert!(
        matches!(error, StateError::NewerSchema { found: 99, known } if known < 99),
        "{error}"
    );
}

#[test]
fn a_migration_that_is_another_one_is_refused() {
    on_sqlite(async |place| {
        place
            .by_hand("UPDATE _sqlx_migrations SET checksum = X'00' WHERE version = 1")
            .await;
        let error = State::open(&place.database).await.expect_err("refused");
        assert!(
            matches!(error, StateError::ForeignSchema { version: 1 }),
            "{error}"
        );
    });
}

#[test]
fn an_older_schema_is_copied_before_it_changes() {
    on_sqlite(async |place| {
        let Database::Sqlite(file) = &place.database else {
            return;
        };
        let folder = file.parent().expect("a folder");
        place.workspace("health").await;
        place.state.close().await;
        assert!(!names(folder).iter().any(|name| name.starts_with("backup")));
        // Back to schema 1.
        execute(
            file,
            "DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete; \
             ALTER TABLE workspaces DROP COLUMN erase_after; \
             DROP INDEX conversations_due; \
             ALTER TABLE conversations DROP COLUMN erase_after; \
             ALTER TABLE api_keys DROP COLUMN quotas; \
             DROP INDEX usage_days_by_subject; \
             DELETE FROM _sqlx_migrations WHERE version > 1;",
        )
        .await;
        let state = State::open(&place.database).await.expect("opened");
        let id: WorkspaceId = "health".parse().expect("a name");
        assert!(state.workspace(&id).await.expect("read").is_some());
        let copy = folder.join("backup-before-1.db");
        assert!(copy.exists(), "{:?}", names(folder));
        // The copy is of the older schema, with everything in it.
        let mut connection = AnyConnection::connect(&format!("sqlite://{}", copy.display()))
            .await
            .expect("the copy");
        let row = sqlx::query(
            "SELECT (SELECT MAX(version) FROM _sqlx_migrations) * 10 + \
             (SELECT COUNT(*) FROM workspaces) AS n",
        )
        .fetch_one(&mut connection)
        .await
        .expect("read");
        assert_eq!(sqlx::Row::get::<i64, _>(&row, "n"), 12);
    });
}

#[test]
fn tables_of_a_server_are_copied_before_their_schema_changes() {
    on_postgres("before", async |place| {
        place.workspace("health").await;
        place.state.close().await;
        let copies = "SELECT COUNT(*) FROM pg_namespace WHERE nspname LIKE 'genie_before%'";
        assert_eq!(place.number_by_hand(copies).await, 0);
        // Back to schema 3, and a copy of an attempt that failed.
        for sql in [
            "DROP INDEX conversations_due",
            "ALTER TABLE conversations DROP COLUMN erase_after",
            "ALTER TABLE api_keys DROP COLUMN quotas",
            "DROP INDEX usage_days_by_subject",
            "DELETE FROM _sqlx_migrations WHERE version > 3",
            "CREATE SCHEMA genie_before_3",
            "CREATE TABLE genie_before_3.workspaces (id TEXT)",
        ] {
            place.by_hand(sql).await;
        }
        // Together: one copies, and nobody finds it half done.
        let opening = || State::open(&place.database);
        let (one, other) = tokio::join!(opening(), opening());
        let (one, other) = (one.expect("opened"), other.expect("opened"));
        let id: WorkspaceId = "health".parse().expect("a name");
        assert!(one.workspace(&id).await.expect("read").is_some());
        other.close().await;
        // Of the older schema, with everything in it.
        let kept = "SELECT (SELECT MAX(version) FROM genie_before_3._sqlx_migrations) * 10 + \
                    (SELECT COUNT(*) FROM genie_before_3.workspaces)";
        assert_eq!(place.number_by_hand(kept).await, 32);
        let new = "SELECT COUNT(*) FROM information_schema.columns \
                   WHERE table_schema = 'genie_before_3' AND column_name = 'quotas'";
        assert_eq!(place.number_by_hand(new).await, 0);
        assert_eq!(place.number_by_hand(copies).await, 1);
        one.close().await;
    });
}

#[test]
fn a_server_that_takes_no_copy_is_left_as_it_is() {
    on_postgres("nocopy", async |place| {
        place.state.close().await;
        let account = format!("genie_nocopy_{}", std::process::id());
        let back = "DELETE FROM _sqlx_migrations WHERE version > 4";
        for sql in [
            "ALTER TABLE api_keys DROP COLUMN quotas",
            "DROP INDEX usage_days_by_subject",
            back,
            &format!("CREATE ROLE {account} LOGIN"),
            &format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {account}"),
            &format!("GRANT ALL ON SCHEMA public TO {account}"),
        ] {
            place.by_hand(sql).await;
        }
        let url = place
            .url()
            .replace("user=genie", &format!("user={account}"));
        assert_ne!(
            url,
            place.url(),
            "the server of the test names the user genie"
        );
        let refused = State::open(&Database::Postgres(url)).await;
        let error = refused.expect_err("refused");
        assert!(
            matches!(&error, StateError::NoCopy { copy, .. } if copy == "genie_before_4"),
            "{error:?}"
        );
        let at = "SELECT MAX(version) FROM _sqlx_migrations";
        assert_eq!(place.number_by_hand(at).await, 4);
        place.by_hand(&format!("DROP OWNED BY {account}")).await;
        place.by_hand(&format!("DROP ROLE {account}")).await;
    });
}

#[test]
fn programs_that_start_together_migrate_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::Sqlite(folder.path().join("genie.db"));
    run(async {
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let database = database.clone();
                tokio::spawn(async move { State::open(&database).await.map(|_| ()) })
            })
            .collect();
        for task in tasks {
            task.await.expect("a task").expect("opened");
        }
    });
}

#[test]
fn what_is_no_database_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("genie.db");
    fs::write(
        &file,
        "this is not a database, it is a sentence. ".repeat(200),
    )
    .expect("written");
    run(async {
        let error = State::open(&Database::Sqlite(file))
            .await
            .expect_err("no database");
        assert!(matches!(error, StateError::Corrupt(_)), "{error:?}");
        let occupied = folder.path().join("genie.db/inside.db");
        let error = State::open(&Database::Sqlite(occupied))
            .await
            .expect_err("no folder");
        assert!(matches!(error, StateError::File { .. }), "{error:?}");
        for (url, password) in [
            ("postgres://ana:hunter2@127.0.0.1:1/none", "hunter2"),
            ("mysql://ana:hunter2@127.0.0.1:1/none", "hunter2"),
            ("no address hunter2", "hunter2"),
        ] {
            let error = State::open(&Database::Postgres(url.to_owned())).await;
            let error = error.expect_err("nobody there");
            assert!(!error.to_string().contains(password), "{error}");
            let expected = if url.starts_with("postgres") {
                matches!(error, StateError::Unavailable(_))
            } else {
                matches!(error, StateError::Address(_))
            };
            assert!(expected, "{url}: {error:?}");
        }
    });
}

#[test]
fn odd_names_of_folders_are_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a b?mode=ro#é%20/genie.db");
    run(async {
        let state = State::open(&Database::Sqlite(file.clone()))
            .await
            .expect("opened");
        state.ping().await.expect("it answers");
        let list = state.workspaces(Page::new(1, 1).expect("a page")).await;
        assert_eq!(list.expect("a list").count, 1);
        state.close().await;
        assert!(matches!(
            state.ping().await,
            Err(StateError::Unavailable(_))
        ));
    });
    assert!(file.exists());
}
