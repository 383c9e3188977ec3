//! API keys.

use std::fmt;

use crate::{KeyId, Role, Subject, Timestamp, WorkspaceId};

/// A key to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// What it is for, for people.
    pub name: String,
    /// The workspace it opens; `None` for an operator's key, which is for the
    /// installation.
    pub workspace: Option<WorkspaceId>,
    /// What its holder may do.
    pub role: Role,
    /// Narrows the role; empty for all that the role may do.
    pub scopes: Vec<String>,
    /// When it stops to work.
    pub expires: Option<Timestamp>,
    /// Who makes it.
    pub by: Subject,
}

/// What is known of a key; its secret is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its identity, which rotation leaves.
    pub id: KeyId,
    /// How its secrets begin, `gk_` and eight hexadecimal digits.
    pub prefix: String,
    /// What it is for.
    pub name: String,
    /// The workspace it opens; `None` for the installation.
    pub workspace: Option<WorkspaceId>,
    /// What its holder may do.
    pub role: Role,
    /// Narrows the role; empty for all that the role may do.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it stops to work.
    pub expires: Option<Timestamp>,
    /// When it was used last, to a minute.
    pub last_used: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// The secret of a key: `gk_<8 hexadecimal digits>_<43 characters>`. It is
/// shown once and can't be read again.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text that whoever uses the key sends.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
