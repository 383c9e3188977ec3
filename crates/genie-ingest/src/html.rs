//! HTML through docling's list of source blocks.
//!
//! docling's items carry folded punctuation and one item a formatting run;
//! its source blocks carry each element's own text in document order, with
//! the element's path. That is what is read here; only preformatted text
//! comes from the items, because blocks collapse white space.

use std::collections::HashSet;

use docling::{DoclingDocument, Node};
use docling_core::tree::{BlockOmission, ItemTree, SourceBlock, TreeKind};
use genie_core::BlockKind;

use crate::canonical::{Canonical, Piece, table_rows};

/// The `<title>` and the blocks of a page.
pub(crate) fn blocks_of(document: &DoclingDocument) -> (Option<String>, Canonical) {
    let mut canonical = Canonical::default();
    match &document.tree {
        Some(tree) => walk(tree, &mut canonical),
        // A page nested too deep is flattened by docling and has no tree.
        None => {
            for node in &document.nodes {
                if let Node::Paragraph { text } = node {
                    canonical.push(&Piece {
                        kind: BlockKind::Paragraph,
                        text,
                        page: None,
                    });
                }
            }
        }
    }
    (title(document), canonical)
}

/// A page's only main heading, which a `<title>` often drowns in the site's
/// name, else the `<title>`.
fn title(document: &DoclingDocument) -> Option<String> {
    if let Some(tree) = &document.tree {
        let mut main = tree
            .blocks
            .iter()
            .filter(|block| block.tag == "h1" && is_content(block) && !block.text.is_empty());
        if let (Some(heading), None) = (main.next(), main.next()) {
            return Some(heading.text.clone());
        }
    }
    document.nodes.iter().find_map(|node| match node {
        Node::Furniture { inner, .. } => match &**inner {
            Node::Heading { text, .. } => Some(text.clone()),
            _ => None,
        },
        _ => None,
    })
}

fn walk(tree: &ItemTree, canonical: &mut Canonical) {
    let layout = layout_tables(&tree.blocks);
    let mut at = 0;
    while let Some(block) = tree.blocks.get(at) {
        at += 1;
        if !is_content(block) {
            continue;
        }
        if block.tag == "table" && !layout.contains(block.path.as_str()) {
            let below = below(&tree.blocks[at..], &block.path);
            table(&tree.blocks[at..at + below], &block.path, canonical);
            at += below;
            continue;
        }
        canonical.push(&Piece {
            kind: kind(block),
            text: &text(block, tree),
            page: None,
        });
    }
}

/// How many of the blocks stand inside the element at `path`.
fn below(blocks: &[SourceBlock], path: &str) -> usize {
    blocks
        .iter()
        .take_while(|block| rest(&block.path, path).is_some())
        .count()
}

fn rest<'a>(path: &'a str, above: &str) -> Option<&'a str> {
    path.strip_prefix(above)?.strip_prefix('/')
}

/// Tables that lay out a page instead of holding data: those with headings,
/// and those in which no row has two cells.
fn layout_tables(blocks: &[SourceBlock]) -> HashSet<&str> {
    let mut layout = HashSet::new();
    for (at, block) in blocks.iter().enumerate() {
        if block.tag != "table" {
            continue;
        }
        let inside = &blocks[at + 1..];
        let inside = &inside[..below(inside, &block.path)];
        let has_heading = inside
            .iter()
            .any(|inner| heading_level(&inner.tag).is_some());
        let cells: Vec<_> = inside
            .iter()
            .filter_map(|inner| cell_of(rest(&inner.path, &block.path)?))
            .collect();
        let has_columns = cells
            .windows(2)
            .any(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1);
        if has_heading || !has_columns {
            layout.insert(block.path.as_str());
        }
    }
    layout
}

/// The row and the cell that a path below a table leads through.
fn cell_of(path: &str) -> Option<(&str, &str)> {
    let row_at = path
        .split('/')
        .scan(0, |offset, part| {
            let start = *offset;
            *offset += part.len() + 1;
            Some((start, part))
        })
        .find(|(_, part)| part.starts_with("tr["))?;
    let row_end = row_at.0 + row_at.1.len();
    let cell = path.get(row_end + 1..)?.split('/').next()?;
    (cell.starts_with("td[") || cell.starts_with("th[")).then(|| (&path[..row_end], cell))
}

fn table(inside: &[SourceBlock], path: &str, canonical: &mut Canonical) {
    let mut rows: Vec<(&str, Vec<(&str, String)>)> = Vec::new();
    for block in inside.iter().filter(|block| is_content(block)) {
        let Some((row, cell)) = rest(&block.path, path).and_then(cell_of) else {
            canonical.push(&Piece {
                kind: BlockKind::Paragraph,
                text: &block.text,
                page: None,
            });
            continue;
        };
        if rows.last().is_none_or(|(last, _)| *last != row) {
            rows.push((row, Vec::new()));
        }
        let Some((_, cells)) = rows.last_mut() else {
            continue;
        };
        match cells.last_mut() {
            Some((last, text)) if *last == cell => {
                if !block.text.is_empty() {
                    text.push(' ');
                    text.push_str(&block.text);
                }
            }
            _ => cells.push((cell, block.text.clone())),
        }
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(_, cells)| cells.into_iter().map(|(_, text)| text).collect())
        .collect();
    canonical.push(&Piece {
        kind: BlockKind::Table,
        text: &table_rows(&rows),
        page: None,
    });
}

/// Hidden text, controls and the site's own navigation are left out.
fn is_content(block: &SourceBlock) -> bool {
    const CHROME: [&str; 7] = [
        "nav", "footer", "head", "button", "select", "noscript", "template",
    ];
    block.omitted != Some(BlockOmission::Hidden)
        && !block.path.split('/').any(|part| {
            let name = part.split('[').next().unwrap_or(part);
            CHROME.contains(&name)
        })
}

fn kind(block: &SourceBlock) -> BlockKind {
    if let Some(level) = heading_level(&block.tag) {
        return BlockKind::Heading { level };
    }
    match block.tag.as_str() {
        "pre" => BlockKind::Code,
        "li" | "dd" | "dt" => BlockKind::ListItem,
        "p" if item_led_by(&block.path).is_some() => BlockKind::ListItem,
        _ => BlockKind::Paragraph,
    }
}

fn heading_level(tag: &str) -> Option<u8> {
    match tag.as_bytes() {
        [b'h', level @ b'1'..=b'6'] => Some(level - b'0'),
        _ => None,
    }
}

fn text(block: &SourceBlock, tree: &ItemTree) -> String {
    match block.tag.as_str() {
        "pre" => block
            .items
            .iter()
            .find_map(|&item| match &tree.items.get(item)?.kind {
                TreeKind::Code { text, .. } => Some(text.clone()),
                _ => None,
            })
            .unwrap_or_else(|| block.text.clone()),
        "li" if !block.text.is_empty() => format!("{} {}", marker(&block.path), block.text),
        _ => match item_led_by(&block.path) {
            Some(item) => format!("{} {}", marker(item), block.text),
            None => block.text.clone(),
        },
    }
}

/// The path of the list item whose first paragraph this path leads to.
fn item_led_by(path: &str) -> Option<&str> {
    let item = path.strip_suffix("/p[1]")?;
    item.rsplit('/').next()?.starts_with("li[").then_some(item)
}

/// `-`, or the position in an ordered list.
fn marker(path: &str) -> String {
    let mut parts = path.rsplit('/');
    let item = parts.next().unwrap_or_default();
    let ordered = parts.next().is_some_and(|list| list.starts_with("ol"));
    match item
        .strip_prefix("li[")
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(number) if ordered => format!("{number}."),
        _ => "-".to_owned(),
    }
}
