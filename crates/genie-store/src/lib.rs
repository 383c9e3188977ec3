//! Chunks and vectors in Qdrant, in process or on a server.
//!
//! Two stores implement [`genie_core::Store`]: [`EdgeStore`] runs Qdrant's own
//! engine inside this process, with its files in one folder; [`ServerStore`]
//! speaks to a Qdrant server (1.15 or later). Both keep the same points, with
//! the same payload, and go through the same protocol (in `protocol.rs`), so
//! that one suite of tests holds for both:
//!
//! - a *chunk point* has a dense vector `dense` (cosine), a sparse vector
//!   `lexical` (IDF applied by the engine) and a payload from which the chunk
//!   is rebuilt;
//! - a *document point* has no vectors and carries the document's record. It
//!   is written last and removed first: it is the commit of its document.
//!   Chunk points count only while the document point names their revision,
//!   so whatever a crash leaves half done is never listed and never found.
//!
//! A hybrid query asks the engine for the best candidates by meaning and by
//! words, both under the query's filter, and joins the two lists here by
//! weighted reciprocal rank fusion (Cormack, Clarke and Büttcher 2009). The
//! fusion is not left to the engine because servers before 1.17 have no
//! weights for it, because chunks of uncommitted documents must be dropped
//! before ranks are counted, and because ties must come out in one order.
//!
//! ```
//! use std::path::Path;
//!
//! use genie_core::{ContentHash, EmbeddingIdentity, IndexIdentity, Store};
//! use genie_store::{EdgeStore, HolderNote};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let identity = IndexIdentity {
//!     embedding: EmbeddingIdentity {
//!         model: "tiny".into(),
//!         hash: ContentHash::of(b"the weights"),
//!         dimension: 4,
//!         query_prefix: "query: ".into(),
//!         passage_prefix: "passage: ".into(),
//!     },
//!     lexical_version: "1".into(),
//!     chunker_version: "1".into(),
//!     tokens_version: "none".into(),
//! };
//! let store = EdgeStore::open(folder.path(), identity, HolderNote::default())?;
//! assert_eq!(store.count()?, 0);
//! # Ok(())
//! # }
//! ```

// So that tests in here can share their samples with those in `tests/`.
#[cfg(test)]
extern crate self as genie_store;

mod edge;
mod engine;
mod fusion;
mod identity;
mod payload;
mod protocol;
mod server;
mod snapshots;
mod tuning;

pub use edge::{EdgeStore, Holder, HolderNote, read_holder};
pub use server::{ServerOptions, ServerStore};
