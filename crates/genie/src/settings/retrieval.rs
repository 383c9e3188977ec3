//! `[retrieval]` of `config.toml`. A key that is written there goes before
//! what a profile has learnt, and that before the default.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use genie_core::{Boosts, Cut, Fusion, FusionWeights, LearntFor, RerankConfig, RetrievalConfig};
use serde::Deserialize;

use super::profile::Profile;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retrieval {
    top_k: Option<usize>,
    candidates: Option<usize>,
    fusion: Option<Fusion>,
    dense_weight: Option<f32>,
    lexical_weight: Option<f32>,
    min_similarity: Option<f32>,
    late_interaction: Option<bool>,
    lexical_bonus: Option<f32>,
    foreign_bonus: Option<f32>,
    rerank_budget_ms: Option<usize>,
    cut: Option<Cut>,
    cut_margin: Option<f32>,
    merge_neighbours: Option<bool>,
    collapse_translations: Option<bool>,
    recency_half_life_days: Option<f32>,
    authority: BTreeMap<String, f32>,
    rerank_model: Option<usize>,
    rerank_model_margin: Option<f32>,
    rerank_model_budget_ms: Option<usize>,
    profile: Option<PathBuf>,
}

impl Retrieval {
    /// The whole configuration, and what its weights were learnt for where
    /// they come from a profile. A profile is looked for from `home`.
    pub(super) fn read(self, home: &Path) -> anyhow::Result<(RetrievalConfig, Option<LearntFor>)> {
        let learnt = match &self.profile {
            Some(file) => Some(Profile::read(&home.join(file))?),
            None => None,
        };
        let (profile, learnt_for) = learnt.unzip();
        let weights = profile.map(|profile: Profile| profile.retrieval);
        let default = RerankConfig::default();
        let config = RetrievalConfig {
            top_k: self.top_k.unwrap_or(6),
            candidates: self.candidates.unwrap_or(100),
            fusion: self
                .fusion
                .or(weights.map(|learnt| learnt.fusion))
                .unwrap_or_default(),
            weights: FusionWeights {
                dense: self
                    .dense_weight
                    .or(weights.map(|learnt| learnt.dense_weight))
                    .unwrap_or(1.0),
                lexical: self
                    .lexical_weight
                    .or(weights.map(|learnt| learnt.lexical_weight))
                    .unwrap_or(0.15),
            },
            min_similarity: self.min_similarity.unwrap_or(0.787),
            rerank: RerankConfig {
                tokens: self.late_interaction.unwrap_or(default.tokens),
                lexical_bonus: self
                    .lexical_bonus
                    .or(weights.map(|learnt| learnt.lexical_bonus))
                    .unwrap_or(default.lexical_bonus),
                foreign_bonus: self.foreign_bonus.unwrap_or(default.foreign_bonus),
                budget_ms: self.rerank_budget_ms.unwrap_or(default.budget_ms),
                cut: self.cut.unwrap_or(default.cut),
                cut_margin: self.cut_margin.unwrap_or(default.cut_margin),
                merge_neighbours: self.merge_neighbours.unwrap_or(default.merge_neighbours),
                // Of a corpus in several languages, most of what is found is
                // otherwise one text over and over (docs/benchmarks/retrieval.md).
                collapse_translations: self.collapse_translations.unwrap_or(true),
                boosts: Boosts {
                    recency_half_life_days: self.recency_half_life_days,
                    authority: self.authority,
                },
                judged: self.rerank_model.unwrap_or(default.judged),
                judge_margin: self.rerank_model_margin.unwrap_or(default.judge_margin),
                judge_budget_ms: self
                    .rerank_model_budget_ms
                    .unwrap_or(default.judge_budget_ms),
            },
        };
        Ok((config, learnt_for))
    }
}
