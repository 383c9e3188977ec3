//! Conversions of packed models into standard containers.

mod charsmap;
mod container;
mod packed;
mod tokenizer;

pub(crate) use container::{ContainerError, Outputs, write_standard_container};
pub(crate) use packed::PackedEncoder;
pub use packed::PackedError;
