//! Passages that say what a better one says already: repetitions, and
//! translations of one text.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use genie_core::{Hit, Language, Passage};
use unicode_segmentation::UnicodeSegmentation;

use crate::left_out::{ChunkPlace, LeftOut, LeftOutReason, Sifted};
use crate::numbers::{Figures, figures};
use crate::support::dot;

/// Words of a shingle.
const SHINGLE: usize = 4;
/// Share of common shingles from which on two passages say the same.
const SAME: f32 = 0.8;
/// Cosine of the vectors of two passages in different languages from which on
/// one is the other's translation, for multilingual-e5; see
/// `docs/benchmarks/retrieval.md`.
const TRANSLATED: f32 = 0.82;

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
) -> Sifted {
    let mut kept: Vec<(HashSet<u64>, Passage)> = Vec::with_capacity(limit);
    let mut left_out = Vec::new();
    let mut leave_out = |passage, reason| left_out.push(LeftOut::new(passage, reason));
    for mut passage in passages {
        let full = kept.len() == limit;
        let Alike::Translated(wanted) = alike else {
            if full {
                leave_out(passage, LeftOutReason::TopK);
            } else if let Some((passage, reason)) = push_unless_repeated(&mut kept, passage) {
                leave_out(passage, reason);
            }
            continue;
        };
        let speaks = |passage: &Passage| passage.hit.chunk.language == Some(wanted);
        // Once all places are taken only a passage in the question's language
        // can still take one, and only from one that is not.
        if full && !speaks(&passage) {
            leave_out(passage, LeftOutReason::TopK);
            continue;
        }
        let translated = kept.iter().position(|(_, other)| {
            !(full && speaks(other)) && is_translation(&other.hit, &passage.hit)
        });
        match translated {
            Some(place) if speaks(&passage) && !speaks(&kept[place].1) => {
                // Its place is by the other's score, and what looks at scores
                // after this expects them to fall.
                passage.hit.score = kept[place].1.hit.score;
                let reason = LeftOutReason::Translates(ChunkPlace::of(&passage));
                let own = (shingles(&passage.hit.chunk.text), passage);
                let (_, other) = std::mem::replace(&mut kept[place], own);
                leave_out(other, reason);
            }
            Some(place) => {
                let reason = LeftOutReason::Translates(ChunkPlace::of(&kept[place].1));
                leave_out(passage, reason);
            }
            None if full => leave_out(passage, LeftOutReason::TopK),
            None => {
                if let Some((passage, reason)) = push_unless_repeated(&mut kept, passage) {
                    leave_out(passage, reason);
                }
            }
        }
    }
    Sifted {
        kept: kept.into_iter().map(|(_, passage)| passage).collect(),
        left_out,
    }
}

/// Gives the passage back where it repeats another.
fn push_unless_repeated(
    kept: &mut Vec<(HashSet<u64>, Passage)>,
    passage: Passage,
) -> Option<(Passage, LeftOutReason)> {
    let own = shingles(&passage.hit.chunk.text);
    let repeated = kept.iter().find(|(other, _)| {
        let common = own.intersection(other).count();
        let all = own.len() + other.len() - common;
        common > 0 && common as f32 >= SAME * all as f32
    });
    if let Some((_, other)) = repeated {
        let reason = LeftOutReason::Repeats(ChunkPlace::of(other));
        return Some((passage, reason));
    }
    kept.push((own, passage));
    None
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
        let mut passages = vec![
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
        ];
        for (rank, passage) in (1_u8..).zip(&mut passages) {
            passage.hit.score = 1.0 / f32::from(rank);
        }
        passages
    }

    #[test]
    fn one_translation_is_kept_and_that_in_the_language_of_the_question() {
        let kept = |language| {
            let sifted = distinct(found().into_iter(), Alike::Translated(language), 10);
            // Nothing is lost on the way.
            assert_eq!(sifted.kept.len() + sifted.left_out.len(), found().len());
            sifted.kept
        };
        // Other figures, another vector or the same language: no translation.
        assert_eq!(uris(&kept(Language::English)), ["en", "fr", "ru", "en2"]);
        let spanish = kept(Language::Spanish);
        assert_eq!(uris(&spanish), ["es", "fr", "ru"]);
        assert!(spanish.is_sorted_by(|a, b| a.hit.score >= b.hit.score));
        assert_eq!(uris(&kept(Language::Chinese)), ["en", "fr", "ru", "en2"]);
        let all = distinct(found().into_iter(), Alike::Repeated, 10);
        assert_eq!(all.kept.len(), 5);
    }

    #[test]
    fn what_is_left_out_says_of_what() {
        let found = found();
        let place = |at: usize| ChunkPlace::of(&found[at]);
        let mut sifted = distinct(
            found.clone().into_iter(),
            Alike::Translated(Language::Spanish),
            2,
        );
        let mut told = |uri: &str| {
            let left_out = &mut sifted.left_out;
            let at = left_out
                .iter()
                .position(|left_out| left_out.passage.hit.document.uri == uri);
            left_out.swap_remove(at.expect("it was left out")).reason
        };
        assert_eq!(told("en"), LeftOutReason::Translates(place(1)));
        assert_eq!(told("ru"), LeftOutReason::TopK);
        assert_eq!(told("en2"), LeftOutReason::TopK);
        let again = [found[0].clone(), found[0].clone(), found[1].clone()];
        let sifted = distinct(again.into_iter(), Alike::Repeated, 1);
        let reasons: Vec<_> = sifted.left_out.iter().map(|one| &one.reason).collect();
        // Once all places are taken nobody looks whether it repeats.
        assert_eq!(reasons, [&LeftOutReason::TopK, &LeftOutReason::TopK]);
        let again = [found[0].clone(), found[0].clone()];
        let sifted = distinct(again.into_iter(), Alike::Repeated, 2);
        assert_eq!(sifted.left_out[0].reason, LeftOutReason::Repeats(place(0)));
    }

    #[test]
    fn asking_for_more_begins_with_what_fewer_gives() {
        // All orders of five passages, some of which say the same.
        let mut orders = vec![Vec::new()];
        for at in 0..5 {
            orders = orders
                .iter()
                .flat_map(|order: &Vec<usize>| {
                    (0..=order.len()).map(move |place| {
                        let mut order = order.clone();
                        order.insert(place, at);
                        order
                    })
                })
                .collect();
        }
        assert_eq!(orders.len(), 120);
        for order in orders {
            let ordered = order.iter().map(|&at| found()[at].clone());
            let mut ordered: Vec<Passage> = ordered.collect();
            for (rank, passage) in (1_u8..).zip(&mut ordered) {
                passage.hit.score = 1.0 / f32::from(rank);
            }
            for alike in [
                Alike::Repeated,
                Alike::Translated(Language::Spanish),
                Alike::Translated(Language::English),
            ] {
                let kept = |limit| distinct(ordered.clone().into_iter(), alike, limit).kept;
                let all = kept(5);
                for limit in 1..5 {
                    let fewer = kept(limit);
                    assert_eq!(fewer, all[..limit.min(all.len())], "{order:?}, {limit}");
                }
            }
        }
    }

    #[test]
    fn a_translation_takes_its_place_also_when_all_are_taken() {
        let kept = distinct(found().into_iter(), Alike::Translated(Language::Spanish), 1);
        assert_eq!(uris(&kept.kept), ["es"]);
    }
}
