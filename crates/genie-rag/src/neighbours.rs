//! Neighbouring chunks of one document that were both found become one
//! passage.
//!
//! A document is cut where a chunk is long enough, not where a thought ends,
//! so what answers a question may be half in one chunk and half in the next.
//! Only chunks of one section are joined, and only where nothing but white
//! space is between them. What is joined keeps its chunks: a quote is taken
//! from within one of them, so that its span, its page and its section stay
//! exact.

use genie_core::{Chunk, Passage, Span};

use crate::left_out::{ChunkPlace, LeftOut, LeftOutReason, Sifted};

/// Chunks of a passage at most: about a thousand tokens.
const LONGEST: usize = 3;
/// Characters between two chunks at most; where there are more, there is
/// something else than white space, such as a heading, whose text the index
/// does not have.
const GAP: usize = 4;

/// Joins neighbours, at the place of the best of them. No passage is added,
/// and whatever is found in the first of the result was found there or later
/// before.
pub(crate) fn merged(passages: Vec<Passage>) -> Sifted {
    let mut kept: Vec<Passage> = Vec::with_capacity(passages.len());
    let mut left_out = Vec::new();
    for passage in passages {
        // A chunk may close the gap between two passages; then it goes to the
        // better one, and the other one stays by itself.
        let place = kept
            .iter()
            .position(|better| is_neighbour(better, &passage));
        match place {
            Some(place) => {
                join(&mut kept[place], passage.hit.chunk.clone());
                let reason = LeftOutReason::Joined(ChunkPlace::of(&kept[place]));
                left_out.push(LeftOut::new(passage, reason));
            }
            None => kept.push(passage),
        }
    }
    for passage in &mut kept {
        if let Some(joined) = joined(passage) {
            passage.hit.chunk = joined;
        }
    }
    Sifted { kept, left_out }
}

fn is_neighbour(better: &Passage, other: &Passage) -> bool {
    let chunk = &other.hit.chunk;
    let parts = match better.parts.as_slice() {
        [] => std::slice::from_ref(&better.hit.chunk),
        parts => parts,
    };
    parts.len() < LONGEST
        && parts.iter().any(|part| {
            let (before, after) = if part.ordinal < chunk.ordinal {
                (part, chunk)
            } else {
                (chunk, part)
            };
            let gap = after.span.start().checked_sub(before.span.end());
            part.document == chunk.document
                && before.ordinal + 1 == after.ordinal
                && part.section == chunk.section
                && gap.is_some_and(|gap| gap <= GAP)
        })
}

fn join(better: &mut Passage, chunk: Chunk) {
    if better.parts.is_empty() {
        better.parts.push(better.hit.chunk.clone());
    }
    better.parts.push(chunk);
    better.parts.sort_by_key(|part| part.ordinal);
}

/// The chunk that spans all parts of a passage, under the best one's name.
fn joined(passage: &Passage) -> Option<Chunk> {
    let (first, last) = (passage.parts.first()?, passage.parts.last()?);
    let mut text = String::new();
    let mut end = first.span.start();
    for part in &passage.parts {
        let gap = part.span.start().saturating_sub(end);
        text.extend(std::iter::repeat_n('\n', gap));
        text.push_str(&part.text);
        end = part.span.end();
    }
    Some(Chunk {
        ordinal: first.ordinal,
        span: Span::new(first.span.start(), last.span.end())?,
        text,
        page: first.page,
        ..passage.hit.chunk.clone()
    })
}

/// The chunk of a passage in which a place of the document is.
pub(crate) fn part_at(passage: &Passage, place: usize) -> &Chunk {
    passage
        .parts
        .iter()
        .find(|part| (part.span.start()..part.span.end()).contains(&place))
        .unwrap_or(&passage.hit.chunk)
}

#[cfg(test)]
mod tests {
    use crate::fixtures::passage;

    use super::*;

    /// Chunks of "a.md" by ordinal, each of ten characters with a blank line
    /// in front.
    fn numbered(ordinal: u32) -> Passage {
        let mut passage = passage("a.md", &format!("text no {ordinal}."));
        passage.hit.chunk.ordinal = ordinal;
        let start = ordinal as usize * 12;
        let length = passage.hit.chunk.text.chars().count();
        passage.hit.chunk.span = Span::new(start, start + length).expect("a span");
        passage.hit.chunk.page = Some(ordinal + 1);
        passage
    }

    fn ordinals(passages: &[Passage]) -> Vec<Vec<u32>> {
        let of = |passage: &Passage| match passage.parts.as_slice() {
            [] => vec![passage.hit.chunk.ordinal],
            parts => parts.iter().map(|part| part.ordinal).collect(),
        };
        passages.iter().map(of).collect()
    }

    #[test]
    fn neighbours_become_one_passage_at_the_better_place() {
        let other = passage("b.md", "elsewhere");
        let Sifted {
            kept: found,
            left_out,
        } = merged(vec![numbered(4), other, numbered(3), numbered(7)]);
        let [joined] = left_out.as_slice() else {
            panic!("one was joined: {left_out:?}");
        };
        assert_eq!(joined.passage, numbered(3));
        let into = ChunkPlace::of(&numbered(4));
        assert_eq!(joined.reason, LeftOutReason::Joined(into));
        assert_eq!(ordinals(&found), [vec![3, 4], vec![0], vec![7]]);
        let chunk = &found[0].hit.chunk;
        assert_eq!(chunk.text, "text no 3.\n\ntext no 4.");
        assert_eq!((chunk.span.start(), chunk.span.end()), (36, 58));
        assert_eq!(
            chunk.span.end() - chunk.span.start(),
            chunk.text.chars().count()
        );
        assert_eq!(chunk.page, Some(4));
        assert_eq!(part_at(&found[0], 36).page, Some(4));
        assert_eq!(part_at(&found[0], 50).page, Some(5));
    }

    #[test]
    fn a_passage_does_not_grow_without_end() {
        let found = merged([5, 6, 7, 8, 9].map(numbered).to_vec()).kept;
        assert_eq!(ordinals(&found), [vec![5, 6, 7], vec![8, 9]]);
    }

    #[test]
    fn what_does_not_belong_together_stays_apart() {
        let mut elsewhere = numbered(2);
        elsewhere.hit.chunk.section = vec!["Another section".to_owned()];
        let mut behind_a_heading = numbered(3);
        behind_a_heading.hit.chunk.span = Span::new(60, 70).expect("a span");
        let sifted = merged(vec![numbered(1), elsewhere, behind_a_heading, numbered(5)]);
        let found = sifted.kept;
        assert_eq!(found.len(), 4);
        assert!(found.iter().all(|passage| passage.parts.is_empty()));
    }
}
