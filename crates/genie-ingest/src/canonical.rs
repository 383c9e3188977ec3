//! The text of formats whose bytes are no text.

use genie_core::{Block, BlockKind};

use crate::positions::Positions;

/// Collects blocks into one text, with a blank line between them.
#[derive(Default)]
pub(crate) struct Canonical {
    text: String,
    blocks: Vec<(BlockKind, std::ops::Range<usize>, Option<u32>)>,
}

/// A block that has not found its place in the text yet.
pub(crate) struct Piece<'a> {
    pub(crate) kind: BlockKind,
    pub(crate) text: &'a str,
    pub(crate) page: Option<u32>,
}

impl Canonical {
    /// Appends a block; one without text leaves no trace.
    pub(crate) fn push(&mut self, piece: &Piece<'_>) {
        let text = piece.text.trim();
        if text.is_empty() {
            return;
        }
        if !self.text.is_empty() {
            self.text.push_str("\n\n");
        }
        let start = self.text.len();
        // NUL has no place in a text, and PDF fonts with a broken mapping
        // produce it.
        self.text.extend(text.chars().filter(|&c| c != '\0'));
        if self.text.len() > start {
            self.blocks
                .push((piece.kind, start..self.text.len(), piece.page));
        }
    }

    pub(crate) fn finish(self) -> (String, Vec<Block>) {
        let positions = Positions::new(&self.text);
        let blocks = self
            .blocks
            .into_iter()
            .map(|(kind, range, page)| Block {
                kind,
                span: positions.span(&range),
                page,
            })
            .collect();
        drop(positions);
        (self.text, blocks)
    }
}

/// A table as Markdown rows; the first row is the header.
pub(crate) fn table_rows(rows: &[Vec<String>]) -> String {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        if row.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        out.push('|');
        for column in 0..width {
            let cell = row.get(column).map_or("", String::as_str);
            out.push(' ');
            // A line break or a bar inside a cell would end the row or the
            // cell.
            for (at, word) in cell.split_whitespace().enumerate() {
                if at > 0 {
                    out.push(' ');
                }
                out.push_str(&word.replace('|', "\\|"));
            }
            out.push_str(" |");
        }
        out.push('\n');
        if number == 0 && rows.len() > 1 {
            out.push('|');
            out.push_str(&" --- |".repeat(width));
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_stand_where_they_say() {
        let mut canonical = Canonical::default();
        for text in ["Été", " ", "五六\0", "end "] {
            canonical.push(&Piece {
                kind: BlockKind::Paragraph,
                text,
                page: Some(1),
            });
        }
        let (text, blocks) = canonical.finish();
        assert_eq!(text, "Été\n\n五六\n\nend");
        let slices: Vec<_> = blocks
            .iter()
            .filter_map(|block| block.span.slice(&text))
            .collect();
        assert_eq!(slices, ["Été", "五六", "end"]);
    }

    #[test]
    fn a_table_becomes_markdown_rows() {
        let rows = [
            vec!["Year".to_owned(), "Users\n(%)".to_owned()],
            vec!["2024".to_owned(), "a|b".to_owned()],
        ];
        assert_eq!(
            table_rows(&rows),
            "| Year | Users (%) |\n| --- | --- |\n| 2024 | a\\|b |\n"
        );
    }
}
