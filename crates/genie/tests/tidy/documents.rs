//! Rules on names, links and paths.

use std::path::{Component, Path};

use crate::text::{is_word, numbered};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "misc", "common", "helper", "helpers"];

/// A file or folder whose name says nothing.
pub(crate) fn check_name(file: &str) -> Option<String> {
    let empty = Path::new(file).components().find_map(|part| {
        let name = Path::new(part.as_os_str())
            .file_stem()?
            .to_str()?
            .to_lowercase();
        EMPTY_NAMES.contains(&name.as_str()).then_some(name)
    })?;
    Some(format!(
        "{file}: `{empty}` says nothing; name it after what it does"
    ))
}

/// Decision records that the index does not list, and gaps in their numbers.
pub(crate) fn check_decisions(records: &[&str], index: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (position, record) in records.iter().enumerate() {
        if !index.contains(&format!("({record})")) {
            findings.push(format!(
                "docs/adr/{record}: not listed in docs/adr/README.md"
            ));
        }
        let number = format!("{:04}-", position + 1);
        if !record.starts_with(&number) {
            findings.push(format!(
                "docs/adr/{record}: the next record is number {number}"
            ));
        }
    }
    findings
}

/// The targets of a Markdown text's links that are files, with their lines.
/// Code, fenced or inline, is not searched.
fn local_links(markdown: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    let mut fence: Option<&str> = None;
    for (number, line) in numbered(markdown) {
        let trimmed = line.trim_start();
        if let Some(mark) = ["```", "~~~"]
            .into_iter()
            .find(|mark| trimmed.starts_with(mark))
        {
            fence = match fence {
                None => Some(mark),
                Some(open) if open == mark => None,
                open => open,
            };
            continue;
        }
        if fence.is_some() {
            continue;
        }
        // Every second piece between backticks is code.
        for prose in line.split('`').step_by(2) {
            for rest in prose.split("](").skip(1) {
                let target = rest.split([')', ' ']).next().unwrap_or_default();
                let path = target.split('#').next().unwrap_or_default();
                let elsewhere = path.contains("://") || path.starts_with("mailto:");
                if !path.is_empty() && !elsewhere {
                    links.push((number, path.to_owned()));
                }
            }
        }
    }
    links
}

/// Links of a Markdown file that lead nowhere or out of the repository.
pub(crate) fn check_links(
    file: &str,
    markdown: &str,
    exists: impl Fn(&str) -> bool,
) -> Vec<String> {
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    local_links(markdown)
        .into_iter()
        .filter(|(_, target)| !normal(&folder.join(target)).is_some_and(|path| exists(&path)))
        .map(|(number, target)| format!("{file}:{number}: the link to {target} leads nowhere"))
        .collect()
}

/// The path without `.` and `..`, or `None` where it leaves the root.
pub(crate) fn normal(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                parts.pop()?;
            }
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(parts.join("/"))
}

/// Paths of the machine that a file was written on. A path inside of an
/// address (`https://example.org/home/`) is none.
pub(crate) fn check_paths(file: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in numbered(text) {
        // Put together here, so that this file does not find itself.
        for name in ["home", "root", "work", "Users"] {
            let path = format!("/{name}/");
            let absolute = line.match_indices(&path).any(|(at, _)| {
                let before = line[..at].chars().next_back().unwrap_or(' ');
                !is_word(before) && !matches!(before, '.' | '-' | '/' | '}' | ')' | '*' | '~' | '>')
            });
            if absolute {
                findings.push(format!("{file}:{number}: {path} is a place on one machine"));
            }
        }
    }
    findings
}

/// Every rule on a text that breaks it.
#[cfg(test)]
mod planted {
    use super::*;

    #[test]
    fn empty_names_are_found() {
        for name in [
            "crates/genie-llm/src/utils.rs",
            "tests/common/mod.rs",
            "docs/Misc.md",
            "helpers/a.rs",
        ] {
            assert!(check_name(name).is_some(), "{name}");
        }
        for name in ["crates/genie-llm/src/sampler.rs", "docs/uncommon.md"] {
            assert!(check_name(name).is_none(), "{name}");
        }
    }

    #[test]
    fn unlisted_and_misnumbered_decisions_are_found() {
        let index = "- [One](0001-one.md)\n";
        assert!(check_decisions(&["0001-one.md"], index).is_empty());
        assert_eq!(
            check_decisions(&["0001-one.md", "0002-two.md"], index).len(),
            1
        );
        let gap = "[One](0001-one.md) [Three](0003-three.md)";
        assert_eq!(
            check_decisions(&["0001-one.md", "0003-three.md"], gap).len(),
            1
        );
    }

    #[test]
    fn dead_links_are_found() {
        let exists = |path: &str| matches!(path, "docs/adr" | "docs/a.md" | "README.md");
        let markdown = "[a](a.md) [b](../README.md#top) [c](adr \"title\") ![d](missing.png)\n\
                        [out](../../other/README.md) [web](https://example.org/x) [here](#top)\n\
                        ```\n[code](nowhere.md)\n```\n`[code](nowhere.md)` [e](gone.md)\n";
        let findings = check_links("docs/b.md", markdown, exists);
        let places: Vec<_> = findings
            .iter()
            .map(|finding| finding.split(": ").next().unwrap_or_default())
            .collect();
        assert_eq!(
            places,
            ["docs/b.md:1", "docs/b.md:2", "docs/b.md:6"],
            "{findings:?}"
        );
    }

    #[test]
    fn places_on_one_machine_are_found() {
        for name in ["home", "root", "work", "Users"] {
            for line in [
                format!("path = \"/{name}/x\""),
                format!("/{name}/x"),
                format!("see (/{name}/x)"),
            ] {
                assert_eq!(check_paths("f", &line).len(), 1, "{line}");
            }
            for line in [
                format!("https://example.org/{name}/x"),
                format!("../{name}/x"),
                format!("$A/{name}/x"),
            ] {
                assert!(check_paths("f", &line).is_empty(), "{line}");
            }
        }
    }
}
