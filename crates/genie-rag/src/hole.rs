//! Markers in the place of a word.
//!
//! Small models at times name a passage where they should name what stands in
//! it: "The document is [1]." Without its marker such a sentence says nothing,
//! and its quote supports it all the same. Nearly every sentence of an answer
//! ends with a marker, so only what can hardly end or go on like this without
//! one is held to be such a sentence; languages for which nothing of the kind
//! was seen have no rule.

use genie_core::Language;

use crate::sentences::Place;

/// Whether a word is missing where this marker stands.
pub(crate) fn is_hole(place: &Place, language: Language) -> bool {
    let before = place.before.trim_end();
    let behind = place.behind.as_str();
    let last = before
        .rsplit(char::is_whitespace)
        .next()
        .unwrap_or_default();
    match behind.chars().next() {
        None | Some('.' | '。' | '!' | '！' | '…') => {
            is_article(last, language) || ends_with_to_be(before, last, language)
        }
        Some(first) if first.is_alphabetic() => {
            let next = behind.split(char::is_whitespace).next().unwrap_or_default();
            // "It is sent at [1] to see all", "the [1] is".
            language == Language::English
                && (last == "at" || is_article(last, language))
                && matches!(next, "to" | "and" | "or" | "is" | "are" | "was" | "were")
        }
        _ => false,
    }
}

/// In lower case only: "application A" is a name.
fn is_article(word: &str, language: Language) -> bool {
    match language {
        Language::English => matches!(word, "the" | "a" | "an"),
        Language::French => matches!(word, "le" | "la" | "les" | "un" | "une" | "des" | "du"),
        Language::Spanish => matches!(word, "el" | "la" | "los" | "las" | "un" | "una" | "del"),
        Language::Arabic | Language::Chinese | Language::Russian => false,
    }
}

/// "The document is", but not "what the document is", and in Chinese not the
/// words that end alike (还是, 但是, 于是).
fn ends_with_to_be(before: &str, last: &str, language: Language) -> bool {
    let one_before = before.split_whitespace().rev().nth(1).unwrap_or_default();
    let asks = |words: &[&str]| {
        let mut found = before.split(char::is_whitespace);
        found.any(|word| words.contains(&&*word.to_lowercase()))
    };
    match language {
        Language::English => {
            matches!(last, "is" | "are" | "was" | "were")
                && !asks(&["what", "how", "where", "who"])
                && !matches!(one_before, "it" | "they")
        }
        Language::French => {
            matches!(last, "est" | "sont") && !asks(&["où", "que", "qui", "quel", "quelle"])
        }
        Language::Spanish => {
            matches!(last, "es" | "son") && !asks(&["que", "qué", "como", "cómo", "cuál"])
        }
        Language::Chinese => {
            const OTHER: [char; 14] = [
                '还', '但', '于', '就', '可', '总', '只', '也', '都', '不', '而', '若', '要', '或',
            ];
            let mut letters = last.chars().rev();
            letters.next() == Some('是') && letters.next().is_some_and(|c| !OTHER.contains(&c))
        }
        Language::Arabic | Language::Russian => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sentences::SentenceStream;

    fn has_hole(text: &str, language: Language) -> bool {
        let mut stream = SentenceStream::default();
        let mut found = stream.push(text);
        found.extend(stream.finish());
        let mut places = found.iter().flat_map(|sentence| &sentence.places);
        places.any(|place| is_hole(place, language))
    }

    #[test]
    fn a_marker_that_stands_for_a_word_is_found() {
        for (language, text) in [
            (
                Language::English,
                "The Council document with the request is [1].",
            ),
            (Language::English, "The documents are [1][2]"),
            (
                Language::English,
                "It sends a request to the server at [1] to see all.",
            ),
            (Language::English, "It is described in the [2]."),
            (Language::French, "Le document est [1]."),
            (Language::Spanish, "El documento del Consejo es [1]."),
            (Language::Chinese, "理事会的文件是[1]。"),
        ] {
            assert!(has_hole(text, language), "{text}");
        }
    }

    #[test]
    fn a_sentence_that_is_whole_without_its_marker_is_left_alone() {
        for (language, text) in [
            (Language::English, "It is a request of application A [1]."),
            (Language::English, "The goal is [1] SDG 13."),
            (Language::English, "The goal is [1]: climate."),
            (Language::English, "The deadline is [1] the end of May."),
            (Language::English, "The meeting is [1] from 5 to 9 May."),
            (
                Language::English,
                "The aims are (1) to connect schools and (2) to train [1].",
            ),
            (
                Language::English,
                "It requires (1) a form, (2) a fee and (3) a photo [1].",
            ),
            (
                Language::English,
                "According to [1], the deadline is 5 May.",
            ),
            (Language::English, "The page explains what the fee is [1]."),
            (Language::English, "The rules stay as they are [1]."),
            (
                Language::English,
                "Members choose the groups they belong to [1].",
            ),
            (Language::English, "The document is [1] [C25/38]."),
            (Language::French, "Consultez-les [1]. Remplissez-le [1]."),
            (Language::French, "L'objectif est [1] SDG 13."),
            (Language::Spanish, "La UIT entra en una nueva era [1]."),
            (Language::Spanish, "La fecha límite es [1] el 5 de mayo."),
            (Language::Russian, "Скорость выросла до 4 Мбит/с [1]."),
            (Language::Russian, "Резолюция 71 предусматривает это [1]."),
            (Language::Arabic, "تبقى القواعد كما هي [1]."),
            (
                Language::Chinese,
                "该平台公布实测数据[1]。国家应建设备用路由[1]。",
            ),
            (
                Language::Chinese,
                "条例禁止歧视行为[1]。数字鸿沟仍然存在[1]。",
            ),
            (
                Language::Chinese,
                "目的是[1]为学校提供网络。应当考虑的还是[1]。",
            ),
        ] {
            assert!(!has_hole(text, language), "{text}");
        }
    }
}
