//! Conversations that were removed and are erased later, or not at all.

use sqlx::any::AnyRow;

use crate::conversation::read_conversation;
use crate::row::{Columns, all};
use crate::{
    Conversation, ConversationId, Owner, Page, Paged, State, StateError, Timestamp, WorkspaceId,
};

/// A conversation that is in no list any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedConversation {
    /// As it was.
    pub conversation: Conversation,
    /// Until then it can be restored; from then on it is erased.
    pub erase_after: Timestamp,
}

impl State {
    /// Hides a conversation with its messages. `false` where it is not there,
    /// hidden already or another's.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn remove_conversation(
        &self,
        owner: &Owner,
        id: &ConversationId,
        erase_after: Timestamp,
    ) -> Result<bool, StateError> {
        let mut write = self.begin().await?;
        let removed = sqlx::query(
            "UPDATE conversations SET erase_after = $1 \
             WHERE id = $2 AND workspace = $3 AND subject = $4 AND erase_after IS NULL",
        )
        .bind(erase_after.as_micros())
        .bind(id.to_string())
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .execute(&mut *write)
        .await?
        .rows_affected();
        write.commit().await?;
        Ok(removed > 0)
    }

    /// Takes the removal of a conversation back. `None` where none of that id
    /// was removed, where it may be erased by `now`, and where it is another's.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn restore_conversation(
        &self,
        owner: &Owner,
        id: &ConversationId,
        now: Timestamp,
    ) -> Result<Option<Conversation>, StateError> {
        let mut write = self.begin().await?;
        let restored = sqlx::query(
            "UPDATE conversations SET erase_after = NULL \
             WHERE id = $1 AND workspace = $2 AND subject = $3 AND erase_after > $4 RETURNING *",
        )
        .bind(id.to_string())
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .bind(now.as_micros())
        .fetch_optional(&mut *write)
        .await?;
        let restored = restored.as_ref().map(read_conversation).transpose()?;
        write.commit().await?;
        Ok(restored)
    }

    /// The conversations of an owner that were removed and are not erased,
    /// those first that are erased first.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn removed_conversations(
        &self,
        owner: &Owner,
        page: Page,
    ) -> Result<Paged<RemovedConversation>, StateError> {
        let count = sqlx::query(
            "SELECT COUNT(*) AS n FROM conversations \
             WHERE workspace = $1 AND subject = $2 AND erase_after IS NOT NULL",
        )
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .fetch_one(self.reader())
        .await?;
        let rows = sqlx::query(
            "SELECT * FROM conversations \
             WHERE workspace = $1 AND subject = $2 AND erase_after IS NOT NULL \
             ORDER BY erase_after, id LIMIT $3 OFFSET $4",
        )
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Paged {
            count: count.number("n")?,
            results: all(&rows, read_removed)?,
        })
    }

    /// Erases the removed conversations whose time has come by `now`, as
    /// [`Self::erase_subject`] erases. Gives which, with their workspaces.
    ///
    /// # Errors
    ///
    /// [`StateError::NotCleared`] where all is deleted and the journal still
    /// holds it.
    pub async fn erase_conversations_due(
        &self,
        now: Timestamp,
    ) -> Result<Vec<(WorkspaceId, ConversationId)>, StateError> {
        let mut write = self.begin().await?;
        let rows = sqlx::query(
            "DELETE FROM conversations WHERE erase_after <= $1 RETURNING id, workspace",
        )
        .bind(now.as_micros())
        .fetch_all(&mut *write)
        .await?;
        let erased = all(&rows, |row| {
            Ok((row.parsed("workspace")?, row.parsed("id")?))
        })?;
        write.commit().await?;
        if !erased.is_empty() {
            self.clear_journal().await?;
        }
        Ok(erased)
    }
}

fn read_removed(row: &AnyRow) -> Result<RemovedConversation, StateError> {
    Ok(RemovedConversation {
        conversation: read_conversation(row)?,
        erase_after: row.time("erase_after")?,
    })
}
