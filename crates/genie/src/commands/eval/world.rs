//! The models and indexes of an evaluation.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use genie_core::{Config, ContentHash, Places};
use genie_eval::{
    Configuration, Indexes, Machine, Model, Opened, Plan, RememberingEmbed, Suite, Wanted,
    documents_hash,
};
use genie_models::{ModelError, ModelName};
use genie_store::read_holder;

use crate::cli::{Common, EvalRun};
use crate::progress;
use crate::suites::{self, MadeWith};
use crate::wiring::{self, Parts, Vectors};

/// The models and indexes of an evaluation.
pub(super) struct World<'a> {
    common: &'a Common,
    pub(super) config: Config,
    pub(super) vectors: Vectors,
    chat: Option<Model>,
    /// The installation's index, where it is what is asked.
    installed: Option<Parts>,
    /// Where indexes of suites are kept.
    kept: PathBuf,
    fresh: bool,
    /// Indexes that were opened, and so made anew if they should be.
    opened: RefCell<HashSet<PathBuf>>,
}

impl<'a> World<'a> {
    pub(super) fn open(
        common: &'a Common,
        config: Config,
        arguments: &EvalRun,
        suite: &Suite,
    ) -> anyhow::Result<Self> {
        let installed = suite.collections.is_empty() && arguments.documents.is_none();
        if installed
            && config.qdrant_url.is_none()
            && let Some(holder) = read_holder(&config.places.index())
        {
            bail!(
                "the index is in use by {holder}, and an evaluation needs it to itself; stop \
                 that, or name the folder of the documents with --documents"
            );
        }
        let chat = chat(common, &config)?;
        let waiting = progress::waiting("loading models");
        let mut vectors = Vectors::load(common, &config)?;
        let installed = if installed {
            Some(Parts::of(&vectors, &config)?)
        } else {
            None
        };
        waiting.finish_and_clear();
        if suite.collections.len() > 1 {
            vectors.embed = Arc::new(RememberingEmbed::new(vectors.embed));
        }
        Ok(Self {
            common,
            kept: kept(&config.places),
            config,
            vectors,
            chat,
            installed,
            fresh: arguments.fresh,
            opened: RefCell::default(),
        })
    }

    pub(super) fn configuration(
        &self,
        plan: &Plan<'_>,
        arguments: &EvalRun,
    ) -> anyhow::Result<Configuration> {
        let (documents, documents_hash) = match (&arguments.documents, &self.installed) {
            (Some(folder), _) => (
                folder.display().to_string(),
                plan.documents.map(|documents| documents.hash().to_string()),
            ),
            (None, Some(parts)) => (
                "the installation's index".to_owned(),
                Some(documents_hash(&*parts.store)?.to_string()),
            ),
            (None, None) => ("the suite's own texts".to_owned(), None),
        };
        let made_with = MadeWith {
            identity: &self.vectors.identity,
            retrieval: &self.config.retrieval,
            answer: &self.config.answer,
            chat: self.chat.clone(),
            documents: (documents, documents_hash.unwrap_or_default()),
            seed: arguments.seed,
            kinds: arguments.kinds.clone(),
            limit: arguments.limit.map(|limit| limit as usize),
        };
        made_with.configuration(plan)
    }

    pub(super) fn machine(&self) -> Machine {
        suites::machine(self.config.threads, &self.vectors.device)
    }
}

impl Indexes for World<'_> {
    fn open(&self, wanted: Wanted<'_>) -> anyhow::Result<Opened> {
        let kept;
        let parts = match (wanted, &self.installed) {
            (Wanted::Kept(documents), _) => {
                let key =
                    ContentHash::of(format!("{documents} {:?}", self.vectors.identity).as_bytes());
                let folder = self.kept.join(&key.to_string()[..24]);
                if self.opened.borrow_mut().insert(folder.clone()) && self.fresh {
                    remove(&folder)?;
                }
                kept = Parts::kept(&self.vectors, &folder)?;
                &kept
            }
            (Wanted::Installed, Some(parts)) => parts,
            (Wanted::Installed, None) => bail!("the installation's index is not open"),
        };
        Ok(Opened {
            engine: parts.engine(self.common, &self.config)?,
            indexer: parts.indexer(),
        })
    }
}

/// The folder of the indexes that are kept.
pub(super) fn kept(places: &Places) -> PathBuf {
    places.state().join("eval-index")
}

/// Removes a kept index that nobody has open.
pub(super) fn remove(folder: &std::path::Path) -> anyhow::Result<()> {
    if let Some(holder) = read_holder(folder) {
        bail!("{} is in use by {holder}", folder.display());
    }
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} can't be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The language model that will answer; none where it is not installed.
fn chat(common: &Common, config: &Config) -> anyhow::Result<Option<Model>> {
    let Some(name) = &config.chat_model else {
        return Ok(None);
    };
    let name: ModelName = name.parse()?;
    match wiring::models(common, &config.places)?.locate(&name) {
        Ok(installed) => Ok(Some(Model {
            name: name.to_string(),
            hash: installed.hash.to_string(),
        })),
        Err(ModelError::NotInstalled { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
