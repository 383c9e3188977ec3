//! What people say of answers.

use sqlx::any::AnyRow;

use crate::row::{Columns, all};
use crate::{
    Author, MessageId, Owner, Page, Paged, State, StateError, Subject, Timestamp, WorkspaceId,
};

/// An opinion of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewFeedback {
    /// 1 (bad) to 5 (good).
    pub rating: Option<i32>,
    /// In words.
    pub comment: Option<String>,
    /// The number of a citation that does not support what it stands behind.
    pub wrong_citation: Option<u32>,
}

/// An opinion of an answer, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// The answer.
    pub message: MessageId,
    /// Whose opinion.
    pub subject: Subject,
    /// 1 (bad) to 5 (good).
    pub rating: Option<i32>,
    /// In words.
    pub comment: Option<String>,
    /// The number of a citation that does not support what it stands behind.
    pub wrong_citation: Option<u32>,
    /// When it was given.
    pub at: Timestamp,
}

impl State {
    /// Keeps what somebody says of an answer, in place of what they said
    /// before. `None` where the message is not the owner's or not an answer.
    ///
    /// # Errors
    ///
    /// [`StateError::Invalid`] where the rating is not 1 to 5.
    pub async fn give_feedback(
        &self,
        owner: &Owner,
        message: &MessageId,
        feedback: NewFeedback,
    ) -> Result<Option<Feedback>, StateError> {
        if feedback
            .rating
            .is_some_and(|rating| !(1..=5).contains(&rating))
        {
            return Err(StateError::Invalid("a rating is 1 to 5".to_owned()));
        }
        let mut write = self.begin().await?;
        let row = sqlx::query(
            "INSERT INTO feedback (message, subject, workspace, rating, remark, wrong_citation, at) \
             SELECT m.id, c.subject, c.workspace, $1, $2, $3, $4 \
             FROM messages m JOIN conversations c ON c.id = m.conversation \
             WHERE m.id = $5 AND m.author = $6 AND c.workspace = $7 AND c.subject = $8 \
             AND c.erase_after IS NULL \
             ON CONFLICT (message, subject) DO UPDATE SET rating = excluded.rating, \
             remark = excluded.remark, wrong_citation = excluded.wrong_citation, \
             at = excluded.at RETURNING *",
        )
        .bind(feedback.rating.map(i64::from))
        .bind(feedback.comment)
        .bind(feedback.wrong_citation.map(i64::from))
        .bind(Timestamp::now().as_micros())
        .bind(message.to_string())
        .bind(Author::Assistant.as_str())
        .bind(owner.workspace.to_string())
        .bind(owner.subject.to_string())
        .fetch_optional(&mut *write)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let feedback = read_feedback(&row)?;
        write.commit().await?;
        Ok(Some(feedback))
    }

    /// What was said of answers in a workspace, newest first.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn feedback(
        &self,
        workspace: &WorkspaceId,
        page: Page,
    ) -> Result<Paged<Feedback>, StateError> {
        let count = sqlx::query("SELECT COUNT(*) AS n FROM feedback WHERE workspace = $1")
            .bind(workspace.to_string())
            .fetch_one(self.reader())
            .await?;
        let rows = sqlx::query(
            "SELECT * FROM feedback WHERE workspace = $1 \
             ORDER BY at DESC, message LIMIT $2 OFFSET $3",
        )
        .bind(workspace.to_string())
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Paged {
            count: count.number("n")?,
            results: all(&rows, read_feedback)?,
        })
    }
}

pub(crate) fn read_feedback(row: &AnyRow) -> Result<Feedback, StateError> {
    let small = |column| {
        row.maybe_int(column)?
            .map(|number| i32::try_from(number).map_err(StateError::unreadable))
            .transpose()
    };
    Ok(Feedback {
        message: row.parsed("message")?,
        subject: row.parsed("subject")?,
        rating: small("rating")?,
        comment: row.maybe_text("remark")?,
        wrong_citation: row
            .maybe_int("wrong_citation")?
            .map(|number| u32::try_from(number).map_err(StateError::unreadable))
            .transpose()?,
        at: row.time("at")?,
    })
}
