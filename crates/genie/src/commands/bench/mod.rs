//! `genie bench`: how fast the parts are on this machine.

mod llm;
mod retrieval;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::Ended;
use crate::cli::Common;

/// The arguments of `genie bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Read and write with a language model
    Llm(llm::Arguments),
    /// Build indexes of made-up chunks and query them
    Retrieval(retrieval::Arguments),
}

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: &Bench) -> anyhow::Result<Ended> {
    match &arguments.subject {
        Subject::Llm(arguments) => llm::run(common, arguments),
        Subject::Retrieval(arguments) => retrieval::run(common, arguments),
    }
}

/// One figure. What `case` holds tells it from others of the same name.
#[derive(Debug, Clone, Serialize)]
struct Figure<C> {
    name: &'static str,
    unit: &'static str,
    value: f64,
    #[serde(flatten)]
    case: C,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<S, R> {
    benchmark: &'static str,
    /// What the figures hold for.
    settings: S,
    results: Vec<R>,
}
