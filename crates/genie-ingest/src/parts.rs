//! Sections that are too small for a passage of their own, found in the one
//! that they share.

use genie_core::{Block, BlockKind, MediaType, Span};

use crate::{markdown, plain};

/// A section within a passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The headings above it that stand in the passage, its own last, as a
    /// reader sees them.
    pub headings: Vec<String>,
    /// From its heading to the next one, in code points of the passage.
    pub span: Span,
}

/// The sections whose headings stand in a passage, in their order. A heading
/// with nothing below it begins no section.
///
/// ```
/// use genie_core::MediaType;
/// use genie_ingest::parts;
///
/// let passage = "Glass.\n\n## Route\n\nSurveyed.\n\n## Repair\n\nSpliced.";
/// let parts = parts(MediaType::Markdown, passage);
/// assert_eq!(parts[1].headings, ["Repair"]);
/// assert_eq!(parts[1].span.slice(passage), Some("## Repair\n\nSpliced."));
/// ```
#[must_use]
pub fn parts(media_type: MediaType, passage: &str) -> Vec<Part> {
    let blocks = match media_type {
        MediaType::Markdown => markdown::blocks_of(passage, 0).1,
        // Other formats have become text without marks.
        _ => plain::blocks_of(passage).1,
    };
    let mut parts: Vec<Part> = Vec::new();
    let mut above: Vec<(u8, String)> = Vec::new();
    for (at, block) in blocks.iter().enumerate() {
        let BlockKind::Heading { level } = block.kind else {
            continue;
        };
        let Some(heading) = heading(media_type, passage, block) else {
            continue;
        };
        above.retain(|(outer, _)| *outer < level);
        above.push((level, heading));
        let below = &blocks[at + 1..];
        let next = below
            .iter()
            .position(|block| matches!(block.kind, BlockKind::Heading { .. }))
            .unwrap_or(below.len());
        let Some(last) = below[..next].last() else {
            continue;
        };
        if let Some(span) = Span::new(block.span.start(), last.span.end()) {
            parts.push(Part {
                headings: above.iter().map(|(_, heading)| heading.clone()).collect(),
                span,
            });
        }
    }
    parts
}

fn heading(media_type: MediaType, passage: &str, block: &Block) -> Option<String> {
    let raw = block.span.slice(passage)?;
    let heading = match media_type {
        MediaType::Markdown => markdown::heading_text(raw),
        _ => plain::one_line(raw),
    };
    (!heading.is_empty()).then_some(heading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_told_from_what_is_below_them() {
        let check = |media_type, passage: &str, expected: &[(&[&str], &str)]| {
            let found = parts(media_type, passage);
            let found: Vec<(Vec<&str>, Option<&str>)> = found
                .iter()
                .map(|part| {
                    let headings = part.headings.iter().map(String::as_str).collect();
                    (headings, part.span.slice(passage))
                })
                .collect();
            let expected: Vec<(Vec<&str>, Option<&str>)> = expected
                .iter()
                .map(|(headings, text)| (headings.to_vec(), Some(*text)))
                .collect();
            assert_eq!(found, expected, "{passage}");
        };
        check(MediaType::Markdown, "Nothing but text.", &[]);
        check(MediaType::Markdown, "", &[]);
        check(MediaType::Markdown, "## Last", &[]);
        check(
            MediaType::Markdown,
            "Été.\n\n## *One*\n\nÀ.\n\nB.\n\n### Two\n\nC.\n\n## Three\n\nD.\n",
            &[
                (&["One"], "## *One*\n\nÀ.\n\nB."),
                (&["One", "Two"], "### Two\n\nC."),
                (&["Three"], "## Three\n\nD."),
            ],
        );
        // One that only holds others.
        check(
            MediaType::Markdown,
            "## One\n\n### Two\n\nC.",
            &[(&["One", "Two"], "### Two\n\nC.")],
        );
        check(
            MediaType::Text,
            "# No mark of a heading is one here.\n\nRepair\n\nA ship lifts both ends of the cable from the sea floor and \
             splices them on deck.",
            &[(
                &["Repair"],
                "Repair\n\nA ship lifts both ends of the cable from the sea floor and splices \
                 them on deck.",
            )],
        );
    }
}
