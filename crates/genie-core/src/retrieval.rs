//! How passages are found and put in order, as validated values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::within;
use crate::{ConfigError, Fusion, FusionWeights};

/// How passages are found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RetrievalConfig {
    /// Passages put before the model.
    pub top_k: usize,
    /// Candidates that each side of the hybrid query contributes.
    pub candidates: usize,
    /// How the two sides are joined.
    pub fusion: Fusion,
    /// How much each side counts.
    pub weights: FusionWeights,
    /// Below this cosine of the best passage the corpus does not cover the
    /// question.
    pub min_similarity: f32,
    /// How candidates are put in their final order.
    pub rerank: RerankConfig,
}

/// How candidates are put in their final order, and how many are kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RerankConfig {
    /// Whether passages are indexed with the vectors of their tokens, and
    /// compared with the query token by token.
    pub tokens: bool,
    /// What the best match of words adds to a score, a cosine; lesser matches
    /// add their share of it. Twice as much where question and candidates are
    /// in one language.
    pub lexical_bonus: f32,
    /// What is added to that score for a passage in another language than the
    /// question's, whose tokens are farther from the question's whatever they
    /// say.
    pub foreign_bonus: f32,
    /// Milliseconds after which candidates that were not compared yet stay
    /// behind the others.
    pub budget_ms: usize,
    /// How many passages are kept.
    pub cut: Cut,
    /// How far below the best score, a cosine, [`Cut::Threshold`] keeps a
    /// passage.
    pub cut_margin: f32,
    /// Whether neighbouring chunks of one document that are both found become
    /// one passage.
    pub merge_neighbours: bool,
    /// Whether of a text and its translation only one is kept, that in the
    /// question's language where there is one.
    pub collapse_translations: bool,
    /// What documents are preferred for, whatever they say.
    pub boosts: Boosts,
    /// How many of the best passages the language model judges; 0 is none.
    pub judged: usize,
    /// How far below the best score, a cosine, a passage may be to be judged.
    /// Where no second one is so near, none is.
    pub judge_margin: f32,
    /// Milliseconds after which it is asked about no further passage.
    pub judge_budget_ms: usize,
}

impl Default for RerankConfig {
    fn default() -> Self {
        Self {
            tokens: true,
            lexical_bonus: 0.015,
            foreign_bonus: 0.08,
            budget_ms: 200,
            cut: Cut::Fixed,
            cut_margin: 0.075,
            merge_neighbours: false,
            collapse_translations: false,
            boosts: Boosts::default(),
            judged: 0,
            judge_margin: 0.04,
            judge_budget_ms: 10_000,
        }
    }
}

/// How many passages are kept, `top_k` at most and one at least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// `top_k`.
    #[default]
    Fixed,
    /// Those whose score is not more than a margin below the best one's.
    Threshold,
    /// Those before the largest gap between two scores.
    Gap,
}

/// What documents are preferred for. Nothing by default: newer or more
/// official is not more to the point.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Boosts {
    /// Days after which a document's date counts half; `None` ignores dates.
    pub recency_half_life_days: Option<f32>,
    /// How much documents with a label, or with one below it, are preferred:
    /// shares, from -1 to 1, of the distance between the best candidate's
    /// score and their mean. Of several labels the longest counts.
    pub authority: BTreeMap<String, f32>,
}

impl Boosts {
    /// Whether they change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.recency_half_life_days.is_none() && self.authority.is_empty()
    }
}

impl RetrievalConfig {
    /// Checks every range.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let rerank = &self.rerank;
        within("retrieval.top_k", self.top_k, 1, 50)?;
        within("retrieval.candidates", self.candidates, 1, 1000)?;
        within("retrieval.dense_weight", self.weights.dense, 0.0, 100.0)?;
        within("retrieval.lexical_weight", self.weights.lexical, 0.0, 100.0)?;
        within("retrieval.min_similarity", self.min_similarity, -1.0, 1.0)?;
        within("retrieval.lexical_bonus", rerank.lexical_bonus, 0.0, 1.0)?;
        within("retrieval.foreign_bonus", rerank.foreign_bonus, 0.0, 1.0)?;
        within("retrieval.rerank_budget_ms", rerank.budget_ms, 1, 60_000)?;
        within("retrieval.cut_margin", rerank.cut_margin, 0.0, 2.0)?;
        within("retrieval.rerank_model", rerank.judged, 0, 50)?;
        within(
            "retrieval.rerank_model_margin",
            rerank.judge_margin,
            0.0,
            2.0,
        )?;
        within(
            "retrieval.rerank_model_budget_ms",
            rerank.judge_budget_ms,
            1,
            600_000,
        )?;
        if let Some(days) = rerank.boosts.recency_half_life_days {
            within("retrieval.recency_half_life_days", days, 1.0, 100_000.0)?;
        }
        for weight in rerank.boosts.authority.values() {
            within("retrieval.authority", *weight, -1.0, 1.0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RetrievalConfig {
        RetrievalConfig {
            top_k: 6,
            candidates: 50,
            fusion: Fusion::Rrf,
            weights: FusionWeights {
                dense: 1.0,
                lexical: 0.5,
            },
            min_similarity: 0.8,
            rerank: RerankConfig::default(),
        }
    }

    #[test]
    fn every_setting_is_named_as_it_is_written() {
        assert_eq!(config().check(), Ok(()));
        let mut wrong = config();
        wrong.weights.dense = -1.0;
        let error = wrong.check().expect_err("a weight is not negative");
        assert!(
            error
                .to_string()
                .starts_with("retrieval.dense_weight is -1")
        );
        let mut wrong = config();
        wrong.rerank.boosts.recency_half_life_days = Some(0.0);
        let error = wrong.check().expect_err("nothing halves in no time");
        assert!(error.to_string().contains("recency_half_life_days"));
        let mut wrong = config();
        wrong
            .rerank
            .boosts
            .authority
            .insert("official".to_owned(), 7.0);
        assert!(wrong.check().is_err());
    }
}
