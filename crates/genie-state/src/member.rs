//! Who may do what in a workspace.

use std::fmt;
use std::str::FromStr;

use crate::{ParseError, Subject, Timestamp};

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
