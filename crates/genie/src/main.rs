//! The `genie` binary: configuration, wiring and the command line.

mod accounts;
mod cli;
mod commands;
mod fetch;
mod files;
mod interrupt;
mod keyring;
mod only;
mod outbound;
mod progress;
mod remote;
mod render;
mod settings;
mod starter;
mod suites;
mod table;
mod telemetry;
mod tenants;
mod warm;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::interrupt::Interrupted;
use crate::telemetry::Telemetry;

/// Everything asked for was done.
const DONE: u8 = 0;
/// Nothing was done.
const FAILED: u8 = 1;
// 2 is clap's, for arguments that make no sense.
/// Some of it was done: a file was skipped, a check failed.
const PARTLY: u8 = 3;
/// Ended by Ctrl-C, as shells number it.
const INTERRUPTED: u8 = 130;

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    Partly,
}

fn main() -> ExitCode {
    // Before anything that candle compiled: on a processor below the build's
    // level the first such instruction would end the process without a word.
    if let Err(error) = genie_compute::check_processor() {
        eprintln!("error: {error}");
        return ExitCode::from(FAILED);
    }
    let cli = Cli::parse();
    let outcome = telemetry(&cli).and_then(|telemetry| {
        let outcome = interrupt::listen().and_then(|()| run(cli));
        telemetry.end();
        outcome
    });
    match outcome {
        Ok(Ended::Done) => ExitCode::from(DONE),
        Ok(Ended::Partly) => ExitCode::from(PARTLY),
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("interrupted; nothing was left half-written");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("error: {}", sentence(&error));
            ExitCode::from(FAILED)
        }
    }
}

/// Logs for every command, traces for those that serve. A file of settings
/// that can't be read is the command's to report, which needs it for more.
fn telemetry(cli: &Cli) -> anyhow::Result<Telemetry> {
    let serves = matches!(cli.command, Command::Serve(_) | Command::Quickstart(_));
    let collector = match serves {
        true => settings::collector(&cli.common).unwrap_or_default(),
        false => None,
    };
    Telemetry::start(
        cli.common.verbose,
        settings::log_format()?,
        collector.as_deref(),
    )
}

fn run(cli: Cli) -> anyhow::Result<Ended> {
    let common = &cli.common;
    if let Some(server) = &common.server
        && !cli.command.goes_to_a_server()
        // In the environment it is for all commands, whichever comes.
        && std::env::var("GENIE_SERVER").ok().as_ref() != Some(server)
    {
        anyhow::bail!("this command works on this machine alone; leave --server out");
    }
    match cli.command {
        Command::Quickstart(arguments) => commands::quickstart::run(common, &arguments),
        Command::Models(arguments) => commands::models::run(common, arguments),
        Command::Ingest(arguments) => commands::ingest::run(common, &arguments),
        Command::Doc(arguments) => commands::doc::run(common, arguments),
        Command::Corpus(arguments) => commands::corpus::run(common, arguments),
        Command::Ask(arguments) => commands::ask::run(common, &arguments),
        Command::Search(arguments) => commands::search::run(common, &arguments),
        Command::Chat(arguments) => commands::chat::run(common, &arguments),
        Command::Serve(arguments) => commands::serve::run(common, &arguments),
        Command::Mcp => commands::mcp::run(common),
        Command::Health(arguments) => commands::health::run(common, &arguments),
        Command::Workspace(arguments) => commands::workspace::run(common, arguments),
        Command::Key(arguments) => commands::key::run(common, arguments),
        Command::User(arguments) => commands::workspace::run_user(common, arguments),
        Command::Conversation(arguments) => commands::conversation::run(common, arguments),
        Command::Job(arguments) => commands::conversation::run_job(common, arguments),
        Command::Feedback(arguments) => commands::usage::run_feedback(common, arguments),
        Command::Usage(arguments) => commands::usage::run(common, &arguments),
        Command::Audit(arguments) => commands::audit::run(common, arguments),
        Command::Config(arguments) => commands::config::run(common, &arguments),
        Command::Backup(arguments) => commands::backup::run(common, &arguments),
        Command::Eval(arguments) => commands::eval::run(common, &arguments),
        Command::Doctor(arguments) => commands::doctor::run(common, &arguments),
        Command::Bench(arguments) => commands::bench::run(common, &arguments),
        Command::Openapi => commands::openapi(),
        Command::Completions(arguments) => commands::completions(&arguments),
        Command::Man(arguments) => commands::man(&arguments),
    }
}

/// The error and its causes in one line; a cause that the error repeats is
/// left out.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}
