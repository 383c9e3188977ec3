//! From logits to the next token.

use std::collections::VecDeque;

use genie_core::{Sampling, TokenWeight};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::LlmError;
use crate::rule::Rule;
use crate::tokenizer::Tokenizer;

/// Generated tokens that the repetition penalty looks back on. Only the
/// answer counts: a penalty on the prompt would punish quoting it.
const WINDOW: usize = 256;

/// Candidates that are sorted at first where nothing else bounds their number.
const SORTED: usize = 256;

/// Chooses tokens, always the same ones for the same seed and logits.
///
/// In this order: repetition penalty (<https://arxiv.org/abs/1909.05858>),
/// top-k, top-p (<https://arxiv.org/abs/1904.09751>) and min-p
/// (<https://arxiv.org/abs/2407.01082>) on the model's own probabilities, then
/// temperature among what is left.
#[derive(Debug)]
pub(crate) struct Sampler {
    sampling: Sampling,
    random: StdRng,
    recent: VecDeque<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Candidate {
    token: u32,
    logit: f32,
}

impl Sampler {
    pub(crate) fn new(sampling: Sampling) -> Self {
        let random = StdRng::seed_from_u64(sampling.seed);
        Self {
            sampling,
            random,
            recent: VecDeque::with_capacity(WINDOW),
        }
    }

    /// The next token; it counts as generated from now on. A rule takes every
    /// chance from tokens that it forbids before one is chosen.
    pub(crate) fn next(
        &mut self,
        mut logits: Vec<f32>,
        rule: Option<&mut Rule>,
    ) -> Result<u32, LlmError> {
        self.penalize(&mut logits);
        let token = if self.sampling.temperature > 0.0 {
            if let Some(rule) = rule {
                rule.restrict(&mut logits)?;
            }
            let candidates = self.candidates(&logits)?;
            self.draw(&candidates)
        } else {
            let mut token = best(&logits)?;
            // Where the best one is allowed, nobody has to know about the
            // others.
            if let Some(rule) = rule
                && !rule.allows(token)?
            {
                rule.restrict(&mut logits)?;
                token = best(&logits)?;
            }
            token
        };
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(token);
        Ok(token)
    }

    fn penalize(&self, logits: &mut [f32]) {
        let penalty = self.sampling.repetition_penalty;
        if penalty == 1.0 || penalty <= 0.0 || !penalty.is_finite() {
            return;
        }
        let mut seen: Vec<u32> = self.recent.iter().copied().collect();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some(logit) = logits.get_mut(token as usize) {
                // Dividing a negative logit would favour it.
                *logit = if *logit > 0.0 {
                    *logit / penalty
                } else {
                    *logit * penalty
                };
            }
        }
    }

    /// What passes the filters, best first.
    fn candidates(&self, logits: &[f32]) -> Result<Vec<Candidate>, LlmError> {
        let Sampling {
            top_p,
            top_k,
            min_p,
            ..
        } = self.sampling;
        let mut all: Vec<Candidate> = logits
            .iter()
            .zip(0u32..)
            .filter(|(logit, _)| logit.is_finite())
            .map(|(logit, token)| Candidate {
                token,
                logit: *logit,
            })
            .collect();
        let highest = all
            .iter()
            .map(|candidate| candidate.logit)
            .fold(f32::NEG_INFINITY, f32::max);
        if all.is_empty() {
            return Err(LlmError::NotFinite);
        }
        if min_p > 0.0 {
            // A share of the best probability is a distance of logits.
            let least = highest + min_p.min(1.0).ln();
            all.retain(|candidate| candidate.logit >= least);
        }
        if top_k > 0 {
            keep_best(&mut all, top_k);
        }
        if top_p < 1.0 {
            let mass = |candidates: &[Candidate]| -> f32 {
                candidates
                    .iter()
                    .map(|candidate| (candidate.logit - highest).exp())
                    .sum()
            };
            let wanted = top_p.max(0.0) * mass(&all);
            // Sorting the whole vocabulary at each step would cost more than
            // a layer; nearly always a few hundred hold the mass.
            let mut sorted = SORTED;
            loop {
                let mut head = all.clone();
                keep_best(&mut head, sorted);
                let mut sum = 0.0;
                let needed = head.iter().position(|candidate| {
                    sum += (candidate.logit - highest).exp();
                    sum >= wanted
                });
                if let Some(last) = needed {
                    head.truncate(last + 1);
                    return Ok(head);
                }
                if sorted >= all.len() {
                    return Ok(head);
                }
                sorted *= 8;
            }
        }
        if top_k == 0 {
            all.sort_unstable_by(better);
        }
        Ok(all)
    }

    fn draw(&mut self, candidates: &[Candidate]) -> u32 {
        let highest = candidates.first().map_or(0.0, |best| best.logit);
        let weight = |candidate: &Candidate| {
            f64::from((candidate.logit - highest) / self.sampling.temperature).exp()
        };
        let total: f64 = candidates.iter().map(weight).sum();
        let mut left = self.random.random::<f64>() * total;
        for candidate in candidates {
            left -= weight(candidate);
            if left < 0.0 {
                return candidate.token;
            }
        }
        // Rounding may leave a rest; it belongs to the last one.
        candidates.last().map_or(0, |last| last.token)
    }
}

/// The most probable token; the first one where several are.
fn best(logits: &[f32]) -> Result<u32, LlmError> {
    let mut best: Option<Candidate> = None;
    for (logit, token) in logits.iter().copied().zip(0u32..) {
        if logit.is_finite() && best.is_none_or(|best| logit > best.logit) {
            best = Some(Candidate { token, logit });
        }
    }
    best.map(|best| best.token).ok_or(LlmError::NotFinite)
}

/// Keeps the best `count`, in order.
fn keep_best(candidates: &mut Vec<Candidate>, count: usize) {
    if count < candidates.len() {
        candidates.select_nth_unstable_by(count, better);
        candidates.truncate(count);
    }
    candidates.sort_unstable_by(better);
}

fn better(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

/// The natural logarithms of the probabilities of `tokens`.
fn log_probabilities(logits: &[f32], tokens: &[u32]) -> Result<Vec<f32>, LlmError> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if !highest.is_finite() {
        return Err(LlmError::NotFinite);
    }
    let sum: f64 = logits
        .iter()
        .filter(|logit| !logit.is_nan())
        .map(|logit| f64::from(logit - highest).exp())
        .sum();
    let normalizer = highest + sum.ln() as f32;
    tokens
        .iter()
        .map(|token| {
            logits
                .get(*token as usize)
                .map(|logit| logit - normalizer)
                .ok_or(LlmError::UnknownToken {
                    token: *token,
                    size: logits.len(),
                })
        })
        .collect()
}

/// How probable a token is, and the most probable others.
pub(crate) fn token_weight(
    logits: &[f32],
    token: u32,
    others: usize,
    tokenizer: &Tokenizer,
) -> Result<TokenWeight, LlmError> {
    let mut all: Vec<Candidate> = logits
        .iter()
        .zip(0u32..)
        .filter(|(logit, _)| logit.is_finite())
        .map(|(logit, token)| Candidate {
            token,
            logit: *logit,
        })
        .collect();
    keep_best(&mut all, others);
    let tokens: Vec<u32> = all.iter().map(|candidate| candidate.token).collect();
    let probabilities = log_probabilities(logits, &tokens)?;
    let log_probability = log_probabilities(logits, &[token])?;
    let bytes = |token: u32| tokenizer.piece(token).to_vec();
    Ok(TokenWeight {
        bytes: bytes(token),
        log_probability: log_probability
            .first()
            .copied()
            .unwrap_or(f32::NEG_INFINITY),
        best: tokens.into_iter().map(bytes).zip(probabilities).collect(),
    })
}

/// For each choice the natural logarithm of the probability of all tokens
/// together that it may begin with.
pub(crate) fn weigh(logits: &[f32], openings: &[Vec<u32>]) -> Result<Vec<f32>, LlmError> {
    let together = |tokens: &Vec<u32>| {
        let found = log_probabilities(logits, tokens)?;
        Ok(found.into_iter().map(f32::exp).sum::<f32>().ln())
    };
    openings.iter().map(together).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities 0.5, 0.25, 0.125, 0.0625 and 0.0625.
    fn logits() -> Vec<f32> {
        [0.5f32, 0.25, 0.125, 0.0625, 0.0625].map(f32::ln).to_vec()
    }

    fn sampling() -> Sampling {
        Sampling {
            temperature: 1.0,
            seed: 7,
            ..Sampling::greedy()
        }
    }

    fn counts(sampling: Sampling, draws: usize) -> Vec<usize> {
        let mut sampler = Sampler::new(sampling);
        let mut counts = vec![0; 5];
        for _ in 0..draws {
            let token = sampler.next(logits(), None).expect("a token");
            counts[token as usize] += 1;
        }
        counts
    }

    #[test]
    fn greedy_takes_the_best_and_never_what_is_not_a_number() {
        let mut sampler = Sampler::new(Sampling::greedy());
        assert_eq!(
            sampler.next(vec![0.0, 3.0, f32::NAN, 3.0], None).ok(),
            Some(1)
        );
        assert!(sampler.next(vec![f32::NAN; 4], None).is_err());
        let mut sampler = Sampler::new(sampling());
        assert!(sampler.next(vec![f32::NAN; 4], None).is_err());
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let counts = counts(sampling(), 4000);
        // Four standard deviations around the expected counts.
        assert!((1870..=2130).contains(&counts[0]), "{counts:?}");
        assert!((890..=1110).contains(&counts[1]), "{counts:?}");
        assert!((410..=590).contains(&counts[2]), "{counts:?}");
    }

    #[test]
    fn the_same_seed_gives_the_same_tokens_and_another_seed_others() {
        let draw = |seed| {
            let mut sampler = Sampler::new(Sampling { seed, ..sampling() });
            (0..64)
                .map(|_| sampler.next(logits(), None).expect("a token"))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn top_k_keeps_k() {
        let counts = counts(
            Sampling {
                top_k: 2,
                ..sampling()
            },
            600,
        );
        assert_eq!(counts[2..], [0, 0, 0]);
        assert!(counts[0] > 0 && counts[1] > 0, "{counts:?}");
    }

    #[test]
    fn top_p_keeps_the_smallest_set_of_that_mass() {
        let counts = counts(
            Sampling {
                top_p: 0.7,
                ..sampling()
            },
            600,
        );
        assert_eq!(counts[2..], [0, 0, 0]);
        assert!(counts[1] > 0, "{counts:?}");
    }

    #[test]
    fn top_p_finds_its_mass_in_a_flat_distribution() {
        let sampler = Sampler::new(Sampling {
            top_p: 0.5,
            ..sampling()
        });
        let kept = sampler.candidates(&vec![0.0; 10_000]).expect("candidates");
        assert!((4990..=5010).contains(&kept.len()), "{}", kept.len());
    }

    #[test]
    fn min_p_keeps_a_share_of_the_best() {
        let counts = counts(
            Sampling {
                min_p: 0.24,
                ..sampling()
            },
            600,
        );
        assert_eq!(counts[3..], [0, 0]);
        assert!(counts[2] > 0, "{counts:?}");
    }

    #[test]
    fn temperature_flattens_or_sharpens() {
        let at = |temperature| {
            counts(
                Sampling {
                    temperature,
                    ..sampling()
                },
                2000,
            )[0]
        };
        assert!(at(0.3) > at(1.0) && at(1.0) > at(3.0));
    }

    #[test]
    fn repetition_is_made_less_probable_whatever_the_sign() {
        let mut sampler = Sampler::new(Sampling {
            repetition_penalty: 2.0,
            ..Sampling::greedy()
        });
        assert_eq!(sampler.next(vec![1.0, 0.8], None).ok(), Some(0));
        assert_eq!(sampler.next(vec![1.0, 0.8], None).ok(), Some(1));
        let mut sampler = Sampler::new(Sampling {
            repetition_penalty: 2.0,
            ..Sampling::greedy()
        });
        assert_eq!(sampler.next(vec![-0.8, -1.0], None).ok(), Some(0));
        assert_eq!(sampler.next(vec![-0.8, -1.0], None).ok(), Some(1));
    }

    #[test]
    fn log_probabilities_are_normalized() {
        let shifted: Vec<f32> = logits().iter().map(|logit| logit + 40.0).collect();
        let found = log_probabilities(&shifted, &[0, 1]).expect("probabilities");
        assert!((found[0] - 0.5f32.ln()).abs() < 1e-4, "{found:?}");
        assert!((found[1] - 0.25f32.ln()).abs() < 1e-4, "{found:?}");
        assert!(log_probabilities(&shifted, &[5]).is_err());
    }
}
