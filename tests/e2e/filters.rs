//! Questions that are restricted to some of the documents.

use serde_json::Value;

use crate::genie::{Genie, MINILM, models};
use crate::material::Scratch;
use crate::service::Service;

const NOTES: [(&str, &str); 4] = [
    (
        "cable.md",
        "---\nlanguage: en\ndate: 2021-03-05\nlabels: [infrastructure/cable]\n---\n\n\
         A repair ship lifts the broken cable and splices it.\n",
    ),
    (
        "mast.md",
        "---\nlanguage: en\ndate: 2023-07-01T09:30:00Z\nlabels: [infrastructure/mast]\n---\n\n\
         The repair of a mast begins with the guy wires.\n",
    ),
    (
        "reparation.md",
        "---\nlanguage: fr\ndate: 2023-12-31\nlabels: [policy]\n---\n\n\
         La réparation du câble est un service public.\n",
    ),
    (
        "undated.md",
        "---\nlanguage: en\nlabels: [infrastructure-law]\n---\n\n\
         The repair fund pays for storms.\n",
    ),
];

/// The documents that a search with these options finds, by name.
fn found(genie: &Genie, options: &[&str]) -> Vec<String> {
    let mut arguments = vec!["search", "repair", "--json", "--top-k", "50"];
    arguments.extend(options);
    let body = genie.json(&arguments);
    let passages = body["passages"].as_array().expect("a list");
    let mut names: Vec<String> = passages
        .iter()
        .map(|passage| passage["document"].as_str().expect("a path"))
        .map(|path| path.trim_start_matches("docs/").to_owned())
        .collect();
    names.sort();
    names.dedup();
    names
}

fn check_all(genie: &Genie, id: &str) {
    for (options, expected) in [
        (
            &[][..],
            &["cable.md", "mast.md", "reparation.md", "undated.md"][..],
        ),
        (&["--label", "infrastructure"], &["cable.md", "mast.md"]),
        (
            &["--label", "infrastructure/mast", "--label", "policy"],
            &["mast.md", "reparation.md"],
        ),
        (&["--language", "fr"], &["reparation.md"]),
        (&["--from", "2023-07-01"], &["mast.md", "reparation.md"]),
        (&["--to", "2023-07-01"], &["cable.md", "mast.md"]),
        (
            &[
                "--from",
                "2023-01-01",
                "--to",
                "2023-12-31",
                "--language",
                "en",
            ],
            &["mast.md"],
        ),
        (&["--from", "2024-01-01"], &[]),
        (&["--document", id], &["cable.md"]),
        (&["--document", id, "--label", "policy"], &[]),
    ] {
        assert_eq!(found(genie, options), expected, "{options:?}");
    }
    let asked = genie.json(&["ask", "What is repaired?", "--json", "--language", "fr"]);
    for passage in asked["passages"].as_array().expect("a list") {
        assert_eq!(passage["document"], "docs/reparation.md", "{asked}");
    }
}

#[test]
fn a_search_keeps_to_its_filters_here_and_through_a_service() {
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let scratch = Scratch::new();
    let genie = Genie::quick(&scratch.home(), &models);
    for (name, text) in NOTES {
        scratch.write(&format!("docs/{name}"), text);
    }
    genie.run(&["ingest", "docs"]).ended(0);
    let index = genie.index();
    let cable = index.find("cable.md").expect("it is indexed");
    let id = cable["id"].as_str().expect("an id").to_owned();
    assert_eq!(cable["date"], "2021-03-05");
    assert_eq!(index.find("mast.md").unwrap()["date"], "2023-07-01");
    assert_eq!(index.find("undated.md").unwrap()["date"], Value::Null);
    check_all(&genie, &id);
    let service = Service::start(&genie);
    check_all(&genie, &id);
    service.stop().ended(0);
}

#[test]
fn a_filter_that_makes_no_sense_is_refused() {
    let scratch = Scratch::new();
    let genie = Genie::bare(&scratch.home());
    for (options, named) in [
        (["--from", "2024"], "2024-05-17"),
        (["--to", "17/05/2024"], "2024-05-17"),
        (["--language", "tlh"], "tlh"),
        (["--document", "3f1a"], "3f1a"),
    ] {
        for command in ["search", "ask"] {
            let arguments: Vec<_> = [command, "?"].into_iter().chain(options).collect();
            let refused = genie.run(&arguments).ended(2);
            assert!(refused.err.contains(named), "{}", refused.err);
        }
    }
    let turned = ["--from", "2024-01-02", "--to", "2024-01-01"];
    for command in ["search", "ask"] {
        let arguments: Vec<_> = [command, "?"].into_iter().chain(turned).collect();
        genie.run(&arguments).refused(&["--from", "2024-01-01"]);
    }
}
