//! The way out: fetching documents and telling others of answers. The program
//! that runs the service brings one, with what may be reached.

use axum::http::StatusCode;
use genie_core::MediaType;
use genie_state::WorkspaceId;

use crate::failure::Failure;
use crate::watch::Watch;

/// Reaches what the operator has allowed, and nothing else.
pub trait Outbound: Send + Sync {
    /// Whether a document may be fetched from there, as far as the address
    /// itself tells.
    ///
    /// # Errors
    ///
    /// [`OutboundError::Refused`] where it may not.
    fn check_fetch(&self, url: &str) -> Result<(), OutboundError>;

    /// Fetches a document. Blocks, within limits of size and time.
    ///
    /// # Errors
    ///
    /// Where that is not allowed, also on the way, and where it fails.
    fn fetch(&self, url: &str, watch: &Watch) -> Result<Fetched, OutboundError>;

    /// Whether a workspace may have something delivered there with this
    /// webhook of the configuration.
    ///
    /// # Errors
    ///
    /// [`OutboundError::Refused`] where it may not.
    fn check_delivery(
        &self,
        workspace: &WorkspaceId,
        hook: &str,
        url: &str,
    ) -> Result<(), OutboundError>;

    /// Delivers a signed body once. Blocks, within a limit of time. Only an
    /// answer that says it was taken (2xx) is a success.
    ///
    /// # Errors
    ///
    /// As [`Self::fetch`].
    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), OutboundError>;
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// The format that the sender names.
    pub media_type: Option<MediaType>,
}

/// Something to be delivered.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// In whose name.
    pub workspace: &'a WorkspaceId,
    /// Which webhook of the configuration.
    pub hook: &'a str,
    /// Where to.
    pub url: &'a str,
    /// The same for each try.
    pub id: &'a str,
    /// What happened, as in `answer.done`.
    pub event: &'a str,
    /// JSON.
    pub body: &'a [u8],
}

/// Something could not be fetched or delivered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// It is not allowed, or never will be what is wanted.
    #[error("{reason}")]
    Refused {
        /// One sentence for whoever asked, without what only the operator may
        /// know.
        reason: String,
    },
    /// It may succeed later.
    #[error("{reason}")]
    Failed {
        /// As above.
        reason: String,
    },
    /// The service is being stopped, or it was called off.
    #[error("it was stopped")]
    Stopped,
}

impl OutboundError {
    /// As a request that names an address is told.
    pub(crate) fn told(self, field: &'static str) -> Failure {
        match self {
            Self::Refused { reason } | Self::Failed { reason } => Failure {
                status: StatusCode::FORBIDDEN,
                code: "address_not_allowed",
                ..Failure::invalid(field, reason)
            },
            Self::Stopped => Failure::stopping(),
        }
    }
}
