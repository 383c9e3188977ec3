//! Markdown: structure from pulldown-cmark, positions in the file's own text.

use std::ops::Range;

use genie_core::{Block, BlockKind};
use pulldown_cmark::{Event, Options, Parser, Tag};

use crate::positions::{Positions, trimmed};
use crate::readable::{plain_markdown, without_tags};

pub(crate) const OPTIONS: Options = Options::ENABLE_TABLES
    .union(Options::ENABLE_FOOTNOTES)
    .union(Options::ENABLE_STRIKETHROUGH)
    .union(Options::ENABLE_TASKLISTS)
    .union(Options::ENABLE_GFM);

/// The first heading, and the blocks with spans in `text`. Parsing begins at
/// the byte `start`, behind the front matter.
pub(crate) fn blocks_of(text: &str, start: usize) -> (Option<String>, Vec<Block>) {
    let mut blocks = Vec::new();
    // Containers such as quotes and lists are walked through, leaves are
    // taken whole with all that is in them.
    let mut leaf: Option<(BlockKind, Range<usize>, usize)> = None;
    for (event, range) in Parser::new_ext(&text[start..], OPTIONS).into_offset_iter() {
        let range = range.start + start..range.end + start;
        match (&mut leaf, event) {
            (Some((_, _, depth)), Event::Start(_)) => *depth += 1,
            (Some((_, _, depth)), Event::End(_)) if *depth > 0 => *depth -= 1,
            (Some((kind, whole, _)), Event::End(_)) => {
                take(text, *kind, whole.clone(), &mut blocks);
                leaf = None;
            }
            (None, Event::Start(tag)) => {
                leaf = leaf_kind(&tag).map(|kind| (kind, range, 0));
            }
            _ => {}
        }
    }
    blocks.sort_by_key(|(_, range)| range.start);
    let title = blocks
        .iter()
        .filter_map(|(kind, range)| match kind {
            BlockKind::Heading { level } => Some((*level, range)),
            _ => None,
        })
        .min_by_key(|(level, _)| *level)
        .map(|(_, range)| heading_text(&text[range.clone()]))
        .filter(|title| !title.is_empty());
    let positions = Positions::new(text);
    let blocks = blocks
        .into_iter()
        .map(|(kind, range)| Block {
            kind,
            span: positions.span(&range),
            page: None,
        })
        .collect();
    (title, blocks)
}

/// A heading's words without its marks, links and tags.
pub(crate) fn heading_text(raw: &str) -> String {
    crate::plain::one_line(&plain_markdown(raw))
}

fn leaf_kind(tag: &Tag<'_>) -> Option<BlockKind> {
    Some(match tag {
        Tag::Heading { level, .. } => BlockKind::Heading {
            level: *level as u8,
        },
        Tag::Paragraph => BlockKind::Paragraph,
        Tag::Item => BlockKind::ListItem,
        Tag::Table(_) => BlockKind::Table,
        Tag::CodeBlock(_) => BlockKind::Code,
        Tag::HtmlBlock => BlockKind::Paragraph,
        _ => return None,
    })
}

/// Keeps a leaf, without the template tags that site generators put on lines
/// of their own (`{% hint %}`), which would otherwise count as words.
fn take(
    text: &str,
    kind: BlockKind,
    range: Range<usize>,
    blocks: &mut Vec<(BlockKind, Range<usize>)>,
) {
    if kind != BlockKind::Paragraph {
        return keep(text, kind, range, blocks);
    }
    let mut part = range.start..range.start;
    for line in text[range.clone()].split_inclusive('\n') {
        let end = part.end + line.len();
        if is_template_tag(line) {
            keep(text, kind, part, blocks);
            part = end..end;
        } else {
            part.end = end;
        }
    }
    keep(text, kind, part, blocks);
}

fn keep(
    text: &str,
    kind: BlockKind,
    range: Range<usize>,
    blocks: &mut Vec<(BlockKind, Range<usize>)>,
) {
    let range = trimmed(text, range);
    let slice = &text[range.clone()];
    if !without_tags(slice).chars().any(char::is_alphanumeric) {
        return;
    }
    let kind = if kind == BlockKind::Paragraph && is_html_table(slice) {
        BlockKind::Table
    } else {
        kind
    };
    blocks.push((kind, range));
}

fn is_html_table(html: &str) -> bool {
    html.get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("<table"))
}

pub(crate) fn is_template_tag(line: &str) -> bool {
    let line = line.trim();
    line.starts_with("{%") && line.ends_with("%}") && line.matches("{%").count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(BlockKind, String)> {
        let (_, blocks) = blocks_of(text, 0);
        blocks
            .into_iter()
            .map(|block| {
                (
                    block.kind,
                    block.span.slice(text).expect("inside").to_owned(),
                )
            })
            .collect()
    }

    #[test]
    fn blocks_are_verbatim_pieces_of_the_file() {
        let text = "# Été *2025*\n\nOne\ntwo.\n\n* a\n  * b\n* c\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n```sh\nls\n```\n\n> Quoted.\n";
        assert_eq!(
            parsed(text),
            [
                (BlockKind::Heading { level: 1 }, "# Été *2025*".to_owned()),
                (BlockKind::Paragraph, "One\ntwo.".to_owned()),
                (BlockKind::ListItem, "* a\n  * b".to_owned()),
                (BlockKind::ListItem, "* c".to_owned()),
                (
                    BlockKind::Table,
                    "| x | y |\n|---|---|\n| 1 | 2 |".to_owned()
                ),
                (BlockKind::Code, "```sh\nls\n```".to_owned()),
                (BlockKind::Paragraph, "Quoted.".to_owned()),
            ]
        );
        assert_eq!(blocks_of(text, 0).0.as_deref(), Some("Été 2025"));
    }

    #[test]
    fn site_generator_tags_are_no_text() {
        let text = "{% hint style=\"info\" %}\nMind the gap.\n{% endhint %}\n\n<figure><img src=\"a.png\" alt=\"\"><figcaption></figcaption></figure>\n\n<table><tr><td>Cell</td></tr></table>\n";
        assert_eq!(
            parsed(text),
            [
                (BlockKind::Paragraph, "Mind the gap.".to_owned()),
                (
                    BlockKind::Table,
                    "<table><tr><td>Cell</td></tr></table>".to_owned()
                ),
            ]
        );
        assert_eq!(
            heading_text("## <a id=\"x\"></a> **3.1** [Title](u) #"),
            "3.1 Title"
        );
    }
}
