//! The final order of the candidates, and which of them are kept.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use genie_core::{Cut, Hit, LateInteraction, Passage, RerankConfig, Stage, Stages, TokenVectors};
use unicode_segmentation::UnicodeSegmentation;

/// Candidates compared before the clock is looked at.
const ROUND: usize = 16;
/// How far below the best score [`Cut::Threshold`] keeps a passage.
const MARGIN: f32 = 0.03;
/// Words of a shingle.
const SHINGLE: usize = 4;
/// Share of common shingles from which on two passages say the same.
const SAME: f32 = 0.8;

/// Puts hits in their final order and keeps at most `limit` of them.
///
/// Hits come in the order of the hybrid query. Where there is something to
/// compare token by token with, that decides, helped by the match of words;
/// hits without codes, and those that the budget of time does not reach, stay
/// behind in the order they came in. A passage that repeats a better one is
/// left out.
pub(crate) fn ranked(
    hits: Vec<Hit>,
    comparison: Option<(&dyn LateInteraction, &TokenVectors)>,
    config: RerankConfig,
    limit: usize,
) -> Vec<Passage> {
    let late = match comparison {
        Some((model, query)) => compared(
            &hits,
            model,
            query,
            Duration::from_millis(config.budget_ms as u64),
        ),
        None => vec![None; hits.len()],
    };
    let dense = places(hits.iter().map(|hit| Some(hit.similarity)));
    let lexical = places(hits.iter().map(|hit| hit.lexical));
    let tokens = places(late.iter().copied());
    let most = hits
        .iter()
        .filter_map(|hit| hit.lexical)
        .fold(0.0, f32::max);
    let mut passages: Vec<(bool, Passage)> = hits
        .into_iter()
        .enumerate()
        .map(|(index, mut hit)| {
            let fused = Stage {
                rank: index + 1,
                score: hit.score,
            };
            if let Some(score) = late[index] {
                let words = hit.lexical.filter(|_| most > 0.0).unwrap_or_default();
                hit.score = score + config.lexical_bonus * words / most.max(f32::MIN_POSITIVE);
            }
            let stages = Stages {
                // Every hit has a cosine.
                dense: dense[index].unwrap_or(fused),
                lexical: lexical[index],
                fused,
                tokens: tokens[index],
            };
            (late[index].is_some(), Passage { hit, stages })
        })
        .collect();
    // Stable: what was not compared keeps its order.
    passages.sort_by(|(left_compared, left), (right_compared, right)| {
        right_compared.cmp(left_compared).then_with(|| {
            if *left_compared {
                right.hit.score.total_cmp(&left.hit.score)
            } else {
                std::cmp::Ordering::Equal
            }
        })
    });
    let compared = passages.iter().filter(|(compared, _)| *compared).count();
    let passages = passages.into_iter().map(|(_, passage)| passage);
    let mut kept = without_repetitions(passages, limit);
    // Scores of the hybrid query are reciprocal ranks, whose gaps say nothing.
    if compared >= kept.len() {
        kept.truncate(cut(&kept, config.cut));
    }
    kept
}

/// The score of each hit, in their order, as far as time allows.
fn compared(
    hits: &[Hit],
    model: &dyn LateInteraction,
    query: &TokenVectors,
    budget: Duration,
) -> Vec<Option<f32>> {
    let started = Instant::now();
    let mut scores = Vec::with_capacity(hits.len());
    for round in hits.chunks(ROUND) {
        if started.elapsed() > budget {
            tracing::debug!(compared = scores.len(), of = hits.len(), "out of time");
            scores.resize(hits.len(), None);
            break;
        }
        let codes: Vec<_> = round.iter().map(|hit| &hit.tokens).collect();
        scores.extend(model.scores(query, &codes));
    }
    scores
}

/// Ranks by descending score, equal ones in the order they come in.
fn places(scores: impl Iterator<Item = Option<f32>>) -> Vec<Option<Stage>> {
    let scores: Vec<Option<f32>> = scores.collect();
    let mut order: Vec<(usize, f32)> = scores
        .iter()
        .enumerate()
        .filter_map(|(index, score)| score.map(|score| (index, score)))
        .collect();
    order.sort_by(|left, right| right.1.total_cmp(&left.1));
    let mut places = vec![None; scores.len()];
    for (place, (index, score)) in order.into_iter().enumerate() {
        places[index] = Some(Stage {
            rank: place + 1,
            score,
        });
    }
    places
}

fn without_repetitions(passages: impl Iterator<Item = Passage>, limit: usize) -> Vec<Passage> {
    let mut kept: Vec<(HashSet<u64>, Passage)> = Vec::with_capacity(limit);
    for passage in passages {
        if kept.len() == limit {
            break;
        }
        let own = shingles(&passage.hit.chunk.text);
        let repeats = kept.iter().any(|(other, _)| {
            let common = own.intersection(other).count();
            let all = own.len() + other.len() - common;
            common > 0 && common as f32 >= SAME * all as f32
        });
        if repeats {
            tracing::debug!(
                document = passage.hit.document.uri,
                "left out: it repeats another"
            );
        } else {
            kept.push((own, passage));
        }
    }
    kept.into_iter().map(|(_, passage)| passage).collect()
}

/// Hashes of all runs of a few words; of all words where there are fewer.
fn shingles(text: &str) -> HashSet<u64> {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.unicode_words().collect();
    words
        .windows(SHINGLE.min(words.len()).max(1))
        .map(|words| {
            let mut hasher = DefaultHasher::new();
            words.hash(&mut hasher);
            hasher.finish()
        })
        .collect()
}

/// How many of the passages, best first, are kept.
fn cut(passages: &[Passage], cut: Cut) -> usize {
    let scores = || passages.iter().map(|passage| passage.hit.score);
    match cut {
        Cut::Fixed => passages.len(),
        Cut::Threshold => {
            let least = scores().next().unwrap_or_default() - MARGIN;
            scores().take_while(|score| *score >= least).count()
        }
        Cut::Gap => {
            let gaps = scores().zip(scores().skip(1)).map(|(high, low)| high - low);
            let widest = gaps
                .enumerate()
                .max_by(|left, right| left.1.total_cmp(&right.1));
            widest.map_or(passages.len(), |(position, _)| position + 1)
        }
    }
}

#[cfg(test)]
#[path = "rank_tests.rs"]
mod tests;
