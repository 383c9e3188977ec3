//! Fakes and fixtures for the tests of the other crates.
//!
//! The fakes behave like the real parts where tests can see it: a text's fake
//! vector depends on its words, so that texts with common words are similar;
//! [`MemoryStore`] keeps the contract of [`genie_core::Store`];
//! [`FakeGenerate`] streams scripted text word by word.
//!
//! ```
//! use genie_core::{Embed, TextRole};
//! use genie_testkit::FakeEmbed;
//!
//! let texts = ["the cable".to_owned(), "the cable".to_owned()];
//! let vectors = FakeEmbed::new().embed(TextRole::Passage, &texts).unwrap();
//! assert_eq!(vectors[0], vectors[1]);
//! ```

mod embed;
mod generate;
mod store;

pub use embed::{FakeEmbed, FakeLexical};
pub use generate::FakeGenerate;
pub use store::{MemoryStore, index_identity};
