//! Workspaces and their settings.

use serde::{Deserialize, Serialize};

use crate::{Subject, Timestamp, WorkspaceId};

/// What a workspace does differently from the installation. `None` and an
/// empty list mean what the installation is set to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkspaceSettings {
    /// Languages its people read, as two-letter codes.
    pub languages: Vec<String>,
    /// Passages that a search gives.
    pub top_k: Option<u32>,
    /// Nearness from which on a passage counts, 0 to 1.
    pub min_similarity: Option<f32>,
    /// The most tokens of an answer.
    pub max_tokens: Option<u32>,
    /// Days after which conversations are deleted.
    pub retention_days: Option<u32>,
    /// The most documents it may hold.
    pub max_documents: Option<u64>,
    /// The most requests a minute.
    pub requests_per_minute: Option<u32>,
    /// `generated` or `quoted`.
    pub answers: Option<String>,
}

/// A workspace to be made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWorkspace {
    /// Its name in addresses, for good.
    pub id: WorkspaceId,
    /// Its name for people.
    pub name: String,
    /// Its settings.
    pub settings: WorkspaceSettings,
    /// Who makes it.
    pub by: Subject,
}

/// A place for documents and people that sees nothing of the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Workspace {
    /// Its name in addresses.
    pub id: WorkspaceId,
    /// Its name for people.
    pub name: String,
    /// Its settings as they are now.
    pub settings: WorkspaceSettings,
    /// When it was made.
    pub created: Timestamp,
    /// When name or settings changed last.
    pub changed: Timestamp,
    /// Counts the changes; the first version is 1.
    pub version: u32,
}

/// What shall change; `None` leaves it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WorkspaceChange {
    /// The new name for people.
    pub name: Option<String>,
    /// The new settings, all of them.
    pub settings: Option<WorkspaceSettings>,
}

/// Name and settings as they were from `at` on.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingsVersion {
    /// Counts the changes; the first version is 1.
    pub version: u32,
    /// The name for people.
    pub name: String,
    /// The settings.
    pub settings: WorkspaceSettings,
    /// Who set them.
    pub by: Subject,
    /// When.
    pub at: Timestamp,
}
