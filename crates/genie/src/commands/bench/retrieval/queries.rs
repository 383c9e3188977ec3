//! The questions of the benchmark and what they are restricted to.

use anyhow::Context;
use genie_core::{
    Date, DateRange, DocumentRecord, Filter, Fusion, FusionWeights, HybridQuery, Language,
    LateInteraction, SparseVector, TextRole, TokenVectors,
};
use rand::Rng;
use serde::Serialize;

use super::corpus::{Corpus, FIRST_YEAR, LAST_YEAR, document_id};
use crate::wiring::Vectors;
use crate::{interrupt, progress};

/// Nearest chunks that a search by meaning should find.
pub(super) const HITS: usize = 10;
/// How many questions there are.
const QUESTIONS: usize = 200;
/// A question has about so many words, or twice as many characters of Chinese.
const WORDS: usize = 11;
/// Questions encoded at a time.
const BATCH: usize = 20;
/// Years of the range of dates.
const YEARS: i16 = 3;
/// Documents of a list of documents.
const LISTED: usize = 5;

/// What a query is restricted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FilterKind {
    None,
    /// The question's language.
    Language,
    /// The area that its article belongs to.
    Label,
    /// Three years of sixteen.
    Dates,
    /// Area and years.
    LabelAndDates,
    /// Five documents.
    Documents,
}

impl FilterKind {
    pub(super) const ALL: [Self; 6] = [
        Self::None,
        Self::Language,
        Self::Label,
        Self::Dates,
        Self::LabelAndDates,
        Self::Documents,
    ];
}

/// What is asked for.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Wanted {
    /// Candidates of each side.
    pub(super) candidates: usize,
    pub(super) hits: usize,
    /// Whether hits come with codes of their tokens, to be compared.
    pub(super) tokens: bool,
}

/// A question.
struct Asked {
    language: Language,
    dense: Vec<f32>,
    /// Where codes of tokens are asked for.
    tokens: Option<TokenVectors>,
    lexical: SparseVector,
    /// In the order of [`FilterKind::ALL`].
    filters: [Filter; 6],
}

/// All questions.
pub(super) struct Queries {
    asked: Vec<Asked>,
    weights: FusionWeights,
    wanted: Wanted,
}

impl Queries {
    /// Takes the beginnings of sentences for questions.
    pub(super) fn make(
        corpus: &Corpus,
        encoders: &Vectors,
        tokens: Option<&dyn LateInteraction>,
        weights: FusionWeights,
        wanted: Wanted,
    ) -> anyhow::Result<Self> {
        let mut random = corpus.random("queries");
        let mut texts = Vec::with_capacity(QUESTIONS);
        let mut about = Vec::with_capacity(QUESTIONS);
        for _ in 0..QUESTIONS {
            let article = corpus.any_article(&mut random);
            texts.push(beginning(corpus.any_sentence(article, &mut random)));
            about.push(article);
        }
        let bar = progress::counted("encoding questions", QUESTIONS as u64, "questions");
        let mut asked = Vec::with_capacity(QUESTIONS);
        for (texts, about) in texts.chunks(BATCH).zip(about.chunks(BATCH)) {
            interrupt::check()?;
            let vectors = encoders
                .embed
                .embed(TextRole::Query, texts)
                .context("a question can't be encoded")?;
            for ((text, article), embedding) in texts.iter().zip(about).zip(vectors) {
                let first = random.random_range(FIRST_YEAR..=LAST_YEAR - YEARS + 1);
                let dates = DateRange {
                    from: Date::new(first, 1, 1),
                    to: Date::new(first + YEARS - 1, 12, 31),
                };
                let labels = article.area().map(str::to_owned).into_iter().collect();
                let tokens = tokens.map(|tokens| tokens.query(text)).transpose();
                let tokens = tokens.context("a question can't be encoded")?;
                asked.push(Asked {
                    language: article.language,
                    dense: embedding.vector,
                    tokens: tokens.map(|(_, tokens)| tokens),
                    lexical: encoders.lexical.lexical(
                        TextRole::Query,
                        text,
                        Some(article.language),
                    ),
                    filters: filters(article.language, labels, dates, &mut random),
                });
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(Self {
            asked,
            weights,
            wanted,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    pub(super) fn vector(&self, number: usize) -> &[f32] {
        &self.asked[number].dense
    }

    pub(super) fn language(&self, number: usize) -> Language {
        self.asked[number].language
    }

    /// The vectors of a question's tokens.
    pub(super) fn tokens(&self, number: usize) -> Option<&TokenVectors> {
        self.asked[number].tokens.as_ref()
    }

    /// The question as the product asks it.
    pub(super) fn hybrid(&self, number: usize, kind: FilterKind) -> HybridQuery {
        let asked = &self.asked[number];
        HybridQuery {
            dense: asked.dense.clone(),
            lexical: asked.lexical.clone(),
            filter: asked.filters[kind as usize].clone(),
            fusion: Fusion::default(),
            weights: self.weights,
            candidates: self.wanted.candidates,
            limit: self.wanted.hits,
            with_tokens: self.wanted.tokens,
        }
    }

    /// The question by meaning alone, which is where an index approximates.
    pub(super) fn dense(&self, number: usize, kind: FilterKind) -> HybridQuery {
        let mut query = self.hybrid(number, kind);
        query.weights = FusionWeights {
            dense: 1.0,
            lexical: 0.0,
        };
        query.limit = HITS;
        query.with_tokens = false;
        query
    }

    /// Whether chunks of this document may be found. All chunks of a document
    /// are in its language here.
    pub(super) fn covers(&self, number: usize, kind: FilterKind, record: &DocumentRecord) -> bool {
        let filter = &self.asked[number].filters[kind as usize];
        let language = filter.languages.is_empty()
            || record
                .language
                .is_some_and(|language| filter.languages.contains(&language));
        let label = filter.labels.is_empty()
            || record.labels.iter().any(|label| {
                filter.labels.iter().any(|area| {
                    label
                        .strip_prefix(area.as_str())
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
            });
        language
            && label
            && (filter.documents.is_empty() || filter.documents.contains(&record.id))
            && filter.dates.contains(record.date)
    }
}

fn filters(
    language: Language,
    labels: Vec<String>,
    dates: DateRange,
    random: &mut impl Rng,
) -> [Filter; 6] {
    FilterKind::ALL.map(|kind| {
        let mut filter = Filter::default();
        match kind {
            FilterKind::None => {}
            FilterKind::Language => filter.languages = vec![language],
            FilterKind::Label => filter.labels = labels.clone(),
            FilterKind::Dates => filter.dates = dates,
            FilterKind::LabelAndDates => {
                filter.labels = labels.clone();
                filter.dates = dates;
            }
            // The first documents are in an index of any size.
            FilterKind::Documents => {
                filter.documents = (0..LISTED)
                    .map(|_| document_id(random.random_range(0..50)))
                    .collect();
            }
        }
        filter
    })
}

/// The first words of a sentence.
fn beginning(sentence: &str) -> String {
    let words: Vec<&str> = sentence.split_whitespace().take(WORDS).collect();
    let text = words.join(" ");
    if sentence
        .chars()
        .any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
    {
        text.chars().take(2 * WORDS).collect()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_the_beginning_of_a_sentence() {
        assert_eq!(
            beginning("a b c d e f g h i j k l m"),
            "a b c d e f g h i j k"
        );
        assert_eq!(beginning(&"电".repeat(40)), "电".repeat(22));
        assert_eq!(beginning("short"), "short");
    }
}
