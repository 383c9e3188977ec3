//! The final order of the candidates, and which of them are kept.

use std::time::{Duration, Instant};

use genie_core::{
    Cut, Date, Fusion, Generate, Hit, Language, LateInteraction, Passage, RerankConfig, Stage,
    Stages, TokenVectors, Tongues,
};

use crate::alike::{Alike, distinct};
use crate::boost::Preference;
use crate::judge::judged;
use crate::left_out::{LeftOutReason, Sifted};
use crate::neighbours::merged;

/// The best match of words counts for so much more where question and
/// candidates are in one language, measured as the mean's share is
/// (`docs/benchmarks/retrieval.md`).
const WORDS_OF_ONE_LANGUAGE: f32 = 2.0;
/// Candidates compared before the clock is looked at.
const ROUND: usize = 16;

/// What decides the order of a query's candidates.
pub(crate) struct Ranking<'a> {
    /// The query as it was asked.
    pub(crate) query: &'a str,
    /// The language of the answer.
    pub(crate) language: Language,
    /// The language of the query, where it is known.
    pub(crate) asked_in: Option<Language>,
    /// Today, which dates are compared with.
    pub(crate) today: Option<Date>,
    /// How the hits' scores came about.
    pub(crate) fusion: Fusion,
    /// What compares hits token by token.
    pub(crate) comparison: Option<(&'a dyn LateInteraction, &'a TokenVectors)>,
    /// What judges the best of them.
    pub(crate) generate: Option<&'a dyn Generate>,
    /// Which of all this is wanted.
    pub(crate) config: &'a RerankConfig,
    /// Passages kept at most.
    pub(crate) limit: usize,
}

impl Ranking<'_> {
    /// Puts hits in their final order and keeps at most `limit` of them.
    ///
    /// Hits come in the order of the hybrid query. Where there is something
    /// to compare token by token with, that decides, helped by the match of
    /// words, and languages are made even; hits without codes, and those that
    /// the budget of time does not reach, stay behind in the order they came
    /// in. A passage that repeats a better one is left out. What is left out
    /// comes by its place among all.
    pub(crate) fn of(&self, hits: Vec<Hit>) -> Sifted {
        let mut passages = self.staged(hits);
        let compared = passages.iter().filter(|(compared, _)| *compared).count();
        // Stable: equals keep their order. What was not compared where others
        // were stays in the order that it came in, which may be of two queries.
        passages.sort_by(|(left_compared, left), (right_compared, right)| {
            let by_score = || right.hit.score.total_cmp(&left.hit.score);
            right_compared
                .cmp(left_compared)
                .then_with(|| match *left_compared || compared == 0 {
                    true => by_score(),
                    false => left.stages.fused.rank.cmp(&right.stages.fused.rank),
                })
        });
        let mut rank = 0;
        let passages = passages.into_iter().map(|(_, mut passage)| {
            rank += 1;
            passage.stages.scored = Stage {
                rank,
                score: passage.hit.score,
            };
            passage
        });
        let alike = if self.config.collapse_translations {
            Alike::Translated(self.language)
        } else {
            Alike::Repeated
        };
        let judges = self.generate.filter(|_| self.config.judged > 0);
        let wanted = match judges {
            Some(_) => self.limit.max(self.config.judged),
            None => self.limit,
        };
        let mut found = distinct(passages, alike, wanted);
        if let Some(generate) = judges {
            judged(&mut found.kept, self.query, generate, self.config);
        }
        found.truncate(self.limit, &LeftOutReason::TopK);
        // Scores of the hybrid query are reciprocal ranks, whose gaps say
        // nothing.
        if compared >= found.kept.len()
            && let Some((count, reason)) = cut(&found.kept, self.config)
        {
            found.truncate(count, &reason);
        }
        if self.config.merge_neighbours {
            let merged = merged(found.kept);
            found.kept = merged.kept;
            found.left_out.extend(merged.left_out);
        }
        let left_out = &mut found.left_out;
        left_out.sort_by_key(|left_out| left_out.passage.stages.scored.rank);
        let left_out = left_out.iter_mut().map(|left_out| &mut left_out.passage);
        for passage in found.kept.iter_mut().chain(left_out) {
            // They have done their work and are large.
            passage.hit.tokens.0 = Vec::new();
            passage.hit.vector = Vec::new();
        }
        found
    }

    /// Whether all hits whose language is known are in that of the query.
    /// Scores have to compare, so one that is not decides for all.
    fn tongues(&self, hits: &[Hit]) -> Tongues {
        let mut known = hits.iter().filter_map(|hit| hit.chunk.language).peekable();
        if known.peek().is_some() && known.all(|language| Some(language) == self.asked_in) {
            Tongues::One
        } else {
            Tongues::Several
        }
    }

    /// Whether a hit is in another language than the query, as far as both are
    /// known.
    fn is_foreign(&self, hit: &Hit) -> bool {
        match (hit.chunk.language, self.asked_in) {
            (Some(language), Some(asked_in)) => language != asked_in,
            _ => false,
        }
    }

    /// The hits with their scores and how these came about, and whether they
    /// were compared token by token.
    fn staged(&self, hits: Vec<Hit>) -> Vec<(bool, Passage)> {
        let tongues = self.tongues(&hits);
        let late = match self.comparison {
            Some((model, query)) => {
                let budget = Duration::from_millis(self.config.budget_ms as u64);
                compared(&hits, model, query, tongues, budget)
            }
            None => vec![None; hits.len()],
        };
        let dense = places(hits.iter().map(|hit| Some(hit.similarity)));
        let lexical = places(hits.iter().map(|hit| hit.lexical));
        let tokens = places(late.iter().copied());
        let bonus_of_best = match tongues {
            Tongues::One => WORDS_OF_ONE_LANGUAGE * self.config.lexical_bonus,
            Tongues::Several => self.config.lexical_bonus,
        };
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
                let (mut bonus, mut foreign) = (None, None);
                if let Some(score) = late[index] {
                    let words = hit.lexical.filter(|_| most > 0.0).unwrap_or_default();
                    let added = bonus_of_best * words / most.max(f32::MIN_POSITIVE);
                    bonus = Some(added);
                    foreign = self.is_foreign(&hit).then_some(self.config.foreign_bonus);
                    hit.score = score + added + foreign.unwrap_or_default();
                }
                let stages = Stages {
                    // Every hit has a cosine.
                    dense: dense[index].unwrap_or(fused),
                    lexical: lexical[index],
                    fused,
                    fusion: self.fusion,
                    shares: hit.shares,
                    tokens: tokens[index],
                    bonus,
                    foreign,
                    boost: None,
                    // Until the order is known.
                    scored: fused,
                    judged: None,
                };
                let parts = Vec::new();
                (late[index].is_some(), Passage { hit, parts, stages })
            })
            .collect();
        self.prefer(&mut passages);
        passages
    }

    /// Adds what documents are preferred for, among passages whose scores are
    /// on one scale.
    fn prefer(&self, passages: &mut [(bool, Passage)]) {
        let any_compared = passages.iter().any(|(compared, _)| *compared);
        let scores: Vec<f32> = passages
            .iter()
            .filter(|(compared, _)| *compared == any_compared)
            .map(|(_, passage)| passage.hit.score)
            .collect();
        let Some(preference) = Preference::of(&self.config.boosts, self.today, &scores) else {
            return;
        };
        for (compared, passage) in passages {
            if *compared == any_compared {
                let boost = preference.boost(&passage.hit.document);
                passage.hit.score += boost.recency + boost.authority;
                passage.stages.boost = Some(boost);
            }
        }
    }
}

/// The score of each hit, in their order, as far as time allows.
fn compared(
    hits: &[Hit],
    model: &dyn LateInteraction,
    query: &TokenVectors,
    tongues: Tongues,
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
        scores.extend(model.scores(query, &codes, tongues));
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

/// How many of the passages, best first, are kept, and why the others are not;
/// `None` where all are.
fn cut(passages: &[Passage], config: &RerankConfig) -> Option<(usize, LeftOutReason)> {
    let scores = || passages.iter().map(|passage| passage.hit.score);
    match config.cut {
        Cut::Fixed => None,
        Cut::Threshold => {
            let least = scores().next().unwrap_or_default() - config.cut_margin;
            let count = scores().take_while(|score| *score >= least).count();
            Some((count, LeftOutReason::Threshold(least)))
        }
        Cut::Gap => {
            let gaps = scores().zip(scores().skip(1));
            let (position, (high, _)) = gaps.enumerate().max_by(|(_, left), (_, right)| {
                (left.0 - left.1).total_cmp(&(right.0 - right.1))
            })?;
            Some((position + 1, LeftOutReason::Gap(high)))
        }
    }
}

#[cfg(test)]
#[path = "rank_tests.rs"]
mod tests;
