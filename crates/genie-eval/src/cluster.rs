//! Questions that are not independent of each other.

use std::collections::HashMap;

use crate::suite::{Item, Target};

/// Of each question a number that it shares with those that are about the same
/// text, in whatever language, or the same document: of several documents the
/// first one counts, else one question could join all. A question that any of
/// many texts answers is by itself.
pub(crate) fn clusters(items: &[&Item]) -> Vec<usize> {
    joined(items, |item| match &item.target {
        Target::Evidence(evidence) => evidence
            .first()
            .map(|quote| quote.document.clone())
            .into_iter()
            .collect(),
        Target::Texts(relevant) if relevant.len() > 1 => Vec::new(),
        Target::Texts(_) | Target::Nothing => subjects(item),
    })
}

/// The same for questions of which one must not be learnt from where another
/// is judged: those that have any text or document in common.
pub(crate) fn dependent(items: &[&Item]) -> Vec<usize> {
    joined(items, subjects)
}

fn joined(items: &[&Item], subjects: impl Fn(&Item) -> Vec<String>) -> Vec<usize> {
    let mut group: Vec<usize> = (0..items.len()).collect();
    let mut first: HashMap<String, usize> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        for name in subjects(item) {
            let other = *first.entry(name).or_insert(at);
            let (one, other) = (root(&group, at), root(&group, other));
            group[one.max(other)] = one.min(other);
        }
    }
    (0..items.len()).map(|at| root(&group, at)).collect()
}

fn root(group: &[usize], mut at: usize) -> usize {
    while group[at] != at {
        at = group[at];
    }
    at
}

fn subjects(item: &Item) -> Vec<String> {
    let mut subjects: Vec<String> = match &item.target {
        Target::Evidence(evidence) => evidence
            .iter()
            .map(|quote| quote.document.clone())
            .collect(),
        Target::Texts(relevant) => relevant
            .iter()
            .flat_map(|relevant| &relevant.any_of)
            .map(ToString::to_string)
            .collect(),
        Target::Nothing => Vec::new(),
    };
    // The same question in another language.
    if let Some((_, question)) = item.id.rsplit_once('/') {
        subjects.push(format!("question {question}"));
    }
    subjects
}

#[cfg(test)]
mod tests {
    use genie_core::DocumentId;

    use super::*;
    use crate::suite::{Evidence, Relevant};

    fn about(id: &str, documents: &[&str]) -> Item {
        let quote = |document: &&str| Evidence {
            document: (*document).to_owned(),
            quote: "a quote".to_owned(),
            place: "gold.jsonl:1".to_owned(),
        };
        Item {
            id: id.to_owned(),
            language: "en".to_owned(),
            kinds: Vec::new(),
            question: "What?".to_owned(),
            history: Vec::new(),
            collection: None,
            target: match documents {
                [] => Target::Nothing,
                _ => Target::Evidence(documents.iter().map(quote).collect()),
            },
            expected: None,
        }
    }

    #[test]
    fn questions_are_joined_by_what_they_are_about() {
        let items = [
            about("a", &["x.md"]),
            about("b", &["y.md"]),
            about("c", &[]),
            about("d", &["z.md", "x.md"]),
            about("e", &["z.md"]),
            about("f", &[]),
        ];
        let items: Vec<&Item> = items.iter().collect();
        assert_eq!(dependent(&items), [0, 1, 2, 0, 0, 5]);
        // By the first of its documents alone.
        assert_eq!(clusters(&items), [0, 1, 2, 3, 3, 5]);
    }

    #[test]
    fn a_question_in_another_language_is_the_same_one() {
        let text = |name: &str| Relevant {
            any_of: vec![DocumentId::of(name.as_bytes())],
            grade: 1.0,
        };
        let asked = |id: &str, texts: &[&str]| Item {
            target: Target::Texts(texts.iter().map(|name| text(name)).collect()),
            ..about(id, &[])
        };
        let items = [
            asked("en-en/q1", &["x"]),
            asked("fr-en/q1", &["y"]),
            asked("en-en/q2", &["y"]),
            // Of BEIR: each of them answers a part.
            asked("q3", &["x", "z"]),
        ];
        let items: Vec<&Item> = items.iter().collect();
        assert_eq!(clusters(&items), [0, 0, 0, 3]);
        assert_eq!(dependent(&items), [0, 0, 0, 0]);
    }
}
