//! Domain types, traits and configuration of Genie Stack.
//!
//! Every other crate speaks in these terms and in no other: a [`Document`] is
//! cut into [`Chunk`]s, a chunk becomes a [`Point`] with its vectors, a query
//! finds [`Hit`]s, and an [`Answer`] cites them by exact [`Span`].
//!
//! Five traits are the seams where a part can be swapped by configuration:
//! [`Embed`], [`Lexical`] and [`LateInteraction`] (text to vectors), [`Store`] (Qdrant in process
//! or on a server) and [`Generate`] (the language model). All of them are
//! synchronous; async lives at the HTTP and Qdrant-server edges.
//!
//! ```
//! use genie_core::{Language, Span};
//!
//! let span = Span::new(4, 9).expect("start is before end");
//! assert_eq!(span.slice("The index."), Some("index"));
//! assert_eq!("fr".parse(), Ok(Language::French));
//! ```

mod answer;
mod config;
mod constraint;
mod date;
mod document;
mod embed;
mod generate;
mod id;
mod inference;
mod language;
mod outbound;
mod retrieval;
mod span;
mod store;
mod work;

pub use answer::{
    Answer, AnswerTimings, Boost, Citation, Formed, FormedValue, HandOver, HandOverReason, Passage,
    Stage, Stages, Usage, ValueSupport,
};
pub use config::{
    AnswerConfig, Authentication, Config, ConfigError, DeviceChoice, HandOverConfig, LearntFor,
    Places, ServerConfig, Style, TlsFiles,
};
pub use constraint::{Constraint, TokenWeight, Tool, ToolCall};
pub use date::{Date, DateRange, ParseDateError};
pub use document::{Block, BlockKind, Chunk, Document, MediaType};
pub use embed::{
    Embed, EmbedError, Embedding, EmbeddingIdentity, LateInteraction, Lexical, SparseVector,
    TextRole, TokenCodes, TokenVectors, Tongues,
};
pub use generate::{
    ChatMessage, ChatRole, ChoiceRequest, FinishReason, Generate, GenerateError, GenerateRequest,
    Generation, ModelInfo, Sampling, Tenant,
};
pub use id::{ChunkId, ContentHash, DocumentId, ParseIdError};
pub use inference::InferenceConfig;
pub use language::{Language, UnknownLanguage};
pub use outbound::{
    FetchConfig, HookSecret, HostPattern, Network, OutboundConfig, Reachable, WebhookConfig,
    is_public,
};
pub use retrieval::{Boosts, Cut, RerankConfig, RetrievalConfig};
pub use span::Span;
pub use store::{
    DocumentRecord, Filter, Fusion, FusionWeights, Hit, HybridQuery, IndexIdentity, Point, Shares,
    Store, StoreError,
};
pub use work::{WatchWork, Work};

/// The error a backend wraps when it fails for reasons of its own.
pub type BackendError = Box<dyn std::error::Error + Send + Sync + 'static>;
