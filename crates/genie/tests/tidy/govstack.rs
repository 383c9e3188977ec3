//! The statement on GovStack's requirements: complete, unambiguous, and the
//! same in both of its forms.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::text::numbered;

pub(crate) const STATEMENT: &str = "docs/govstack/compliance.json";
pub(crate) const TABLE: &str = "docs/govstack/compliance.md";

/// How many requirements each part of govstack-cfr 2.1.0 has; their numbers
/// have no gaps.
const PARTS: [(&str, usize); 6] = [
    ("development", 9),
    ("deployment", 12),
    ("architecture", 19),
    ("quality", 8),
    ("security", 16),
    ("data", 14),
];
const LEVELS: [&str; 3] = ["REQUIRED", "RECOMMENDED", "OPTIONAL"];
const STATUSES: [&str; 4] = ["met", "partly", "not met", "not applicable"];

/// What is wrong with the statement by itself: ids that are missing, unknown
/// or there twice, unknown words, and evidence that is not in the repository.
pub(crate) fn check_statement(statement: &Value, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    let mut finding = |what: String| findings.push(format!("{STATEMENT}: {what}"));
    if text(&statement["specification"], "version").is_empty() {
        finding("the specification has no version".to_owned());
    }
    let mut missing: BTreeSet<String> = PARTS
        .iter()
        .flat_map(|(part, count)| {
            (1..=*count).map(move |number| format!("govstack-cfr-{part}#req-{number}"))
        })
        .collect();
    let mut seen = BTreeSet::new();
    for requirement in requirements(statement) {
        let id = text(requirement, "id");
        if !seen.insert(id) {
            finding(format!("{id} is there twice"));
        } else if !missing.remove(id) {
            finding(format!("{id:?} is no requirement"));
        }
        let level = text(requirement, "level");
        if !LEVELS.contains(&level) {
            finding(format!("{id}: {level:?} is no level"));
        }
        let status = text(requirement, "status");
        if !STATUSES.contains(&status) {
            finding(format!("{id}: {status:?} is no status"));
        }
        if text(requirement, "note").trim().is_empty() {
            finding(format!("{id}: nothing is said about it"));
        }
        let evidence = evidence(requirement);
        if evidence.is_empty() && matches!(status, "met" | "partly") {
            finding(format!("{id}: {status} without evidence"));
        }
        for path in evidence {
            if path.is_empty() || !exists(path) {
                finding(format!("{id}: the evidence {path:?} is not there"));
            }
        }
    }
    for id in missing {
        finding(format!("{id} is missing"));
    }
    findings
}

/// Where the table for people says something else than the statement for
/// programs.
pub(crate) fn check_table(statement: &Value, table: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut rows = BTreeMap::new();
    for (number, line) in numbered(table) {
        let Some((id, row)) = row(line) else {
            continue;
        };
        if rows.insert(id, row).is_some() {
            findings.push(format!("{TABLE}:{number}: {id} is there twice"));
        }
    }
    for requirement in requirements(statement) {
        let id = text(requirement, "id");
        let stated = Row {
            level: text(requirement, "level"),
            status: text(requirement, "status"),
            note: text(requirement, "note"),
        };
        match rows.remove(id) {
            None => findings.push(format!("{TABLE}: {id} is missing")),
            Some(row) if row != stated => {
                findings.push(format!("{TABLE}: {id} is not as in {STATEMENT}"));
            }
            Some(_) => {}
        }
    }
    for id in rows.keys() {
        findings.push(format!("{TABLE}: {id} is not in {STATEMENT}"));
    }
    findings
}

/// What the table says of a requirement.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    level: &'a str,
    status: &'a str,
    note: &'a str,
}

/// `| id | gist | level | status | note | evidence |`, with the id as code.
fn row(line: &str) -> Option<(&str, Row<'_>)> {
    let cells: Vec<_> = line
        .trim()
        .strip_prefix('|')?
        .strip_suffix('|')?
        .split('|')
        .map(str::trim)
        .collect();
    let &[id, _, level, status, note, _] = cells.as_slice() else {
        return None;
    };
    let id = id.strip_prefix('`')?.strip_suffix('`')?;
    Some((
        id,
        Row {
            level,
            status,
            note,
        },
    ))
}

fn requirements(statement: &Value) -> &[Value] {
    statement["requirements"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
}

/// The member's text; empty where it is not there or no text.
fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_default()
}

fn evidence(requirement: &Value) -> Vec<&str> {
    requirement["evidence"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .map(|path| path.as_str().unwrap_or_default())
        .collect()
}

/// Every rule on a statement that breaks it.
#[cfg(test)]
mod planted {
    use serde_json::json;

    use super::*;

    /// A statement in which every requirement is met, changed.
    fn changed(change: impl FnOnce(&mut Vec<Value>)) -> Value {
        let mut all: Vec<Value> = PARTS
            .iter()
            .flat_map(|(part, count)| {
                (1..=*count).map(move |number| {
                    json!({
                        "id": format!("govstack-cfr-{part}#req-{number}"),
                        "level": "REQUIRED", "status": "met", "note": "It is.",
                        "evidence": ["README.md"],
                    })
                })
            })
            .collect();
        change(&mut all);
        json!({"specification": {"version": "2.1.0"}, "requirements": all})
    }

    fn found(change: impl FnOnce(&mut Vec<Value>)) -> Vec<String> {
        check_statement(&changed(change), |path| path == "README.md")
    }

    #[test]
    fn flaws_of_a_statement_are_found() {
        assert_eq!(found(|_| {}), Vec::<String>::new());
        for (flaw, change) in [
            ("is there twice", json!({"id": "govstack-cfr-data#req-2"})),
            (
                "is no requirement",
                json!({"id": "govstack-cfr-data#req-99"}),
            ),
            ("is no level", json!({"level": "USUAL"})),
            ("is no status", json!({"status": "certified"})),
            ("nothing is said", json!({"note": " "})),
            ("without evidence", json!({"evidence": []})),
            ("is not there", json!({"evidence": ["gone.md"]})),
            ("is not there", json!({"evidence": [7]})),
        ] {
            let findings = found(|all| {
                let last = all.last_mut().and_then(Value::as_object_mut);
                let changes = change.as_object().expect("an object").clone();
                last.expect("a requirement").extend(changes);
            });
            assert!(
                findings.iter().any(|finding| finding.contains(flaw)),
                "{flaw}: {findings:?}"
            );
        }
        let findings = found(|all| {
            all.pop();
        });
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(findings[0].ends_with("govstack-cfr-data#req-14 is missing"));
        assert!(!check_statement(&json!({}), |_| true).is_empty());
    }

    #[test]
    fn a_table_that_says_something_else_is_found() {
        let statement = json!({"requirements": [{
            "id": "govstack-cfr-data#req-1", "level": "REQUIRED", "status": "met",
            "note": "It is.",
        }]});
        let line = "| `govstack-cfr-data#req-1` | text | REQUIRED | met | It is. | none |\n";
        assert_eq!(check_table(&statement, line), Vec::<String>::new());
        for table in [
            String::new(),
            line.replace("| met |", "| partly |"),
            line.replace("REQUIRED", "OPTIONAL"),
            line.replace("It is.", "It is not."),
            line.repeat(2),
            format!("{line}{}", line.replace("req-1", "req-2")),
        ] {
            assert_eq!(check_table(&statement, &table).len(), 1, "{table}");
        }
    }
}
