//! A retrieval profile: weights that `genie eval learn` found on questions
//! with known answers, and what they belong to.

use std::path::Path;

use anyhow::{Context, bail};
use genie_core::{Fusion, LearntFor};
use genie_eval::Estimate;
use serde::{Deserialize, Serialize};

/// Of the form of the file.
const VERSION: u32 = 2;

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    version: u32,
    /// What retrieval takes from it.
    pub(crate) retrieval: Weights,
    embedding: Embedding,
    /// Where it comes from, for people.
    learnt: Learnt,
}

/// The settings of the same names.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Weights {
    pub(crate) fusion: Fusion,
    pub(crate) dense_weight: f32,
    pub(crate) lexical_weight: f32,
    pub(crate) lexical_bonus: f32,
}

/// The model and the analyses that it was learnt with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Embedding {
    pub(crate) model: String,
    pub(crate) hash: String,
    pub(crate) lexical_version: String,
    pub(crate) tokens_version: String,
}

/// On what, and what for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Learnt {
    pub(crate) suite: String,
    pub(crate) suite_hash: String,
    pub(crate) metric: String,
    pub(crate) seed: u64,
    /// What held-out questions gained, with its 95 % interval.
    pub(crate) gain: Estimate,
    pub(crate) p: f64,
}

/// What every version has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Profile {
    pub(crate) const fn new(retrieval: Weights, embedding: Embedding, learnt: Learnt) -> Self {
        Self {
            version: VERSION,
            retrieval,
            embedding,
            learnt,
        }
    }

    /// Reads a profile, and what it has to be used with.
    pub(super) fn read(file: &Path) -> anyhow::Result<(Self, LearntFor)> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("the retrieval profile {} can't be read", file.display()))?;
        let no_profile = || format!("{} is no retrieval profile", file.display());
        // Before the fields that one of another version lacks.
        let Versioned { version } = toml::from_str(&text).with_context(no_profile)?;
        if version != VERSION {
            bail!(
                "{} is a retrieval profile of version {version}, but this program reads version \
                 {VERSION}; learn it anew with `genie eval learn`, or take retrieval.profile out \
                 of config.toml",
                file.display(),
            );
        }
        let profile: Self = toml::from_str(&text).with_context(no_profile)?;
        let hash = profile
            .embedding
            .hash
            .parse()
            .with_context(|| format!("{}: embedding.hash", file.display()))?;
        let learnt_for = LearntFor {
            file: file.to_owned(),
            model: profile.embedding.model.clone(),
            hash,
            lexical_version: profile.embedding.lexical_version.clone(),
            tokens_version: profile.embedding.tokens_version.clone(),
        };
        Ok((profile, learnt_for))
    }

    /// Writes it where `genie` and people can read it.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = toml::to_string(self)?;
        std::fs::write(file, text).with_context(|| format!("{} can't be written", file.display()))
    }
}
