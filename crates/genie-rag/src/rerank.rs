//! Texts that are not in the index in the order of a query.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use genie_core::{TextRole, TokenCodes, Tongues};
use genie_ingest::LanguageDetector;

use crate::context::FARTHEST;
use crate::engine::{Engine, checked};
use crate::question::RagError;
use crate::support::dot;

/// Texts read before the clock is looked at, and held in memory as vectors.
const ROUND: usize = 32;

/// Texts in the order of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Reranked {
    /// Each text's position in the call and its score, best first.
    pub order: Vec<(usize, f32)>,
    /// Positions of the texts that time did not reach, in their order.
    pub unread: Vec<usize>,
    /// Tokens that the model read of the texts.
    pub tokens: usize,
}

impl Engine {
    /// Puts texts that are not in the index in the order of a query: token by
    /// token, where those in another language than the query are made even
    /// with those in its own, or by the cosine of their vectors where tokens
    /// are not compared.
    ///
    /// Once `budget` is over no further text is read; at least the first 32
    /// are. `watch` is asked before each round of so many.
    ///
    /// # Errors
    ///
    /// Fails when the query is empty or too long, when the embedding model
    /// does, and with [`RagError::Cancelled`] when `watch` breaks.
    #[tracing::instrument(skip_all)]
    pub fn rerank(
        &self,
        query: &str,
        texts: &[String],
        budget: Duration,
        watch: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Reranked, RagError> {
        let started = Instant::now();
        let query = checked(query)?;
        // What readers write says nothing about texts of the caller.
        let language = |text: &str| LanguageDetector.detect(text);
        let asked_in = language(query);
        // As passages of the index are made even.
        let foreign = |text: &str| match (asked_in, language(text)) {
            (Some(asked_in), Some(language)) if language != asked_in => {
                self.retrieval().rerank.foreign_bonus
            }
            _ => 0.0,
        };
        let late = self.late();
        let (whole, vectors) = self.vectors(query, late)?;
        let mut order: Vec<(usize, f32)> = Vec::with_capacity(texts.len());
        let mut tokens = 0;
        for round in texts.chunks(ROUND) {
            if watch().is_break() {
                return Err(RagError::Cancelled);
            }
            if !order.is_empty() && started.elapsed() >= budget {
                break;
            }
            let scores: Vec<f32> = match late.zip(vectors.as_ref()) {
                Some((late, vectors)) => {
                    let read = late.passages(round)?;
                    tokens += read.iter().map(|(text, _)| text.tokens).sum::<usize>();
                    let codes: Vec<&TokenCodes> = read.iter().map(|(_, codes)| codes).collect();
                    let scores = late.scores(vectors, &codes, Tongues::Several).into_iter();
                    let scores = scores.zip(round).map(|(score, text)| match score {
                        Some(score) => score + foreign(text),
                        None => FARTHEST,
                    });
                    scores.collect()
                }
                None => {
                    let read = self.embed().embed(TextRole::Passage, round)?;
                    tokens += read.iter().map(|text| text.tokens).sum::<usize>();
                    read.iter().map(|text| dot(&text.vector, &whole)).collect()
                }
            };
            order.extend((order.len()..).zip(scores));
        }
        let unread = (order.len()..texts.len()).collect();
        order.sort_by(|left, right| right.1.total_cmp(&left.1));
        Ok(Reranked {
            order,
            unread,
            tokens,
        })
    }
}

#[cfg(test)]
#[path = "rerank_tests.rs"]
mod tests;
