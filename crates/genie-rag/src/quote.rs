//! The answer without a language model: the closest sentences, quoted.

use genie_core::{Citation, Embed, Language, Passage};

use crate::phrases;
use crate::question::RagError;
use crate::support::{Claim, Evidence};

/// Passages quoted at most.
const QUOTES: usize = 3;

/// An answer of quotes, each of them cited.
pub(crate) fn quoted_answer(
    question: &str,
    language: Language,
    passages: &[Passage],
    embed: &dyn Embed,
) -> Result<(String, Vec<Citation>), RagError> {
    let claim = Claim::new(question, language, embed)?;
    let mut text = phrases::quoted_passages(language).to_owned();
    let mut citations = Vec::new();
    for passage in passages.iter().take(QUOTES) {
        let Some(support) = Evidence::new(passage).closest(&claim, embed)? else {
            continue;
        };
        let number = citations.len() + 1;
        text.push_str(&format!(
            "\n« {} » [{number}]",
            support.quote.replace('\n', " ")
        ));
        citations.push(support.citation(number, passage));
    }
    Ok((text, citations))
}

#[cfg(test)]
mod tests {
    use genie_core::Span;
    use genie_testkit::FakeEmbed;

    use crate::fixtures::passage;
    use crate::neighbours::merged;

    use super::*;

    const DOCUMENT: &str = "The cable was cut by an anchor. Nobody saw it\n\n\
                            and a ship repaired the cable in two weeks. It was expensive.";

    /// The document's two chunks, on two pages, as one passage.
    fn joined() -> Passage {
        let chunk = |ordinal, start, end| {
            let span = Span::new(start, end).expect("a span");
            let text = span.slice(DOCUMENT).expect("within");
            let mut passage = passage("a.md", text);
            passage.hit.chunk.ordinal = ordinal;
            passage.hit.chunk.span = span;
            passage.hit.chunk.page = Some(ordinal + 1);
            passage
        };
        let end = DOCUMENT.chars().count();
        let passages = merged(vec![chunk(1, 47, end), chunk(0, 0, 45)]);
        assert_eq!(passages.kept.len(), 1);
        passages.kept.into_iter().next().expect("one")
    }

    #[test]
    fn what_is_quoted_of_joined_chunks_stands_on_its_page_at_its_span() {
        let joined = joined();
        for (question, page) in [
            ("Was the cable cut by an anchor?", 1),
            ("Nobody saw it", 1),
            ("a ship repaired the cable in two weeks", 2),
            ("It was expensive", 2),
        ] {
            let passages = std::slice::from_ref(&joined);
            let (_, citations) =
                quoted_answer(question, Language::English, passages, &FakeEmbed::new())
                    .expect("the fake never fails");
            let citation = &citations[0];
            assert_eq!(citation.page, Some(page), "{question}");
            let said = citation.span.slice(DOCUMENT);
            assert_eq!(said, Some(citation.quote.as_str()));
            assert!(!citation.quote.contains('\n'), "{:?}", citation.quote);
        }
    }
}
