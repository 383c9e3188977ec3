//! `genie eval run`: a suite is asked.

use std::ops::ControlFlow;

use anyhow::bail;
use genie_eval::{
    Documents, Layout, LoadOptions, Parts as Judged, Plan, Recording, Step, Suite, evaluate, load,
};
use indicatif::ProgressBar;

use crate::cli::{Common, EvalOnly, EvalRun, Serve};
use crate::interrupt::{self, Interrupted};
use crate::{Ended, files, progress, render, settings};

use super::super::{say, say_json};
use super::table;
use super::world::World;

/// Runs the command.
pub(super) fn run(common: &Common, arguments: &EvalRun) -> anyhow::Result<Ended> {
    let mut config = settings::read(common, &Serve::default())?;
    let suite = load(
        &arguments.suite,
        &LoadOptions {
            paragraphs: arguments.paragraphs.clone(),
            kinds: arguments.kinds.clone(),
            limit: arguments.limit.map(|limit| limit as usize),
        },
    )?;
    let judged = judged(&suite, arguments.only)?;
    if !judged.answers && config.retrieval.rerank.judged == 0 {
        // Then searching needs no language model.
        config.chat_model = None;
    }
    let documents = documents(&suite, arguments)?;
    let top_k = config.retrieval.top_k;
    let world = World::open(common, config, arguments, &suite)?;
    let plan = Plan {
        suite: &suite,
        documents: documents.as_ref(),
        parts: judged,
        top_k,
        depth: usize::from(arguments.depth),
    };
    let mut recording = Recording::open(
        &super::recorded(common)?,
        world.configuration(&plan, arguments)?,
        world.machine(),
        arguments.fresh,
    )?;
    if !recording.is_empty() {
        eprintln!(
            "note: taking up the run {}, of which {} of {} items are done",
            recording.id(),
            recording.len(),
            suite.items.len()
        );
    }
    let bar = progress::steps(&suite.name, suite.items.len() as u64);
    let ended = evaluate(&plan, &world, &mut recording, &mut |step| {
        shown(&bar, &suite, step)
    });
    bar.finish_and_clear();
    if ended?.is_break() {
        eprintln!(
            "{} of {} items are done; the same command goes on from there",
            recording.len(),
            suite.items.len()
        );
        return Err(Interrupted.into());
    }
    let run = recording.finish()?;
    if arguments.json {
        say_json(&run)?;
    } else {
        say(&render::plain(&table::run(&run)))?;
    }
    Ok(Ended::Done)
}

/// Shows a step; breaks once the person wants to stop.
pub(super) fn shown(bar: &ProgressBar, suite: &Suite, step: Step<'_>) -> ControlFlow<()> {
    let shown = match step {
        Step::Indexing { name, done, total } => Some((format!("indexing {name}"), done, total)),
        Step::Asking { done, total } => Some((format!("asking {}", suite.name), done, total)),
        Step::Answered(_) | Step::Working => None,
    };
    if let Some((what, done, total)) = shown {
        bar.set_message(what);
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    }
    if interrupt::requested() {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

fn judged(suite: &Suite, only: Option<EvalOnly>) -> anyhow::Result<Judged> {
    let has_answers = suite.layout == Layout::Gold;
    if only == Some(EvalOnly::Answers) && !has_answers {
        bail!(
            "{} says nothing about answers; only gold questions do",
            suite.name
        );
    }
    Ok(Judged {
        retrieval: only != Some(EvalOnly::Answers),
        answers: has_answers && only != Some(EvalOnly::Retrieval),
    })
}

pub(super) fn documents(suite: &Suite, arguments: &EvalRun) -> anyhow::Result<Option<Documents>> {
    let Some(folder) = &arguments.documents else {
        return Ok(None);
    };
    if !suite.collections.is_empty() {
        bail!(
            "{} has texts of its own; --documents is for gold questions",
            suite.name
        );
    }
    if !folder.is_dir() {
        bail!("{} is no folder", folder.display());
    }
    let files = files::expand(std::slice::from_ref(folder))?;
    Documents::read(folder, &files).map(Some)
}
