//! Passages that say what a better one says already: repetitions, and
//! translations of one text.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use genie_core::{Hit, Language, Passage};
use unicode_segmentation::UnicodeSegmentation;

use crate::numbers::{Figures, figures};
use crate::support::dot;

/// Words of a shingle.
const SHINGLE: usize = 4;
/// Share of common shingles from which on two passages say the same.
const SAME: f32 = 0.8;
/// Cosine of the vectors of two passages in different languages from which on
/// one is the other's translation, for multilingual-e5; see
/// `docs/benchmarks/retrieval.md`.
const TRANSLATED: f32 = 0.93;

/// Of which passages only one is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Alike {
    /// Of repetitions.
    Repeated,
    /// Of repetitions, and of translations that in this language.
    Translated(Language),
}

/// The first `limit` passages that say something of their own. A translation
/// into the question's language takes the place of a better passage that it
/// translates.
pub(crate) fn distinct(
    passages: impl Iterator<Item = Passage>,
    alike: Alike,
    limit: usize,
) -> Vec<Passage> {
    let mut kept: Vec<(HashSet<u64>, Passage)> = Vec::with_capacity(limit);
    for passage in passages {
        if let Alike::Translated(wanted) = alike
            && let Some(place) = kept
                .iter()
                .position(|(_, other)| is_translation(&other.hit, &passage.hit))
        {
            let (shingled, better) = &mut kept[place];
            let speaks = |passage: &Passage| passage.hit.chunk.language == Some(wanted);
            if speaks(&passage) && !speaks(better) {
                *shingled = shingles(&passage.hit.chunk.text);
                *better = passage;
            } else {
                left_out(&passage, "it translates another");
            }
            continue;
        }
        // Only now: a later passage may still take the place of one of them.
        if kept.len() == limit {
            if matches!(alike, Alike::Repeated) {
                break;
            }
            continue;
        }
        let own = shingles(&passage.hit.chunk.text);
        let repeats = kept.iter().any(|(other, _)| {
            let common = own.intersection(other).count();
            let all = own.len() + other.len() - common;
            common > 0 && common as f32 >= SAME * all as f32
        });
        if repeats {
            left_out(&passage, "it repeats another");
        } else {
            kept.push((own, passage));
        }
    }
    kept.into_iter().map(|(_, passage)| passage).collect()
}

fn left_out(passage: &Passage, why: &str) {
    tracing::debug!(document = passage.hit.document.uri, why, "left out");
}

/// Whether two passages are one text in two languages: nearly the same to the
/// embedding model, and with the same figures.
fn is_translation(one: &Hit, other: &Hit) -> bool {
    let languages = one.chunk.language.zip(other.chunk.language);
    languages.is_some_and(|(one, other)| one != other)
        && !one.vector.is_empty()
        && dot(&one.vector, &other.vector) >= TRANSLATED
        && figures_agree(&one.chunk.text, &other.chunk.text)
}

fn figures_agree(one: &str, other: &str) -> bool {
    let within = |figures_of: &str, text: &str| {
        let known = Figures::of(text);
        let mut all = figures(figures_of).into_iter();
        all.all(|figure| known.contain(&figure))
    };
    within(one, other) && within(other, one)
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

#[cfg(test)]
mod tests {
    use crate::fixtures::passage;

    use super::*;

    fn said(uri: &str, language: Language, text: &str, vector: [f32; 2]) -> Passage {
        let mut passage = passage(uri, text);
        passage.hit.chunk.language = Some(language);
        passage.hit.vector = vector.to_vec();
        passage
    }

    fn uris(passages: &[Passage]) -> Vec<&str> {
        let uris = passages
            .iter()
            .map(|passage| passage.hit.document.uri.as_str());
        uris.collect()
    }

    fn found() -> Vec<Passage> {
        let (one, other) = ([1.0, 0.0], [0.6, 0.8]);
        vec![
            said(
                "en",
                Language::English,
                "A mast of 30 m was built in 2019.",
                one,
            ),
            said(
                "es",
                Language::Spanish,
                "En 2019 se construyó una torre de 30 m.",
                one,
            ),
            said(
                "fr",
                Language::French,
                "Un mât de 40 m a été construit en 2019.",
                one,
            ),
            said(
                "ru",
                Language::Russian,
                "Мачта высотой 30 м построена в 2019 году.",
                other,
            ),
            said(
                "en2",
                Language::English,
                "In 2019 they built one of 30 m, which is a mast.",
                one,
            ),
        ]
    }

    #[test]
    fn one_translation_is_kept_and_that_in_the_language_of_the_question() {
        let kept = |language| distinct(found().into_iter(), Alike::Translated(language), 10);
        // Other figures, another vector or the same language: no translation.
        assert_eq!(uris(&kept(Language::English)), ["en", "fr", "ru", "en2"]);
        assert_eq!(uris(&kept(Language::Spanish)), ["es", "fr", "ru"]);
        assert_eq!(uris(&kept(Language::Chinese)), ["en", "fr", "ru", "en2"]);
        let all = distinct(found().into_iter(), Alike::Repeated, 10);
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn a_translation_takes_its_place_also_when_all_are_taken() {
        let kept = distinct(found().into_iter(), Alike::Translated(Language::Spanish), 1);
        assert_eq!(uris(&kept), ["es"]);
    }
}
