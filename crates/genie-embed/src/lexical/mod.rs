//! Text to weighted terms.

mod fold;
mod stems;
mod words;

use std::collections::BTreeMap;

use genie_core::{Language, Lexical, SparseVector, TextRole};

use self::stems::Stemmers;
use self::words::Piece;

/// Term frequency saturates at this pace (BM25's `k1`).
const SATURATION: f32 = 1.2;
/// How much the length of a passage counts (BM25's `b`).
const LENGTH_WEIGHT: f32 = 0.75;
/// Words of an average passage. A constant, since a store has no average at
/// hand when a passage comes in: chunks of 250 to 350 model tokens have about
/// this many words in all six languages.
const AVERAGE_WORDS: f32 = 180.0;

/// The lexical analyser for all six languages.
///
/// Every word counts as it is written, without diacritics, and by its stem:
/// whatever language a passage was taken for, a query with the same word
/// finds it. Stems bring in the other forms of the word. A passage has those
/// of its own language, a query those of all languages of the script, so that
/// a short query in an unknown language misses nothing. Stems and words share
/// one space of terms: a word that is its own stem is one term, not two.
///
/// A term is identified by a 32-bit hash. In a corpus of a million different
/// terms, a given term shares its hash with another with a probability of
/// 1 in 4300; the passages it then finds wrongly still have to beat those
/// that match the other terms.
///
/// Weights are those of BM25 (Robertson and Zaragoza, "The Probabilistic
/// Relevance Framework", 2009) with `k1` 1.2 and `b` 0.75, without the
/// inverse document frequency, which the store applies.
///
/// ```
/// use genie_core::{Language, Lexical, TextRole};
/// use genie_embed::LexicalAnalyzer;
///
/// let analyzer = LexicalAnalyzer::new();
/// let passage = analyzer.lexical(TextRole::Passage, "Les réseaux", Some(Language::French));
/// let query = analyzer.lexical(TextRole::Query, "reseaux", None);
/// assert!(query.indices.iter().any(|term| passage.indices.contains(term)));
/// ```
pub struct LexicalAnalyzer {
    stemmers: Stemmers,
}

impl LexicalAnalyzer {
    /// An analyser. The Chinese dictionary is read at the first Chinese text.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stemmers: Stemmers::new(),
        }
    }
}

impl Default for LexicalAnalyzer {
    fn default() -> Self {
        Self::new()
    }
}

impl Lexical for LexicalAnalyzer {
    fn version(&self) -> &str {
        "lexical-1"
    }

    fn lexical(&self, role: TextRole, text: &str, language: Option<Language>) -> SparseVector {
        let text = fold::normalize(text);
        let stemmed_as = match role {
            TextRole::Passage => language,
            TextRole::Query => None,
        };
        let mut counts: BTreeMap<u32, f32> = BTreeMap::new();
        let mut length = 0.0;
        let mut terms = Vec::new();
        words::pieces(&text, |piece| {
            length += 1.0;
            match piece {
                Piece::Exact(exact) => terms.push(term(&exact)),
                Piece::Word(word) => {
                    terms.push(term(&fold::plain(word)));
                    self.stemmers.stems(word, stemmed_as, |stem| {
                        if !stem.is_empty() {
                            terms.push(term(&fold::plain(stem)));
                        }
                    });
                }
            }
            terms.sort_unstable();
            terms.dedup();
            for term in terms.drain(..) {
                *counts.entry(term).or_default() += 1.0;
            }
        });
        if role == TextRole::Passage {
            let norm = 1.0 - LENGTH_WEIGHT + LENGTH_WEIGHT * length / AVERAGE_WORDS;
            for count in counts.values_mut() {
                *count = *count * (SATURATION + 1.0) / (*count + SATURATION * norm);
            }
        }
        let (indices, values) = counts.into_iter().unzip();
        SparseVector { indices, values }
    }
}

/// The identity of a term: FNV-1a of 64 bits over its UTF-8 bytes, folded to
/// 32 by exclusive or. It is part of every index, so it must never change
/// under one version.
fn term(text: &str) -> u32 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) as u32
}
