//! One module a command.

pub(crate) mod ask;
pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod corpus;
pub(crate) mod doc;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod health;
pub(crate) mod ingest;
pub(crate) mod models;
pub(crate) mod quickstart;
pub(crate) mod search;
pub(crate) mod serve;

use std::io::Write;

use clap::CommandFactory;

use crate::Ended;
use crate::cli::{Cli, Completions};

/// Prints a completion script.
pub(crate) fn completions(arguments: &Completions) -> anyhow::Result<Ended> {
    clap_complete::generate(
        arguments.shell,
        &mut Cli::command(),
        "genie",
        &mut std::io::stdout(),
    );
    Ok(Ended::Done)
}

/// Prints the description of the HTTP interface.
pub(crate) fn openapi() -> anyhow::Result<Ended> {
    say_json(&genie_server::openapi(env!("CARGO_PKG_VERSION")))?;
    Ok(Ended::Done)
}

/// Prints to standard output; whoever closed the pipe wants no more, which is
/// no error.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn say_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    say(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Asks before something is removed. Without a terminal the answer is no.
fn confirmed(question: &str, yes: bool) -> anyhow::Result<bool> {
    use std::io::IsTerminal;
    if yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        anyhow::bail!("{question} Pass --yes to do it without being asked");
    }
    eprint!("{question} [y/N] ");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
