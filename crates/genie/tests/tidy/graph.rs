//! Which crate may use which.

use std::collections::{BTreeMap, BTreeSet};

use crate::text::{before_comment, numbered};

/// Which crates of the workspace a crate may use. An edge that is not listed
/// here is forbidden; a new one is a decision for `docs/adr`, made before this
/// table changes.
const MAY_USE: &[(&str, &[&str])] = &[
    ("genie-core", &[]),
    ("genie-models", &["genie-core"]),
    ("genie-compute", &["genie-core"]),
    ("genie-embed", &["genie-core", "genie-compute"]),
    ("genie-llm", &["genie-core", "genie-compute"]),
    ("genie-ingest", &["genie-core"]),
    ("genie-store", &["genie-core"]),
    ("genie-state", &["genie-core"]),
    ("genie-rag", &["genie-core", "genie-ingest"]),
    ("genie-eval", &["genie-core", "genie-ingest", "genie-rag"]),
    ("genie-server", &["genie-core", "genie-rag", "genie-state"]),
    ("genie-testkit", &["genie-core"]),
    (
        "genie",
        &[
            "genie-core",
            "genie-models",
            "genie-compute",
            "genie-embed",
            "genie-llm",
            "genie-ingest",
            "genie-store",
            "genie-state",
            "genie-rag",
            "genie-eval",
            "genie-server",
        ],
    ),
];

/// Fakes and fixtures: any crate may use it in tests, none outside of them.
pub(crate) const TESTKIT: &str = "genie-testkit";

/// Which kind of table of a manifest an edge stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EdgeKind {
    /// `[dependencies]` and `[build-dependencies]`.
    Product,
    /// `[dev-dependencies]`.
    Test,
}

/// A dependency of one crate of the workspace on another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edge {
    from: String,
    to: String,
    kind: EdgeKind,
    /// `crates/genie-rag/Cargo.toml:14`.
    place: String,
}

/// The edges of a manifest to crates of this workspace, renamed ones
/// (`package = "genie-core"`) included.
pub(crate) fn edges(name: &str, file: &str, manifest: &str) -> Vec<Edge> {
    let mut found = Vec::new();
    let mut kind = None;
    for (number, line) in numbered(manifest) {
        let line = before_comment(line).trim();
        let mut names = Vec::new();
        if let Some(header) = line.strip_prefix('[') {
            let header = header.trim_end_matches(']').trim();
            let table: Vec<_> = split_key(header);
            let position = table.iter().position(|part| part.ends_with("dependencies"));
            kind = position.map(|position| {
                if table[position] == "dev-dependencies" {
                    EdgeKind::Test
                } else {
                    EdgeKind::Product
                }
            });
            // `[dependencies.genie-core]` names the crate in the header.
            names.extend(position.and_then(|position| table.get(position + 1).cloned()));
        } else if kind.is_some() {
            let key = line.split('=').next().unwrap_or_default();
            names.extend(split_key(key).into_iter().next());
            names.extend(renamed_package(line));
        }
        let Some(kind) = kind else { continue };
        for to in names {
            if to == "genie" || to.starts_with("genie-") {
                found.push(Edge {
                    from: name.to_owned(),
                    to,
                    kind,
                    place: format!("{file}:{number}"),
                });
            }
        }
    }
    found
}

/// The parts of a dotted TOML key; dots inside quotes separate nothing.
fn split_key(key: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    for character in key.trim().chars() {
        match (quote, character) {
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            (None, '.') => parts.push(String::new()),
            _ => {
                if let Some(last) = parts.last_mut() {
                    last.push(character);
                }
            }
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

/// `genie-core` of `core = { package = "genie-core" }`.
fn renamed_package(line: &str) -> Option<String> {
    let rest = &line[line.find("package")? + "package".len()..];
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let name = rest.strip_prefix('"')?.split('"').next()?;
    Some(name.to_owned())
}

/// Edges that the table does not allow, crates that it does not know, and
/// cycles that test dependencies would close.
pub(crate) fn check_graph(crates: &[&str], edges: &[Edge]) -> Vec<String> {
    let table: BTreeMap<_, _> = MAY_USE.iter().copied().collect();
    let mut findings: Vec<_> = crates
        .iter()
        .filter(|name| !table.contains_key(*name))
        .map(|name| format!("crates/{name}: not in the table of crates; decide what it may use"))
        .collect();
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for edge in edges.iter().filter(|edge| edge.kind == EdgeKind::Product) {
        let allowed = table.get(edge.from.as_str()).copied().unwrap_or_default();
        if !allowed.contains(&edge.to.as_str()) {
            findings.push(format!(
                "{}: {} may not use {}; it may use {}",
                edge.place,
                edge.from,
                edge.to,
                if allowed.is_empty() {
                    "no other crate".to_owned()
                } else {
                    allowed.join(", ")
                },
            ));
        }
        graph.entry(&edge.from).or_default().insert(&edge.to);
    }
    for edge in edges.iter().filter(|edge| edge.kind == EdgeKind::Test) {
        if edge.to == TESTKIT {
            continue;
        }
        if reaches(&graph, &edge.to, &edge.from) {
            findings.push(format!(
                "{}: {} already needs {}, so the test dependency makes a circle; put what both need into {TESTKIT}",
                edge.place, edge.to, edge.from,
            ));
        }
        graph.entry(&edge.from).or_default().insert(&edge.to);
    }
    findings
}

fn reaches(graph: &BTreeMap<&str, BTreeSet<&str>>, from: &str, to: &str) -> bool {
    let mut waiting = vec![from];
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            waiting.extend(graph.get(name).into_iter().flatten());
        }
    }
    false
}

/// Every rule on a text that breaks it.
#[cfg(test)]
mod planted {
    use super::*;

    fn graph(crates: &[&str], manifests: &[(&str, &str)]) -> Vec<String> {
        let all: Vec<_> = manifests
            .iter()
            .flat_map(|(name, text)| edges(name, &format!("crates/{name}/Cargo.toml"), text))
            .collect();
        check_graph(crates, &all)
    }

    #[test]
    fn a_forbidden_edge_is_found_in_every_spelling() {
        for manifest in [
            "[dependencies]\ngenie-store.workspace = true\n",
            "[dependencies]\ngenie-store = { workspace = true }\n",
            "[dependencies]\n\"genie-store\" = \"1\"\n",
            "[dependencies]\nstore = { package = \"genie-store\", path = \"../genie-store\" }\n",
            "[build-dependencies]\ngenie-store.workspace = true\n",
            "[target.'cfg(target_os = \"linux\")'.dependencies]\ngenie-store.workspace = true\n",
            "\n[dependencies.genie-store]\nworkspace = true\n",
        ] {
            let findings = graph(&["genie-rag", "genie-store"], &[("genie-rag", manifest)]);
            assert_eq!(findings.len(), 1, "{manifest}: {findings:?}");
            assert!(
                findings[0].starts_with(
                    "crates/genie-rag/Cargo.toml:2: genie-rag may not use genie-store"
                ),
                "{findings:?}"
            );
        }
    }

    #[test]
    fn an_allowed_edge_and_a_comment_pass() {
        let manifest = "[package]\nname = \"genie-rag\"\n[dependencies]\ngenie-core.workspace = true\n# genie-store = \"1\"\nserde = \"1\" # not genie-store\n[features]\ngenie-store = []\n";
        assert!(graph(&["genie-rag"], &[("genie-rag", manifest)]).is_empty());
    }

    #[test]
    fn an_unknown_crate_is_found() {
        let findings = graph(&["genie-core", "genie-extra"], &[]);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].contains("crates/genie-extra"), "{findings:?}");
    }

    #[test]
    fn the_testkit_is_for_tests_only() {
        let test = [(
            "genie-rag",
            "[dev-dependencies]\ngenie-testkit.workspace = true\n",
        )];
        assert!(graph(&["genie-rag"], &test).is_empty());
        let product = [("genie", "[dependencies]\ngenie-testkit.workspace = true\n")];
        assert_eq!(graph(&["genie"], &product).len(), 1);
    }

    #[test]
    fn a_test_dependency_may_not_close_a_circle() {
        let rag = (
            "genie-rag",
            "[dependencies]\ngenie-ingest.workspace = true\n",
        );
        let circle = (
            "genie-ingest",
            "[dev-dependencies]\ngenie-rag.workspace = true\n",
        );
        let findings = graph(&["genie-rag", "genie-ingest"], &[rag, circle]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert!(
            findings[0].starts_with("crates/genie-ingest/Cargo.toml:2:"),
            "{findings:?}"
        );
        let harmless = (
            "genie-models",
            "[dev-dependencies]\ngenie-embed.workspace = true\n",
        );
        assert!(graph(&["genie-models"], &[rag, harmless]).is_empty());
    }

    #[test]
    fn the_table_itself_has_no_circle() {
        let graph: BTreeMap<&str, BTreeSet<&str>> = MAY_USE
            .iter()
            .map(|(name, uses)| (*name, uses.iter().copied().collect()))
            .collect();
        for (name, uses) in MAY_USE {
            assert!(
                !uses.iter().any(|used| reaches(&graph, used, name)),
                "{name}"
            );
        }
    }
}
