//! Everything of one person.

use sqlx::AnyConnection;

use crate::conversation::{read_conversation, read_message};
use crate::database::Engine;
use crate::feedback::read_feedback;
use crate::queue::read_job;
use crate::row::{Columns, all};
use crate::usage::read_usage;
use crate::{
    Conversation, Feedback, Job, Message, State, StateError, Subject, Timestamp, UsageRow,
    WorkspaceId,
};

/// What a workspace holds of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectData {
    /// Its conversations with their messages, oldest first.
    pub conversations: Vec<(Conversation, Vec<Message>)>,
    /// Its opinions, oldest first.
    pub feedback: Vec<Feedback>,
    /// What it used, by day.
    pub usage: Vec<UsageRow>,
    /// Its jobs whose kind begins with `answer`, oldest first.
    pub answers: Vec<Job>,
}

/// How often the journal is asked to empty itself, each time waiting for
/// readers as long as `busy_timeout` says.
const CLEARING_TRIES: usize = 3;

impl State {
    /// Everything a workspace holds of a subject, as it is at one moment.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn export_subject(
        &self,
        workspace: &WorkspaceId,
        subject: &Subject,
    ) -> Result<SubjectData, StateError> {
        let mut read = match self.engine() {
            // The first statement fixes what all of them see.
            Engine::Sqlite => self.reader().begin_with("BEGIN").await?,
            Engine::Postgres => {
                self.reader()
                    .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await?
            }
        };
        let conversations = read_conversations(&mut read, workspace, subject).await?;
        let rows = sqlx::query(
            "SELECT * FROM feedback WHERE workspace = $1 AND subject = $2 ORDER BY at, message",
        )
        .bind(workspace.to_string())
        .bind(subject.to_string())
        .fetch_all(&mut *read)
        .await?;
        let feedback = all(&rows, read_feedback)?;
        let rows = sqlx::query(
            "SELECT * FROM usage_days WHERE workspace = $1 AND subject = $2 ORDER BY day",
        )
        .bind(workspace.to_string())
        .bind(subject.to_string())
        .fetch_all(&mut *read)
        .await?;
        let usage = all(&rows, read_usage)?;
        let rows = sqlx::query(
            "SELECT * FROM jobs WHERE workspace = $1 AND subject = $2 AND kind LIKE 'answer%' \
             ORDER BY created, id",
        )
        .bind(workspace.to_string())
        .bind(subject.to_string())
        .fetch_all(&mut *read)
        .await?;
        let answers = all(&rows, read_job)?;
        read.rollback().await?;
        Ok(SubjectData {
            conversations,
            feedback,
            usage,
            answers,
        })
    }

    /// Removes everything a workspace holds of a subject: conversations with
    /// messages and feedback, and jobs, unfinished ones too. Membership and
    /// the audit trail stay. Gives the number of conversations.
    ///
    /// What it used stays as the workspace's, of nobody, or whoever erases
    /// what is kept of them would have their quotas anew. That of a key stays
    /// the key's for as long as its quotas count it, which is this month.
    ///
    /// In SQLite the text is in no file of the database afterwards. In
    /// PostgreSQL it is in dead rows until the server's vacuum.
    ///
    /// # Errors
    ///
    /// [`StateError::NotCleared`] where all is deleted and the journal still
    /// holds it.
    pub async fn erase_subject(
        &self,
        workspace: &WorkspaceId,
        subject: &Subject,
    ) -> Result<u64, StateError> {
        // Whose usage is kept as nobody's; there is nothing else of it.
        if subject.as_str() == "erased" {
            return Ok(0);
        }
        let mut write = self.begin().await?;
        // Days sort behind the month that they begin with, and all of them
        // before a letter.
        let until = match subject.as_key() {
            Some(_) => Timestamp::now().month(),
            None => "z".to_owned(),
        };
        for statement in [
            "INSERT INTO usage_days (workspace, day, subject, searches, answers, prompt_tokens, \
             completion_tokens, documents) \
             SELECT workspace, day, 'erased', searches, answers, prompt_tokens, \
             completion_tokens, documents FROM usage_days \
             WHERE workspace = $1 AND subject = $2 AND day < $3 \
             ON CONFLICT (workspace, day, subject) DO UPDATE SET \
             searches = usage_days.searches + excluded.searches, \
             answers = usage_days.answers + excluded.answers, \
             prompt_tokens = usage_days.prompt_tokens + excluded.prompt_tokens, \
             completion_tokens = usage_days.completion_tokens + excluded.completion_tokens, \
             documents = usage_days.documents + excluded.documents",
            "DELETE FROM usage_days WHERE workspace = $1 AND subject = $2 AND day < $3",
        ] {
            sqlx::query(statement)
                .bind(workspace.to_string())
                .bind(subject.to_string())
                .bind(until.clone())
                .execute(&mut *write)
                .await?;
        }
        let mut conversations = 0;
        for statement in [
            "DELETE FROM feedback WHERE workspace = $1 AND subject = $2",
            "DELETE FROM jobs WHERE workspace = $1 AND subject = $2",
            "DELETE FROM conversations WHERE workspace = $1 AND subject = $2",
        ] {
            conversations = sqlx::query(statement)
                .bind(workspace.to_string())
                .bind(subject.to_string())
                .execute(&mut *write)
                .await?
                .rows_affected();
        }
        write.commit().await?;
        self.clear_journal().await?;
        Ok(conversations)
    }

    /// Erases the conversations of a workspace that nobody changed since, with
    /// their messages and what was said of them, as [`Self::erase_subject`]
    /// erases. Gives how many there were.
    ///
    /// # Errors
    ///
    /// [`StateError::NotCleared`] where all is deleted and the journal still
    /// holds it.
    pub async fn erase_conversations_before(
        &self,
        workspace: &WorkspaceId,
        before: Timestamp,
    ) -> Result<u64, StateError> {
        let mut write = self.begin().await?;
        let erased = sqlx::query("DELETE FROM conversations WHERE workspace = $1 AND changed < $2")
            .bind(workspace.to_string())
            .bind(before.as_micros())
            .execute(&mut *write)
            .await?
            .rows_affected();
        write.commit().await?;
        if erased > 0 {
            self.clear_journal().await?;
        }
        Ok(erased)
    }

    /// Brings the journal of a SQLite file into the file and empties it, so
    /// that what was overwritten there is nowhere.
    pub(crate) async fn clear_journal(&self) -> Result<(), StateError> {
        if self.engine() == Engine::Postgres {
            return Ok(());
        }
        for _ in 0..CLEARING_TRIES {
            let row = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
                .fetch_one(self.writer())
                .await?;
            if row.int("busy")? == 0 {
                return Ok(());
            }
        }
        Err(StateError::NotCleared)
    }
}

async fn read_conversations(
    read: &mut AnyConnection,
    workspace: &WorkspaceId,
    subject: &Subject,
) -> Result<Vec<(Conversation, Vec<Message>)>, StateError> {
    let rows = sqlx::query(
        "SELECT * FROM conversations WHERE workspace = $1 AND subject = $2 ORDER BY created, id",
    )
    .bind(workspace.to_string())
    .bind(subject.to_string())
    .fetch_all(&mut *read)
    .await?;
    let mut conversations = Vec::with_capacity(rows.len());
    for row in &rows {
        let conversation = read_conversation(row)?;
        let rows = sqlx::query("SELECT * FROM messages WHERE conversation = $1 ORDER BY place")
            .bind(conversation.id.to_string())
            .fetch_all(&mut *read)
            .await?;
        conversations.push((conversation, all(&rows, read_message)?));
    }
    Ok(conversations)
}
