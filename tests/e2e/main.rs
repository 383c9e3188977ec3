//! The built `genie` binary from outside: commands, exit codes, files, HTTP.
//!
//! Every test has its own home folder; models are shared and only read. Tests
//! that need models look for them in `GENIE_MODELS` (or `GENIE_TEST_MODELS`)
//! and print why they skip where they are absent; the script `test` at the
//! root of the checkout fetches them. Documents come from `../shared/corpus`
//! beside the checkout, else from the starter corpus.
//!
//! What only looks at files and processes runs with the small English
//! embedding model and without a language model, which takes tenths of a
//! second; the default models are used where their quality is what is tested.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests may panic: that is how they fail"
)]

mod accounts;
mod answers;
mod at_server;
mod backup;
mod bad_input;
mod bench;
mod clients;
mod command_line;
mod content;
mod crash;
mod disk;
mod documents;
mod erased;
mod eval;
mod filters;
mod gate;
mod genie;
mod holder;
mod http;
mod interface;
mod material;
mod mcp;
mod models;
mod observed;
mod on_postgres;
mod quickstart;
mod service;
mod signals;
mod under_load;
