//! Passages into the prompt, as many as its budget holds.

use genie_core::{Generate, Passage};

use crate::index::passage_text;

/// The passages that the model reads, best first; the model knows them by
/// their position, counted from 1.
pub(crate) struct Packed<'a> {
    pub(crate) passages: Vec<&'a Passage>,
    pub(crate) text: String,
}

/// Takes passages in their order while they fit. The first one is always
/// taken: chunks are far smaller than any sensible budget.
pub(crate) fn pack<'a>(
    passages: &'a [Passage],
    budget: usize,
    generate: &dyn Generate,
) -> Packed<'a> {
    let mut packed = Packed {
        passages: Vec::new(),
        text: String::new(),
    };
    let mut used = 0;
    for passage in passages {
        let number = packed.passages.len() + 1;
        let (chunk, document) = (&passage.hit.chunk, &passage.hit.document);
        let entry = format!(
            "[{number}] {}\n\n",
            passage_text(chunk, &document.title, document.media_type).trim()
        );
        let tokens = generate.count_tokens(&entry);
        if used + tokens > budget && !packed.passages.is_empty() {
            continue;
        }
        used += tokens;
        packed.text.push_str(&entry);
        packed.passages.push(passage);
    }
    packed
}
