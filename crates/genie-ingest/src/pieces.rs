//! A document as sections of pieces that a chunk may begin or end at.

use std::ops::Range;

use genie_core::{BlockKind, Document, MediaType};
use text_splitter::{ChunkCapacity, ChunkConfig, ChunkSizer, TextSplitter};
use unicode_segmentation::UnicodeSegmentation;

use crate::ChunkOptions;
use crate::markdown::heading_text;
use crate::plain::one_line;
use crate::positions::{Positions, trimmed};

/// A name in a section path, in characters at most.
const MAX_HEADING_CHARS: usize = 160;

/// Bytes of a sentence or row that are looked at in one go.
const MAX_PART_BYTES: usize = 8 << 10;

/// Line ends between two paragraphs of plain text that end a section.
const WIDE_GAP: usize = 4;

/// The least that is kept or cut as one.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) bytes: Range<usize>,
    /// Its tokens, and those of headings and tags right before it.
    pub(crate) tokens: usize,
    /// Index into [`Outline::sections`].
    pub(crate) section: usize,
    pub(crate) page: Option<u32>,
    pub(crate) ends_block: bool,
}

/// A heading with what stands below it.
#[derive(Debug, Default)]
pub(crate) struct Section {
    /// The headings from the outermost to this section's own.
    pub(crate) path: Vec<String>,
    /// The sections of the path, this one last.
    pub(crate) ancestors: Vec<usize>,
    /// Where the heading begins, in bytes.
    pub(crate) start: usize,
    /// The first piece below the heading.
    pub(crate) first_piece: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Outline {
    pub(crate) sections: Vec<Section>,
    pub(crate) pieces: Vec<Piece>,
}

impl Outline {
    pub(crate) fn of(
        document: &Document,
        positions: &Positions<'_>,
        options: &ChunkOptions,
        count_tokens: &dyn Fn(&str) -> usize,
    ) -> Self {
        let splitter = Splitter {
            text: &document.text,
            max_tokens: options.max_tokens,
            count_tokens,
        };
        let mut outline = Self {
            sections: vec![Section::default()],
            pieces: Vec::new(),
        };
        // The open headings with their levels, outermost first.
        let mut open: Vec<(u8, usize)> = Vec::new();
        // Tokens that go to the next piece: headings, and what stands between
        // blocks without being text, such as tags and pictures.
        let mut lead_tokens = 0;
        let mut last_end = 0;
        let mut after_heading = false;
        for (at, block) in document.blocks.iter().enumerate() {
            let bytes = trimmed(&document.text, positions.bytes(block.span));
            if bytes.is_empty() {
                continue;
            }
            let gap = &document.text[last_end.min(bytes.start)..bytes.start];
            // Plain text has no other way to say that a section is over.
            if document.media_type == MediaType::Text
                && !after_heading
                && gap.matches('\n').count() >= WIDE_GAP
            {
                open.clear();
            }
            after_heading = matches!(block.kind, BlockKind::Heading { .. });
            let gap = gap.trim();
            if !outline.pieces.is_empty() && !gap.is_empty() {
                lead_tokens += count_tokens(gap);
            }
            last_end = bytes.end;
            if let BlockKind::Heading { level } = block.kind {
                open.retain(|(above, _)| *above < level);
                if has_body(document, at, level) {
                    lead_tokens += count_tokens(&document.text[bytes.clone()]);
                    outline.open_section(&mut open, level, bytes.start, name(document, &bytes));
                    continue;
                }
            }
            let section = open.last().map_or(0, |(_, section)| *section);
            for (range, tokens, ends_block) in splitter.split(block.kind, bytes) {
                outline.pieces.push(Piece {
                    bytes: range,
                    tokens: tokens + std::mem::take(&mut lead_tokens),
                    section,
                    page: block.page,
                    ends_block,
                });
            }
        }
        outline
    }

    fn open_section(&mut self, open: &mut Vec<(u8, usize)>, level: u8, start: usize, name: String) {
        let index = self.sections.len();
        let above = &self.sections[open.last().map_or(0, |(_, section)| *section)];
        let mut path = above.path.clone();
        let mut ancestors = above.ancestors.clone();
        path.push(name);
        ancestors.push(index);
        self.sections.push(Section {
            path,
            ancestors,
            start,
            first_piece: self.pieces.len(),
        });
        open.push((level, index));
    }
}

/// Whether anything stands below a heading. One with nothing below it would
/// be in no path, so it counts as text.
fn has_body(document: &Document, heading: usize, level: u8) -> bool {
    document
        .blocks
        .get(heading + 1)
        .is_some_and(|next| match next.kind {
            BlockKind::Heading { level: below } => below > level,
            _ => true,
        })
}

fn name(document: &Document, bytes: &Range<usize>) -> String {
    let raw = &document.text[bytes.clone()];
    let name = match document.media_type {
        MediaType::Markdown => heading_text(raw),
        _ => one_line(raw),
    };
    if name.chars().count() <= MAX_HEADING_CHARS {
        return name;
    }
    let mut short: String = name.chars().take(MAX_HEADING_CHARS).collect();
    short.push('…');
    short
}

struct Splitter<'a> {
    text: &'a str,
    max_tokens: usize,
    count_tokens: &'a dyn Fn(&str) -> usize,
}

impl Splitter<'_> {
    /// The rows, lines or sentences of a block, each with its tokens and
    /// whether it is the block's last.
    fn split(&self, kind: BlockKind, block: Range<usize>) -> Vec<(Range<usize>, usize, bool)> {
        let parts = match kind {
            BlockKind::Table => self.rows(block),
            BlockKind::Code => self.lines(block),
            BlockKind::Heading { .. } | BlockKind::Paragraph | BlockKind::ListItem => {
                self.sentences(block)
            }
        };
        let mut pieces = Vec::with_capacity(parts.len());
        let mut counted = None;
        for part in parts {
            // White space between two parts is in the chunk that holds both.
            let from = counted.unwrap_or(part.start);
            let tokens = (self.count_tokens)(&self.text[from..part.end]);
            counted = Some(part.end);
            if tokens <= self.max_tokens {
                pieces.push((part, tokens, false));
            } else {
                pieces.extend(self.cut(part, tokens));
            }
        }
        if let Some(last) = pieces.last_mut() {
            last.2 = true;
        }
        pieces
    }

    fn rows(&self, block: Range<usize>) -> Vec<Range<usize>> {
        let slice = &self.text[block.clone()];
        if slice.starts_with('<') {
            return self.parts(
                &block,
                slice.match_indices("</tr>").map(|(at, end)| at + end.len()),
            );
        }
        let mut rows = self.lines(block);
        // The header stays with the line under it and with the first row.
        if rows.len() > 2 {
            rows[2].start = rows[0].start;
            rows.drain(..2);
        }
        rows
    }

    fn lines(&self, block: Range<usize>) -> Vec<Range<usize>> {
        let slice = &self.text[block.clone()];
        self.parts(&block, slice.match_indices('\n').map(|(at, _)| at + 1))
    }

    fn sentences(&self, block: Range<usize>) -> Vec<Range<usize>> {
        let slice = &self.text[block.clone()];
        self.parts(
            &block,
            slice.split_sentence_bound_indices().map(|(at, _)| at),
        )
    }

    /// The block cut at offsets from its start, white space left out.
    fn parts(&self, block: &Range<usize>, cuts: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
        let mut parts = Vec::new();
        let mut start = block.start;
        for cut in cuts.map(|cut| block.start + cut).chain([block.end]) {
            self.windows(start..cut, &mut parts);
            start = cut;
        }
        parts
    }

    /// The range in windows that a tokenizer and a splitter can be asked
    /// about: both take far more than twice as long for twice the text.
    fn windows(&self, mut range: Range<usize>, parts: &mut Vec<Range<usize>>) {
        while !range.is_empty() {
            let mut cut = range.end;
            if range.len() > MAX_PART_BYTES {
                cut = self.text.floor_char_boundary(range.start + MAX_PART_BYTES);
                // Rather between words than inside of one.
                let window = &self.text[range.start..cut];
                if let Some(space) = window.rfind(char::is_whitespace).filter(|&at| at > 0) {
                    cut = range.start + space;
                }
            }
            let part = trimmed(self.text, range.start..cut);
            if !part.is_empty() {
                parts.push(part);
            }
            range.start = cut;
        }
    }

    /// Cuts what is too long to be one piece, between words if it has any.
    /// Tokens are estimated by length while cutting, because the splitter
    /// asks often; the pieces are counted when they are found.
    fn cut(&self, part: Range<usize>, tokens: usize) -> Vec<(Range<usize>, usize, bool)> {
        let slice = &self.text[part.clone()];
        let sizer = Estimate {
            tokens,
            bytes: slice.len(),
        };
        // Some slack, as dense places have more tokens than estimated.
        let capacity = (self.max_tokens * 4 / 5).max(1);
        let config = ChunkConfig::new(ChunkCapacity::new(capacity)).with_sizer(sizer);
        let mut pieces = Vec::new();
        for (offset, piece) in TextSplitter::new(config).chunk_indices(slice) {
            let start = part.start + offset;
            let range = start..start + piece.len();
            let counted = (self.count_tokens)(piece);
            if counted > self.max_tokens && counted < tokens {
                pieces.extend(self.cut(range, counted));
            } else {
                pieces.push((range, counted, false));
            }
        }
        pieces
    }
}

/// Tokens in proportion to bytes.
struct Estimate {
    tokens: usize,
    bytes: usize,
}

impl ChunkSizer for Estimate {
    fn size(&self, chunk: &str) -> usize {
        (chunk.len() * self.tokens).div_ceil(self.bytes.max(1))
    }
}
