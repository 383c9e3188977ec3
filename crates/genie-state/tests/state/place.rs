//! Where a test runs.

use std::future::Future;
use std::str::FromStr;

use genie_state::{Database, NewWorkspace, Page, State, Subject, WorkspaceId, WorkspaceSettings};
use sqlx::any::{AnyConnectOptions, AnyRow, install_default_drivers};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};

/// A database of its own for one test.
pub(crate) struct Place {
    pub(crate) database: Database,
    pub(crate) state: State,
    url: String,
}

impl Place {
    async fn new(database: Database, url: String) -> Self {
        let state = State::open(&database).await.expect("a database");
        Self {
            database,
            state,
            url,
        }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.database, Database::Sqlite(_))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What somebody does who has the database in their hands.
    pub(crate) async fn by_hand(&self, sql: &str) -> Vec<AnyRow> {
        let mut connection = AnyConnection::connect(&self.url).await.expect("by hand");
        let rows = sqlx::query(AssertSqlSafe(sql))
            .fetch_all(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        connection.close().await.expect("closed");
        rows
    }

    pub(crate) async fn number_by_hand(&self, sql: &str) -> i64 {
        self.by_hand(sql).await[0].get(0)
    }

    /// Takes away what keeps a program from changing the trail by mistake.
    pub(crate) async fn unlock_trail(&self) {
        if self.is_sqlite() {
            self.by_hand("DROP TRIGGER audit_no_update").await;
            self.by_hand("DROP TRIGGER audit_no_delete").await;
        } else {
            self.by_hand("DROP TRIGGER audit_append_only ON audit")
                .await;
        }
    }

    pub(crate) async fn workspace(&self, id: &str) -> WorkspaceId {
        let new = NewWorkspace {
            id: id.parse().expect("a name"),
            name: id.to_uppercase(),
            settings: WorkspaceSettings::default(),
            by: Subject::local(),
        };
        self.state.create_workspace(new).await.expect(id).id
    }
}

pub(crate) fn page(number: u32, size: u32) -> Page {
    Page::new(number, size).expect("a page")
}

pub(crate) fn whole() -> Page {
    page(1, 1000)
}

pub(crate) fn subject(name: &str) -> Subject {
    name.parse().expect("a subject")
}

pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

pub(crate) fn on_sqlite<F: Future<Output = ()>>(case: impl FnOnce(Place) -> F) {
    install_default_drivers();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("state/genie.db");
    let url = format!("sqlite://{}", file.display());
    run(async { case(Place::new(Database::Sqlite(file), url).await).await });
}

pub(crate) fn on_postgres<F: Future<Output = ()>>(name: &str, case: impl FnOnce(Place) -> F) {
    let Some(server) = std::env::var("GENIE_TEST_POSTGRES")
        .ok()
        .filter(|url| !url.is_empty())
    else {
        println!("skipped: GENIE_TEST_POSTGRES names no PostgreSQL server");
        return;
    };
    install_default_drivers();
    let database = format!("genie_{name}_{}", std::process::id());
    let mut url = AnyConnectOptions::from_str(&server)
        .expect("the URL of a server")
        .database_url;
    url.set_path(&format!("/{database}"));
    let url = url.to_string();
    run(async {
        let done = on_server(&server, &format!("DROP DATABASE IF EXISTS {database}")).await;
        done.expect("no database of an earlier run");
        // Sorts unlike bytes, so that a test shows where that matters. Servers
        // before version 15 can't.
        let unlike_bytes = format!(
            "CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8' \
             LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'"
        );
        if on_server(&server, &unlike_bytes).await.is_err() {
            let plain = format!("CREATE DATABASE {database}");
            on_server(&server, &plain).await.expect("a database");
        }
        case(Place::new(Database::Postgres(url.clone()), url).await).await;
        let done = on_server(&server, &format!("DROP DATABASE {database} WITH (FORCE)")).await;
        done.expect("the database is gone");
    });
}

async fn on_server(server: &str, sql: &str) -> Result<(), sqlx::Error> {
    let mut connection = AnyConnection::connect(server).await?;
    sqlx::query(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await?;
    connection.close().await
}
