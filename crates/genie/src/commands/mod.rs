//! One module a command.

pub(crate) mod ask;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod chat;
pub(crate) mod config;
pub(crate) mod conversation;
pub(crate) mod corpus;
mod deleting;
pub(crate) mod doc;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod health;
pub(crate) mod ingest;
pub(crate) mod key;
mod login;
pub(crate) mod mcp;
pub(crate) mod models;
pub(crate) mod quickstart;
pub(crate) mod remote;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod usage;
pub(crate) mod workspace;

use std::io::Write;

use anyhow::Context;
use clap::CommandFactory;

use crate::Ended;
use crate::cli::{Cli, Completions, ManCommand};

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

/// Writes a manual page for every command.
pub(crate) fn man(arguments: &ManCommand) -> anyhow::Result<Ended> {
    let folder = &arguments.folder;
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .with_context(|| format!("{} can't be written", folder.display()))?;
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
