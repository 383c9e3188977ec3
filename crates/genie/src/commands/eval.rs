//! `genie eval`: how good retrieval and answers are.

mod clean;
mod learn;
mod run;
mod table;
mod world;

use std::path::PathBuf;

use anyhow::Context;
use genie_eval::{Gate, compare, list_runs, load_run, report};
use serde_json::json;

use crate::cli::{Common, Eval, EvalAction, EvalCompare, EvalGate, EvalReport};
use crate::{Ended, render, settings};

use super::{say, say_json};

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: &Eval) -> anyhow::Result<Ended> {
    match &arguments.action {
        EvalAction::Run(arguments) => return run::run(common, arguments),
        EvalAction::Compare(arguments) => compared(common, arguments)?,
        EvalAction::Report(arguments) => reported(common, arguments)?,
        EvalAction::Gate(arguments) => return gated(common, arguments),
        EvalAction::Learn(arguments) => learn::run(common, arguments)?,
        EvalAction::Clean(arguments) => clean::run(common, arguments)?,
        EvalAction::List { json } => listed(common, *json)?,
    }
    Ok(Ended::Done)
}

/// Where runs are recorded.
fn recorded(common: &Common) -> anyhow::Result<PathBuf> {
    Ok(settings::places(common)?.state().join("evals"))
}

fn compared(common: &Common, arguments: &EvalCompare) -> anyhow::Result<()> {
    let root = recorded(common)?;
    let a = load_run(&arguments.a, &root)?;
    let b = load_run(&arguments.b, &root)?;
    let comparison = compare(&a, &b)?;
    if arguments.json {
        say_json(&comparison)
    } else {
        say(&render::plain(&table::comparison(&comparison)))
    }
}

fn reported(common: &Common, arguments: &EvalReport) -> anyhow::Result<()> {
    let root = recorded(common)?;
    let runs = arguments
        .runs
        .iter()
        .map(|run| load_run(run, &root))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let page = report(&runs)?;
    let Some(file) = &arguments.out else {
        return say(&page);
    };
    std::fs::write(file, page).with_context(|| format!("{} can't be written", file.display()))?;
    say(&format!("{}\n", file.display()))
}

fn gated(common: &Common, arguments: &EvalGate) -> anyhow::Result<Ended> {
    let root = recorded(common)?;
    let baseline = load_run(&arguments.baseline, &root)?;
    let run = load_run(&arguments.run, &root)?;
    let comparison = compare(&baseline, &run)?;
    let gate = Gate {
        metrics: arguments.metric.clone(),
        groups: arguments.groups,
        alpha: arguments.alpha,
        partial: arguments.partial,
    };
    let verdict = gate.judge(&comparison)?;
    if arguments.json {
        let mut value = serde_json::to_value(&verdict)?;
        if let Some(object) = value.as_object_mut() {
            object.insert("run".to_owned(), json!(comparison.b));
            object.insert("baseline".to_owned(), json!(comparison.a));
            object.insert("paired".to_owned(), json!(comparison.paired));
            object.insert("common".to_owned(), json!(comparison.common));
        }
        say_json(&value)?;
    } else {
        say(&render::plain(&table::verdict(&comparison, &verdict)))?;
    }
    Ok(if verdict.passed {
        Ended::Done
    } else {
        Ended::Partly
    })
}

fn listed(common: &Common, json: bool) -> anyhow::Result<()> {
    let runs = list_runs(&recorded(common)?)?;
    if json {
        say_json(&runs)
    } else if runs.is_empty() {
        say("No runs yet; `genie eval run` makes one.\n")
    } else {
        say(&render::plain(&table::runs(&runs)))
    }
}
