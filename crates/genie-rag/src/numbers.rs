//! The figures in a text, in a form that can be compared across languages and
//! ways of writing: `1 234,5`, `1,234.5` and `١٬٢٣٤٫٥` are one figure, and so
//! are `2.6 billion` and `26 亿`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

/// The readings of one figure. A figure is the same as another when they share
/// a reading: `1.234` may be a decimal fraction or a thousand and more, and
/// which of them is only known to the language that it was written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Figure {
    readings: BTreeSet<String>,
}

/// All figures of a passage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    readings: BTreeSet<String>,
}

impl Figures {
    /// The figures of this text, small numbers written as words included.
    pub(crate) fn of(text: &str) -> Self {
        let mut readings: BTreeSet<String> = figures(text)
            .into_iter()
            .flat_map(|figure| figure.readings)
            .collect();
        for word in text.split(|c: char| !c.is_alphanumeric()) {
            if let Some(value) = number_word(&word.to_lowercase()) {
                readings.insert(value.to_string());
            }
        }
        // Chinese numerals stand inside running text without spaces.
        for (position, numeral) in CHINESE_NUMERALS.chars().enumerate() {
            if text.contains(numeral) {
                readings.insert((position + 1).to_string());
            }
        }
        if text.contains('两') {
            readings.insert("2".to_owned());
        }
        Self { readings }
    }

    /// Adds the figures of another text.
    pub(crate) fn extend(&mut self, other: &Self) {
        self.readings.extend(other.readings.iter().cloned());
    }

    /// Whether the figure stands among these.
    pub(crate) fn contain(&self, figure: &Figure) -> bool {
        !figure.readings.is_disjoint(&self.readings)
    }
}

static FIGURE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    // Digits with grouping or decimal marks between them, then perhaps a word
    // that scales them.
    Regex::new(
        r"(?x) [0-9]+ (?: [.,'’\u{a0}\u{202f}\x20] [0-9]+ )*
        (?: [\x20\u{a0}\u{202f}-]? (?P<scale> \p{L}+ ) )?",
    )
    .ok()
});

/// The figures written with digits, in their order.
pub(crate) fn figures(text: &str) -> Vec<Figure> {
    let Some(pattern) = FIGURE.as_ref() else {
        return Vec::new();
    };
    let text = western_digits(text);
    pattern
        .captures_iter(&text)
        .filter_map(|found| {
            let whole = found.get(0)?.as_str();
            let scale = found.name("scale");
            let digits = scale.map_or(whole, |scale| &whole[..whole.len() - scale.len()]);
            Some(Figure {
                readings: readings(digits.trim_end_matches([' ', '\u{a0}', '\u{202f}', '-']), {
                    scale.map_or(0, |scale| power_of_ten(scale.as_str()))
                }),
            })
        })
        .collect()
}

fn western_digits(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{660}'..='\u{669}' => digit(c, 0x660),
            '\u{6f0}'..='\u{6f9}' => digit(c, 0x6f0),
            '\u{ff10}'..='\u{ff19}' => digit(c, 0xff10),
            '\u{66b}' => '.',
            '\u{66c}' => ',',
            other => other,
        })
        .collect()
}

fn digit(c: char, zero: u32) -> char {
    char::from_digit(u32::from(c) - zero, 10).unwrap_or(c)
}

/// Every way in which these digits and marks can be meant.
fn readings(written: &str, scale: usize) -> BTreeSet<String> {
    let parts: Vec<&str> = written.split(|c: char| !c.is_ascii_digit()).collect();
    let marks: Vec<char> = written.chars().filter(|c| !c.is_ascii_digit()).collect();
    let mut readings = BTreeSet::new();
    let mut add = |whole: String, fraction: &str| {
        readings.insert(canonical(&whole, fraction, 0));
        if scale > 0 {
            readings.insert(canonical(&whole, fraction, scale));
        }
    };
    let grouped = |parts: &[&str]| parts.iter().skip(1).all(|part| part.len() == 3);
    if grouped(&parts) {
        add(parts.concat(), "");
    }
    if let (Some((fraction, whole)), Some('.' | ',')) = (parts.split_last(), marks.last())
        && !whole.is_empty()
        && grouped(whole)
    {
        add(whole.concat(), fraction);
    }
    // A list of figures ("2024, 2025") or an identifier ("10.1.2"): each part
    // counts by itself and the whole as it is written.
    if readings.is_empty() {
        readings.insert(written.to_owned());
        for part in parts {
            readings.insert(canonical(part, "", 0));
        }
    }
    readings
}

/// Decimal digits without leading and trailing zeros.
fn canonical(whole: &str, fraction: &str, scale: usize) -> String {
    let mut fraction = fraction.to_owned();
    let mut whole = whole.to_owned();
    for _ in 0..scale {
        whole.push(if fraction.is_empty() {
            '0'
        } else {
            fraction.remove(0)
        });
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    }
}

fn power_of_ten(word: &str) -> usize {
    let word = word.to_lowercase();
    // Chinese units stand right behind the digits with the counted thing
    // behind them; other words are taken by their stem.
    const STEMS: [(&str, usize); 20] = [
        ("thousand", 3),
        ("mille", 3),
        ("тысяч", 3),
        ("тыс", 3),
        ("ألف", 3),
        ("آلاف", 3),
        ("万", 4),
        ("亿", 8),
        ("million", 6),
        ("millón", 6),
        ("millones", 6),
        ("миллион", 6),
        ("млн", 6),
        ("مليون", 6),
        ("ملايين", 6),
        ("billion", 9),
        ("milliard", 9),
        ("миллиард", 9),
        ("млрд", 9),
        ("مليار", 9),
    ];
    // "mil" is a thousand in Spanish, and the beginning of much else.
    if word == "mil" {
        return 3;
    }
    // "millones" must not be read as "mille", nor "milliard" as "million".
    STEMS
        .iter()
        .filter(|(stem, _)| word.starts_with(stem))
        .max_by_key(|(stem, _)| stem.len())
        .map_or(0, |(_, power)| *power)
}

const CHINESE_NUMERALS: &str = "一二三四五六七八九十";

fn number_word(word: &str) -> Option<u32> {
    const WORDS: [&[&str]; 12] = [
        &[
            "one",
            "un",
            "une",
            "uno",
            "una",
            "один",
            "одна",
            "одно",
            "واحد",
            "واحدة",
        ],
        &[
            "two",
            "deux",
            "dos",
            "два",
            "две",
            "двух",
            "اثنان",
            "اثنين",
            "اثنتان",
        ],
        &[
            "three",
            "trois",
            "tres",
            "три",
            "трех",
            "трёх",
            "ثلاثة",
            "ثلاث",
        ],
        &[
            "four",
            "quatre",
            "cuatro",
            "четыре",
            "четырех",
            "четырёх",
            "أربعة",
            "أربع",
        ],
        &["five", "cinq", "cinco", "пять", "пяти", "خمسة", "خمس"],
        &["six", "seis", "шесть", "шести", "ستة", "ست"],
        &["seven", "sept", "siete", "семь", "семи", "سبعة", "سبع"],
        &[
            "eight",
            "huit",
            "ocho",
            "восемь",
            "восьми",
            "ثمانية",
            "ثماني",
        ],
        &["nine", "neuf", "nueve", "девять", "девяти", "تسعة", "تسع"],
        &["ten", "dix", "diez", "десять", "десяти", "عشرة", "عشر"],
        &["eleven", "onze", "once", "одиннадцать"],
        &["twelve", "douze", "doce", "двенадцать"],
    ];
    WORDS
        .iter()
        .zip(1..)
        .find(|(words, _)| words.contains(&word))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, passage: &str, expect: bool) {
        let passage = Figures::of(passage);
        let all = figures(answer).iter().all(|figure| passage.contain(figure));
        assert_eq!(all, expect, "{answer:?}");
    }

    #[test]
    fn one_figure_in_many_dresses() {
        check("1,234 sites", "1 234 sites", true);
        check("1234 sites", "1\u{202f}234 sites", true);
        check("1.5 %", "1,5 %", true);
        check("١٢٣٤", "1234", true);
        check("2.6 billion people", "2,6 milliards de personnes", true);
        check("26 亿人", "2.6 billion people", true);
        check("3 projects", "trois projets", true);
        check("5 个国家", "五个国家", true);
        check("50 millions", "50 млн", true);
        check("12 millones", "12 million", true);
    }

    #[test]
    fn another_figure_is_another_figure() {
        check("729 projects", "406 projects", false);
        check("2.6 million", "2.7 million", false);
        check("15 %", "1.5 %", false);
        check("2025", "2024", false);
        check("13 sites", "three sites", false);
    }

    #[test]
    fn lists_and_identifiers_match_themselves() {
        check("in 2024, 2025", "2024 and 2025", true);
        check("RFC 10.1.2", "see 10.1.2", true);
        check("X.509", "X.509 certificates", true);
    }
}
