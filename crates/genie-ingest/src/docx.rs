//! DOCX through docling's item tree.

use docling::DoclingDocument;
use docling_core::tree::{ItemTree, ListMeta, TreeItem, TreeKind};
use genie_core::BlockKind;

use crate::canonical::{Canonical, Piece, table_rows};

/// The title, where one paragraph has the style for it, and the blocks.
pub(crate) fn blocks_of(document: &DoclingDocument) -> (Option<String>, Canonical) {
    let mut canonical = Canonical::default();
    let mut title = None;
    let Some(tree) = &document.tree else {
        return (title, canonical);
    };
    // A stack instead of recursion: the file decides how deep items nest.
    let mut open: Vec<usize> = tree.body.iter().rev().copied().collect();
    while let Some(item) = open.pop().and_then(|index| tree.items.get(index)) {
        if item.deleted || (item.layer.is_some() && !is_footnote(item)) {
            continue;
        }
        let mut descend = true;
        match &item.kind {
            TreeKind::Text {
                label,
                text,
                level,
                list,
                ..
            } => {
                let mut text = text.clone();
                if text.is_empty() {
                    text = inline_text(tree, item);
                    descend = text.is_empty();
                }
                if label == "title" && title.is_none() {
                    title = Some(text.clone());
                }
                canonical.push(&Piece {
                    kind: text_kind(label, *level),
                    text: &marked(list.as_ref(), text),
                    page: None,
                });
            }
            TreeKind::Code { text, .. } => canonical.push(&Piece {
                kind: BlockKind::Code,
                text,
                page: None,
            }),
            TreeKind::Group { label, .. } if label == "inline" => {
                descend = false;
                canonical.push(&Piece {
                    kind: BlockKind::Paragraph,
                    text: &inline_text(tree, item),
                    page: None,
                });
            }
            TreeKind::Table { table, .. } => {
                // The children of a table are its cells again.
                descend = false;
                canonical.push(&Piece {
                    kind: BlockKind::Table,
                    text: &table_rows(&table.rows),
                    page: None,
                });
            }
            _ => {}
        }
        if descend {
            open.extend(item.children.iter().rev());
        }
    }
    (title, canonical)
}

fn is_footnote(item: &TreeItem) -> bool {
    matches!(&item.kind, TreeKind::Text { label, .. } if label == "footnote")
}

fn text_kind(label: &str, level: Option<u8>) -> BlockKind {
    match label {
        "title" => BlockKind::Heading { level: 1 },
        "section_header" => BlockKind::Heading {
            level: level.unwrap_or(1).clamp(1, 6),
        },
        "list_item" => BlockKind::ListItem,
        _ => BlockKind::Paragraph,
    }
}

fn marked(list: Option<&ListMeta>, text: String) -> String {
    match list {
        Some(_) if text.is_empty() => text,
        Some(list) if list.enumerated && !list.marker.is_empty() => {
            format!("{} {text}", list.marker)
        }
        Some(_) => format!("- {text}"),
        None => text,
    }
}

/// The formatting runs of a paragraph, put together again. docling trims each
/// run, so the space between two of them has to be guessed: there is one,
/// except before closing and behind opening punctuation and between Chinese
/// characters.
fn inline_text(tree: &ItemTree, item: &TreeItem) -> String {
    let mut out = String::new();
    let mut open: Vec<usize> = item.children.iter().rev().copied().collect();
    while let Some(child) = open.pop().and_then(|index| tree.items.get(index)) {
        match &child.kind {
            TreeKind::Text { text, .. } | TreeKind::Code { text, .. } => {
                if let (Some(before), Some(after)) = (out.chars().next_back(), text.chars().next())
                    && needs_space(before, after)
                {
                    out.push(' ');
                }
                out.push_str(text);
            }
            TreeKind::Group { label, .. } if label == "inline" => {
                open.extend(child.children.iter().rev());
            }
            _ => {}
        }
    }
    out
}

fn needs_space(before: char, after: char) -> bool {
    const CLOSING: &str = ".,;:!?)]}%»”’…،؛؟。，、；：！？）》」";
    const OPENING: &str = "([{«“‘'’（《「/-–\u{a0}";
    let is_han = |c: char| ('\u{2e80}'..='\u{9fff}').contains(&c) || c > '\u{20000}';
    !(before.is_whitespace()
        || after.is_whitespace()
        || CLOSING.contains(after)
        || OPENING.contains(before)
        || is_han(before)
        || is_han(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_joined_as_they_were_written() {
        for (before, after, expected) in [
            ('d', 'b', true),
            ('d', ',', false),
            ('(', 'b', false),
            ('’', 'I', false),
            ('网', '络', false),
            ('ت', 'ا', true),
        ] {
            assert_eq!(needs_space(before, after), expected, "{before}{after}");
        }
    }
}
