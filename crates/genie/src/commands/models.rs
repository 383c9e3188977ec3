//! `genie models`: what is here, and fetching what is not.

use std::sync::{Mutex, PoisonError};

use genie_core::Config;
use genie_models::{
    Imported, ModelName, ModelState, ModelStore, PullEvent, PullOptions, PullProgress, Unpinned,
};
use indicatif::ProgressBar;
use serde_json::json;

use crate::cli::{Common, Models, ModelsAction, Serve};
use crate::interrupt::{self, Interrupted};
use crate::{Ended, progress, settings, wiring};

use super::{confirmed, say, say_json};

/// Runs the command.
pub(crate) fn run(common: &Common, arguments: Models) -> anyhow::Result<Ended> {
    let places = settings::places(common)?;
    let models = wiring::models(common, &places)?;
    match arguments.action {
        ModelsAction::List { json } => list(&models, json)?,
        ModelsAction::Pull {
            names,
            accept_unverified,
        } => {
            let names = if names.is_empty() {
                configured(&settings::read(common, &Serve::default())?)?
            } else {
                parsed(&names)?
            };
            let options = PullOptions {
                unpinned: if accept_unverified {
                    Unpinned::Accept
                } else {
                    Unpinned::Refuse
                },
            };
            for name in &names {
                pull(&models, name, options)?;
            }
        }
        ModelsAction::Verify { names } => return verify(&models, &parsed(&names)?),
        ModelsAction::Path { name } => {
            let installed = models.locate(&name.parse()?)?;
            say(&format!("{}\n", installed.folder.display()))?;
        }
        ModelsAction::Rm { name, yes } => {
            let name: ModelName = name.parse()?;
            if confirmed(&format!("Remove the files of {name}?"), yes)? {
                let was_there = models.remove(&name)?;
                say(&format!(
                    "{name} {}\n",
                    if was_there {
                        "is removed"
                    } else {
                        "was not here"
                    }
                ))?;
            }
        }
        ModelsAction::Import { file } => {
            let shown = Shown::new("importing");
            let outcome = cancelled(models.import(&file, &shown));
            shown.clear();
            say(&match outcome? {
                Imported::Installed(installed) => {
                    let name = &installed.entry.name;
                    format!("{name} is installed in {}\n", installed.folder.display())
                }
                Imported::Waiting { name, missing } => {
                    let missing: Vec<_> = missing.iter().map(|file| file.as_str()).collect();
                    format!("taken; {name} still needs {}\n", missing.join(" and "))
                }
            })?;
        }
    }
    Ok(Ended::Done)
}

/// Fetches what the configuration names, as far as it is not here.
pub(crate) fn pull_configured(common: &Common, config: &Config) -> anyhow::Result<()> {
    let models = wiring::models(common, &config.places)?;
    for name in configured(config)? {
        pull(&models, &name, PullOptions::default())?;
    }
    Ok(())
}

fn configured(config: &Config) -> anyhow::Result<Vec<ModelName>> {
    let names = std::iter::once(config.embedding_model.as_str()).chain(config.offered_models());
    Ok(names.map(str::parse).collect::<Result<_, _>>()?)
}

fn parsed(names: &[String]) -> anyhow::Result<Vec<ModelName>> {
    Ok(names
        .iter()
        .map(|name| name.parse())
        .collect::<Result<_, _>>()?)
}

fn pull(models: &ModelStore, name: &ModelName, options: PullOptions) -> anyhow::Result<()> {
    if models.locate(name).is_ok() {
        return say(&format!("   {name} is here already\n"));
    }
    let shown = Shown::new(name.as_str());
    let outcome = cancelled(models.pull(name, options, &shown, interrupt::flag()));
    shown.clear();
    let installed = outcome?;
    say(&format!(
        "   {name} is installed in {}\n",
        installed.folder.display()
    ))
}

fn verify(models: &ModelStore, names: &[ModelName]) -> anyhow::Result<Ended> {
    let names: Vec<ModelName> = if names.is_empty() {
        models
            .list()
            .into_iter()
            .filter(|status| {
                matches!(
                    status.state,
                    ModelState::Installed { .. } | ModelState::Damaged
                )
            })
            .map(|status| status.entry.name.clone())
            .collect()
    } else {
        names.to_vec()
    };
    let mut ended = Ended::Done;
    for name in &names {
        let shown = Shown::new(name.as_str());
        let outcome = cancelled(models.verify(name, &shown));
        shown.clear();
        match outcome {
            Ok(_) => say(&format!("{name}: every file is as it was installed\n"))?,
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                eprintln!("error: {}", crate::sentence(&error));
                ended = Ended::Partly;
            }
        }
    }
    Ok(ended)
}

fn list(models: &ModelStore, as_json: bool) -> anyhow::Result<()> {
    let statuses = models.list();
    if as_json {
        let rows: Vec<_> = statuses
            .iter()
            .map(|status| {
                let entry = &status.entry;
                json!({
                    "name": entry.name.as_str(),
                    "title": entry.title,
                    "role": entry.role.to_string(),
                    "architecture": entry.architecture,
                    "licence": entry.licence,
                    "bytes": entry.size(),
                    "context": entry.context,
                    "languages": entry.languages,
                    "verified": entry.verified,
                    "state": state(&status.state),
                })
            })
            .collect();
        return say_json(&rows);
    }
    for status in &statuses {
        let entry = &status.entry;
        let unverified = if entry.verified {
            ""
        } else {
            "  (not yet verified)"
        };
        say(&format!(
            "{:30} {:9} {:>6} MB  {:12} {}{unverified}\n",
            entry.name.as_str(),
            entry.role,
            entry.size() / 1_000_000,
            entry.licence,
            state(&status.state),
        ))?;
    }
    Ok(())
}

fn state(state: &ModelState) -> String {
    match state {
        ModelState::Installed { .. } => "installed".to_owned(),
        ModelState::Damaged => "damaged".to_owned(),
        ModelState::Partial { bytes } => format!("{} MB fetched", bytes / 1_000_000),
        ModelState::Absent => "absent".to_owned(),
    }
}

fn cancelled<T>(outcome: Result<T, genie_models::ModelError>) -> anyhow::Result<T> {
    outcome.map_err(|error| {
        if interrupt::requested() {
            Interrupted.into()
        } else {
            error.into()
        }
    })
}

/// A progress bar that hears what a pull does.
struct Shown {
    what: String,
    bar: Mutex<Option<ProgressBar>>,
}

impl Shown {
    fn new(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            bar: Mutex::new(None),
        }
    }

    fn clear(&self) {
        if let Some(bar) = self
            .bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            bar.finish_and_clear();
        }
    }

    fn at(&self, what: &str, done: u64, total: u64) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| progress::bytes(what, total));
        bar.set_message(what.to_owned());
        bar.set_length(total);
        bar.set_position(done);
    }
}

impl PullProgress for Shown {
    fn event(&self, event: PullEvent<'_>) {
        match event {
            PullEvent::Downloaded { done, total } => self.at(&self.what, done, total),
            PullEvent::Hashed { done, total } => {
                self.at(&format!("checking {}", self.what), done, total);
            }
            PullEvent::Waiting { name } => {
                eprintln!("   another process fetches {name}; waiting for it")
            }
            PullEvent::SourceFailed { kind, error } => {
                eprintln!("   {kind}: {error}; trying the next source");
            }
            PullEvent::Converting => {
                self.clear();
                eprintln!("   converting {}", self.what);
            }
            _ => {}
        }
    }
}
