//! Text to weighted terms.

mod fold;
mod stems;
mod stops;
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
/// What a word as it is written weighs in a query, against 1 for its stem.
const WRITTEN: f32 = 0.5;
/// What a stem by the rules of another language weighs in a query.
const OTHER_STEM: f32 = 0.25;

/// The lexical analyser for all six languages.
///
/// Every word counts as it is written, without diacritics, and by its stem:
/// whatever language a passage was taken for, a query with the same word
/// finds it. Stems bring in the other forms of the word. A passage has those
/// of its own language. A query has those of its language at full weight, the
/// word as written at half, and the stems by the other languages of the
/// script at a quarter, since the language of a short query is often guessed
/// wrong; in a query of unknown language they share the full weight. Stems
/// and words share one space of terms: a word that is its own stem is one
/// term, not two.
///
/// These weights were chosen on every other article of XQuAD: they find the
/// right paragraph first for .94 of the English, .92 of the Spanish, .89 of
/// the Arabic and .91 of the Russian questions; stems alone reach .93, .91,
/// .88 and .91, words alone .92, .89, .81 and .80.
///
/// Words that say nothing of what a text is about are left out of texts in
/// their own language, passages and queries alike. On the same questions (612
/// in each language) that makes .936 of .941 in English, .917 of .922 in
/// Spanish, .899 of .887 in Arabic and .900 of .907 in Russian, which is no
/// difference, of four fifths of the terms.
///
/// A term is identified by a hash of 28 bits: a store keeps the terms of each
/// passage as the differences between them, so every bit counts for each. In
/// a corpus of a million different terms, a given term shares its hash with
/// another with a probability of 1 in 270; the passages it then finds wrongly
/// still have to beat those that match the other terms.
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
        "lexical-3"
    }

    fn lexical(&self, role: TextRole, text: &str, language: Option<Language>) -> SparseVector {
        let text = fold::normalize(text);
        let mut counts: BTreeMap<u32, f32> = BTreeMap::new();
        let mut length = 0.0;
        words::pieces(&text, |piece| {
            length += 1.0;
            let says_nothing = match &piece {
                Piece::Exact(exact) => stops::says_nothing(exact, language),
                Piece::Word(word) => stops::says_nothing(&fold::plain(word), language),
            };
            if says_nothing {
                return;
            }
            let terms = match piece {
                Piece::Exact(exact) => vec![(term(&exact), 1.0)],
                Piece::Word(word) => match role {
                    TextRole::Passage => self.passage_terms(word, language),
                    TextRole::Query => self.query_terms(word, language),
                },
            };
            for (term, weight) in terms {
                *counts.entry(term).or_default() += weight;
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

impl LexicalAnalyzer {
    /// A word and its stems, each once.
    fn passage_terms(&self, word: &str, language: Option<Language>) -> Vec<(u32, f32)> {
        let mut terms = vec![(term(&fold::plain(word)), 1.0)];
        self.stemmers
            .stems(word, language, |stem| raise(&mut terms, stem, 1.0));
        terms
    }

    fn query_terms(&self, word: &str, language: Option<Language>) -> Vec<(u32, f32)> {
        let mut stems = Vec::new();
        self.stemmers
            .stems(word, language, |stem| stems.push(term(&fold::plain(stem))));
        let share = 1.0 / stems.len() as f32;
        let mut terms: Vec<(u32, f32)> = Vec::new();
        for stem in stems {
            match terms.iter_mut().find(|(known, _)| *known == stem) {
                Some((_, weight)) => *weight += share,
                None => terms.push((stem, share)),
            }
        }
        // A word of a script without a stemmer is all there is.
        let written = if terms.is_empty() { 1.0 } else { WRITTEN };
        raise(&mut terms, word, written);
        self.stemmers
            .stems(word, None, |stem| raise(&mut terms, stem, OTHER_STEM));
        terms
    }
}

/// Gives the term of a word at least that weight.
fn raise(terms: &mut Vec<(u32, f32)>, word: &str, least: f32) {
    let id = term(&fold::plain(word));
    match terms.iter_mut().find(|(known, _)| *known == id) {
        Some((_, weight)) => *weight = weight.max(least),
        None => terms.push((id, least)),
    }
}

/// Bits of a term's identity.
const TERM_BITS: u32 = 28;

/// The identity of a term: FNV-1a of 64 bits over its UTF-8 bytes, folded to
/// 32 by exclusive or, of which the upper ones are taken. It is part of every
/// index, so it must never change under one version.
fn term(text: &str) -> u32 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)) as u32 >> (u32::BITS - TERM_BITS)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LANGUAGES: [Option<Language>; 7] = [
        None,
        Some(Language::Arabic),
        Some(Language::Chinese),
        Some(Language::English),
        Some(Language::French),
        Some(Language::Russian),
        Some(Language::Spanish),
    ];

    /// The share of the query's weight that the passage matches.
    fn matched(passage: &str, language: Option<Language>, query: &str) -> f32 {
        let analyzer = LexicalAnalyzer::new();
        let passage = analyzer.lexical(TextRole::Passage, passage, language);
        let query = analyzer.lexical(TextRole::Query, query, None);
        let all: f32 = query.values.iter().sum();
        let hits = query.indices.iter().zip(&query.values);
        let hits = hits.filter(|(index, _)| passage.indices.binary_search(index).is_ok());
        hits.map(|(_, value)| value).sum::<f32>() / all
    }

    #[test]
    fn a_word_is_found_in_its_other_forms() {
        for (passage, language, query) in [
            (
                "the networks were connected",
                Language::English,
                "connecting network",
            ),
            ("les réseaux nationaux", Language::French, "RÉSEAU national"),
            (
                "las escuelas conectadas",
                Language::Spanish,
                "escuela conectada",
            ),
            ("доступность сетей связи", Language::Russian, "сети связь"),
            ("الشبكات في المدارس", Language::Arabic, "شبكة"),
            ("国际电信联盟的标准", Language::Chinese, "电信标准"),
        ] {
            let share = matched(passage, Some(language), query);
            assert!(share > 0.2, "{query} in {passage}: {share}");
        }
        assert_eq!(
            matched("fibre to the home", Some(Language::English), "satellite"),
            0.0
        );
    }

    #[test]
    fn a_wrong_language_loses_no_word() {
        for word in [
            "escuelas",
            "réseaux",
            "networks",
            "сетей",
            "المدارس",
            "标准",
            "3,5",
        ] {
            for language in LANGUAGES {
                let share = matched(&format!("— {word}."), language, word);
                assert!(share > 0.2, "{word} as {language:?}: {share}");
            }
        }
    }

    #[test]
    fn an_identifier_is_found_whole_and_by_its_parts() {
        let passage = "Recommendation ITU-T Y.3172 was approved in June 2019.";
        let english = Some(Language::English);
        for query in [
            "ITU-T Y.3172",
            "Y.3172",
            "3172",
            "itu",
            "ITU‑T",
            "itut y.3172",
        ] {
            let share = matched(passage, english, query);
            assert!(share > 0.4, "{query}: {share}");
        }
        // All of the whole, prefix and number; less of what only shares a part.
        assert!(matched(passage, english, "ITU-T Y.3172") > 0.9);
        let others = [
            ("Recommendation ITU-T Y.3173 was approved.", "ITU-T Y.3172"),
            ("Recommendation ITU-R M.3172 was approved.", "ITU-T Y.3172"),
            ("The resolution A/RES/79/326 was adopted.", "A/RES/79/325"),
        ];
        for (other, query) in others {
            let share = matched(other, english, query);
            assert!(share > 0.0 && share < 0.8, "{other}: {share}");
        }
        let resolution = "The resolution A/RES/79/325 was adopted.";
        assert!(matched(resolution, english, "A/RES/79/325") > 0.9);
        assert!(matched(resolution, english, "resolution 79/325") > 0.5);
    }

    #[test]
    fn a_query_in_two_languages_finds_the_words_of_both() {
        let analyzer = LexicalAnalyzer::new();
        let share = |passage: &str, written: Language, query: &str, asked: Language| {
            let passage = analyzer.lexical(TextRole::Passage, passage, Some(written));
            let query = analyzer.lexical(TextRole::Query, query, Some(asked));
            let hits = query.indices.iter().zip(&query.values);
            let hits = hits.filter(|(term, _)| passage.indices.binary_search(term).is_ok());
            hits.map(|(_, weight)| weight).sum::<f32>() / query.values.iter().sum::<f32>()
        };
        // A French question about an English report, by its title.
        let question = "Que dit le rapport « Measuring digital development » sur les réseaux ?";
        let (english, french) = (Language::English, Language::French);
        let report = "Measuring Digital Development: facts and figures";
        let title = share(report, english, question, french);
        assert!(title > 0.3, "{title}");
        // In other forms than the title has, too: the query's language stems
        // none of them.
        let body = "The development of what was measured digitally";
        assert!(share(body, english, question, french) > 0.0);
        let networks = share("Les réseaux nationaux", french, question, french);
        assert!(networks > 0.0 && networks < title, "{networks}");
        // Latin words and numbers in a Chinese question.
        let question = "什么是5G网络中的Network Slicing和ITU-T Y.3172？";
        let chinese = Language::Chinese;
        let slicing = share("Network slicing in 5G", english, question, chinese);
        let standard = share("See ITU-T Y.3172.", english, question, chinese);
        let own = share("网络切片", chinese, question, chinese);
        assert!(
            slicing > 0.15 && standard > 0.15 && own > 0.0,
            "{slicing} {standard} {own}"
        );
        assert_eq!(share("Optical fibre", english, question, chinese), 0.0);
    }

    #[test]
    fn words_that_say_nothing_are_no_terms() {
        let analyzer = LexicalAnalyzer::new();
        for role in [TextRole::Passage, TextRole::Query] {
            let terms = |text, language| analyzer.lexical(role, text, Some(language)).indices;
            let english = Language::English;
            assert!(terms("The of AND", english).is_empty());
            assert_eq!(terms("the networks", english), terms("networks", english));
            assert_eq!(
                terms("网络的标准", Language::Chinese),
                terms("网络 标准", Language::Chinese)
            );
            assert!(!terms("The of AND", Language::French).is_empty());
        }
    }

    #[test]
    fn spelling_that_differs_only_in_looks_is_one() {
        for (one, other) in [
            ("économie", "economie"),
            ("الإنترنت", "الانترنت"),
            ("مدرسة", "مدرسه"),
            ("شَبَكَة", "شبكة"),
            ("٤٠٦", "406"),
            ("Ещё", "еще"),
            ("ＩＴＵ－Ｔ", "itu-t"),
            ("wi-fi", "WiFi"),
        ] {
            assert!(matched(one, None, other) > 0.2, "{one} and {other}");
        }
    }

    #[test]
    fn traditional_and_simplified_chinese_have_the_same_terms() {
        let analyzer = LexicalAnalyzer::new();
        for (traditional, simplified) in [
            ("國際電信聯盟的標準", "国际电信联盟的标准"),
            ("農村地區的網絡覆蓋", "农村地区的网络覆盖"),
            ("發展中國家的數字鴻溝", "发展中国家的数字鸿沟"),
        ] {
            for role in [TextRole::Query, TextRole::Passage] {
                for language in LANGUAGES {
                    assert_eq!(
                        analyzer.lexical(role, traditional, language),
                        analyzer.lexical(role, simplified, language),
                        "{traditional}"
                    );
                }
            }
            let chinese = Some(Language::Chinese);
            assert!(matched(traditional, chinese, simplified) > 0.5);
        }
    }

    #[test]
    fn weights_saturate_and_pay_for_length() {
        let analyzer = LexicalAnalyzer::new();
        let weight = |text: &str| {
            let vector = analyzer.lexical(TextRole::Passage, text, Some(Language::English));
            let place = vector.indices.binary_search(&term("cable"));
            vector.values[place.expect("the word is there")]
        };
        let filler = "word ".repeat(100);
        let (once, twice) = (format!("cable {filler}"), format!("cable cable {filler}"));
        let (one, two) = (weight(&once), weight(&twice));
        assert!(one < two && two < 2.0 * one && two < SATURATION + 1.0);
        assert!(
            weight("cable") > one,
            "the shorter passage says more about it"
        );
        let query = analyzer.lexical(TextRole::Query, "cable cable", None);
        let place = query.indices.binary_search(&term("cable"));
        let count = query.values[place.expect("the word is there")];
        let once = analyzer.lexical(TextRole::Query, "cable", None);
        let place = once.indices.binary_search(&term("cable"));
        let one = once.values[place.expect("the word is there")];
        assert!((count - 2.0 * one).abs() < 1e-6, "queries count");
    }

    #[test]
    fn terms_keep_their_identity() {
        // These numbers are in every index of this version.
        assert_eq!(term(""), (0xcbf2_9ce4 ^ 0x8422_2325) >> 4);
        assert_eq!(term("a"), (0xaf63_dc4c ^ 0x8601_ec8c) >> 4);
    }

    proptest! {
        #[test]
        fn vectors_are_well_formed(text in "\\PC{0,80}", language in 0_usize..7) {
            let analyzer = LexicalAnalyzer::new();
            for role in [TextRole::Query, TextRole::Passage] {
                let vector = analyzer.lexical(role, &text, LANGUAGES[language]);
                prop_assert_eq!(vector.indices.len(), vector.values.len());
                prop_assert!(vector.indices.windows(2).all(|pair| pair[0] < pair[1]));
                prop_assert!(vector.values.iter().all(|value| *value > 0.0 && value.is_finite()));
            }
        }

        #[test]
        fn a_passage_is_found_by_its_own_words(
            // Without the stroke that only makes Arabic words longer.
            text in "[a-zéñ]{2,9}( [а-яё]{2,9}| [0-9]{1,6}| [ا-غف-ي]{2,7}){0,5}",
            language in 0_usize..7,
        ) {
            let analyzer = LexicalAnalyzer::new();
            let passage = analyzer.lexical(TextRole::Passage, &text, LANGUAGES[language]);
            for word in text.split(' ') {
                let plain = fold::plain(&fold::normalize(word));
                if stops::says_nothing(&plain, LANGUAGES[language]) {
                    continue;
                }
                let query = analyzer.lexical(TextRole::Query, word, None);
                let found = query.indices.iter().any(|term| passage.indices.contains(term));
                prop_assert!(found, "{}", word);
            }
        }
    }
}
