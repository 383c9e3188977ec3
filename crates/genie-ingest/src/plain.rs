//! Plain text: paragraphs and headings by layout and wording.

use std::ops::Range;

use genie_core::{Block, BlockKind};

use crate::headings::{self, has_letters, is_bullet, is_capitals, is_shouted, without_bookmark};
use crate::positions::{Positions, trimmed};

/// Lines longer than this are paragraphs of their own, not wrapped text.
const WRAP_COLUMN: usize = 120;
/// In wrapped text most lines that are followed by another are at least this
/// long.
const WRAPPED_LINE: usize = 45;

/// The title, if the text shows one, and the blocks with spans in `text`.
pub(crate) fn blocks_of(text: &str) -> (Option<String>, Vec<Block>) {
    let paragraphs = paragraphs(text);
    let texts: Vec<&str> = paragraphs
        .iter()
        .map(|range| &text[range.clone()])
        .collect();
    let levels = headings::levels(&texts);
    let title = title(&texts, &levels);
    let positions = Positions::new(text);
    let blocks = paragraphs
        .iter()
        .zip(&levels)
        .map(|(range, level)| Block {
            kind: match level {
                Some(level) => BlockKind::Heading { level: *level },
                None if is_bullet(&text[range.clone()]) => BlockKind::ListItem,
                None => BlockKind::Paragraph,
            },
            span: positions.span(range),
            page: None,
        })
        .collect();
    (title, blocks)
}

/// The paragraphs that have letters or digits, without white space around.
fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let lines = lines(text);
    let wrapped = is_wrapped(text, &lines);
    let mut paragraphs: Vec<Range<usize>> = Vec::new();
    // Whether the next line goes on with the last paragraph.
    let mut joins = Joins::Never;
    for line in lines {
        let content = trimmed(text, line);
        let slice = &text[content.clone()];
        if !has_letters(slice) {
            joins = Joins::Never;
            continue;
        }
        // What a converter left in front of a heading is none of its text.
        let lead = slice.len() - without_bookmark(slice).len();
        let content = trimmed(text, content.start + lead..content.end);
        match paragraphs.last_mut() {
            Some(last)
                if match joins {
                    Joins::Always => !is_bullet(slice),
                    Joins::Capitals => is_shouted(slice),
                    Joins::Never => false,
                } =>
            {
                last.end = content.end;
            }
            _ => paragraphs.push(content),
        }
        joins = if wrapped {
            Joins::Always
        } else if is_capitals(slice) {
            // A title may take several lines where paragraphs take one.
            Joins::Capitals
        } else {
            Joins::Never
        };
    }
    paragraphs
}

enum Joins {
    Always,
    Capitals,
    Never,
}

fn lines(text: &str) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(['\n', '\r', '\u{c}', '\u{2028}', '\u{2029}']) {
        if at >= start {
            lines.push(start..at);
            start = at + text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    lines.push(start..text.len());
    // Windows ends a line with two characters, which is one end.
    lines.dedup_by(|after, before| {
        after.start == after.end
            && after.start == before.end + 1
            && text[before.end..].starts_with("\r\n")
    });
    lines
}

/// Whether lines are cut at a fixed column, so that a paragraph has many.
fn is_wrapped(text: &str, lines: &[Range<usize>]) -> bool {
    let lengths: Vec<usize> = lines
        .iter()
        .map(|line| text[line.clone()].trim().chars().count())
        .collect();
    if lengths.iter().any(|&length| length > WRAP_COLUMN) {
        return false;
    }
    let mut followed: Vec<usize> = lengths
        .windows(2)
        .filter(|pair| pair[0] > 0 && pair[1] > 0)
        .map(|pair| pair[0])
        .collect();
    followed.sort_unstable();
    followed
        .get(followed.len() / 2)
        .is_some_and(|&median| median >= WRAPPED_LINE)
}

/// The first lines in capitals, which letterheads are not in; else the first
/// line if it is short.
fn title(paragraphs: &[&str], levels: &[Option<u8>]) -> Option<String> {
    const HEAD: usize = 10;
    let head = &paragraphs[..paragraphs.len().min(HEAD)];
    let end = head
        .iter()
        .position(|paragraph| paragraph.chars().count() > 400)
        .unwrap_or(head.len());
    if let Some(title) = head[..end].iter().find(|line| is_capitals(line)) {
        return Some(one_line(title).replace("/ ", "/"));
    }
    let first = one_line(paragraphs.first()?);
    if first.chars().count() <= 150
        && (levels.first()?.is_some() || !first.ends_with(['.', '。', ':', ';']))
    {
        return Some(first);
    }
    None
}

/// The text with each run of white space as one space.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<String>, Vec<(BlockKind, String)>) {
        let (title, blocks) = blocks_of(text);
        let blocks = blocks
            .into_iter()
            .map(|block| {
                let slice = block.span.slice(text).expect("inside").to_owned();
                (block.kind, slice)
            })
            .collect();
        (title, blocks)
    }

    #[test]
    fn long_lines_are_paragraphs() {
        let body = "word ".repeat(40);
        let text = format!(
            "Letterhead\r\n\r\n\tREPORT ON THE STATE OF THE NETWORKS/\r\nAND SERVICES\r\n\r\nObject\r\n{body}.\r\n– first;\r\n____\r\n"
        );
        let (title, blocks) = parsed(&text);
        assert_eq!(
            title.as_deref(),
            Some("REPORT ON THE STATE OF THE NETWORKS/AND SERVICES")
        );
        let kinds: Vec<_> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds.last(), Some(&BlockKind::ListItem));
        assert!(kinds.contains(&BlockKind::Heading { level: 1 }));
        assert_eq!(blocks.len(), 5);
    }

    #[test]
    fn wrapped_lines_are_joined() {
        let text = "Fibre in rural areas\n\nThe network of the country reaches most of the villages\nthat were named in the plan, and the others will follow\nnext year.\n- one item that is long enough to be wrapped at the end\n  of its line\n- two\n";
        let (title, blocks) = parsed(text);
        assert_eq!(title.as_deref(), Some("Fibre in rural areas"));
        assert_eq!(blocks.len(), 4);
        assert!(blocks[1].1.ends_with("next year."));
        assert_eq!(blocks[2].0, BlockKind::ListItem);
    }
}
