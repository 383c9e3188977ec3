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
        let hit = &passage.hit;
        let number = citations.len() + 1;
        text.push_str(&format!(
            "\n« {} » [{number}]",
            support.quote.replace('\n', " ")
        ));
        citations.push(support.citation(number, hit));
    }
    Ok((text, citations))
}
