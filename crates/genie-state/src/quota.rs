//! What may be used at most, and what was.

use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;

use crate::row::Columns;
use crate::{State, StateError, Subject, Timestamp, WorkspaceId};

/// What may be used at most; `None` is no limit. Days and months are those of
/// UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quotas {
    /// Requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Answers a day.
    pub answers_per_day: Option<u64>,
    /// Tokens a day that the language model reads and writes.
    pub tokens_per_day: Option<u64>,
    /// Tokens a month that the language model reads and writes.
    pub tokens_per_month: Option<u64>,
}

/// What was used of that in the day and the month that are not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Answers of the day.
    pub answers_today: u64,
    /// Tokens of the day, read and written.
    pub tokens_today: u64,
    /// Tokens of the month, read and written.
    pub tokens_this_month: u64,
}

impl State {
    /// What all of a workspace's callers used up to `now`.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn used_in(
        &self,
        workspace: &WorkspaceId,
        now: Timestamp,
    ) -> Result<Used, StateError> {
        self.used("workspace", workspace.to_string(), now).await
    }

    /// What a subject used up to `now`, in all workspaces.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn used_by(&self, subject: &Subject, now: Timestamp) -> Result<Used, StateError> {
        self.used("subject", subject.to_string(), now).await
    }

    async fn used(
        &self,
        column: &'static str,
        of: String,
        now: Timestamp,
    ) -> Result<Used, StateError> {
        // A sum is a number of another type in PostgreSQL, and of no rows it
        // is none. The month is how its days begin, so it sorts before them.
        let sum = |what: &str| format!("CAST(COALESCE(SUM({what}), 0) AS BIGINT)");
        let today = |what: &str| sum(&format!("CASE WHEN day >= $3 THEN {what} ELSE 0 END"));
        let tokens = "prompt_tokens + completion_tokens";
        let sql = format!(
            "SELECT {} AS answers_today, {} AS tokens_today, {} AS tokens_this_month \
             FROM usage_days WHERE {column} = $1 AND day >= $2",
            today("answers"),
            today(tokens),
            sum(tokens),
        );
        // Made of the texts above alone.
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(of)
            .bind(now.month())
            .bind(now.day())
            .fetch_one(self.reader())
            .await?;
        Ok(Used {
            answers_today: row.number("answers_today")?,
            tokens_today: row.number("tokens_today")?,
            tokens_this_month: row.number("tokens_this_month")?,
        })
    }
}
