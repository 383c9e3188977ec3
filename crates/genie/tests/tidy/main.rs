//! House rules that the compiler does not know, run over the whole checkout.
//!
//! Every rule is a function over text that returns its findings as
//! `file:line: what is wrong`, so that each can be shown to fail on a planted
//! violation, beside it in its module. The tests here run the same functions
//! over the files. Only the standard library is used, and `serde_json` where a
//! file is JSON: the rules must hold before anything else builds.

mod checkout;
mod code;
mod documents;
mod govstack;
mod graph;
mod lints;
mod sources;
mod text;
mod variables;

use checkout::Checkout;
use documents::{check_decisions, check_links, check_name, check_paths};
use govstack::{STATEMENT, TABLE, check_statement, check_table};
use graph::{TESTKIT, check_graph, edges};
use lints::{check_lints, has_setting};
use sources::{
    MANY_LINES, TOO_MANY_LINES, UNSAFE_CRATE, check_environment, check_length, check_printing,
    check_unsafe,
};

/// The one place outside the binary that reads the environment: the package
/// client's and the model hub's own settings are honoured there.
const SETTINGS_MODULE: &str = "crates/genie-models/src/settings";

/// Files that a reader looks for first.
const FRONT_FILES: &[&str] = &["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "LICENSE"];

fn none(findings: Vec<String>) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn the_crate_graph_is_the_decided_one() {
    let checkout = Checkout::open();
    let manifests = checkout.manifests();
    assert!(manifests.len() > 5, "the crates are not where they were");
    let names: Vec<_> = manifests.iter().map(|(name, ..)| *name).collect();
    let all: Vec<_> = manifests
        .iter()
        .flat_map(|(name, file, text)| edges(name, file, text))
        .collect();
    assert!(!all.is_empty(), "no edge at all is no graph");
    let mut findings = check_graph(&names, &all);
    for (name, file, text) in &manifests {
        if !has_setting(text, "package", &format!("name = \"{name}\"")) {
            findings.push(format!("{file}: the package is not called like its folder"));
        }
    }
    none(findings);
}

#[test]
fn every_crate_takes_over_the_lints() {
    let checkout = Checkout::open();
    let root = checkout.read("Cargo.toml").expect("a manifest");
    assert!(
        has_setting(&root, "workspace.lints.rust", "unsafe_code = \"forbid\""),
        "Cargo.toml: unsafe_code is not forbidden"
    );
    let mut findings: Vec<_> = checkout
        .manifests()
        .iter()
        .flat_map(|(name, file, text)| check_lints(name, file, text))
        .collect();
    if let Some(text) = checkout.read("tests/Cargo.toml") {
        findings.extend(check_lints("genie-e2e", "tests/Cargo.toml", &text));
    }
    none(findings);
}

#[test]
fn no_source_file_is_too_long() {
    let mut findings = Vec::new();
    for (_, file, source) in Checkout::open().sources() {
        if let Some(finding) = check_length(file, &source, TOO_MANY_LINES) {
            findings.push(finding);
        } else if let Some(note) = check_length(file, &source, MANY_LINES) {
            eprintln!("note: {note}");
        }
    }
    none(findings);
}

#[test]
fn unsafe_stays_in_its_crate() {
    let checkout = Checkout::open();
    let home = format!("crates/{UNSAFE_CRATE}/");
    none(
        checkout
            .select("", ".rs")
            .filter(|file| !file.starts_with(&home))
            .filter_map(|file| Some((file, checkout.read(file)?)))
            .flat_map(|(file, source)| check_unsafe(file, &source))
            .collect(),
    );
}

#[test]
fn the_environment_is_read_in_its_home() {
    none(
        Checkout::open()
            .sources()
            .iter()
            .filter(|(name, file, _)| {
                !matches!(*name, "genie" | TESTKIT) && !file.starts_with(SETTINGS_MODULE)
            })
            .flat_map(|(_, file, source)| check_environment(file, source))
            .collect(),
    );
}

#[test]
fn every_variable_is_named_to_who_deploys() {
    let checkout = Checkout::open();
    let read = checkout
        .sources()
        .iter()
        .filter(|(name, file, _)| *name == "genie" || file.starts_with(SETTINGS_MODULE))
        .flat_map(|(.., source)| variables::read_in(source))
        .collect();
    let document = checkout.read(variables::DOCUMENT).unwrap_or_default();
    let planted = variables::missing(&read, "`GENIE_HOMES`");
    assert!(planted.len() == read.len() && read.len() > 30, "{read:?}");
    none(variables::missing(&read, &document));
}

#[test]
fn libraries_do_not_print() {
    none(
        Checkout::open()
            .sources()
            .iter()
            .filter(|(name, ..)| !matches!(*name, "genie" | TESTKIT))
            .flat_map(|(_, file, source)| check_printing(file, source))
            .collect(),
    );
}

#[test]
fn names_say_something() {
    none(
        Checkout::open()
            .files
            .iter()
            .filter_map(|file| check_name(file))
            .collect(),
    );
}

#[test]
fn decision_records_are_listed() {
    let checkout = Checkout::open();
    let index = checkout
        .read("docs/adr/README.md")
        .expect("an index of the records");
    let records: Vec<_> = checkout
        .select("docs/adr/", ".md")
        .filter_map(|file| file.strip_prefix("docs/adr/"))
        .filter(|file| *file != "README.md")
        .collect();
    assert!(!records.is_empty(), "there are decisions to record");
    none(check_decisions(&records, &index));
}

#[test]
fn links_between_documents_lead_somewhere() {
    let checkout = Checkout::open();
    let mut findings = Vec::new();
    for file in FRONT_FILES {
        if !checkout.files.iter().any(|present| present == file) {
            findings.push(format!("{file}: missing"));
        }
    }
    let exists = |path: &str| checkout.root.join(path).exists();
    for file in checkout.select("", ".md") {
        if file.starts_with("corpus/starter/") {
            continue;
        }
        if let Some(markdown) = checkout.read(file) {
            findings.extend(check_links(file, &markdown, exists));
        }
    }
    none(findings);
}

#[test]
fn the_statement_on_govstack_can_be_followed() {
    let checkout = Checkout::open();
    let statement = checkout.read(STATEMENT).expect("a statement");
    let statement = serde_json::from_str(&statement).expect("JSON");
    let table = checkout.read(TABLE).expect("a table");
    let exists = |path: &str| checkout.root.join(path).exists();
    let mut findings = check_statement(&statement, exists);
    findings.extend(check_table(&statement, &table));
    none(findings);
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    let checkout = Checkout::open();
    // Texts and questions of the corpus are quoted as they are.
    let quoted = |file: &str| file.starts_with("corpus/starter/") || file.ends_with(".jsonl");
    none(
        checkout
            .files
            .iter()
            .filter(|file| !quoted(file))
            .filter_map(|file| Some((file, checkout.read(file)?)))
            .flat_map(|(file, text)| check_paths(file, &text))
            .collect(),
    );
}

/// What a link leads to is on one machine, and one in the place of a folder
/// that is made keeps it from being made.
#[test]
fn no_link_is_committed() {
    let checkout = Checkout::open();
    let listed = std::process::Command::new("git")
        .args(["ls-files", "--stage"])
        .current_dir(&checkout.root)
        .output();
    let listed = match listed {
        Ok(listed) if listed.status.success() => listed.stdout,
        _ => {
            eprintln!(
                "skipped: {} is no clone that git reads",
                checkout.root.display()
            );
            return;
        }
    };
    none(
        String::from_utf8_lossy(&listed)
            .lines()
            .filter(|line| line.starts_with("120000 "))
            .filter_map(|line| line.split('\t').nth(1))
            .map(|file| format!("{file} is a link"))
            .collect(),
    );
}
