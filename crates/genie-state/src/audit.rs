//! The audit trail.

use crate::{Subject, Timestamp, WorkspaceId};

/// Something that happened, to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAudit {
    /// Who did it.
    pub subject: Subject,
    /// In which workspace.
    pub workspace: Option<WorkspaceId>,
    /// What, for example `document.add`.
    pub action: String,
    /// With what: an id, never content.
    pub object: Option<String>,
    /// `allowed`, `denied`, `failed` or `ok`.
    pub outcome: String,
    /// What ties it to a request.
    pub correlation: String,
    /// What for, where the caller said so.
    pub intent: Option<String>,
    /// The model that was used.
    pub model: Option<String>,
    /// The version of the program.
    pub logic: String,
}

/// A record of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRecord {
    /// Counts the records; the first is 1.
    pub sequence: u64,
    /// When it was recorded.
    pub at: Timestamp,
    /// Who did it.
    pub subject: Subject,
    /// In which workspace.
    pub workspace: Option<WorkspaceId>,
    /// What.
    pub action: String,
    /// With what.
    pub object: Option<String>,
    /// How it ended.
    pub outcome: String,
    /// What ties it to a request.
    pub correlation: String,
    /// What for.
    pub intent: Option<String>,
    /// The model that was used.
    pub model: Option<String>,
    /// The version of the program.
    pub logic: String,
    /// The hash of the record before, 64 hexadecimal digits; of the first
    /// record, zeros.
    pub previous: String,
    /// The hash of this record, 64 hexadecimal digits.
    pub hash: String,
}

/// What a look over the whole trail found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditVerdict {
    /// Every record is what it was.
    Whole {
        /// How many there are.
        records: u64,
        /// The hash of the last one; zeros where there is none.
        head: String,
    },
    /// Something was changed, removed or put in.
    Broken {
        /// The first record that is not as it should be.
        sequence: u64,
        /// What is wrong with it.
        reason: String,
    },
}
