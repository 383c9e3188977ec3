//! Who may do what in a workspace.

use std::fmt;
use std::str::FromStr;

use sqlx::any::AnyRow;

use crate::row::{Columns, all};
use crate::{Page, Paged, ParseError, State, StateError, Subject, Timestamp, WorkspaceId};

/// What a member may do. What each role allows is decided by the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything, members and keys included.
    Owner,
    /// Documents and settings of answers.
    Editor,
    /// Questions and conversations.
    Reader,
    /// Evaluations and feedback.
    Evaluator,
    /// The audit trail.
    Auditor,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::Owner,
        Self::Editor,
        Self::Reader,
        Self::Evaluator,
        Self::Auditor,
    ];

    /// The role as a word in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Editor => "editor",
            Self::Reader => "reader",
            Self::Evaluator => "evaluator",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| {
                ParseError::new(
                    "a role (owner, editor, reader, evaluator, auditor)",
                    text,
                    "reader",
                )
            })
    }
}

/// A subject with a role in a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub subject: Subject,
    /// As what.
    pub role: Role,
    /// Since when it has this role.
    pub since: Timestamp,
}

impl State {
    /// Gives a subject a role in a workspace, in place of the one it had.
    ///
    /// # Errors
    ///
    /// [`StateError::NotFound`] where there is no such workspace.
    pub async fn set_member(
        &self,
        id: &WorkspaceId,
        subject: &Subject,
        role: Role,
    ) -> Result<Member, StateError> {
        let mut write = self.begin().await?;
        let row = sqlx::query(
            "INSERT INTO members (workspace, subject, role, since) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (workspace, subject) DO UPDATE SET role = excluded.role, \
             since = CASE WHEN members.role = excluded.role THEN members.since \
                     ELSE excluded.since END \
             RETURNING subject, role, since",
        )
        .bind(id.to_string())
        .bind(subject.to_string())
        .bind(role.as_str())
        .bind(Timestamp::now().as_micros())
        .fetch_one(&mut *write)
        .await?;
        let member = read_member(&row)?;
        write.commit().await?;
        Ok(member)
    }

    /// Takes a subject's role away. `false` where it had none.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn remove_member(
        &self,
        id: &WorkspaceId,
        subject: &Subject,
    ) -> Result<bool, StateError> {
        let mut write = self.begin().await?;
        let removed = sqlx::query("DELETE FROM members WHERE workspace = $1 AND subject = $2")
            .bind(id.to_string())
            .bind(subject.to_string())
            .execute(&mut *write)
            .await?
            .rows_affected();
        write.commit().await?;
        Ok(removed > 0)
    }

    /// The members of a workspace, by subject.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn members(&self, id: &WorkspaceId, page: Page) -> Result<Paged<Member>, StateError> {
        let count = sqlx::query("SELECT COUNT(*) AS n FROM members WHERE workspace = $1")
            .bind(id.to_string())
            .fetch_one(self.reader())
            .await?;
        let rows = sqlx::query(
            "SELECT subject, role, since FROM members WHERE workspace = $1 \
             ORDER BY subject LIMIT $2 OFFSET $3",
        )
        .bind(id.to_string())
        .bind(page.limit())
        .bind(page.offset())
        .fetch_all(self.reader())
        .await?;
        Ok(Paged {
            count: count.number("n")?,
            results: all(&rows, read_member)?,
        })
    }

    /// The role of a subject in a workspace, if it has one.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn role_of(
        &self,
        id: &WorkspaceId,
        subject: &Subject,
    ) -> Result<Option<Role>, StateError> {
        sqlx::query("SELECT role FROM members WHERE workspace = $1 AND subject = $2")
            .bind(id.to_string())
            .bind(subject.to_string())
            .fetch_optional(self.reader())
            .await?
            .map(|row| row.parsed("role"))
            .transpose()
    }

    /// The workspaces that a subject is a member of, with its role in each, by
    /// id.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn memberships(
        &self,
        subject: &Subject,
    ) -> Result<Vec<(WorkspaceId, Role)>, StateError> {
        let rows = sqlx::query(
            "SELECT m.workspace, m.role FROM members m JOIN workspaces w ON w.id = m.workspace \
             WHERE m.subject = $1 AND w.erase_after IS NULL ORDER BY m.workspace",
        )
        .bind(subject.to_string())
        .fetch_all(self.reader())
        .await?;
        all(&rows, |row| {
            Ok((row.parsed("workspace")?, row.parsed("role")?))
        })
    }
}

fn read_member(row: &AnyRow) -> Result<Member, StateError> {
    Ok(Member {
        subject: row.parsed("subject")?,
        role: row.parsed("role")?,
        since: row.time("since")?,
    })
}
