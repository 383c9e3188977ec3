//! Pulls against servers on this machine: every way in which a download goes
//! right or wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking and documents itself"
)]

mod disk;
mod failures;
mod fixture;
mod happy;
mod import;
mod packed;
mod real;
mod resume;
mod server;
