//! A normalized text to words, identifiers and numbers.

use charabia::segmenter::{ChineseSegmenter, Segmenter};
use unicode_segmentation::UnicodeSegmentation;

/// Longest compound that is kept whole, in bytes; longer ones are web
/// addresses and file names that nobody types.
const LONGEST_WHOLE: usize = 64;

/// A piece of text that may become terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A word of a language: it has a stem.
    Word(&'a str),
    /// A number, an identifier, a word of Chinese: compared as it is.
    Exact(String),
}

/// Calls `found` with each piece of a text that [`super::fold::normalize`]
/// has seen, in order.
///
/// Words are cut by Unicode's word boundaries (UAX 29) and runs of Han
/// characters by dictionary. Words joined by a single `-`, `.`, `/`, `_`,
/// `+`, `&` or `@` are kept whole and given by their parts too: `itu-t`,
/// `y.3172`, `a/res/79/325`, `genie.ai`. Numbers come in one form
/// whatever their separators: `2,000` and `2 000` as `2000`, `3,5` as `3.5`.
pub(crate) fn pieces<'a>(text: &'a str, mut found: impl FnMut(Piece<'a>)) {
    let mut compound = Compound::default();
    let mut han: Option<(usize, usize)> = None;
    for (start, piece) in text.split_word_bound_indices() {
        let end = start + piece.len();
        let first = piece.chars().next().unwrap_or(' ');
        if is_han(first) {
            compound.finish(text, &mut found);
            han = Some((han.map_or(start, |(from, _)| from), end));
            continue;
        }
        if let Some((from, to)) = han.take() {
            chinese(&text[from..to], &mut found);
        }
        if first.is_alphanumeric() {
            compound.word(start, end);
        } else if !(is_joiner(piece) && compound.joiner()) {
            compound.finish(text, &mut found);
        }
    }
    if let Some((from, to)) = han {
        chinese(&text[from..to], &mut found);
    }
    compound.finish(text, &mut found);
}

/// Words with single joiners between them.
#[derive(Default)]
struct Compound {
    words: Vec<(usize, usize)>,
    joined: bool,
}

impl Compound {
    fn word(&mut self, start: usize, end: usize) {
        self.words.push((start, end));
        self.joined = false;
    }

    /// Whether a joiner can follow here.
    fn joiner(&mut self) -> bool {
        let follows = !self.words.is_empty() && !self.joined;
        self.joined |= follows;
        follows
    }

    fn finish<'a>(&mut self, text: &'a str, found: &mut impl FnMut(Piece<'a>)) {
        self.joined = false;
        let (Some(&(start, _)), Some(&(_, end))) = (self.words.first(), self.words.last()) else {
            return;
        };
        let words = std::mem::take(&mut self.words);
        let whole = &text[start..end];
        if is_number(whole) {
            number(whole, found);
            return;
        }
        let mut parts = Vec::new();
        for (start, end) in words {
            divide(&text[start..end], &mut parts);
        }
        // An apostrophe or a colon divides without making one of the two.
        let compound = parts.len() > 1 && !whole.contains(['\'', ':']);
        if compound && whole.len() <= LONGEST_WHOLE {
            found(Piece::Exact(super::fold::plain(&unhyphenated(whole))));
        }
        for part in parts {
            // The `l` of `l'accès`, the `a` of `a/res`: too common in parts
            // to tell anything.
            let lone = part.len() < 2 && !part.bytes().all(|b| b.is_ascii_digit());
            if !lone || part.len() == whole.len() {
                word(part, found);
            }
        }
    }
}

/// Divides what Unicode's rules leave in one piece: `snake_case`, `genie.ai`,
/// `l'accès`, but not `3.5ghz`.
fn divide<'a>(piece: &'a str, parts: &mut Vec<&'a str>) {
    let mut start = 0;
    let mut before = ' ';
    let mut chars = piece.char_indices().peekable();
    while let Some((index, c)) = chars.next() {
        let after = chars.peek().map_or(' ', |(_, c)| *c);
        let in_number = c == '.' && before.is_ascii_digit() && after.is_ascii_digit();
        if matches!(c, '_' | '\'' | ':' | '.') && !in_number {
            parts.push(&piece[start..index]);
            start = index + c.len_utf8();
        }
        before = c;
    }
    parts.push(&piece[start..]);
    parts.retain(|part| !part.is_empty());
}

/// A part without joiners: a number, a word, or both as in `3.5ghz`.
fn word<'a>(part: &'a str, found: &mut impl FnMut(Piece<'a>)) {
    if is_number(part) {
        number(part, found);
        return;
    }
    if !part.bytes().any(|b| b.is_ascii_digit()) {
        found(Piece::Word(part));
        return;
    }
    found(Piece::Exact(super::fold::plain(part)));
    let boundary = part
        .char_indices()
        .zip(part.chars().skip(1))
        .find(|((_, c), next)| {
            let differ = c.is_ascii_digit() != next.is_ascii_digit();
            differ && !is_separator(*c) && !is_separator(*next)
        })
        .map(|((index, c), _)| index + c.len_utf8());
    if let Some((head, tail)) = boundary.map(|at| part.split_at(at)) {
        let letters = if is_number(head) { tail } else { head };
        let apart = letters.chars().all(char::is_alphabetic) && letters.chars().count() > 1;
        let rest = if is_number(head) { head } else { tail };
        if apart && is_number(rest) {
            found(Piece::Word(letters));
            number(rest, found);
        }
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, '.' | ',')
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || is_separator(c))
}

/// Numbers without their thousands separators and with a decimal point.
fn number<'a>(text: &str, found: &mut impl FnMut(Piece<'a>)) {
    let groups: Vec<&str> = text.split(is_separator).collect();
    let separators: Vec<char> = text.chars().filter(|c| is_separator(*c)).collect();
    let in_threes = groups[0].len() <= 3
        && groups[0] != "0"
        && groups[1..].iter().all(|group| group.len() == 3);
    let alike = separators.windows(2).all(|pair| pair[0] == pair[1]);
    match (separators.as_slice(), groups.as_slice()) {
        (_, [_]) => found(Piece::Exact(text.to_owned())),
        (_, [whole, rest]) => {
            found(Piece::Exact(format!("{whole}.{rest}")));
            // `2.000` is two or two thousand, depending on who writes.
            if in_threes {
                found(Piece::Exact(groups.concat()));
            }
        }
        _ if alike && in_threes => found(Piece::Exact(groups.concat())),
        ([thousands @ .., decimal], [whole @ .., rest])
            if thousands.iter().all(|c| *c == thousands[0] && c != decimal) =>
        {
            found(Piece::Exact(format!("{}.{rest}", whole.concat())));
        }
        // A version, an address, a list.
        _ => {
            found(Piece::Exact(text.to_owned()));
            for group in groups {
                found(Piece::Exact(group.to_owned()));
            }
        }
    }
}

/// Words of a run of Han characters.
fn chinese<'a>(run: &'a str, found: &mut impl FnMut(Piece<'a>)) {
    for word in ChineseSegmenter.segment_str(run) {
        found(Piece::Exact(word.to_owned()));
    }
}

fn is_joiner(piece: &str) -> bool {
    matches!(piece, "-" | "." | "/" | "_" | "+" | "&" | "@")
}

/// Without hyphens, which are often left out (`wi-fi`, `wifi`), but with
/// those of ranges (`2024-2025`).
fn unhyphenated(whole: &str) -> String {
    let chars: Vec<char> = whole.chars().collect();
    let is_digit = |index: usize| chars.get(index).is_some_and(char::is_ascii_digit);
    chars
        .iter()
        .enumerate()
        .filter(|&(index, &c)| c != '-' || (is_digit(index - 1) && is_digit(index + 1)))
        .map(|(_, c)| c)
        .collect()
}

/// The CJK Unified Ideographs with extensions A to H, and the compatibility
/// ideographs that NFKC leaves.
fn is_han(c: char) -> bool {
    matches!(
        c,
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{323af}' | '々'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fold::normalize;
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        let text = normalize(text);
        let mut all = Vec::new();
        pieces(&text, |piece| {
            all.push(match piece {
                Piece::Word(word) => word.to_owned(),
                Piece::Exact(exact) => format!("={exact}"),
            });
        });
        all
    }

    #[test]
    fn identifiers_are_whole_and_in_parts() {
        for (text, wanted) in [
            (
                "ITU-T Y.3172",
                &["=itut", "itu", "=y.3172", "=3172"] as &[_],
            ),
            ("A/RES/79/325", &["=a/res/79/325", "res", "=79", "=325"]),
            ("GENIE.AI", &["=genie.ai", "genie", "ai"]),
            ("5G", &["=5g"]),
            ("3.5 GHz", &["=3.5", "ghz"]),
            ("3.5GHz", &["=3.5ghz", "ghz", "=3.5"]),
            ("IPv6", &["=ipv6", "ipv", "=6"]),
            ("802.11ax", &["=802.11ax", "ax", "=802.11"]),
            ("COVID-19", &["=covid19", "covid", "=19"]),
            ("a@example.org", &["=a@example.org", "example", "org"]),
            ("R&D", &["=r&d"]),
            ("plan B", &["plan", "b"]),
            ("Wi-Fi, wifi", &["=wifi", "wi", "fi", "wifi"]),
            ("2024-2025", &["=2024-2025", "=2024", "=2025"]),
            ("l'accès d’Internet", &["accès", "internet"]),
            ("snake_case", &["=snake_case", "snake", "case"]),
            ("the end. The start", &["the", "end", "the", "start"]),
        ] {
            assert_eq!(cut(text), wanted, "{text}");
        }
    }

    #[test]
    fn numbers_have_one_form() {
        for (text, wanted) in [
            ("2 000", &["=2", "=000"] as &[_]),
            ("2\u{a0}000", &["=2.000", "=2000"]),
            ("2,000", &["=2.000", "=2000"]),
            ("3,5", &["=3.5"]),
            ("1,234,567", &["=1234567"]),
            ("1.234.567,8", &["=1234567.8"]),
            ("1,234.5", &["=1234.5"]),
            ("٤٠٦", &["=406"]),
            ("0.125", &["=0.125"]),
            ("192.168.0.1", &["=192.168.0.1", "=192", "=168", "=0", "=1"]),
        ] {
            assert_eq!(cut(text), wanted, "{text}");
        }
    }

    #[test]
    fn chinese_is_cut_into_words() {
        let words = cut("国际电信联盟发布了5G标准。");
        for word in ["=国际", "=电信", "=联盟", "=标准", "=5g"] {
            assert!(
                words.iter().any(|found| found == word),
                "{word} in {words:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_cut_without_loss_of_form(text in "\\PC{0,60}") {
            let normalized = normalize(&text);
            pieces(&normalized, |piece| match piece {
                Piece::Word(word) => assert!(!word.is_empty() && !word.contains(' ')),
                Piece::Exact(exact) => assert!(!exact.is_empty()),
            });
        }

        #[test]
        fn numbers_of_any_form_are_cut(text in "[0-9.,\\-/a-z ]{0,30}") {
            pieces(&normalize(&text), |_| ());
        }
    }
}
