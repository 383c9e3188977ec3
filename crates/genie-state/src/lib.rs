//! What the service remembers besides documents: workspaces, their members and
//! keys, conversations, feedback, jobs, usage and the audit trail.
//!
//! A [`State`] is one database, a SQLite file or a PostgreSQL server, opened
//! with [`State::open`], which brings the schema up to date. Both are spoken to
//! with the same SQL, so whatever holds on one holds on the other. The bytes of
//! documents as they were sent are files beside it ([`Originals`]).
//!
//! What must not happen: an acknowledged write that is gone after a crash; the
//! conversations of one subject in the hands of another; a job that two
//! workers hold; a record of the audit trail that changed without
//! [`State::verify_audit`] naming it; a secret that can be read from the
//! database.
//!
//! ```
//! use genie_state::{Database, NewWorkspace, Page, State, Subject, WorkspaceSettings};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let folder = tempfile::tempdir()?;
//! let state = State::open(&Database::Sqlite(folder.path().join("genie.db"))).await?;
//! state
//!     .create_workspace(NewWorkspace {
//!         id: "health".parse()?,
//!         name: "Ministry of Health".to_owned(),
//!         settings: WorkspaceSettings::default(),
//!         by: Subject::local(),
//!     })
//!     .await?;
//! let all = state.workspaces(Page::new(1, 10)?).await?;
//! assert_eq!(all.count, 2, "there is always `default`");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod audit;
mod backup;
mod conversation;
mod database;
mod error;
mod exchange;
mod feedback;
mod forgetting;
mod id;
mod job;
mod key;
mod member;
mod originals;
mod page;
mod queue;
mod quota;
mod removal;
mod removed_conversation;
mod row;
mod schema;
mod set_aside;
mod subject;
mod time;
mod usage;
mod workspace;

pub use audit::{AuditRecord, AuditVerdict, NewAudit};
pub use conversation::{Author, Conversation, Message, NewConversation, NewMessage};
pub use database::{Database, State};
pub use error::{DatabaseError, StateError};
pub use exchange::Exchange;
pub use feedback::{Feedback, NewFeedback};
pub use forgetting::ERASED;
pub use id::{ConversationId, JobId, KeyId, MessageId, Owner, ParseError, Subject, WorkspaceId};
pub use job::{Job, JobOutcome, JobState, NewJob};
pub use key::{ApiKey, NewKey, Secret};
pub use member::{Member, Role};
pub use originals::{KeepingStore, Originals, StagedOriginal};
pub use page::{Page, PageError, Paged};
pub use quota::{Quotas, Used};
pub use removal::RemovedWorkspace;
pub use removed_conversation::RemovedConversation;
pub use set_aside::RemovedDocument;
pub use subject::SubjectData;
pub use time::Timestamp;
pub use usage::{UsageDelta, UsageRow};
pub use workspace::{NewWorkspace, SettingsVersion, Workspace, WorkspaceChange, WorkspaceSettings};
