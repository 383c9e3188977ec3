//! PDF through docling's text layer.

use docling::{DoclingDocument, Node};
use genie_core::BlockKind;

use crate::canonical::{Canonical, Piece};
use crate::headings;

/// The blocks of a PDF with their pages. The text layer knows no headings,
/// so they are told by their wording, as in plain text.
pub(crate) fn blocks_of(document: &DoclingDocument) -> Canonical {
    let mut canonical = Canonical::default();
    let mut page = None;
    let mut lines: Vec<(BlockKind, String, Option<u32>)> = Vec::new();
    for node in &document.nodes {
        collect(node, &mut page, &mut lines);
    }
    let texts: Vec<&str> = lines.iter().map(|(_, text, _)| text.as_str()).collect();
    let levels = headings::levels(&texts);
    for ((kind, text, page), level) in lines.iter().zip(levels) {
        let kind = match level {
            Some(level) if *kind == BlockKind::Paragraph => BlockKind::Heading { level },
            _ => *kind,
        };
        canonical.push(&Piece {
            kind,
            text,
            page: *page,
        });
    }
    canonical
}

fn collect(node: &Node, page: &mut Option<u32>, lines: &mut Vec<(BlockKind, String, Option<u32>)>) {
    match node {
        Node::PageInfo { page_no, .. } => *page = u32::try_from(*page_no).ok().filter(|&no| no > 0),
        Node::Heading { level, text } => lines.push((
            BlockKind::Heading {
                level: (*level).clamp(1, 6),
            },
            unescaped(text),
            *page,
        )),
        Node::Paragraph { text } | Node::LabeledText { text, .. } | Node::Caption { text, .. } => {
            lines.push((BlockKind::Paragraph, unescaped(text), *page));
        }
        Node::CheckboxItem { text, .. } => {
            lines.push((BlockKind::ListItem, unescaped(text), *page));
        }
        Node::ListItem {
            ordered,
            number,
            text,
            ..
        } => {
            let text = unescaped(text);
            let text = if *ordered {
                format!("{number}. {text}")
            } else {
                format!("- {text}")
            };
            lines.push((BlockKind::ListItem, text, *page));
        }
        Node::Code { text, .. } => lines.push((BlockKind::Code, text.clone(), *page)),
        Node::Table(table) => lines.push((
            BlockKind::Table,
            crate::canonical::table_rows(&table.rows),
            *page,
        )),
        Node::Located { inner, .. } | Node::Prov { inner, .. } => collect(inner, page, lines),
        Node::Group { children, .. } => {
            for child in children {
                collect(child, page, lines);
            }
        }
        // Running heads and page numbers, pictures, and what only other
        // formats have.
        _ => {}
    }
}

/// docling escapes prose for Markdown; a quote has to read as it is printed.
fn unescaped(text: &str) -> String {
    text.replace("\\_", "_")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}
