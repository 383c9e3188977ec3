//! Our gold questions: one object a line.

use std::collections::BTreeMap;
use std::path::Path;

use genie_core::{ChatMessage, ChatRole, Language};
use serde::Deserialize;

use super::{Evidence, Expected, Item, Layout, LoadOptions, Suite, Target, name_of, spread};
use crate::lines::{self, malformed};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    lang: String,
    question: String,
    answerable: bool,
    #[serde(default)]
    kind: Option<String>,
    /// For people; nothing is judged by them.
    #[serde(default, rename = "answers")]
    _answers: Vec<String>,
    #[serde(default)]
    must_include: Vec<Vec<String>>,
    #[serde(default)]
    evidence: Vec<Quote>,
    #[serde(default)]
    history: Vec<Turn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quote {
    doc: String,
    quote: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    role: String,
    content: String,
}

/// Reads the file.
pub(super) fn load(file: &Path, options: &LoadOptions) -> anyhow::Result<Suite> {
    let read = lines::read(file)?;
    let lines: Vec<(usize, Line)> = lines::objects(file, &read.text)?;
    let mut items = Vec::with_capacity(lines.len());
    let mut seen = BTreeMap::new();
    for (number, line) in lines {
        if let Some(before) = seen.insert(line.id.clone(), number) {
            let what = format!("the id {:?} is that of line {before} too", line.id);
            return Err(malformed(file, number, &what));
        }
        items.push(item(file, number, line)?);
    }
    let kept = spread(items.len(), options.limit);
    let mut at = 0..;
    items.retain(|_| at.next().is_some_and(|at| kept.binary_search(&at).is_ok()));
    Ok(Suite {
        name: name_of(file)?,
        layout: Layout::Gold,
        hash: read.hash,
        collections: Vec::new(),
        items,
    })
}

fn item(file: &Path, number: usize, line: Line) -> anyhow::Result<Item> {
    let wrong = |what: &str| malformed(file, number, what);
    if line.id.trim().is_empty() {
        return Err(wrong("the id is empty"));
    }
    if line.question.trim().is_empty() {
        return Err(wrong("the question is empty"));
    }
    if line
        .kind
        .as_ref()
        .is_some_and(|kind| kind.trim().is_empty())
    {
        return Err(wrong("the kind is empty"));
    }
    let language: Language = line
        .lang
        .parse()
        .map_err(|error| wrong(&format!("{error}")))?;
    if line
        .must_include
        .iter()
        .any(|group| group.is_empty() || group.iter().any(|text| text.trim().is_empty()))
    {
        return Err(wrong(
            "a group of must_include, or a string in one, is empty",
        ));
    }
    if line.answerable && line.must_include.is_empty() && line.evidence.is_empty() {
        return Err(wrong(
            "an answerable question needs must_include or evidence, else nothing can be judged",
        ));
    }
    let mut evidence = Vec::with_capacity(line.evidence.len());
    for quote in line.evidence {
        if !quote.quote.chars().any(char::is_alphanumeric) {
            return Err(wrong("a quote of the evidence has no words"));
        }
        let path = Path::new(&quote.doc);
        if quote.doc.is_empty() || path.is_absolute() {
            return Err(wrong(&format!(
                "the document {:?} is not relative to the folder of documents",
                quote.doc
            )));
        }
        evidence.push(Evidence {
            document: quote.doc,
            quote: quote.quote,
            place: format!("{}:{number}", file.display()),
        });
    }
    let mut history = Vec::with_capacity(line.history.len());
    for turn in line.history {
        let role = match turn.role.as_str() {
            "user" => ChatRole::User,
            "assistant" => ChatRole::Assistant,
            other => {
                return Err(wrong(&format!(
                    "the role {other:?} is neither user nor assistant"
                )));
            }
        };
        if turn.content.trim().is_empty() {
            return Err(wrong("a turn of the history is empty"));
        }
        history.push(ChatMessage::new(role, turn.content));
    }
    Ok(Item {
        id: line.id,
        language: language.code().to_owned(),
        kinds: line.kind.into_iter().collect(),
        question: line.question,
        history,
        collection: None,
        // What an unanswerable question quotes is a temptation, not support.
        target: if line.answerable && !evidence.is_empty() {
            Target::Evidence(evidence)
        } else {
            Target::Nothing
        },
        expected: Some(Expected {
            answerable: line.answerable,
            must_include: line.must_include,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;

    const GOOD: &str = r#"{"id": "a", "lang": "fr", "question": "Et en 2024 ?", "answerable": true, "kind": "followup", "must_include": [["12", "douze"]], "evidence": [{"doc": "a/b.md", "quote": "douze projets"}], "history": [{"role": "user", "content": "Combien ?"}, {"role": "assistant", "content": "Dix."}]}"#;

    fn suite(text: &str) -> anyhow::Result<Suite> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gold.jsonl");
        std::fs::write(&file, text).unwrap();
        load(&file, &LoadOptions::default())
    }

    #[test]
    fn a_follow_up_is_read_with_its_history() {
        let suite = suite(&format!(
            "{GOOD}\n\n{}\n",
            r#"{"id": "b", "lang": "en", "question": "Who?", "answerable": false, "evidence": [{"doc": "x.md", "quote": "a temptation"}]}"#
        ))
        .unwrap();
        let item = &suite.items[0];
        assert_eq!(item.ask().search_text(), "Combien ? Et en 2024 ?");
        assert_eq!(item.kinds, ["followup"]);
        assert!(matches!(&item.target, Target::Evidence(quotes) if quotes.len() == 1));
        assert_eq!(suite.items[1].target, Target::Nothing);
        assert_eq!(
            suite.items[1].expected.as_ref().map(|e| e.answerable),
            Some(false)
        );
    }

    #[test]
    fn malformed_lines_are_refused_by_their_number() {
        for (from, to) in [
            ("\"lang\": \"fr\", ", ""),
            ("\"fr\"", "\"tlh\""),
            ("Et en 2024 ?", ""),
            ("[\"12\", \"douze\"]", "[]"),
            ("douze projets", "…"),
            ("a/b.md", ""),
            ("\"assistant\"", "\"robot\""),
            ("}]}", "}]"),
            ("\"kind\"", "\"knid\""),
            ("\"doc\"", "\"dock\": \"a\", \"doc\""),
            ("\"role\": \"user\"", "\"role\": \"user\", \"name\": \"x\""),
            ("\"followup\"", "\" \""),
            ("\"Dix.\"", "\"\""),
            ("[[\"12\", \"douze\"]]", "[\"12\"]"),
            ("true", "\"yes\""),
            ("\"id\": \"z\"", "\"id\": \"a\""),
        ] {
            let line = GOOD
                .replace("\"id\": \"a\"", "\"id\": \"z\"")
                .replace(from, to);
            let error = suite(&format!("{GOOD}\n{line}\n")).unwrap_err().to_string();
            assert!(error.contains("gold.jsonl:2: "), "{from}: {error}");
        }
        let error = suite(&format!("{GOOD}\n{GOOD}\n")).unwrap_err().to_string();
        assert!(error.contains("gold.jsonl:2: "), "{error}");
        assert!(
            error.contains("\"a\"") && error.contains("line 1"),
            "{error}"
        );
        let answered = GOOD.replace("\"kind\"", "\"answers\": [\"douze\"], \"kind\"");
        assert!(suite(&answered).is_ok(), "answers in words are for people");
    }
}
