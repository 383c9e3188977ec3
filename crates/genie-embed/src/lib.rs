//! Text to vectors, dense and lexical.
//!
//! [`TextEmbedder`] runs a BERT or XLM-R encoder on candle: mean pooling over
//! the tokens, vectors of length one, the model's own prefixes for queries
//! and passages, truncation reported. Weights come from a GGUF file (names of
//! llama.cpp, quantized or not) or from the hub's safetensors; both go through
//! the same encoder, on the processor with weights of at most eight bits
//! unless [`Precision`] says otherwise. One worker thread owns the model.
//! Texts of like length are packed without padding up to a budget of tokens,
//! and a full queue is an answer, not a wait. It also compares a
//! query with passages token by token ([`genie_core::LateInteraction`]).
//!
//! [`LexicalAnalyzer`] cuts text in the six languages of the United Nations
//! into weighted terms: Unicode word boundaries, a dictionary for Chinese, one
//! form for Arabic letters and for digits and numbers, Snowball stems, and
//! identifiers such as `ITU-T Y.3172` whole and in parts. The inverse document
//! frequency is left to the store.
//!
//! Vectors must not be mixed across [`genie_core::EmbeddingIdentity`]s and
//! across [`genie_core::Lexical::version`]s: an index records both.
//!
//! ```
//! use genie_core::{Lexical, TextRole};
//! use genie_embed::LexicalAnalyzer;
//!
//! let analyzer = LexicalAnalyzer::new();
//! let passage = analyzer.lexical(TextRole::Passage, "See ITU-T Y.3172 on 5G.", None);
//! let query = analyzer.lexical(TextRole::Query, "y.3172", None);
//! assert!(query.indices.iter().all(|term| passage.indices.contains(term)));
//! ```

mod embedder;
mod encoder;
mod error;
mod late;
mod lexical;
mod tokens;

pub use embedder::{EmbedderOptions, EncoderFiles, TextEmbedder};
pub use encoder::Precision;
pub use error::EncoderError;
pub use lexical::LexicalAnalyzer;
