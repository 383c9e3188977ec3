//! A question with its answer, found by the answer.

use sqlx::any::AnyRow;

use crate::conversation::read_message;
use crate::row::Columns;
use crate::{Author, Message, MessageId, Owner, State, StateError};

/// A question that was kept, with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What was asked.
    pub question: Message,
    /// What was answered.
    pub answer: Message,
}

impl State {
    /// The exchange that this answer ends; `None` where there is no such
    /// answer or it is another's.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn exchange(
        &self,
        owner: &Owner,
        answer: &MessageId,
    ) -> Result<Option<Exchange>, StateError> {
        let rows = sqlx::query(
            "SELECT q.* FROM messages a JOIN conversations c ON c.id = a.conversation \
             JOIN messages q ON q.conversation = a.conversation \
             WHERE a.id = $1 AND a.author = $2 AND c.workspace = $3 AND c.subject = $4 \
             AND c.erase_after IS NULL AND (q.place = a.place - 1 OR q.place = a.place) ORDER BY q.place",
        )
        .bind(answer.to_string())
        .bind(Author::Assistant.as_str())
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .fetch_all(self.reader())
        .await?;
        let [question, answer] = rows.as_slice() else {
            return Ok(None);
        };
        Ok(Some(Exchange {
            question: read_message(question)?,
            answer: read_message(answer)?,
        }))
    }

    /// Deletes an exchange with what was said of it, and its conversation
    /// where nothing else is in it. `false` where there is no such answer or
    /// it is another's.
    ///
    /// # Errors
    ///
    /// [`StateError::NotCleared`] where all is deleted and the journal still
    /// holds it.
    pub async fn delete_exchange(
        &self,
        owner: &Owner,
        answer: &MessageId,
    ) -> Result<bool, StateError> {
        let mut write = self.begin().await?;
        let found: Option<AnyRow> = sqlx::query(
            "SELECT a.conversation, a.place FROM messages a \
             JOIN conversations c ON c.id = a.conversation \
             WHERE a.id = $1 AND a.author = $2 AND c.workspace = $3 AND c.subject = $4 \
             AND c.erase_after IS NULL",
        )
        .bind(answer.to_string())
        .bind(Author::Assistant.as_str())
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .fetch_optional(&mut *write)
        .await?;
        let Some(found) = found else {
            return Ok(false);
        };
        let conversation = found.text("conversation")?;
        let place = found.int("place")?;
        let deleted = sqlx::query(
            "DELETE FROM messages WHERE conversation = $1 AND (place = $2 OR place = $3)",
        )
        .bind(conversation.clone())
        .bind(place - 1)
        .bind(place)
        .execute(&mut *write)
        .await?
        .rows_affected();
        sqlx::query("UPDATE conversations SET messages = messages - $1 WHERE id = $2")
            .bind(i64::try_from(deleted).map_err(StateError::unreadable)?)
            .bind(conversation.clone())
            .execute(&mut *write)
            .await?;
        sqlx::query("DELETE FROM conversations WHERE id = $1 AND messages <= 0")
            .bind(conversation)
            .execute(&mut *write)
            .await?;
        write.commit().await?;
        if deleted > 0 {
            self.clear_journal().await?;
        }
        Ok(deleted > 0)
    }
}
