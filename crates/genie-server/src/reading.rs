//! The text that the index holds of a document, read in stretches.
//!
//! The index has a document's passages and no more: what stood between two of
//! them is white space or a heading, and of headings it has the path that a
//! passage is under. So a stretch is passages with line breaks between them,
//! and the path wherever it changes. Positions are those of the document's
//! own text, as citations count them.

use genie_core::Chunk;

/// Characters of a path of headings that are shown.
const LONGEST_PATH: usize = 200;

/// Where a stretch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At this character, from 0, or at the first passage behind it.
    Character(usize),
    /// With the first passage of this page; the stretch ends with the page.
    Page(u32),
}

/// Part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Its first character, from 0.
    pub(crate) start: usize,
    /// The character behind its last.
    pub(crate) end: usize,
    /// Where reading goes on; `None` at the end of the document.
    pub(crate) next: Option<usize>,
    /// The page it begins on, where the format has pages.
    pub(crate) page: Option<u32>,
    /// Passages and the headings above them.
    pub(crate) text: String,
}

/// The stretch at a place, of `most` characters of passages at most. `None`
/// where the document has no text there.
pub(crate) fn stretch(chunks: &[Chunk], place: Place, most: usize) -> Option<Stretch> {
    let is_wanted = |chunk: &Chunk| match place {
        Place::Character(at) => chunk.span.end() > at,
        Place::Page(page) => chunk.page == Some(page),
    };
    let first = chunks.iter().position(is_wanted)?;
    let from = match place {
        Place::Character(at) => at.max(chunks[first].span.start()),
        Place::Page(_) => chunks[first].span.start(),
    };
    let mut stretch = Stretch {
        start: from,
        end: from,
        next: None,
        page: chunks[first].page,
        text: String::new(),
    };
    let mut left = most;
    for (index, chunk) in chunks.iter().enumerate().skip(first) {
        if !is_wanted(chunk) || left == 0 {
            stretch.next = Some(stretch.end.max(chunk.span.start()));
            break;
        }
        // Passages may repeat the end of the one before.
        let known = stretch.end.saturating_sub(chunk.span.start());
        let fresh: String = chunk.text.chars().skip(known).take(left).collect();
        if fresh.is_empty() {
            continue;
        }
        let gap = chunk.span.start().saturating_sub(stretch.end);
        if !stretch.text.is_empty() {
            stretch.text.extend(std::iter::repeat_n('\n', gap.min(2)));
        }
        let above = index.checked_sub(1).and_then(|before| chunks.get(before));
        let is_new_section = above.is_none_or(|above| above.section != chunk.section);
        if known == 0 && is_new_section && !chunk.section.is_empty() {
            let path: String = chunk.section_path().chars().take(LONGEST_PATH).collect();
            stretch.text.push_str(&path);
            stretch.text.push_str("\n\n");
        }
        let length = fresh.chars().count();
        left -= length;
        stretch.end = stretch.end.max(chunk.span.start()) + length;
        stretch.text.push_str(&fresh);
        if stretch.end < chunk.span.end() {
            stretch.next = Some(stretch.end);
            break;
        }
    }
    Some(stretch)
}

/// All of it; empty where the document has no text.
pub(crate) fn whole(chunks: &[Chunk]) -> String {
    stretch(chunks, Place::Character(0), usize::MAX).map_or_else(String::new, |all| all.text)
}

#[cfg(test)]
mod tests {
    use genie_core::{ChunkId, DocumentId, Span};
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "First of all. Then more. A second page. And its end.";

    /// Chunks of [`TEXT`] at these places, each with its section and page.
    fn chunks(places: &[(usize, usize, &str, u32)]) -> Vec<Chunk> {
        let document = DocumentId::of(TEXT.as_bytes());
        places
            .iter()
            .zip(0..)
            .map(|(&(start, end, section, page), ordinal)| {
                let span = Span::new(start, end).expect("a span");
                Chunk {
                    id: ChunkId::new(&document, "test", span),
                    document,
                    ordinal,
                    span,
                    text: TEXT[start..end].to_owned(),
                    section: vec![section.to_owned()],
                    page: Some(page),
                    language: None,
                }
            })
            .collect()
    }

    fn sections() -> Vec<Chunk> {
        chunks(&[
            (0, 13, "A", 1),
            (14, 24, "A", 1),
            (25, 39, "B", 2),
            (40, 52, "B", 3),
        ])
    }

    #[test]
    fn a_document_is_read_with_its_headings() {
        assert_eq!(
            whole(&sections()),
            "A\n\nFirst of all.\nThen more.\nB\n\nA second page.\nAnd its end."
        );
        assert_eq!(whole(&[]), "");
    }

    #[test]
    fn a_page_ends_with_itself_and_says_where_the_next_begins() {
        let page = stretch(&sections(), Place::Page(2), 100).expect("a page");
        assert_eq!(page.text, "B\n\nA second page.");
        assert_eq!((page.start, page.end, page.next), (25, 39, Some(40)));
        assert_eq!(page.page, Some(2));
        let last = stretch(&sections(), Place::Page(3), 100).expect("a page");
        assert_eq!(last.next, None);
        assert_eq!(stretch(&sections(), Place::Page(4), 100), None);
    }

    #[test]
    fn what_is_too_long_is_cut_and_can_be_read_on() {
        let first = stretch(&sections(), Place::Character(3), 5).expect("text");
        assert_eq!(first.text, "st of");
        assert_eq!((first.start, first.end, first.next), (3, 8, Some(8)));
        // Between two passages there is nothing to read.
        let second = stretch(&sections(), Place::Character(13), 5).expect("text");
        assert_eq!((second.start, second.text.as_str()), (14, "Then "));
        assert_eq!(stretch(&sections(), Place::Character(52), 5), None);
    }

    #[test]
    fn a_repeated_end_is_told_once() {
        let overlapping = chunks(&[(0, 24, "A", 1), (14, 39, "A", 1), (14, 24, "A", 1)]);
        assert_eq!(
            whole(&overlapping),
            "A\n\nFirst of all. Then more. A second page."
        );
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_are_the_whole(most in 1_usize..60) {
            let chunks = sections();
            let mut pieces = String::new();
            let mut at = Some(0);
            while let Some(from) = at {
                let piece = stretch(&chunks, Place::Character(from), most).expect("text");
                prop_assert!(piece.end > piece.start);
                pieces.extend(piece.text.chars().filter(|c| c.is_alphabetic()));
                at = piece.next;
            }
            let all: String = whole(&chunks).chars().filter(|c| c.is_alphabetic()).collect();
            prop_assert_eq!(pieces, all);
        }
    }
}
