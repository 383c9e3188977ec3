//! Words that say nothing of what a text is about.
//!
//! A quarter of the terms of a passage would be such words, each in nearly
//! every passage of its language: they take room, their lists are the longest
//! that a search reads, and among passages of several languages they vote for
//! a language. A word is left out only of texts in its own language.
//!
//! Not in these lists are words that, without capitals, can't be told from
//! abbreviations and names: `it`, `us`, `who`, `may`, `no`, `or` in French.

use genie_core::Language;

/// Whether a word in the form of [`super::fold::plain`] says nothing in a text
/// of this language; where the language isn't known, every word counts.
pub(crate) fn says_nothing(plain: &str, language: Option<Language>) -> bool {
    let Some(language) = language else {
        return false;
    };
    list(language).binary_search(&plain).is_ok()
}

/// Sorted by bytes.
const fn list(language: Language) -> &'static [&'static str] {
    match language {
        Language::Arabic => &ARABIC,
        Language::Chinese => &CHINESE,
        Language::English => &ENGLISH,
        Language::French => &FRENCH,
        Language::Russian => &RUSSIAN,
        Language::Spanish => &SPANISH,
    }
}

#[rustfmt::skip]
const ARABIC: [&str; 74] = [
    "اذ", "اذا", "التي", "الذي", "الذين", "الي", "ان", "او", "اي", "ايضا", "بان", "بعد", "بعض",
    "به", "بها", "بين", "تكون", "تلك", "ثم", "حتي", "حيث", "خلال", "دون", "ذلك", "سوي", "ضد",
    "عبر", "علي", "عليه", "عليها", "عن", "عند", "غير", "في", "فيه", "فيها", "قبل", "قد", "كان",
    "كانت", "كانوا", "كل", "كما", "لا", "لان", "لكن", "لم", "لن", "له", "لها", "ليس", "ليست",
    "ما", "مع", "من", "منذ", "منه", "منها", "نحو", "هذا", "هذه", "هم", "هو", "هي", "والتي",
    "وان", "وعلي", "وفي", "وقد", "ولا", "ومن", "وهو", "وهي", "يكون",
];

#[rustfmt::skip]
const CHINESE: [&str; 69] = [
    "一个", "一些", "上", "下", "不", "与", "中", "为", "之", "也", "了", "于", "从", "他", "他们", "以", "以及",
    "会", "但", "但是", "其", "则", "到", "又", "及", "可以", "后", "和", "因为", "因此", "在", "地", "她", "如",
    "如果", "它", "对", "将", "就", "已", "已经", "并", "并且", "很", "得", "我们", "或", "所", "所以", "把", "时",
    "是", "更", "最", "由", "由于", "的", "着", "等", "而", "被", "过", "还", "这", "这个", "这些", "通过", "那",
    "都",
];

#[rustfmt::skip]
const ENGLISH: [&str; 87] = [
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be",
    "because", "been", "before", "being", "between", "both", "but", "by", "can", "could", "did",
    "do", "does", "during", "each", "for", "from", "had", "has", "have", "having", "he", "her",
    "him", "his", "how", "if", "in", "into", "is", "its", "more", "most", "must", "not", "of",
    "on", "only", "other", "our", "over", "she", "should", "so", "some", "such", "than", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "those", "through", "to",
    "until", "very", "was", "we", "were", "what", "when", "where", "which", "while", "whose",
    "will", "with", "would", "you", "your",
];

#[rustfmt::skip]
const FRENCH: [&str; 85] = [
    "a", "afin", "ainsi", "apres", "au", "aussi", "aux", "avait", "avant", "avec", "avoir", "c",
    "ce", "cela", "celle", "celui", "ces", "cet", "cette", "ceux", "chez", "comme", "d", "dans",
    "de", "des", "dont", "du", "elle", "elles", "en", "entre", "est", "et", "etaient", "etait",
    "ete", "etre", "il", "ils", "l", "la", "le", "les", "leur", "leurs", "lors", "mais", "meme",
    "n", "ne", "nous", "on", "ont", "ou", "par", "pas", "peut", "peuvent", "plus", "pour", "qu",
    "que", "qui", "quoi", "s", "sa", "sans", "se", "selon", "ses", "si", "son", "sont", "sous",
    "sur", "tous", "tout", "toute", "toutes", "un", "une", "vers", "vous", "y",
];

#[rustfmt::skip]
const RUSSIAN: [&str; 82] = [
    "а", "без", "более", "бы", "был", "была", "были", "было", "быть", "в", "во", "все", "всего",
    "всех", "вы", "где", "для", "до", "его", "ее", "если", "есть", "же", "за", "и", "из", "или",
    "их", "к", "как", "ко", "когда", "которая", "которого", "которое", "которой", "которые",
    "который", "которым", "которых", "ли", "между", "могут", "может", "мы", "на", "над", "не",
    "но", "о", "об", "он", "она", "они", "оно", "от", "по", "под", "после", "при", "с", "со",
    "так", "также", "тем", "тех", "то", "того", "только", "том", "у", "уже", "чем", "через",
    "что", "эта", "эти", "этих", "это", "этого", "этом", "этот",
];

#[rustfmt::skip]
const SPANISH: [&str; 85] = [
    "a", "al", "aquel", "cada", "como", "con", "cual", "cuales", "cuando", "de", "del", "desde",
    "donde", "durante", "e", "el", "en", "entre", "era", "eran", "es", "esa", "esas", "ese",
    "eso", "esos", "esta", "estan", "estas", "este", "esto", "estos", "fue", "fueron", "ha",
    "haber", "habia", "han", "hasta", "la", "las", "le", "les", "lo", "los", "mas", "mediante",
    "muy", "ni", "no", "o", "otra", "otras", "otro", "otros", "para", "pero", "por", "puede",
    "pueden", "que", "quien", "quienes", "se", "segun", "ser", "si", "sido", "sin", "sobre",
    "son", "su", "sus", "tambien", "toda", "todas", "todo", "todos", "u", "un", "una", "unas",
    "unos", "y", "ya",
];

#[cfg(test)]
mod tests {
    use super::super::fold::{normalize, plain};
    use super::*;

    #[test]
    fn lists_hold_words_as_they_are_compared() {
        for language in Language::ALL {
            let words = list(language);
            assert!(words.is_sorted(), "{language:?}");
            for word in words {
                assert_eq!(plain(&normalize(word)), *word, "{language:?}");
            }
        }
    }

    #[test]
    fn a_word_is_left_out_of_its_own_language_only() {
        let (english, spanish) = (Some(Language::English), Some(Language::Spanish));
        assert!(says_nothing("the", english) && says_nothing("para", spanish));
        assert!(!says_nothing("the", spanish) && !says_nothing("para", english));
        assert!(!says_nothing("the", None));
        for abbreviation in ["it", "us", "who", "may", "itu", "no"] {
            assert!(!says_nothing(abbreviation, english), "{abbreviation}");
        }
    }
}
