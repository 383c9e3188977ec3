//! Workspaces that were removed and are erased later, or not at all.
//!
//! Removing one hides it in one write. What it has on the disk goes after
//! that, and the rows last: whoever is cut off between finds it in the list of
//! what is to be erased, and does it again.

use sqlx::any::AnyRow;

use crate::row::{Columns, all};
use crate::workspace::read_workspace;
use crate::{Page, Paged, State, StateError, Timestamp, Workspace, WorkspaceId};

/// A workspace that nobody finds any more.
#[derive(Debug, Clone, PartialEq)]
pub struct RemovedWorkspace {
    /// As it was.
    pub workspace: Workspace,
    /// Until then it can be restored; from then on it is erased.
    pub erase_after: Timestamp,
}

impl State {
    /// Hides a workspace with all that is in it: it is in no list, its jobs
    /// wait, and its name is not given to another. `false` where there is no
    /// such workspace.
    ///
    /// # Errors
    ///
    /// [`StateError::Protected`] for `default`.
    pub async fn remove_workspace(
        &self,
        id: &WorkspaceId,
        erase_after: Timestamp,
    ) -> Result<bool, StateError> {
        if *id == WorkspaceId::default_workspace() {
            return Err(StateError::Protected);
        }
        let mut write = self.begin().await?;
        let removed = sqlx::query(
            "UPDATE workspaces SET erase_after = $1 WHERE id = $2 AND erase_after IS NULL",
        )
        .bind(erase_after.as_micros())
        .bind(id.to_string())
        .execute(&mut *write)
        .await?
        .rows_affected();
        write.commit().await?;
        Ok(removed > 0)
    }

    /// Takes the removal of a workspace back. `None` where none of that name
    /// was removed, or where it may be erased by `now`.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn restore_workspace(
        &self,
        id: &WorkspaceId,
        now: Timestamp,
    ) -> Result<Option<Workspace>, StateError> {
        let mut write = self.begin().await?;
        let restored = sqlx::query(
            "UPDATE workspaces SET erase_after = NULL WHERE id = $1 AND erase_after > $2 \
             RETURNING *",
        )
        .bind(id.to_string())
        .bind(now.as_micros())
        .fetch_optional(&mut *write)
        .await?;
        let restored = restored.as_ref().map(read_workspace).transpose()?;
        write.commit().await?;
        Ok(restored)
    }

    /// The workspaces that were removed and are not erased, by id.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn removed_workspaces(
        &self,
        page: Page,
    ) -> Result<Paged<RemovedWorkspace>, StateError> {
        let count =
            sqlx::query("SELECT COUNT(*) AS n FROM workspaces WHERE erase_after IS NOT NULL")
                .fetch_one(self.reader())
                .await?;
        let rows = sqlx::query(
            "SELECT * FROM workspaces WHERE erase_after IS NOT NULL \
             ORDER BY id LIMIT $1 OFFSET $2",
        )
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Paged {
            count: count.number("n")?,
            results: all(&rows, read_removed)?,
        })
    }

    /// The removed workspaces whose time has come by `now`, those first that
    /// wait longest, some hundred at most.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn workspaces_to_erase(&self, now: Timestamp) -> Result<Vec<Workspace>, StateError> {
        let rows = sqlx::query(
            "SELECT * FROM workspaces WHERE erase_after <= $1 ORDER BY erase_after, id LIMIT 200",
        )
        .bind(now.as_micros())
        .fetch_all(self.reader())
        .await?;
        all(&rows, read_workspace)
    }
}

fn read_removed(row: &AnyRow) -> Result<RemovedWorkspace, StateError> {
    Ok(RemovedWorkspace {
        workspace: read_workspace(row)?,
        erase_after: row.time("erase_after")?,
    })
}
