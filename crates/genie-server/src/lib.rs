//! HTTP: the answer, search and OpenAI-compatible interfaces.
//!
//! [`app`] turns an [`AppState`] into a router and [`serve`] runs a router on
//! a listener until it is told to stop. HTTP types end in this crate: the
//! pipelines are called with domain types, on blocking threads, and what comes
//! back is turned into the bodies listed below. Those are public because the
//! command line prints the same bodies and reads them back when it sends its
//! work to a running server.
//!
//! Every route says what it needs of its caller, and one layer in front of all
//! of them checks it: callers are keys, people whom an identity provider names, or
//! programs on this machine while it is the service's only user. A `Host` that is not this machine is refused
//! there (a page elsewhere could otherwise point its own name here), and so
//! are changes asked for by pages of another origin.
//!
//! What must not happen: a route that nobody guards, a request that waits
//! without limit, work that goes on for somebody who left, an error that tells
//! about the inside.
//!
//! ```
//! use genie_core::Usage;
//! use genie_server::UsageBody;
//!
//! let usage = UsageBody::from(Usage { prompt_tokens: 7, completion_tokens: 3 });
//! assert_eq!(usage.total_tokens, 10);
//! ```

mod access;
mod anchors;
mod answer;
mod app;
mod backup;
mod body;
mod bounds;
mod chosen;
mod conversations;
mod cross_origin;
mod deferred;
mod documents;
mod envelope;
mod evaluations;
mod failure;
mod gate;
mod health;
mod identity;
mod jobs;
mod keys;
mod limits;
mod mcp;
mod members;
mod meter;
mod metrics;
mod model_metrics;
mod openai;
mod openapi;
mod origin;
mod outbound;
mod page;
mod paging;
mod person;
mod purging;
mod question;
mod quota;
mod reading;
mod removal;
mod routes;
mod serve;
mod suggestions;
mod tls;
mod trail;
mod upkeep;
mod uploads;
mod watch;
mod webhook;
mod wire;
mod work;
mod workspaces;

pub use access::{CertificateNameError, RoadClient, SecurityServer, TrustedCertificate, scopes};
pub use app::{Accounts, AppState, FreeSpace, TraceParent, app, app_with_upkeep};
pub use backup::Backups;
pub use chosen::ChosenModel;
pub use cross_origin::{PageOrigin, PageOriginError};
pub use documents::{
    AddedBody, AddedStatus, DocumentBody, DocumentSink, DocumentsBody, NewDocument, SinkError,
    format_of,
};
pub use evaluations::{Evaluation, EvaluationError, EvaluationReport, Evaluator};
pub use gate::Gate;
pub use identity::{Fetch, FetchError, Grant, IdentityError, IdentityProvider, IdentitySettings};
pub use mcp::{McpError, serve_mcp};
pub use openapi::openapi;
pub use outbound::{Delivery, Fetched, Outbound, OutboundError};
pub use paging::PageBody;
pub use serve::{ServeError, serve, serve_tls};
pub use tls::{Certificate, TlsError};
pub use upkeep::Upkeep;
pub use watch::Watch;
pub use webhook::signature;
pub use wire::{
    AnswerBody, AnswerTimingsBody, ChunkPlaceBody, CitationBody, HandOverBody, LeftOutBody,
    PassageBody, SearchBody, SearchTimingsBody, StageBody, StagesBody, UsageBody,
};
pub use workspaces::{OpenWorkspace, Workspaces};
