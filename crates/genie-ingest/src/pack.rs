//! Pieces to chunks of the right size.

use std::ops::Range;

use crate::ChunkOptions;
use crate::pieces::{Outline, Piece};

/// A chunk's place and context.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) bytes: Range<usize>,
    pub(crate) section: Vec<String>,
    pub(crate) page: Option<u32>,
}

/// The most sections that a joint path names.
const MAX_JOINT_NAMES: usize = 3;

/// Packs all pieces, each into one chunk.
pub(crate) fn pack(outline: &Outline, options: &ChunkOptions) -> Vec<Packed> {
    let mut packer = Packer {
        outline,
        options,
        chunks: Vec::new(),
        open: 0..0,
        open_tokens: 0,
    };
    let mut at = 0;
    while at < outline.pieces.len() {
        let section = outline.pieces[at].section;
        let end = outline.pieces[at..]
            .iter()
            .position(|piece| piece.section != section)
            .map_or(outline.pieces.len(), |length| at + length);
        packer.add(at..end);
        at = end;
    }
    packer.flush();
    packer
        .chunks
        .into_iter()
        .map(|(pieces, _)| packed(outline, &pieces))
        .collect()
}

struct Packer<'a> {
    outline: &'a Outline,
    options: &'a ChunkOptions,
    /// Finished chunks as ranges of pieces, with their tokens.
    chunks: Vec<(Range<usize>, usize)>,
    /// Pieces that are in no chunk yet.
    open: Range<usize>,
    open_tokens: usize,
}

impl Packer<'_> {
    /// Takes the pieces of one section.
    fn add(&mut self, group: Range<usize>) {
        let tokens = self.tokens(&group);
        if !self.open.is_empty() && !self.joins(&group, tokens) {
            self.flush();
        }
        if self.open.is_empty() {
            self.open = group;
        } else {
            self.open.end = group.end;
        }
        self.open_tokens += tokens;
        while self.open_tokens > self.options.max_tokens && self.open.len() > 1 {
            let end = self.best_end();
            self.close(end);
        }
    }

    /// Whether a section shares a chunk with what is open before it.
    fn joins(&self, group: &Range<usize>, tokens: usize) -> bool {
        let tiny = self.options.min_tokens / 2;
        let related = self.related(self.open.start, group.start);
        if self.open_tokens + tokens <= self.options.max_tokens {
            return self.open_tokens < self.options.min_tokens
                && (related || self.open_tokens < tiny || tokens < tiny);
        }
        // The section is cut anyway, and takes a small lead with it.
        self.open_tokens < tiny / 2
            || (related && self.open_tokens < self.options.min_tokens * 7 / 10)
    }

    /// Whether two pieces have a heading above them in common.
    fn related(&self, a: usize, b: usize) -> bool {
        let section = |piece: usize| &self.outline.sections[self.outline.pieces[piece].section];
        match (section(a).ancestors.first(), section(b).ancestors.first()) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        }
    }

    /// Where the open pieces are best cut: at the size wanted, rather behind
    /// a section than a block, and rather behind a block than a sentence.
    fn best_end(&self) -> usize {
        let max = self.options.max_tokens;
        let target = if self.open_tokens <= 2 * max {
            self.open_tokens / 2
        } else {
            self.options.target_tokens
        };
        let tolerance = self.options.max_tokens - self.options.min_tokens.min(max);
        let mut best = (usize::MAX, self.open.start + 1);
        let mut tokens = 0;
        for at in self.open.clone() {
            tokens += self.outline.pieces[at].tokens;
            let end = at + 1;
            if tokens > max || end == self.open.end {
                break;
            }
            let penalty = match self.outline.pieces[at].ends_block {
                true if self.outline.pieces[end].section != self.outline.pieces[at].section => 0,
                true => tolerance / 4,
                false => tolerance,
            };
            let cost = tokens.abs_diff(target) + penalty;
            if cost <= best.0 {
                best = (cost, end);
            }
        }
        best.1
    }

    fn close(&mut self, end: usize) {
        let chunk = self.open.start..end;
        let tokens = self.tokens(&chunk);
        self.open.start = end;
        self.open_tokens -= tokens;
        self.chunks.push((chunk, tokens));
    }

    /// Ends the open chunk; a tiny one joins the chunk before it.
    fn flush(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let open = std::mem::replace(&mut self.open, 0..0);
        let tokens = std::mem::take(&mut self.open_tokens);
        let related = self
            .chunks
            .last()
            .is_some_and(|(last, _)| self.related(last.start, open.start));
        match self.chunks.last_mut() {
            Some((last, last_tokens))
                if related
                    && tokens < self.options.min_tokens / 4
                    && *last_tokens + tokens <= self.options.max_tokens =>
            {
                last.end = open.end;
                *last_tokens += tokens;
            }
            _ => self.chunks.push((open, tokens)),
        }
    }

    fn tokens(&self, pieces: &Range<usize>) -> usize {
        self.outline.pieces[pieces.clone()]
            .iter()
            .map(|piece| piece.tokens)
            .sum()
    }
}

fn packed(outline: &Outline, range: &Range<usize>) -> Packed {
    let pieces = &outline.pieces[range.clone()];
    let (common, section) = section_path(outline, pieces);
    let first = &pieces[0];
    // Headings that the path does not name are part of the passage.
    let start = outline.sections[first.section].ancestors[common..]
        .iter()
        .map(|&ancestor| &outline.sections[ancestor])
        .filter(|ancestor| ancestor.first_piece == range.start)
        .map(|ancestor| ancestor.start)
        .fold(first.bytes.start, usize::min);
    Packed {
        bytes: start..pieces[pieces.len() - 1].bytes.end,
        section,
        page: first.page,
    }
}

/// How many headings all pieces have above them, and the section path: these
/// headings, or, where there are none, the first heading of each part.
fn section_path(outline: &Outline, pieces: &[Piece]) -> (usize, Vec<String>) {
    let first = &outline.sections[pieces[0].section];
    let mut common = first.ancestors.len();
    let mut names: Vec<&str> = Vec::new();
    for piece in pieces {
        let section = &outline.sections[piece.section];
        common = section
            .ancestors
            .iter()
            .zip(&first.ancestors)
            .take(common)
            .take_while(|(a, b)| a == b)
            .count();
        if let Some(name) = section.path.first()
            && names.last() != Some(&name.as_str())
        {
            names.push(name);
        }
    }
    if common > 0 || names.is_empty() {
        return (common, first.path[..common].to_vec());
    }
    let more = names.len() > MAX_JOINT_NAMES;
    names.truncate(MAX_JOINT_NAMES);
    let mut joint = names.join(" / ");
    if more {
        joint.push_str(" / …");
    }
    (0, vec![joint])
}
