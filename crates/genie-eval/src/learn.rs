//! Weights of retrieval, learnt on questions with known answers.
//!
//! Every combination of a small grid is tried on every question, by the
//! engine itself. What is gained by choosing is told by cross-validation: the
//! questions are dealt into folds, and those of a fold are judged with what
//! is best for all the others. The best of sixty on the questions that it was
//! chosen by is better than it is.

use std::collections::HashMap;
use std::ops::ControlFlow;

use anyhow::{Context, bail};
use genie_core::{Filter, Fusion, FusionWeights, RetrievalConfig};
use genie_rag::SearchRequest;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Serialize;

use crate::cluster::dependent;
use crate::documents::Indexes;
use crate::evaluate::{Plan, Step, open, wanted};
use crate::evidence::Known;
use crate::statistics::{Clustered, Estimate, estimate, permutation_p};
use crate::suite::{Item, Target};

/// Parts that questions are dealt into.
const FOLDS: usize = 5;
/// Weights of the lexical side that are tried, the dense side's being 1: only
/// their ratio matters.
const LEXICAL: [f32; 5] = [0.05, 0.1, 0.2, 0.4, 0.8];
/// Bonuses for words that are tried.
const BONUS: [f32; 6] = [0.0, 0.0075, 0.015, 0.03, 0.06, 0.12];

/// What is learnt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Tuning {
    /// How the sides are joined.
    pub fusion: Fusion,
    /// How much each side counts.
    pub weights: FusionWeights,
    /// What the best match of words adds.
    pub lexical_bonus: f32,
}

impl Tuning {
    /// That of a configuration.
    #[must_use]
    pub const fn of(retrieval: &RetrievalConfig) -> Self {
        Self {
            fusion: retrieval.fusion,
            weights: retrieval.weights,
            lexical_bonus: retrieval.rerank.lexical_bonus,
        }
    }

    fn applied(self, retrieval: &RetrievalConfig) -> RetrievalConfig {
        let mut retrieval = retrieval.clone();
        retrieval.fusion = self.fusion;
        retrieval.weights = self.weights;
        retrieval.rerank.lexical_bonus = self.lexical_bonus;
        retrieval
    }
}

/// What came of learning.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lesson {
    /// What is best on all questions; the configured one where nothing is
    /// better.
    pub best: Tuning,
    /// The configured one.
    pub configured: Tuning,
    /// The metric that was looked at.
    pub metric: String,
    /// Its mean as configured.
    pub before: f64,
    /// Its mean by the best, on the questions that it was chosen by.
    pub fitted: f64,
    /// What questions gained that had no part in the choice.
    pub gain: Estimate,
    /// How often chance makes a difference like it.
    pub p: f64,
    /// Combinations that were tried.
    pub tried: usize,
    /// What was best for all questions but those of one fold, fold by fold.
    pub by_fold: Vec<Tuning>,
}

/// What is learnt from.
#[derive(Debug, Clone, Copy)]
pub struct Study<'a> {
    /// The questions, and how deep is looked.
    pub plan: Plan<'a>,
    /// What is to be better.
    pub metric: &'a str,
    /// Than this.
    pub configured: &'a RetrievalConfig,
    /// Of folds and intervals.
    pub seed: u64,
}

/// Tries combinations of weights on all questions. `watch` is told of every
/// step and may break.
///
/// # Errors
///
/// As [`crate::evaluate`]; also where the metric is not one of rankings, and
/// where there are too few questions to leave some out.
pub fn learn(
    study: &Study<'_>,
    indexes: &dyn Indexes,
    watch: &mut dyn FnMut(Step<'_>) -> ControlFlow<()>,
) -> anyhow::Result<ControlFlow<(), Lesson>> {
    let Study {
        plan,
        metric,
        configured,
        seed,
    } = study;
    let tried = combinations(configured);
    let items: Vec<&Item> = plan
        .suite
        .items
        .iter()
        .filter(|item| item.target != Target::Nothing)
        .collect();
    let mut table: Vec<Vec<f64>> = Vec::with_capacity(items.len());
    let mut rest = plan.suite.items.as_slice();
    while let Some(first) = rest.first() {
        let end = rest
            .iter()
            .position(|item| item.collection != first.collection)
            .unwrap_or(rest.len());
        let (group, others) = rest.split_at(end);
        rest = others;
        let opened = match open(plan, first.collection, indexes, watch)? {
            ControlFlow::Continue(opened) => opened,
            ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
        };
        let known = Known::of(plan, group, &opened)?;
        for item in group.iter().filter(|item| item.target != Target::Nothing) {
            let step = Step::Asking {
                done: table.len(),
                total: items.len(),
            };
            if watch(step).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let mut row = Vec::with_capacity(tried.len());
            for tuning in &tried {
                let request = SearchRequest {
                    query: item.ask().search_text(),
                    language: None,
                    filter: Filter::default(),
                    limit: Some(wanted(plan, item)),
                };
                let outcome = opened
                    .engine
                    .search_with(request, &tuning.applied(configured))
                    .with_context(|| format!("item {}", item.id))?;
                let values = known.ranking(item, &outcome.passages).values(plan.depth);
                let Some(value) = values.get(*metric) else {
                    let names: Vec<_> = values.keys().map(String::as_str).collect();
                    bail!("{metric} is none of {}", names.join(", "));
                };
                row.push(*value);
            }
            table.push(row);
        }
    }
    let split = Split::of(dependent(&items), *seed);
    if split.folds.len() < FOLDS {
        bail!(
            "{} has too few questions about different texts to learn from some and judge by others",
            plan.suite.name
        );
    }
    let lesson = lesson(&tried, &table, &split, *seed);
    Ok(ControlFlow::Continue(Lesson {
        metric: (*metric).to_owned(),
        ..lesson.context("there is nothing to learn from")?
    }))
}

/// The configured one first, so that it is kept where nothing is better.
fn combinations(configured: &RetrievalConfig) -> Vec<Tuning> {
    let own = Tuning::of(configured);
    let bonuses: &[f32] = if configured.rerank.tokens {
        &BONUS
    } else {
        // It decides nothing where tokens are not compared.
        std::slice::from_ref(&own.lexical_bonus)
    };
    let dense_alone = Tuning {
        fusion: Fusion::Rrf,
        weights: FusionWeights {
            dense: 1.0,
            lexical: 0.0,
        },
        lexical_bonus: 0.0,
    };
    let mut all = vec![own, dense_alone];
    for fusion in [Fusion::Rrf, Fusion::Dbsf] {
        for lexical in LEXICAL {
            for &lexical_bonus in bonuses {
                all.push(Tuning {
                    fusion,
                    weights: FusionWeights {
                        dense: 1.0,
                        lexical,
                    },
                    lexical_bonus,
                });
            }
        }
    }
    all
}

/// What the table of values, a row a question and a column a combination,
/// teaches. `None` where it is empty.
fn lesson(tried: &[Tuning], table: &[Vec<f64>], split: &Split, seed: u64) -> Option<Lesson> {
    let all: Vec<usize> = (0..table.len()).collect();
    let best = best(table, &all)?;
    let mut gains = vec![0.0; table.len()];
    let mut by_fold = Vec::with_capacity(split.folds.len());
    for fold in &split.folds {
        let others: Vec<usize> = all
            .iter()
            .copied()
            .filter(|row| !fold.contains(row))
            .collect();
        let chosen = self::best(table, &others)?;
        by_fold.push(tried[chosen]);
        for &row in fold {
            gains[row] = table[row][chosen] - table[row][0];
        }
    }
    let p = permutation_p(&gains, seed);
    let gains: Vec<Clustered> = gains.into_iter().zip(split.clusters.clone()).collect();
    Some(Lesson {
        best: tried[best],
        configured: tried[0],
        metric: String::new(),
        before: mean(table, &all, 0),
        fitted: mean(table, &all, best),
        gain: estimate(&gains, seed)?,
        p,
        tried: tried.len(),
        by_fold,
    })
}

/// The column with the best mean over these rows, the first of equals.
fn best(table: &[Vec<f64>], rows: &[usize]) -> Option<usize> {
    let columns = table.first()?.len();
    let mut best: Option<(usize, f64)> = None;
    for column in 0..columns {
        let mean = mean(table, rows, column);
        // Sums of the same numbers in another order differ in their last bits.
        if best.is_none_or(|(_, known)| mean > known + 1e-9) {
            best = Some((column, mean));
        }
    }
    best.map(|(column, _)| column)
}

fn mean(table: &[Vec<f64>], rows: &[usize], column: usize) -> f64 {
    let sum: f64 = rows.iter().map(|&row| table[row][column]).sum();
    sum / rows.len().max(1) as f64
}

/// Questions that are left out together.
struct Split {
    /// Of each question a number that it shares with those it depends on.
    clusters: Vec<usize>,
    /// Rows of the questions of each fold.
    folds: Vec<Vec<usize>>,
}

impl Split {
    fn of(clusters: Vec<usize>, seed: u64) -> Self {
        Self {
            folds: folds(&clusters, seed),
            clusters,
        }
    }
}

/// Deals groups into folds of about one size; fewer where there are too few
/// groups.
fn folds(groups: &[usize], seed: u64) -> Vec<Vec<usize>> {
    let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, group) in groups.iter().enumerate() {
        members.entry(*group).or_default().push(at);
    }
    let mut members: Vec<Vec<usize>> = members.into_values().collect();
    members.sort();
    members.shuffle(&mut StdRng::seed_from_u64(seed));
    let mut folds = vec![Vec::new(); FOLDS.min(members.len())];
    for group in members {
        if let Some(smallest) = folds.iter_mut().min_by_key(|fold| fold.len()) {
            smallest.extend(group);
        }
    }
    folds
}

#[cfg(test)]
#[path = "learn_tests.rs"]
mod tests;
