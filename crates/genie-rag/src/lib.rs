//! The two pipelines: indexing documents and answering questions.
//!
//! [`Indexer`] takes bytes through parsing, chunking and embedding into the
//! index. [`Engine`] takes a question through understanding, retrieval and
//! packing to the language model, and lets nothing through that the retrieved
//! passages don't support: each sentence is checked as soon as it is complete
//! and before anybody sees it, gets an exact quote as its citation, or is
//! dropped. What the corpus does not cover is said to be not covered.
//!
//! This crate knows neither candle nor Qdrant nor HTTP, only the traits of
//! [`genie_core`]:
//!
//! ```
//! use std::ops::ControlFlow;
//! use std::sync::Arc;
//!
//! use genie_core::{
//!     AnswerConfig, Fusion, FusionWeights, HandOverConfig, RerankConfig, RetrievalConfig, Style,
//! };
//! use genie_rag::{Engine, EngineParts, Question};
//! use genie_testkit::{FakeEmbed, FakeLexical, MemoryStore};
//!
//! let engine = Engine::new(EngineParts {
//!     embed: Arc::new(FakeEmbed::new()),
//!     lexical: Arc::new(FakeLexical::new()),
//!     tokens: None,
//!     store: Arc::new(MemoryStore::new()),
//!     generate: None,
//!     retrieval: RetrievalConfig {
//!         top_k: 5,
//!         candidates: 20,
//!         fusion: Fusion::default(),
//!         weights: FusionWeights { dense: 1.0, lexical: 1.0 },
//!         min_similarity: 0.5,
//!         rerank: RerankConfig::default(),
//!     },
//!     answer: AnswerConfig {
//!         context_tokens: 1000,
//!         sentences: 3,
//!         max_tokens: 100,
//!         style: Style::default(),
//!         languages: Vec::new(),
//!         hand_over: HandOverConfig::default(),
//!     },
//! });
//! let answer = engine
//!     .answer(Question::new("What is an IXP?"), &mut |_| ControlFlow::Continue(()))
//!     .unwrap();
//! assert!(!answer.answered, "the index is empty");
//! ```

mod alike;
mod boost;
mod candidates;
mod confidence;
mod context;
mod draft;
mod engine;
mod fallback;
#[cfg(test)]
mod fixtures;
mod formed;
mod hole;
mod index;
mod judge;
mod left_out;
mod neighbours;
mod numbers;
mod phrases;
mod question;
mod quote;
mod rank;
mod rerank;
mod sentences;
mod suggest;
mod support;

pub use candidates::candidates_of;
pub use engine::{Engine, EngineParts, SearchOutcome};
pub use index::{IndexError, IndexProgress, IndexStatus, Indexed, Indexer, passage_text};
pub use left_out::{ChunkPlace, LeftOut, LeftOutReason};
pub use question::{AnswerEvent, Question, RagError, SearchRequest};
pub use rerank::Reranked;
pub use suggest::{SeenPlace, SuggestRequest, Suggestion};
