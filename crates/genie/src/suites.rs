//! Evaluations: what decides their figures, and those that a service makes.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use genie_core::{
    AnswerConfig, ContentHash, EmbedError, GenerateError, IndexIdentity, RetrievalConfig,
    StoreError,
};
use genie_eval::{
    Configuration, Index, Indexes, LoadOptions, Machine, Model, Models, Opened, Parts, Plan,
    Recording, Step, Suite, Wanted, as_json, documents_hash, evaluate, load, load_run, report,
};
use genie_rag::RagError;
use genie_server::{Evaluation, EvaluationError, EvaluationReport, Evaluator, Watch};
use genie_state::Workspace;
use serde_json::Value;

use crate::interrupt;
use crate::tenants::Tenants;

/// Questions of a suite that is sent; the rest of the machine has other users.
const MOST_QUESTIONS: usize = 5000;
/// As `genie eval run` takes them unless told otherwise.
const DEPTH: usize = 10;
const SEED: u64 = 1;

/// What decides the figures of a run, beside its plan.
pub(crate) struct MadeWith<'a> {
    pub(crate) identity: &'a IndexIdentity,
    pub(crate) retrieval: &'a RetrievalConfig,
    pub(crate) answer: &'a AnswerConfig,
    pub(crate) chat: Option<Model>,
    /// What was searched, and its digest.
    pub(crate) documents: (String, String),
    pub(crate) seed: u64,
    pub(crate) kinds: Vec<String>,
    pub(crate) limit: Option<usize>,
}

impl MadeWith<'_> {
    /// As it is recorded.
    pub(crate) fn configuration(self, plan: &Plan<'_>) -> anyhow::Result<Configuration> {
        let identity = self.identity;
        let judged = [
            (plan.parts.retrieval, "retrieval"),
            (plan.parts.answers, "answers"),
        ];
        let (documents, documents_hash) = self.documents;
        Ok(Configuration {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            program: program()?,
            seed: self.seed,
            suite: plan.suite.name.clone(),
            layout: plan.suite.layout.as_str().to_owned(),
            suite_hash: plan.suite.hash.to_string(),
            documents,
            documents_hash,
            parts: judged
                .into_iter()
                .filter(|(is, _)| *is)
                .map(|(_, name)| name.to_owned())
                .collect(),
            top_k: plan.top_k,
            depth: plan.depth,
            kinds: self.kinds,
            limit: self.limit,
            models: Models {
                embedding: Model {
                    name: identity.embedding.model.clone(),
                    hash: identity.embedding.hash.to_string(),
                },
                chat: self.chat,
            },
            index: Index {
                dimension: identity.embedding.dimension,
                query_prefix: identity.embedding.query_prefix.clone(),
                passage_prefix: identity.embedding.passage_prefix.clone(),
                lexical_version: identity.lexical_version.clone(),
                tokens_version: identity.tokens_version.clone(),
                chunker_version: identity.chunker_version.clone(),
            },
            retrieval: as_json(self.retrieval)?,
            answer: if plan.parts.answers {
                as_json(self.answer)?
            } else {
                Value::Null
            },
        })
    }
}

/// The machine, as it is recorded.
pub(crate) fn machine(configured_threads: usize, device: &str) -> Machine {
    Machine {
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        configured_threads,
        device: device.to_owned(),
    }
}

/// SHA-256 of this program.
fn program() -> anyhow::Result<String> {
    let file = std::env::current_exe().context("the program does not know its own file")?;
    let bytes =
        std::fs::read(&file).with_context(|| format!("{} can't be read", file.display()))?;
    Ok(ContentHash::of(&bytes).to_string())
}

/// Evaluates the workspaces of a service with the models that answer there.
pub(crate) struct Suites {
    pub(crate) tenants: Arc<Tenants>,
}

impl Evaluator for Suites {
    fn check(&self, suite: &[u8]) -> Result<usize, EvaluationError> {
        let folder = tempfile::tempdir().map_err(failed)?;
        let suite = read(folder.path(), "suite", suite)?;
        Ok(suite.items.len())
    }

    fn run(
        &self,
        evaluation: &Evaluation<'_>,
        watch: &Watch,
    ) -> Result<EvaluationReport, EvaluationError> {
        let folder = evaluation.folder;
        std::fs::create_dir_all(folder).map_err(failed)?;
        let suite = read(folder, evaluation.name, evaluation.suite)?;
        self.made(evaluation, &suite, watch)
            .map_err(|error| told(&error, folder, evaluation.name))?
            .ok_or(EvaluationError::Stopped)
    }
}

impl Suites {
    /// `None` where it was stopped.
    fn made(
        &self,
        evaluation: &Evaluation<'_>,
        suite: &Suite,
        watch: &Watch,
    ) -> anyhow::Result<Option<EvaluationReport>> {
        let asked = Asked {
            tenants: &self.tenants,
            workspace: evaluation.workspace,
        };
        let parts = self.tenants.parts(evaluation.workspace)?;
        let plan = Plan {
            suite,
            documents: None,
            parts: Parts {
                retrieval: true,
                answers: evaluation.answers,
            },
            top_k: evaluation
                .workspace
                .settings
                .top_k
                .map_or(parts.retrieval.top_k, |top_k| top_k as usize),
            depth: DEPTH,
        };
        let made_with = MadeWith {
            identity: parts.engine.store().identity(),
            retrieval: &parts.retrieval,
            answer: &parts.answer,
            chat: parts.engine.generate().map(|model| Model {
                name: model.model().name.clone(),
                hash: model.model().hash.to_string(),
            }),
            documents: (
                format!("the workspace {}", evaluation.workspace.id),
                documents_hash(parts.engine.store())?.to_string(),
            ),
            seed: SEED,
            kinds: Vec::new(),
            limit: None,
        };
        let device = &self.tenants.vectors().device;
        let mut recording = Recording::open(
            &evaluation.folder.join("runs"),
            made_with.configuration(&plan)?,
            machine(self.tenants.threads(), device),
            false,
        )?;
        let ended = evaluate(&plan, &asked, &mut recording, &mut |step| {
            let goes_on = match step {
                Step::Asking { done, total } => watch.tell(done as u64, total as u64),
                Step::Answered(usage) => {
                    watch.answered(usage);
                    true
                }
                Step::Indexing { .. } | Step::Working => watch.goes_on(),
            };
            if goes_on && !interrupt::requested() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        if ended.is_break() {
            return Ok(None);
        }
        let run = recording.finish()?;
        let saved = load_run("latest", &evaluation.folder.join("runs"))?;
        Ok(Some(EvaluationReport {
            run: serde_json::to_value(&run)?,
            html: report(&[saved])?,
        }))
    }
}

/// The index of a workspace as what is asked.
struct Asked<'a> {
    tenants: &'a Tenants,
    workspace: &'a Workspace,
}

impl Indexes for Asked<'_> {
    fn open(&self, wanted: Wanted<'_>) -> anyhow::Result<Opened> {
        anyhow::ensure!(
            wanted == Wanted::Installed,
            "a suite that is sent brings no texts of its own"
        );
        let parts = self.tenants.parts(self.workspace)?;
        Ok(Opened {
            engine: parts.engine,
            indexer: parts.indexer,
        })
    }
}

/// A suite of gold questions under this name.
fn read(folder: &Path, name: &str, suite: &[u8]) -> Result<Suite, EvaluationError> {
    let file = folder.join(format!("{name}.jsonl"));
    std::fs::write(&file, suite).map_err(failed)?;
    let suite = load(&file, &LoadOptions::default()).map_err(|error| told(&error, folder, name))?;
    let questions = suite.items.len();
    if questions > MOST_QUESTIONS {
        return Err(EvaluationError::Suite {
            reason: format!(
                "the suite has {questions} questions, but at most {MOST_QUESTIONS} are accepted"
            ),
        });
    }
    Ok(suite)
}

/// What a model, the index or the disk did is for the log; the rest is about
/// the suite, without the place where it is kept here.
fn told(error: &anyhow::Error, folder: &Path, name: &str) -> EvaluationError {
    let is_ours = error.chain().any(|cause| {
        cause.is::<StoreError>()
            || cause.is::<RagError>()
            || cause.is::<EmbedError>()
            || cause.is::<GenerateError>()
            || cause.is::<std::io::Error>()
    });
    if is_ours {
        return EvaluationError::Backend(format!("{error:#}").into());
    }
    let place = folder.join(format!("{name}.jsonl")).display().to_string();
    EvaluationError::Suite {
        reason: format!("{error:#}")
            .replace(&place, &format!("{name}.jsonl"))
            .replace(", or name the folder of the documents with --documents", "")
            .replace(", or name their folder with --documents", ""),
    }
}

fn failed(error: std::io::Error) -> EvaluationError {
    EvaluationError::Backend(Box::new(error))
}
