//! What one answer is worth.

use std::collections::BTreeMap;

use genie_core::{Answer, Citation, Span};
use genie_ingest::LanguageDetector;

use crate::quote::normalized;
use crate::suite::Item;

/// Where the evidence of a question stands: document, as the index calls it,
/// and the places of each quote.
pub(crate) type Places = Vec<(String, Vec<Span>)>;

/// The metrics of this answer.
pub(crate) fn values(item: &Item, answer: &Answer, evidence: &Places) -> BTreeMap<String, f64> {
    let mut values = BTreeMap::new();
    let Some(expected) = &item.expected else {
        return values;
    };
    let mut set = |name: &str, holds: bool| {
        values.insert(name.to_owned(), f64::from(u8::from(holds)));
    };
    let right =
        expected.answerable && answer.answered && holds_all(&answer.text, &expected.must_include);
    if expected.answerable {
        set("answered", answer.answered);
        // Without strings to look for nobody can tell.
        if !expected.must_include.is_empty() {
            set("right", right);
            set("wrongly_answered", answer.answered && !right);
        }
    } else {
        set("refused_rightly", !answer.answered);
        set("wrongly_answered", answer.answered);
    }
    // Quoted passages are in the language of their documents.
    if !answer.degraded {
        set("language_kept", is_in(&answer.text, &item.language));
    }
    // How far the probability that the answer is right is from what it turned
    // out to be, squared (Brier's score).
    if let Some(confidence) = answer.confidence
        && !(expected.answerable && expected.must_include.is_empty())
    {
        let confidence = f64::from(confidence);
        let turned_out = f64::from(u8::from(right));
        values.insert("confidence".to_owned(), confidence);
        values.insert("brier".to_owned(), (confidence - turned_out).powi(2));
    }
    if expected.answerable && answer.answered && !evidence.is_empty() {
        let supported = answer
            .citations
            .iter()
            .filter(|citation| overlaps(citation, evidence))
            .count();
        let cited = answer.citations.len().max(1);
        values.insert(
            "citation_accuracy".to_owned(),
            supported as f64 / cited as f64,
        );
    }
    values
}

/// Each group has one of its strings in the text.
fn holds_all(text: &str, groups: &[Vec<String>]) -> bool {
    let text = normalized(&without_numbers(text)).to_lowercase();
    groups.iter().all(|group| {
        group
            .iter()
            .any(|wanted| text.contains(&normalized(wanted).to_lowercase()))
    })
}

/// The text without `[n]`, which could pass for a figure that is asked for.
fn without_numbers(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('[') {
        let (before, bracket) = rest.split_at(at);
        kept.push_str(before);
        let digits = bracket[1..].bytes().take_while(u8::is_ascii_digit).count();
        if digits > 0 && bracket[1 + digits..].starts_with(']') {
            // The space in front goes too: `3 000 [1].` ends with a figure.
            kept.truncate(kept.trim_end_matches(' ').len());
            rest = &bracket[digits + 2..];
        } else {
            kept.push('[');
            rest = &bracket[1..];
        }
    }
    kept.push_str(rest);
    kept
}

/// Whether the text is in this language, or shows none.
fn is_in(text: &str, language: &str) -> bool {
    LanguageDetector
        .detect(&without_numbers(text))
        .is_none_or(|detected| detected.code() == language)
}

fn overlaps(citation: &Citation, evidence: &Places) -> bool {
    evidence.iter().any(|(document, spans)| {
        *document == citation.document
            && spans.iter().any(|span| {
                span.start() < citation.span.end() && citation.span.start() < span.end()
            })
    })
}

#[cfg(test)]
mod tests {
    use genie_core::{AnswerTimings, Language, Usage};

    use super::*;
    use crate::suite::{Expected, Target};

    fn item(answerable: bool, groups: &[&[&str]]) -> Item {
        Item {
            id: "a".to_owned(),
            language: "en".to_owned(),
            kinds: Vec::new(),
            question: "How many?".to_owned(),
            history: Vec::new(),
            collection: None,
            target: Target::Nothing,
            expected: Some(Expected {
                answerable,
                must_include: groups
                    .iter()
                    .map(|group| group.iter().map(|&text| text.to_owned()).collect())
                    .collect(),
            }),
        }
    }

    fn answer(text: &str, answered: bool, cited: &[(&str, usize, usize)]) -> Answer {
        Answer {
            text: text.to_owned(),
            language: Language::English,
            answered,
            degraded: false,
            confidence: None,
            hand_over: None,
            citations: cited
                .iter()
                .map(|&(document, start, end)| Citation {
                    number: 1,
                    document: document.to_owned(),
                    title: String::new(),
                    page: None,
                    section: String::new(),
                    span: Span::new(start, end).unwrap(),
                    quote: String::new(),
                })
                .collect(),
            passages: Vec::new(),
            model: None,
            timings: AnswerTimings::default(),
            usage: Usage::default(),
            formed: None,
        }
    }

    fn check(item: &Item, answer: &Answer, evidence: &Places, expected: &[(&str, f64)]) {
        let found = values(item, answer, evidence);
        let found: Vec<_> = found
            .iter()
            .map(|(name, value)| (name.as_str(), *value))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_right_answer_has_every_group() {
        let item = item(true, &[&["3,000", "3 000"], &["EURO"]]);
        let evidence = vec![("a.md".to_owned(), vec![Span::new(10, 20).unwrap()])];
        check(
            &item,
            &answer(
                "It costs about 3\u{a0}000 euros [1].",
                true,
                &[("a.md", 0, 11), ("b.md", 10, 20)],
            ),
            &evidence,
            &[
                ("answered", 1.0),
                ("citation_accuracy", 0.5),
                ("language_kept", 1.0),
                ("right", 1.0),
                ("wrongly_answered", 0.0),
            ],
        );
        check(
            &item,
            &answer("Cela coûte environ 3 000 dans les pays.", true, &[]),
            &evidence,
            &[
                ("answered", 1.0),
                ("citation_accuracy", 0.0),
                ("language_kept", 0.0),
                ("right", 0.0),
                ("wrongly_answered", 1.0),
            ],
        );
        check(
            &item,
            &answer("The documents do not say.", false, &[]),
            &evidence,
            &[
                ("answered", 0.0),
                ("language_kept", 1.0),
                ("right", 0.0),
                ("wrongly_answered", 0.0),
            ],
        );
    }

    #[test]
    fn an_unanswerable_question_is_rightly_refused() {
        let item = item(false, &[]);
        check(
            &item,
            &answer("The documents do not say.", false, &[]),
            &Vec::new(),
            &[
                ("language_kept", 1.0),
                ("refused_rightly", 1.0),
                ("wrongly_answered", 0.0),
            ],
        );
        check(
            &item,
            &answer("There are twelve of them.", true, &[]),
            &Vec::new(),
            &[
                ("language_kept", 1.0),
                ("refused_rightly", 0.0),
                ("wrongly_answered", 1.0),
            ],
        );
    }

    #[test]
    fn the_number_of_a_citation_is_no_figure() {
        let item = item(true, &[&["13"]]);
        let found = values(
            &item,
            &answer("There are many of them [13].", true, &[]),
            &Vec::new(),
        );
        assert_eq!(found["right"], 0.0);
        assert_eq!(without_numbers("a [x] b [1][2]. [3"), "a [x] b. [3");
    }
}
