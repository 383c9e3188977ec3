//! Workspaces and their settings.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::row::{Columns, all};
use crate::{Page, Paged, Quotas, State, StateError, Subject, Timestamp, WorkspaceId};

/// What a workspace does differently from the installation. `None` and an
/// empty list mean what the installation is set to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkspaceSettings {
    /// Languages its people read, as two-letter codes.
    pub languages: Vec<String>,
    /// Passages that a search gives.
    pub top_k: Option<u32>,
    /// Nearness from which on a passage counts, 0 to 1.
    pub min_similarity: Option<f32>,
    /// The most tokens of an answer.
    pub max_tokens: Option<u32>,
    /// Days after which conversations are deleted.
    pub retention_days: Option<u32>,
    /// The most documents it may hold.
    pub max_documents: Option<u64>,
    /// The most bytes of documents that are kept as they were sent.
    pub max_bytes: Option<u64>,
    /// The most requests a minute.
    pub requests_per_minute: Option<u32>,
    /// The most answers a day, in UTC.
    pub answers_per_day: Option<u64>,
    /// The most tokens of the language model a day.
    pub tokens_per_day: Option<u64>,
    /// The most tokens of the language model a month.
    pub tokens_per_month: Option<u64>,
    /// `generated` or `quoted`.
    pub answers: Option<String>,
    /// The language model, of those that the installation offers.
    pub model: Option<String>,
    /// How answers are worded: `usual`, `brief` or `list`.
    pub style: Option<String>,
    /// Where a person is found who can be asked.
    pub contact: Option<String>,
    /// Confidence under which an answer names that person, 0 to 1.
    pub hand_over_below: Option<f32>,
}

impl WorkspaceSettings {
    /// What all callers of the workspace may use together.
    #[must_use]
    pub fn quotas(&self) -> Quotas {
        Quotas {
            requests_per_minute: self.requests_per_minute,
            answers_per_day: self.answers_per_day,
            tokens_per_day: self.tokens_per_day,
            tokens_per_month: self.tokens_per_month,
        }
    }
}

/// A workspace to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWorkspace {
    /// Its name in addresses, for good.
    pub id: WorkspaceId,
    /// Its name for people.
    pub name: String,
    /// Its settings.
    pub settings: WorkspaceSettings,
    /// Who makes it.
    pub by: Subject,
}

/// A place for documents and people that sees nothing of the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Workspace {
    /// Its name in addresses.
    pub id: WorkspaceId,
    /// Its name for people.
    pub name: String,
    /// Its settings as they are now.
    pub settings: WorkspaceSettings,
    /// When it was made.
    pub created: Timestamp,
    /// When name or settings changed last.
    pub changed: Timestamp,
    /// Counts the changes; the first version is 1.
    pub version: u32,
}

impl Workspace {
    /// The one workspace of an installation that keeps no state.
    #[must_use]
    pub fn alone() -> Self {
        Self {
            id: WorkspaceId::default_workspace(),
            name: "default".to_owned(),
            settings: WorkspaceSettings::default(),
            created: Timestamp::from_micros(0),
            changed: Timestamp::from_micros(0),
            version: 1,
        }
    }
}

/// What shall change; `None` leaves it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WorkspaceChange {
    /// The new name for people.
    pub name: Option<String>,
    /// The new settings, all of them.
    pub settings: Option<WorkspaceSettings>,
}

/// Name and settings as they were from `at` on.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsVersion {
    /// Counts the changes; the first version is 1.
    pub version: u32,
    /// The name for people.
    pub name: String,
    /// The settings.
    pub settings: WorkspaceSettings,
    /// Who set them.
    pub by: Subject,
    /// When.
    pub at: Timestamp,
}

impl State {
    /// Makes a workspace.
    ///
    /// # Errors
    ///
    /// [`StateError::Exists`] where there is or was one of that name.
    pub async fn create_workspace(&self, new: NewWorkspace) -> Result<Workspace, StateError> {
        let now = Timestamp::now();
        let settings = as_json(&new.settings)?;
        let mut write = self.begin().await?;
        sqlx::query("INSERT INTO workspace_names (id, given) VALUES ($1, $2)")
            .bind(new.id.to_string())
            .bind(now.as_micros())
            .execute(&mut *write)
            .await?;
        sqlx::query(
            "INSERT INTO workspaces (id, name, settings, created, changed, version) \
             VALUES ($1, $2, $3, $4, $4, 1)",
        )
        .bind(new.id.to_string())
        .bind(new.name.clone())
        .bind(settings)
        .bind(now.as_micros())
        .execute(&mut *write)
        .await?;
        remember_settings(&mut write, &new.id, &new.by).await?;
        write.commit().await?;
        Ok(Workspace {
            id: new.id,
            name: new.name,
            settings: new.settings,
            created: now,
            changed: now,
            version: 1,
        })
    }

    /// Makes the workspace that is always there.
    pub(crate) async fn ensure_default_workspace(&self) -> Result<(), StateError> {
        let id = WorkspaceId::default_workspace();
        if self.workspace(&id).await?.is_some() {
            return Ok(());
        }
        let made = self
            .create_workspace(NewWorkspace {
                name: "Default".to_owned(),
                id,
                settings: WorkspaceSettings::default(),
                by: Subject::local(),
            })
            .await;
        match made {
            // Another program was quicker.
            Ok(_) | Err(StateError::Exists) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// A workspace.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, StateError> {
        sqlx::query("SELECT * FROM workspaces WHERE id = $1 AND erase_after IS NULL")
            .bind(id.to_string())
            .fetch_optional(self.reader())
            .await?
            .as_ref()
            .map(read_workspace)
            .transpose()
    }

    /// All workspaces, by id.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn workspaces(&self, page: Page) -> Result<Paged<Workspace>, StateError> {
        let count = sqlx::query("SELECT COUNT(*) AS n FROM workspaces WHERE erase_after IS NULL")
            .fetch_one(self.reader())
            .await?;
        let rows = sqlx::query(
            "SELECT * FROM workspaces WHERE erase_after IS NULL ORDER BY id LIMIT $1 OFFSET $2",
        )
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Paged {
            count: count.number("n")?,
            results: all(&rows, read_workspace)?,
        })
    }

    /// The language models that workspaces have chosen, each once, by name.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn chosen_models(&self) -> Result<BTreeSet<String>, StateError> {
        // Most choose none; those are not read.
        let rows = sqlx::query(
            "SELECT * FROM workspaces WHERE erase_after IS NULL \
             AND settings LIKE '%\"model\":\"%'",
        )
        .fetch_all(self.reader())
        .await?;
        let chosen = all(&rows, read_workspace)?;
        Ok(chosen
            .into_iter()
            .filter_map(|workspace| workspace.settings.model)
            .collect())
    }

    /// The workspaces that a subject is a member of, by id.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn workspaces_of(
        &self,
        subject: &Subject,
        page: Page,
    ) -> Result<Paged<Workspace>, StateError> {
        let count = sqlx::query(
            "SELECT COUNT(*) AS n FROM workspaces w JOIN members m ON m.workspace = w.id \
             WHERE m.subject = $1 AND w.erase_after IS NULL",
        )
        .bind(subject.to_string())
        .fetch_one(self.reader())
        .await?;
        let rows = sqlx::query(
            "SELECT w.* FROM workspaces w JOIN members m ON m.workspace = w.id \
             WHERE m.subject = $1 AND w.erase_after IS NULL ORDER BY w.id LIMIT $2 OFFSET $3",
        )
        .bind(subject.to_string())
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Paged {
            count: count.number("n")?,
            results: all(&rows, read_workspace)?,
        })
    }

    /// Changes name or settings and keeps the version before in the history.
    /// `None` where there is no such workspace.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn change_workspace(
        &self,
        id: &WorkspaceId,
        change: WorkspaceChange,
        by: &Subject,
    ) -> Result<Option<Workspace>, StateError> {
        let settings = change.settings.as_ref().map(as_json).transpose()?;
        let mut write = self.begin().await?;
        let changed = sqlx::query(
            "UPDATE workspaces SET name = COALESCE($1, name), settings = COALESCE($2, settings), \
             changed = $3, version = version + 1 \
             WHERE id = $4 AND erase_after IS NULL RETURNING *",
        )
        .bind(change.name)
        .bind(settings)
        .bind(Timestamp::now().as_micros())
        .bind(id.to_string())
        .fetch_optional(&mut *write)
        .await?;
        let Some(changed) = changed else {
            return Ok(None);
        };
        let workspace = read_workspace(&changed)?;
        remember_settings(&mut write, id, by).await?;
        write.commit().await?;
        Ok(Some(workspace))
    }

    /// All versions of a workspace's name and settings, newest first.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn settings_history(
        &self,
        id: &WorkspaceId,
        page: Page,
    ) -> Result<Paged<SettingsVersion>, StateError> {
        let count = sqlx::query("SELECT COUNT(*) AS n FROM settings_history WHERE workspace = $1")
            .bind(id.to_string())
            .fetch_one(self.reader())
            .await?;
        let rows = sqlx::query(
            "SELECT * FROM settings_history WHERE workspace = $1 \
             ORDER BY version DESC LIMIT $2 OFFSET $3",
        )
        .bind(id.to_string())
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Paged {
            count: count.number("n")?,
            results: all(&rows, |row| {
                Ok(SettingsVersion {
                    version: row.number("version")?,
                    name: row.text("name")?,
                    settings: row.json("settings")?,
                    by: row.parsed("author")?,
                    at: row.time("at")?,
                })
            })?,
        })
    }

    /// Erases a workspace, removed before or not, with its keys, members,
    /// conversations, feedback, jobs, usage and settings. Its audit trail
    /// stays, and its name is not given to another. `false` where there is no
    /// such workspace.
    ///
    /// # Errors
    ///
    /// [`StateError::Protected`] for `default`; [`StateError::NotCleared`]
    /// where all is deleted and the journal still holds it.
    pub async fn delete_workspace(&self, id: &WorkspaceId) -> Result<bool, StateError> {
        if *id == WorkspaceId::default_workspace() {
            return Err(StateError::Protected);
        }
        let mut write = self.begin().await?;
        // Everything that refers to it goes with it.
        let deleted = sqlx::query("DELETE FROM workspaces WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *write)
            .await?
            .rows_affected();
        write.commit().await?;
        self.clear_journal().await?;
        Ok(deleted > 0)
    }
}

async fn remember_settings(
    write: &mut AnyConnection,
    id: &WorkspaceId,
    by: &Subject,
) -> Result<(), StateError> {
    sqlx::query(
        "INSERT INTO settings_history (workspace, version, name, settings, author, at) \
         SELECT id, version, name, settings, $1, changed FROM workspaces WHERE id = $2",
    )
    .bind(by.to_string())
    .bind(id.to_string())
    .execute(write)
    .await?;
    Ok(())
}

fn as_json(settings: &WorkspaceSettings) -> Result<String, StateError> {
    serde_json::to_string(settings).map_err(|error| StateError::Invalid(error.to_string()))
}

pub(crate) fn read_workspace(row: &AnyRow) -> Result<Workspace, StateError> {
    Ok(Workspace {
        id: row.parsed("id")?,
        name: row.text("name")?,
        settings: row.json("settings")?,
        created: row.time("created")?,
        changed: row.time("changed")?,
        version: row.number("version")?,
    })
}
