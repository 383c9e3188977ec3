//! The YAML block in front of a Markdown file.
//!
//! Only `title`, `language` (or `lang`), `labels` (or `tags`) and `date` are
//! read, in the forms that people write: plain or quoted scalars, and lists
//! in brackets or with a dash a line. Everything else of the block, such as
//! its sources, is skipped; a YAML library would bring anchors, tags and the
//! attacks made of them for four keys.

use std::ops::Range;

use genie_core::{Date, Language};

/// What a front matter says about its document.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FrontMatter {
    pub(crate) title: Option<String>,
    pub(crate) language: Option<Language>,
    pub(crate) labels: Vec<String>,
    pub(crate) date: Option<Date>,
    /// Where the Markdown begins, in bytes.
    pub(crate) end: usize,
}

/// Front matter is a few lines; a file of rulers is none.
const MAX_BYTES: usize = 64 << 10;

/// Reads the block between two `---` lines at the very start; without one,
/// the document begins at 0.
pub(crate) fn read(text: &str) -> FrontMatter {
    let Some((body, end)) = extent(text) else {
        return FrontMatter::default();
    };
    let mut found = FrontMatter {
        end,
        ..FrontMatter::default()
    };
    let mut lines = text[body].lines().peekable();
    while let Some(line) = lines.next() {
        let Some((key, value)) = entry(line) else {
            continue;
        };
        match key {
            "title" => found.title = Some(scalar(value)).filter(|title| !title.is_empty()),
            "language" | "lang" => found.language = scalar(value).parse().ok(),
            "date" => found.date = day(&scalar(value)),
            "labels" | "tags" => {
                let mut labels = inline_list(value);
                while let Some(item) = lines
                    .peek()
                    .and_then(|line| line.trim_start().strip_prefix("- "))
                {
                    labels.push(scalar(item));
                    lines.next();
                }
                labels.retain(|label| !label.is_empty());
                found.labels = labels;
            }
            _ => {}
        }
    }
    found
}

/// The lines between the rulers, and the end of the second one.
fn extent(text: &str) -> Option<(Range<usize>, usize)> {
    let mut offset = 0;
    let mut start = None;
    let mut keys = false;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        match start {
            None if content == "---" => start = Some(offset + line.len()),
            None => return None,
            Some(start) if content == "---" || content == "..." => {
                return keys.then_some((start..offset, offset + line.len()));
            }
            Some(_) => keys |= entry(line).is_some(),
        }
        offset += line.len();
        if offset > MAX_BYTES {
            return None;
        }
    }
    None
}

/// A key at the start of a line with its value.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let is_key = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    (is_key && (value.is_empty() || value.starts_with(char::is_whitespace)))
        .then(|| (key, value.trim()))
}

fn scalar(value: &str) -> String {
    let value = value.trim();
    if let Some(inner) = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        return inner.replace("\\\"", "\"").replace("\\\\", "\\");
    }
    if let Some(inner) = value
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
    {
        return inner.replace("''", "'");
    }
    // ` #` begins a comment in a plain scalar.
    value
        .split(" #")
        .next()
        .unwrap_or(value)
        .trim_end()
        .to_owned()
}

/// The day of a date of ISO 8601, which a time of day may follow. What is
/// written in other ways is left alone: 03/04 is two days.
fn day(value: &str) -> Option<Date> {
    let (day, time) = value.split_at_checked(10)?;
    (time.is_empty() || time.starts_with(['T', 't', ' ']))
        .then(|| day.parse().ok())
        .flatten()
}

fn inline_list(value: &str) -> Vec<String> {
    match value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(inner) => inner.split(',').map(scalar).collect(),
        None if value.is_empty() => Vec::new(),
        None => vec![scalar(value)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_read() {
        let text = "---\ntitle: \"Spectrum: a \\\"primer\\\"\"\nlanguage: fr # main\ndate: 2024-05-17\nlabels: [infrastructure/spectrum, 'policy']\nsources:\n  - title: other\n    date: 1999-01-01\n---\n\n# Heading\n";
        let found = read(text);
        assert_eq!(found.title.as_deref(), Some("Spectrum: a \"primer\""));
        assert_eq!(found.language, Some(Language::French));
        assert_eq!(found.labels, ["infrastructure/spectrum", "policy"]);
        assert_eq!(found.date, Date::new(2024, 5, 17));
        assert_eq!(&text[found.end..], "\n# Heading\n");
    }

    #[test]
    fn lists_with_dashes_are_read() {
        let found = read("---\r\ntags:\r\n  - a\r\n  - b/c\r\ntitle: T\r\n---\r\ntext");
        assert_eq!(found.labels, ["a", "b/c"]);
        assert_eq!(found.title.as_deref(), Some("T"));
    }

    #[test]
    fn a_date_is_a_day_of_iso_8601() {
        let date = |value: &str| read(&format!("---\ndate: {value}\n---\n")).date;
        for value in [
            "2024-05-17",
            "'2024-05-17'",
            "2024-05-17T23:59:00+02:00",
            "2024-05-17 08:00 # draft",
        ] {
            assert_eq!(date(value), Date::new(2024, 5, 17), "{value}");
        }
        for value in [
            "",
            "2024",
            "17/05/2024",
            "2024-05-1é",
            "2024-05-32",
            "2024-05-170",
        ] {
            assert_eq!(date(value), None, "{value}");
        }
    }

    #[test]
    fn a_ruler_is_no_front_matter() {
        for text in [
            "---\nplain words\n---\n",
            "---\ntitle: never closed\n",
            "text\n---\na: b\n---\n",
            "",
        ] {
            assert_eq!(read(text), FrontMatter::default(), "{text:?}");
        }
    }
}
