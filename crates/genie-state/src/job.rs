//! Work that is done beside requests.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::{JobId, ParseError, Subject, Timestamp, WorkspaceId};

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// It waits for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// It is done.
    Done,
    /// It failed for good.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl JobState {
    const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The state as a word in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more happens to the job.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for JobState {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| ParseError::new("the state of a job", text, "queued"))
    }
}

/// A job to be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Where it belongs.
    pub workspace: WorkspaceId,
    /// What is to be done.
    pub kind: String,
    /// For whom.
    pub subject: Subject,
    /// What makes two jobs the same: a hash or a key.
    pub content: String,
    /// What the worker needs to know, as JSON.
    pub payload: String,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its identity.
    pub id: JobId,
    /// Where it belongs.
    pub workspace: WorkspaceId,
    /// What is to be done.
    pub kind: String,
    /// For whom.
    pub subject: Subject,
    /// What makes two jobs the same.
    pub content: String,
    /// What the worker needs to know, as JSON.
    pub payload: String,
    /// Where it stands.
    pub state: JobState,
    /// How often a worker began it.
    pub attempts: u32,
    /// How much of `total` is done.
    pub done: u64,
    /// How much there is to do; 0 where that is not known.
    pub total: u64,
    /// What came of it.
    pub result: Option<String>,
    /// Why it failed, or failed last.
    pub reason: Option<String>,
    /// When it was queued.
    pub created: Timestamp,
    /// When anything of it changed last.
    pub changed: Timestamp,
}

/// How a worker leaves a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobOutcome {
    /// It is done.
    Done {
        /// What came of it.
        result: String,
    },
    /// It failed and may succeed later; after the third time it has failed for
    /// good.
    Retry {
        /// Why.
        reason: String,
    },
    /// It waits for a while and is begun again, as often as the worker wants:
    /// this attempt does not count, the payload tells how many there were.
    Postponed {
        /// Why.
        reason: String,
        /// What the next worker needs to know, as JSON.
        payload: String,
        /// How long it waits.
        pause: Duration,
    },
    /// It failed for good.
    Failed {
        /// Why.
        reason: String,
    },
    /// The worker has to stop; the job waits for another and this attempt does
    /// not count.
    HandedBack,
}
