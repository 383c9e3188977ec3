//! Candidates of a search that are not among what it found, and why.

use genie_core::{Passage, Span};

/// A candidate that is not among the passages of a search.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// What it is and how far it came.
    pub passage: Passage,
    /// Why it is not among them.
    pub reason: LeftOutReason,
}

/// Why a candidate is not among the passages of a search.
#[derive(Debug, Clone, PartialEq)]
pub enum LeftOutReason {
    /// It says what a better one says.
    Repeats(ChunkPlace),
    /// It says in another language what this one says, which is better or in
    /// the question's language, and then has its score.
    Translates(ChunkPlace),
    /// It became a part of its neighbour.
    Joined(ChunkPlace),
    /// Its score is under this one, that of the best passage less the margin.
    Threshold(f32),
    /// It is behind the widest gap between two scores; this one is before it.
    Gap(f32),
    /// As many as were asked for are better. Whether it repeats one of them
    /// was not looked at.
    TopK,
}

impl LeftOutReason {
    /// Its name in results.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Repeats(_) => "repeats",
            Self::Translates(_) => "translates",
            Self::Joined(_) => "joined",
            Self::Threshold(_) => "threshold",
            Self::Gap(_) => "gap",
            Self::TopK => "top_k",
        }
    }
}

/// Where a chunk stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkPlace {
    /// Its document, by path or URI as ingested.
    pub document: String,
    /// Its characters in the document's text.
    pub span: Span,
}

impl ChunkPlace {
    pub(crate) fn of(passage: &Passage) -> Self {
        Self {
            document: passage.hit.document.uri.clone(),
            span: passage.hit.chunk.span,
        }
    }
}

impl LeftOut {
    pub(crate) fn new(passage: Passage, reason: LeftOutReason) -> Self {
        tracing::debug!(
            document = passage.hit.document.uri,
            why = reason.as_str(),
            "left out"
        );
        Self { passage, reason }
    }
}

/// Passages of a search, best first, and the candidates that are not among
/// them.
#[derive(Debug, Default)]
pub(crate) struct Sifted {
    pub(crate) kept: Vec<Passage>,
    pub(crate) left_out: Vec<LeftOut>,
}

impl Sifted {
    /// Keeps the first `count`.
    pub(crate) fn truncate(&mut self, count: usize, reason: &LeftOutReason) {
        let count = count.min(self.kept.len());
        let rest = self.kept.drain(count..);
        self.left_out
            .extend(rest.map(|passage| LeftOut::new(passage, reason.clone())));
    }
}
