//! The embedding models and the lexical analyser as callers see them.
//!
//! Tests that need model files look into `GENIE_TEST_MODELS`, then into
//! `GENIE_MODELS`, and say why they are skipped where they find none.

#![allow(
    clippy::expect_used,
    reason = "also the helpers of tests fail by panicking"
)]

mod damaged;
mod e5;
mod files;
mod minilm;
mod retrieval;
