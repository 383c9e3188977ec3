//! What people use, by day.

use sqlx::any::AnyRow;

use crate::row::{Columns, all, stored};
use crate::{State, StateError, Subject, Timestamp, WorkspaceId};

/// What came on top.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageDelta {
    /// Searches.
    pub searches: u64,
    /// Answers.
    pub answers: u64,
    /// Tokens that the language model read.
    pub prompt_tokens: u64,
    /// Tokens that it wrote.
    pub completion_tokens: u64,
    /// Documents that were added.
    pub documents: u64,
}

/// What one subject used on one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// The day in UTC, written `2026-05-17`.
    pub day: String,
    /// Who.
    pub subject: Subject,
    /// Searches.
    pub searches: u64,
    /// Answers.
    pub answers: u64,
    /// Tokens that the language model read.
    pub prompt_tokens: u64,
    /// Tokens that it wrote.
    pub completion_tokens: u64,
    /// Documents that were added.
    pub documents: u64,
}

impl State {
    /// Adds to what a subject used on the day of `now`, in UTC.
    ///
    /// # Errors
    ///
    /// [`StateError::NotFound`] where there is no such workspace.
    pub async fn count_usage(
        &self,
        workspace: &WorkspaceId,
        subject: &Subject,
        usage: UsageDelta,
        now: Timestamp,
    ) -> Result<(), StateError> {
        let mut write = self.begin().await?;
        sqlx::query(
            "INSERT INTO usage_days (workspace, day, subject, searches, answers, prompt_tokens, \
             completion_tokens, documents) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (workspace, day, subject) DO UPDATE SET \
             searches = usage_days.searches + excluded.searches, \
             answers = usage_days.answers + excluded.answers, \
             prompt_tokens = usage_days.prompt_tokens + excluded.prompt_tokens, \
             completion_tokens = usage_days.completion_tokens + excluded.completion_tokens, \
             documents = usage_days.documents + excluded.documents",
        )
        .bind(workspace.to_string())
        .bind(now.day())
        .bind(subject.to_string())
        .bind(stored(usage.searches))
        .bind(stored(usage.answers))
        .bind(stored(usage.prompt_tokens))
        .bind(stored(usage.completion_tokens))
        .bind(stored(usage.documents))
        .execute(&mut *write)
        .await?;
        write.commit().await?;
        Ok(())
    }

    /// What was used in a workspace from one day to another, both included and
    /// written `2026-05-17`, by day and subject.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn usage(
        &self,
        workspace: &WorkspaceId,
        from: &str,
        to: &str,
    ) -> Result<Vec<UsageRow>, StateError> {
        let rows = sqlx::query(
            "SELECT * FROM usage_days WHERE workspace = $1 AND day >= $2 AND day <= $3 \
             ORDER BY day, subject",
        )
        .bind(workspace.to_string())
        .bind(from.to_owned())
        .bind(to.to_owned())
        .fetch_all(self.reader())
        .await?;
        all(&rows, read_usage)
    }
}

pub(crate) fn read_usage(row: &AnyRow) -> Result<UsageRow, StateError> {
    Ok(UsageRow {
        day: row.text("day")?,
        subject: row.parsed("subject")?,
        searches: row.number("searches")?,
        answers: row.number("answers")?,
        prompt_tokens: row.number("prompt_tokens")?,
        completion_tokens: row.number("completion_tokens")?,
        documents: row.number("documents")?,
    })
}
