//! Tells headings from paragraphs where nothing but the wording does.

use std::sync::LazyLock;

use regex::Regex;

/// The longest line that can be a heading, in characters.
const MAX_CHARS: usize = 170;
/// The same for lines mostly in Chinese characters, which say more each.
const MAX_HAN_CHARS: usize = 50;

/// The heading level of each paragraph, `None` for those that are none.
///
/// A heading is one short line without the punctuation that ends a sentence,
/// begins with a capital (or a script without them), and stands before
/// something longer. A number in front (`2.1`) gives its level; without one
/// it is one below the number that is open.
pub(crate) fn levels(paragraphs: &[&str]) -> Vec<Option<u8>> {
    let mut open_depth = 0;
    let mut levels: Vec<Option<u8>> = Vec::with_capacity(paragraphs.len());
    for (at, paragraph) in paragraphs.iter().enumerate() {
        let line = without_bookmark(paragraph).trim();
        let next = paragraphs[at + 1..]
            .iter()
            .map(|next| without_bookmark(next).trim())
            .find(|next| has_letters(next));
        let before = paragraphs[..at]
            .iter()
            .rposition(|before| has_letters(before))
            .map(|index| (paragraphs[index].trim(), levels[index]));
        let level = if !is_candidate(line) {
            None
        } else if let Some(depth) = number_depth(line) {
            // A run of numbers at one depth is a list or a table of contents.
            let in_list = next.is_some_and(|next| number_depth(next) == Some(depth))
                || before.is_some_and(|(before, level)| {
                    level.is_none() && number_depth(before) == Some(depth)
                });
            (!in_list).then(|| {
                open_depth = depth;
                depth
            })
        } else if is_capitals(line) {
            open_depth = 0;
            Some(1)
        } else if next.is_some_and(|next| is_bullet(next) || longer(next, line))
            && before.is_none_or(|(before, level)| {
                level.is_some() || ends_sentence(before) || is_shouted(before)
            })
        {
            Some((open_depth + 1).min(6))
        } else {
            None
        };
        levels.push(level);
    }
    levels
}

fn longer(a: &str, b: &str) -> bool {
    a.chars().count() > b.chars().count()
}

/// A line without small letters in a script that has them.
pub(crate) fn is_shouted(line: &str) -> bool {
    line.chars().any(char::is_uppercase) && !line.chars().any(char::is_lowercase)
}

/// A line entirely in capitals, long enough to be a title and no acronym.
pub(crate) fn is_capitals(line: &str) -> bool {
    line.chars().filter(|c| c.is_uppercase()).count() >= 15 && is_shouted(line)
}

pub(crate) fn has_letters(text: &str) -> bool {
    text.chars().any(char::is_alphanumeric)
}

pub(crate) fn is_bullet(line: &str) -> bool {
    let mut chars = line.trim_start().chars();
    chars.next().is_some_and(|c| {
        matches!(
            c,
            '-' | '–'
                | '—'
                | '*'
                | '•'
                | '·'
                | '▪'
                | '◦'
                | '‣'
                | '●'
                | '○'
                | '■'
                | '►'
                | '✓'
        )
    }) && chars.next().is_some_and(char::is_whitespace)
}

/// Converters from Word leave `[bookmark: name]` in front of headings.
pub(crate) fn without_bookmark(line: &str) -> &str {
    let trimmed = line.trim_start();
    match trimmed
        .strip_prefix("[bookmark:")
        .and_then(|rest| rest.find(']').map(|end| &rest[end + 1..]))
    {
        Some(rest) => rest,
        None => line,
    }
}

fn is_candidate(line: &str) -> bool {
    let chars = line.chars().count();
    let han = line.chars().filter(|c| is_han(*c)).count();
    let limit = if han * 2 > chars {
        MAX_HAN_CHARS
    } else {
        MAX_CHARS
    };
    (2..=limit).contains(&chars)
        && !line.contains([';', '；', '|'])
        && (is_capitals(line) || !line.contains('\n'))
        && !is_bullet(line)
        && !ends_sentence(line)
        && !line.ends_with([',', '،', '，', '-', '/'])
        && is_capitalized(line)
        && line.chars().any(char::is_alphabetic)
}

fn ends_sentence(line: &str) -> bool {
    let line = line
        .trim_end()
        .trim_end_matches(['"', '»', '”', '’', ')', ']', '）', '」']);
    line.ends_with(['.', '!', ';', ':', '…', '。', '！', '；', '：', '؛', '۔'])
}

/// Begins with a capital, with a letter of a script without them, or with a
/// section number; other figures are amounts or dates.
fn is_capitalized(line: &str) -> bool {
    line.chars()
        .find(|c| c.is_alphanumeric())
        .is_some_and(|first| {
            !first.is_lowercase() && (!first.is_numeric() || number_depth(line).is_some())
        })
}

/// How many parts the number in front of a line has: `2.1 Title` has two.
fn number_depth(line: &str) -> Option<u8> {
    static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^([0-9٠-٩]{1,2}(?:\.[0-9٠-٩]{1,3}){0,4})[.)]?[\s\u{a0}]+\S").ok()
    });
    let found = NUMBER.as_ref()?.captures(line)?.get(1)?;
    // `12 mars 2024` is a date, `1.5 million` an amount.
    let rest = line[found.end()..]
        .trim_start_matches(['.', ')'])
        .trim_start();
    let first = rest.chars().find(|c| c.is_alphanumeric())?;
    if first.is_lowercase() || first.is_numeric() {
        return None;
    }
    u8::try_from(found.as_str().split('.').count())
        .ok()
        .map(|depth| depth.min(6))
}

pub(crate) fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "This sentence is long enough to be the running text under any of the headings above it, and ends.";

    #[test]
    fn numbers_give_levels_and_open_sections() {
        let text = [
            "Introduction",
            BODY,
            "1\tScope",
            BODY,
            "Goals",
            BODY,
            "1.1 Ten years of fibre",
            BODY,
            "Details",
            BODY,
        ];
        let found: Vec<u8> = levels(&text).into_iter().flatten().collect();
        assert_eq!(found, [1, 1, 2, 2, 3]);
    }

    #[test]
    fn lists_sentences_and_dates_are_no_headings() {
        let text = [
            "1. Connect schools",
            "2. Connect clinics",
            "3. Measure",
            "– one item",
            "It ends here.",
            "12 mars 2024",
            "lower case line",
            BODY,
        ];
        assert_eq!(levels(&text), vec![None; text.len()]);
    }

    #[test]
    fn other_scripts_have_headings_too() {
        let text = [
            "二、网络建设",
            "本节介绍全国光纤网络建设的情况，以及二零二五年以前需要完成的主要任务和投资安排，供各部门参考使用。",
            "المقدمة",
            "يتناول هذا التقرير حالة شبكات النطاق العريض في المنطقة العربية خلال العام الماضي.",
        ];
        assert_eq!(levels(&text), [Some(1), None, Some(1), None]);
    }

    #[test]
    fn bookmarks_are_no_text() {
        assert_eq!(without_bookmark("[bookmark: x]3\tA"), "3\tA");
        assert_eq!(without_bookmark("[note] A"), "[note] A");
    }
}
