//! HTTP: the answer, search and OpenAI-compatible interfaces.
//!
//! [`app`] turns an [`AppState`] into a router and [`serve`] runs a router on
//! a listener until it is told to stop. HTTP types end in this crate: the
//! pipelines are called with domain types, on blocking threads, and what comes
//! back is turned into the bodies listed below. Those are public because the
//! command line prints the same bodies and reads them back when it sends its
//! work to a running server.
//!
//! There are no accounts yet, so the service is meant for the machine it runs
//! on: a `Host` that is not this machine is refused (a page elsewhere could
//! otherwise point its own name here), and so are changes asked for by pages
//! of another origin.
//!
//! What must not happen: a request that waits without limit, work that goes
//! on for somebody who left, an error that tells about the inside.
//!
//! ```
//! use genie_core::Usage;
//! use genie_server::UsageBody;
//!
//! let usage = UsageBody::from(Usage { prompt_tokens: 7, completion_tokens: 3 });
//! assert_eq!(usage.total_tokens, 10);
//! ```

mod answer;
mod app;
mod body;
mod documents;
mod envelope;
mod failure;
mod health;
mod metrics;
mod openai;
mod origin;
mod page;
mod question;
mod serve;
mod wire;
mod work;

pub use app::{AppState, app};
pub use documents::{AddedBody, AddedStatus, DocumentBody, DocumentSink, DocumentsBody, SinkError};
pub use serve::{ServeError, serve};
pub use wire::{
    AnswerBody, AnswerTimingsBody, CitationBody, PassageBody, SearchBody, SearchTimingsBody,
    StageBody, StagesBody, UsageBody,
};
