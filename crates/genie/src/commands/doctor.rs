//! `genie doctor`: is everything in place? Each check has a verdict and, where
//! it is bad, the way out.

use std::path::Path;

use anyhow::Context;
use genie_compute::{choose_device, physical_cores, processor_features};
use genie_core::Config;
use genie_models::{ModelName, ModelStore};
use genie_store::{EdgeStore, read_holder};
use serde::Serialize;

use crate::cli::{Common, Doctor, Serve};
use crate::remote::Remote;
use crate::wiring::{self, Parts};
use crate::{Ended, settings};

use super::{say, say_json};

/// Less free space than this is worth a warning.
const LITTLE_SPACE: u64 = 2 << 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Error,
}

#[derive(Debug, Serialize)]
struct Check {
    name: String,
    verdict: Verdict,
    detail: String,
}

/// Runs the command. Errors end with exit code 3, warnings with 0.
pub(crate) fn run(common: &Common, arguments: &Doctor) -> anyhow::Result<Ended> {
    let mut checks = Vec::new();
    let mut add = |name: &str, verdict, detail: String| {
        checks.push(Check {
            name: name.to_owned(),
            verdict,
            detail,
        });
    };
    let (verdict, detail) = processor();
    add("processor", verdict, detail);
    match settings::read(common, &Serve::default()) {
        Err(error) => add("configuration", Verdict::Error, crate::sentence(&error)),
        Ok(config) => {
            let file = config.places.config_file();
            let read = if file.exists() {
                "read"
            } else {
                "absent, defaults hold"
            };
            add(
                "configuration",
                Verdict::Ok,
                format!("{} ({read})", file.display()),
            );
            let (verdict, detail) = device(&config);
            add("device", verdict, detail);
            match wiring::models(common, &config.places) {
                Err(error) => add("models", Verdict::Error, crate::sentence(&error)),
                Ok(models) => {
                    let (verdict, detail) = model(&models, &config.embedding_model, Verdict::Error);
                    add("embedding model", verdict, detail);
                    let (verdict, detail) = match &config.chat_model {
                        // Without one there are answers, of quotes.
                        Some(name) => model(&models, name, Verdict::Warning),
                        None => (
                            Verdict::Ok,
                            "none, as configured: answers are quoted passages".to_owned(),
                        ),
                    };
                    add("language model", verdict, detail);
                    for name in &config.chat_models {
                        let (verdict, detail) = model(&models, name, Verdict::Warning);
                        add("offered model", verdict, detail);
                    }
                }
            }
            let (verdict, detail) = index(common, &config);
            add("index", verdict, detail);
            for (name, folder) in [
                ("disk (home)", &config.places.home),
                ("disk (models)", &config.places.models),
            ] {
                let (verdict, detail) = disk(folder);
                add(name, verdict, detail);
            }
        }
    }
    if arguments.json {
        say_json(&checks)?;
    } else {
        for check in &checks {
            let mark = match check.verdict {
                Verdict::Ok => "ok     ",
                Verdict::Warning => "warning",
                Verdict::Error => "ERROR  ",
            };
            say(&format!("{mark}  {:16} {}\n", check.name, check.detail))?;
        }
    }
    if checks.iter().any(|check| check.verdict == Verdict::Error) {
        Ok(Ended::Partly)
    } else {
        Ok(Ended::Done)
    }
}

fn processor() -> (Verdict, String) {
    let features = processor_features();
    let present: Vec<_> = features
        .iter()
        .filter(|feature| feature.present)
        .map(|feature| feature.name)
        .collect();
    let detail = format!("{} cores; {}", physical_cores(), present.join(", "));
    // Built without the level that candle's kernels need, inference works but
    // takes many times as long.
    let slow = features
        .iter()
        .any(|feature| feature.name == "AVX2" && !feature.required);
    if slow {
        let advice = "this build does not use AVX2: build it without RUSTFLAGS that replace the target level";
        (Verdict::Warning, format!("{detail}; {advice}"))
    } else {
        (Verdict::Ok, detail)
    }
}

fn device(config: &Config) -> (Verdict, String) {
    match choose_device(config.device) {
        Ok(open) => (Verdict::Ok, open.note),
        Err(error) => (Verdict::Error, crate::sentence(&error.into())),
    }
}

fn model(models: &ModelStore, name: &str, missing: Verdict) -> (Verdict, String) {
    let located = name
        .parse::<ModelName>()
        .map_err(anyhow::Error::from)
        .and_then(|name| Ok(models.locate(&name)?));
    match located {
        Ok(installed) => (
            Verdict::Ok,
            format!("{name} in {}", installed.folder.display()),
        ),
        Err(error) => (missing, crate::sentence(&error)),
    }
}

fn index(common: &Common, config: &Config) -> (Verdict, String) {
    match look_at_index(common, config) {
        Ok(detail) => (Verdict::Ok, detail),
        Err(error) => (Verdict::Error, crate::sentence(&error)),
    }
}

fn look_at_index(common: &Common, config: &Config) -> anyhow::Result<String> {
    let counted =
        |documents: usize, chunks: usize| format!("{documents} documents, {chunks} chunks");
    let Some(url) = &config.qdrant_url else {
        let folder = config.places.index();
        if let Some(holder) = read_holder(&folder) {
            if let Some(url) = &holder.url {
                Remote::of_holder(url)
                    .health()
                    .context("the service that holds the index is not well")?;
            }
            return Ok(format!("{} is in use by {holder}", folder.display()));
        }
        if EdgeStore::stored_identity(&folder)?.is_none() {
            return Ok(format!(
                "{} is empty; `genie ingest` fills it",
                folder.display()
            ));
        }
        let parts = Parts::open(common, config)?;
        let detail = counted(parts.store.documents()?.len(), parts.store.count()?);
        return Ok(format!("{}: {detail}", folder.display()));
    };
    let parts = Parts::open(common, config)?;
    let detail = counted(parts.store.documents()?.len(), parts.store.count()?);
    Ok(format!("{} on {url}: {detail}", config.collection))
}

fn disk(folder: &Path) -> (Verdict, String) {
    // The folder may not be there yet; its first existing parent is on the
    // same disk.
    let existing = folder
        .ancestors()
        .find(|path| path.exists())
        .unwrap_or(Path::new("/"));
    match fs4::available_space(existing) {
        Ok(free) if free < LITTLE_SPACE => (
            Verdict::Warning,
            format!("{}: only {} MB free", folder.display(), free >> 20),
        ),
        Ok(free) => (
            Verdict::Ok,
            format!("{}: {} GB free", folder.display(), free >> 30),
        ),
        Err(error) => (Verdict::Warning, format!("{}: {error}", folder.display())),
    }
}
