//! `genie eval learn`: weights of retrieval from questions with known answers.

use std::ops::ControlFlow;
use std::sync::Arc;

use genie_eval::{
    Lesson, LoadOptions, Parts as Judged, Plan, RememberingTokens, Study, Suite, Tuning, as_json,
    learn, load,
};

use crate::cli::{Common, EvalLearn, EvalOnly, EvalRun, Serve};
use crate::interrupt::Interrupted;
use crate::settings::{Embedding, Learnt, Profile, Weights};
use crate::{progress, render, settings};

use super::super::{say, say_json};
use super::run::{documents, shown};
use super::table;
use super::world::World;

/// Passages looked at for each question.
const DEPTH: u16 = 10;

/// Runs the command.
pub(super) fn run(common: &Common, arguments: &EvalLearn) -> anyhow::Result<()> {
    let mut config = settings::read(common, &Serve::default())?;
    // A profile of another model is what this is the way out of; and what the
    // language model thinks of passages does not depend on their weights.
    config.profile = None;
    config.chat_model = None;
    config.retrieval.rerank.judged = 0;
    let configured = config.retrieval.clone();
    let asked = as_run(arguments);
    let suite = load(
        &arguments.suite,
        &LoadOptions {
            paragraphs: None,
            kinds: arguments.kinds.clone(),
            limit: arguments.limit.map(|limit| limit as usize),
        },
    )?;
    let documents = documents(&suite, &asked)?;
    let mut world = World::open(common, config, &asked, &suite)?;
    if let Some(tokens) = world.vectors.tokens.take() {
        world.vectors.tokens = Some(Arc::new(RememberingTokens::new(tokens)));
    }
    let study = Study {
        plan: Plan {
            suite: &suite,
            documents: documents.as_ref(),
            parts: Judged {
                retrieval: true,
                answers: false,
            },
            top_k: configured.top_k,
            depth: usize::from(DEPTH),
        },
        metric: &arguments.metric,
        configured: &configured,
        seed: arguments.seed,
    };
    let bar = progress::steps(&suite.name, suite.items.len() as u64);
    let learnt = learn(&study, &world, &mut |step| shown(&bar, &suite, step));
    bar.finish_and_clear();
    let ControlFlow::Continue(lesson) = learnt? else {
        return Err(Interrupted.into());
    };
    if let Some(file) = &arguments.out {
        profile(&lesson, &suite, arguments.seed, &world).write(file)?;
    }
    if arguments.json {
        return say_json(&as_json(&lesson)?);
    }
    let mut text = table::lesson(&lesson);
    if let Some(file) = &arguments.out {
        text.push_str(&format!(
            "\nwritten to {}; `profile` under [retrieval] in config.toml names it\n",
            file.display()
        ));
    }
    say(&render::plain(&text))
}

/// What `genie eval run` would be asked for the same index.
fn as_run(arguments: &EvalLearn) -> EvalRun {
    EvalRun {
        suite: arguments.suite.clone(),
        documents: arguments.documents.clone(),
        paragraphs: None,
        only: Some(EvalOnly::Retrieval),
        kinds: arguments.kinds.clone(),
        limit: arguments.limit,
        seed: arguments.seed,
        depth: DEPTH,
        fresh: false,
        json: false,
    }
}

fn profile(lesson: &Lesson, suite: &Suite, seed: u64, world: &World<'_>) -> Profile {
    let Tuning {
        fusion,
        weights,
        lexical_bonus,
    } = lesson.best;
    let identity = &world.vectors.identity;
    let embedding = &identity.embedding;
    Profile::new(
        Weights {
            fusion,
            dense_weight: weights.dense,
            lexical_weight: weights.lexical,
            lexical_bonus,
        },
        Embedding {
            model: embedding.model.clone(),
            hash: embedding.hash.to_string(),
            lexical_version: identity.lexical_version.clone(),
            tokens_version: identity.tokens_version.clone(),
        },
        Learnt {
            suite: suite.name.clone(),
            suite_hash: suite.hash.to_string(),
            metric: lesson.metric.clone(),
            seed,
            gain: lesson.gain,
            p: lesson.p,
        },
    )
}
