//! Which of the six languages a text is in.

use genie_core::Language;
use whichlang::Lang;

use crate::headings::is_han;

/// Characters looked at; a passage is shorter, a document doesn't need more.
const SAMPLE_CHARS: usize = 1000;

/// Tells the six languages apart, for passages and for questions.
///
/// Arabic, Chinese and Russian are told by their script; English, French and
/// Spanish by their function words, then by the features of whichlang and,
/// where those say a fourth language, by the trigrams of whatlang for the
/// three. Names in capitals (`GENIE.AI`, `ITU-T Y.3172`) speak no language and
/// don't count.
#[derive(Debug, Default, Clone, Copy)]
pub struct LanguageDetector;

impl LanguageDetector {
    /// The language of `text`, or `None` where it shows none (`5G?`) or is in
    /// a script that none of the six is written in.
    #[must_use]
    pub fn detect(&self, text: &str) -> Option<Language> {
        self.detect_among(text, &[])
    }

    /// As [`Self::detect`] where a text is likely to be in one of these
    /// languages, the first one most of all: they decide where neither its
    /// script nor the words that hold it together do. Any, where there are
    /// none.
    #[must_use]
    pub fn detect_among(&self, text: &str, likely: &[Language]) -> Option<Language> {
        match Script::of(text) {
            None => likely.first().copied(),
            Some(Script::Arabic) => Some(Language::Arabic),
            Some(Script::Han) => Some(Language::Chinese),
            Some(Script::Cyrillic) => Some(Language::Russian),
            Some(Script::Latin) => detect_latin(text, likely).or_else(|| likely.first().copied()),
            Some(Script::Other) => None,
        }
    }

    /// As [`Self::detect`] for a part of a text in a known language, which
    /// the part is in as well unless it clearly shows another one: a table or
    /// a program alone looks like any language.
    pub(crate) fn detect_part(&self, text: &str, whole: Option<Language>) -> Option<Language> {
        match (Script::of(text), whole) {
            (None, whole) => whole,
            (
                Some(Script::Latin),
                Some(Language::English | Language::French | Language::Spanish),
            ) => by_function_words(&words(text)).or(whole),
            _ => self.detect(text).or(whole),
        }
    }
}

fn detect_latin(text: &str, likely: &[Language]) -> Option<Language> {
    // No other language opens its questions and exclamations.
    if text
        .chars()
        .take(SAMPLE_CHARS)
        .any(|c| matches!(c, '¿' | '¡'))
    {
        return Some(Language::Spanish);
    }
    let words = words(text);
    if words.is_empty() {
        return None;
    }
    if let Some(language) = by_function_words(&words) {
        return Some(language);
    }
    let three = [Language::English, Language::French, Language::Spanish];
    let mut among: Vec<Language> = three.into_iter().filter(|it| likely.contains(it)).collect();
    if among.is_empty() {
        among = three.to_vec();
    }
    let found = match whichlang::detect_language(&words) {
        Lang::Eng => Some(Language::English),
        Lang::Fra => Some(Language::French),
        Lang::Spa => Some(Language::Spanish),
        _ => None,
    };
    found
        .filter(|found| among.contains(found))
        .or_else(|| by_trigrams(&words, &among))
}

/// The likeliest of some of the three, for a text whose names look like a
/// fourth language ("How are Ergänzungsschulen funded?").
fn by_trigrams(words: &str, among: &[Language]) -> Option<Language> {
    if let [only] = among {
        return Some(*only);
    }
    let among = among.iter().map(|language| match language {
        Language::French => whatlang::Lang::Fra,
        Language::Spanish => whatlang::Lang::Spa,
        _ => whatlang::Lang::Eng,
    });
    match whatlang::Detector::with_allowlist(among.collect()).detect_lang(words)? {
        whatlang::Lang::Eng => Some(Language::English),
        whatlang::Lang::Fra => Some(Language::French),
        whatlang::Lang::Spa => Some(Language::Spanish),
        _ => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    Arabic,
    Han,
    Cyrillic,
    Latin,
    Other,
}

impl Script {
    /// The script that says most, or `None` without letters.
    fn of(text: &str) -> Option<Self> {
        let [mut arabic, mut han, mut cyrillic, mut latin, mut other] = [0_u32; 5];
        for c in text
            .chars()
            .filter(|c| c.is_alphabetic())
            .take(SAMPLE_CHARS)
        {
            match c {
                // What Persian, Urdu and Ukrainian add to the letters that
                // Arabic and Russian have.
                'پ' | 'چ' | 'ژ' | 'گ' | 'ک' | 'ی' | 'ٹ' | 'ڈ' | 'ے' => other += 5,
                'і' | 'ї' | 'є' | 'ґ' | 'ў' | 'ј' => other += 10,
                '\u{600}'..='\u{6ff}'
                | '\u{750}'..='\u{77f}'
                | '\u{fb50}'..='\u{fdff}'
                | '\u{fe70}'..='\u{fefc}' => arabic += 1,
                '\u{400}'..='\u{52f}' => cyrillic += 1,
                c if is_han(c) => han += 1,
                // Kana and Hangul stand among Chinese characters in Japanese
                // and Korean.
                '\u{3040}'..='\u{30ff}' | '\u{ac00}'..='\u{d7af}' => other += 2,
                'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' => latin += 1,
                _ => other += 1,
            }
        }
        // Latin names stand in text of every language, the reverse is rare;
        // and a Chinese character says as much as a syllable or two.
        [
            (Self::Arabic, arabic * 2),
            (Self::Han, han * 4),
            (Self::Cyrillic, cyrillic * 2),
            (Self::Latin, latin),
            (Self::Other, other * 2),
        ]
        .into_iter()
        .filter(|(_, weight)| *weight > 0)
        .max_by_key(|(_, weight)| *weight)
        .map(|(script, _)| script)
    }
}

/// The language of a text by the words that hold its sentences together,
/// where one language has most of them. n-grams of few words say little
/// ("Qu'est-ce que" reads as Spanish to them), and counting is far faster on
/// long texts.
fn by_function_words(text: &str) -> Option<Language> {
    const WORDS_READ: usize = 150;
    // Only words that the other two languages don't have.
    const WORDS: [(Language, &[&str]); 3] = [
        (
            Language::English,
            &[
                "the", "what", "which", "who", "how", "when", "where", "why", "is", "are", "was",
                "were", "does", "did", "do", "of", "and", "to", "for", "with", "from", "by",
                "that", "this", "it", "many", "much", "can", "should", "has", "have", "been",
                "will", "in",
            ],
        ),
        (
            Language::French,
            &[
                "le", "les", "des", "du", "au", "aux", "est", "sont", "quel", "quelle", "quels",
                "quelles", "comment", "combien", "pourquoi", "où", "qui", "et", "une", "dans",
                "pour", "par", "avec", "sur", "l", "d", "qu", "c", "ce", "cette", "ont", "été",
                "ses", "leur", "je", "il", "elle", "nous", "vous",
            ],
        ),
        (
            Language::Spanish,
            &[
                "el", "los", "las", "del", "al", "y", "es", "son", "qué", "cuál", "cuáles", "cómo",
                "cuánto", "cuánta", "cuántos", "cuántas", "cuándo", "dónde", "quién", "por",
                "para", "con", "una", "se", "lo", "ha", "han", "fue", "según", "como", "su", "sus",
                "hay", "está", "están", "este", "esta",
            ],
        ),
    ];
    let lower = text.to_lowercase();
    let mut hits = WORDS.map(|(language, _)| (0_usize, language));
    for word in lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(WORDS_READ)
    {
        for (hits, (_, known)) in hits.iter_mut().zip(&WORDS) {
            hits.0 += usize::from(known.contains(&word));
        }
    }
    hits.sort_unstable_by_key(|(hits, _)| std::cmp::Reverse(*hits));
    (hits[0].0 > hits[1].0 * 2).then_some(hits[0].1)
}

/// The words that are in a language: not acronyms, names with dots or digits
/// in them, or addresses.
fn words(text: &str) -> String {
    let mut out = String::new();
    let mut chars = 0;
    for token in text.split_whitespace() {
        let word = token.trim_matches(|c: char| !c.is_alphanumeric());
        let has_lower = word.chars().any(char::is_lowercase);
        let is_name = word.chars().any(|c| c.is_ascii_digit())
            || word.contains(['.', '/', '_', '<', '>', '=', '@', '\\', '{', '}', '(', ')'])
            || (!has_lower && word.chars().count() > 1);
        if word.is_empty() || is_name {
            continue;
        }
        out.push_str(word);
        out.push(' ');
        chars += word.len();
        if chars > SAMPLE_CHARS {
            break;
        }
    }
    // A title in capitals has no other words.
    if out.is_empty() && text.chars().filter(|c| c.is_alphabetic()).count() >= 15 {
        return text
            .chars()
            .take(SAMPLE_CHARS)
            .collect::<String>()
            .to_lowercase();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_no_language_is_in_that_of_the_readers() {
        use Language::{Arabic, English, French, Spanish};
        for (text, likely, expected) in [
            ("5G?", &[French, English][..], Some(French)),
            ("ITU-T Y.3172", &[Arabic], Some(Arabic)),
            ("Cable submarino", &[French, Spanish], Some(Spanish)),
            (
                "Interconnexion transatlantique",
                &[Spanish, French],
                Some(French),
            ),
            ("Interconnexion transatlantique", &[Spanish], Some(Spanish)),
            // What shows its language is in it, whoever reads it.
            ("What does ITU-T Y.3172 say?", &[French], Some(English)),
            ("¿Qué es un IXP?", &[English], Some(Spanish)),
            ("ما هو IXP؟", &[French], Some(Arabic)),
            ("これは日本語の文です。", &[French], None),
        ] {
            assert_eq!(
                LanguageDetector.detect_among(text, likely),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn short_questions_are_told_apart() {
        let detector = LanguageDetector;
        for (text, expected) in [
            ("Qu'est-ce que GENIE.AI ?", Some(Language::French)),
            ("What does ITU-T Y.3172 say?", Some(Language::English)),
            ("¿Qué es un IXP?", Some(Language::Spanish)),
            ("Что такое IXP?", Some(Language::Russian)),
            ("GENIE.AI 是什么？", Some(Language::Chinese)),
            ("ما هو IXP؟", Some(Language::Arabic)),
            ("What does 互联网 mean?", Some(Language::English)),
            ("Was huihui Ergänzungsschulen?", Some(Language::English)),
            ("5G?", None),
            ("ITU-T Y.3172", None),
            ("", None),
            ("これは日本語の文です。", None),
            ("Це українська мова, її знають її їжаки", None),
        ] {
            assert_eq!(detector.detect(text), expected, "{text}");
        }
    }
}
