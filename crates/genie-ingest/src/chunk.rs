use genie_core::{Chunk, ChunkId, Document, Language};

use crate::LanguageDetector;
use crate::pack::{Packed, pack};
use crate::pieces::Outline;
use crate::positions::Positions;
use crate::readable::readable;

/// Changes whenever the same document would be cut differently, because
/// chunk ids and indexes depend on the cut.
pub const CHUNKER_VERSION: &str = "1";

/// How long chunks are, in tokens of the embedding model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkOptions {
    /// Shorter chunks are joined with what follows, where sections allow.
    pub min_tokens: usize,
    /// What a chunk of a long section has about.
    pub target_tokens: usize,
    /// Longer chunks are not made, as far as counts of parts add up to the
    /// count of the whole.
    pub max_tokens: usize,
}

impl Default for ChunkOptions {
    fn default() -> Self {
        Self {
            min_tokens: 250,
            target_tokens: 300,
            max_tokens: 350,
        }
    }
}

/// Cuts documents into passages.
///
/// Sections are kept apart unless they are small; then neighbours share a
/// chunk and the section path is what they have in common. Long sections are
/// cut between blocks where that gives chunks of the right size, else between
/// sentences or table rows.
pub struct Chunker<'a> {
    options: ChunkOptions,
    count_tokens: &'a dyn Fn(&str) -> usize,
}

impl<'a> Chunker<'a> {
    /// A chunker that measures with `count_tokens`: the tokens that the
    /// embedding model makes of a text, without those that frame every input.
    ///
    /// Options are put in order where they contradict each other (the least
    /// is at most the target, the target at most the maximum, which is at
    /// least 1).
    #[must_use]
    pub fn new(options: ChunkOptions, count_tokens: &'a dyn Fn(&str) -> usize) -> Self {
        let max_tokens = options.max_tokens.max(1);
        let target_tokens = options.target_tokens.clamp(1, max_tokens);
        Self {
            options: ChunkOptions {
                min_tokens: options.min_tokens.min(target_tokens),
                target_tokens,
                max_tokens,
            },
            count_tokens,
        }
    }

    /// The passages of a document in their order.
    ///
    /// Their spans don't overlap, and everything but headings is in one of
    /// them; headings are in section paths.
    #[must_use]
    pub fn chunk(&self, document: &Document) -> Vec<Chunk> {
        let positions = Positions::new(&document.text);
        let outline = Outline::of(document, &positions, &self.options, self.count_tokens);
        pack(&outline, &self.options)
            .into_iter()
            .enumerate()
            .map(|(ordinal, packed)| chunk(document, &positions, ordinal, packed))
            .collect()
    }
}

impl std::fmt::Debug for Chunker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunker")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn chunk(document: &Document, positions: &Positions<'_>, ordinal: usize, packed: Packed) -> Chunk {
    let span = positions.span(&packed.bytes);
    let text = document.text[packed.bytes].to_owned();
    Chunk {
        id: ChunkId::new(&document.id, CHUNKER_VERSION, span),
        document: document.id,
        ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX),
        span,
        language: language(document, &text),
        text,
        section: packed.section,
        page: packed.page,
    }
}

fn language(document: &Document, text: &str) -> Option<Language> {
    LanguageDetector.detect_part(&readable(document.media_type, text), document.language)
}
