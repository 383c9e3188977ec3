//! Suites, runs, comparisons and reports.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::genie::{Genie, LIMIT, MINILM, models, with_articles};
use crate::material::Scratch;
use crate::service::Service;

const PARAGRAPHS: &[(&str, &[&str])] = &[
    (
        "A submarine cable lies on the sea floor and carries light between continents. A repair \
         ship lifts a broken cable and splices it again.",
        &[
            "What lies on the sea floor?",
            "What carries light between continents?",
            "Who lifts a broken cable?",
        ],
    ),
    (
        "An Internet exchange point is a place where networks meet and hand over traffic to each \
         other directly.",
        &[
            "Where do networks meet?",
            "What is an Internet exchange point?",
            "Where is traffic handed over directly?",
        ],
    ),
    (
        "Radio spectrum is shared by mobile networks, broadcasters and satellites. A regulator \
         licenses bands so that their signals don't disturb each other.",
        &[
            "Who licenses bands of the radio spectrum?",
            "What do broadcasters and satellites share?",
            "Why are bands licensed by a regulator?",
        ],
    ),
];

/// A file in SQuAD's layout.
fn squad(paragraphs: &[(String, Vec<String>)]) -> String {
    let mut number = 0;
    let paragraphs: Vec<Value> = paragraphs
        .iter()
        .map(|(context, questions)| {
            let questions: Vec<Value> = questions
                .iter()
                .map(|question| {
                    number += 1;
                    json!({ "id": format!("q{number}"), "question": question, "answers": [] })
                })
                .collect();
            json!({ "context": context, "qas": questions })
        })
        .collect();
    json!({ "version": "1.1", "data": [{ "title": "Networks", "paragraphs": paragraphs }] })
        .to_string()
}

fn small_suite(scratch: &Scratch) -> PathBuf {
    let paragraphs: Vec<(String, Vec<String>)> = PARAGRAPHS
        .iter()
        .map(|(context, questions)| {
            let questions = questions.iter().map(|&question| question.to_owned());
            ((*context).to_owned(), questions.collect())
        })
        .collect();
    scratch.write("suite/en.json", squad(&paragraphs))
}

fn quick() -> Option<(Scratch, Genie)> {
    let models = models(&[MINILM])?;
    let scratch = Scratch::new();
    let genie = Genie::quick(&scratch.home(), &models);
    Some((scratch, genie))
}

fn runs(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(home.join("state/evals")) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The names of an object, and of those in it, without what depends on the
/// suite.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

#[test]
fn a_suite_is_run_compared_reported_and_held_against_a_baseline() {
    let Some((scratch, genie)) = quick() else {
        return;
    };
    small_suite(&scratch);
    let run = genie.json(&["eval", "run", "suite/en.json", "--json"]);
    let mut names = keys(&run);
    // Only where something was.
    names.retain(|name| *name != "missed");
    assert_eq!(names, ["items", "latency_ms", "metrics", "run", "suite"]);
    let missed = |mark: &str| run["missed"][mark].as_array().map_or(0, Vec::len) as f64;
    let found = |mark: &str| run["metrics"]["overall"][mark]["value"].as_f64();
    for mark in ["recall@1", "recall@5"] {
        let share = 1.0 - missed(mark) / 9.0;
        assert!((found(mark).expect(mark) - share).abs() < 1e-9, "{run}");
    }
    assert_eq!(
        (&run["suite"], &run["items"]),
        (&json!("en.json"), &json!(9))
    );
    assert_eq!(keys(&run["metrics"]), ["by_kind", "by_language", "overall"]);
    assert_eq!(
        keys(&run["metrics"]["overall"]),
        ["mrr@10", "ndcg@10", "recall@1", "recall@10", "recall@5"]
    );
    let estimate = &run["metrics"]["overall"]["recall@5"];
    assert_eq!(keys(estimate), ["clusters", "high", "low", "n", "value"]);
    assert_eq!(
        (&estimate["n"], &estimate["clusters"]),
        (&json!(9), &json!(3))
    );
    assert_eq!(run["metrics"]["by_language"]["en"]["recall@5"], *estimate);
    assert_eq!(run["metrics"]["by_kind"]["within"]["recall@5"], *estimate);
    let first = run["metrics"]["overall"]["recall@1"]["value"].as_f64();
    assert!(first > Some(0.6), "{run}");
    assert_eq!(keys(&run["latency_ms"]), ["embed", "search", "total"]);
    assert_eq!(
        keys(&run["latency_ms"]["total"]),
        ["n", "p50", "p95", "p99"]
    );
    for name in [
        "id",
        "seed",
        "models",
        "index",
        "retrieval",
        "version",
        "started",
        "machine",
    ] {
        assert!(!run["run"][name].is_null(), "no {name} in {run}");
    }
    assert_eq!(run["run"]["models"]["embedding"]["name"], MINILM);
    assert_eq!(run["run"]["models"]["chat"], Value::Null);

    // The same again is another run with the same figures, from the index
    // that was kept.
    let kept = |home: &Path| fs::read_dir(home.join("state/eval-index")).unwrap().count();
    assert_eq!(kept(genie.home()), 1);
    let again = genie.json(&["eval", "run", "suite/en.json", "--json"]);
    assert_eq!(again["metrics"], run["metrics"]);
    assert_ne!(again["run"]["id"], run["run"]["id"]);
    assert_eq!(kept(genie.home()), 1);
    let shown = genie.run(&["eval", "run", "suite/en.json"]).ended(0);
    assert!(shown.out.contains("recall@5"), "{}", shown.out);

    let (a, b) = (
        run["run"]["id"].as_str().unwrap(),
        again["run"]["id"].as_str().unwrap(),
    );
    let compared = genie.json(&["eval", "compare", a, b, "--json"]);
    assert_eq!(compared["common"], 9);
    let difference = &compared["metrics"]["overall"]["recall@1"];
    assert_eq!(
        (&difference["difference"], &difference["p"]),
        (&json!(0.0), &json!(1.0))
    );
    assert_eq!(compared["differs"], json!([]));
    let shown = genie.run(&["eval", "compare", a, "latest"]).ended(0);
    assert!(shown.out.contains("9 common items"), "{}", shown.out);
    let listed = genie.run(&["eval", "list"]).ended(0);
    assert!(
        listed.out.contains(a) && listed.out.contains(b),
        "{}",
        listed.out
    );

    genie
        .run(&["eval", "report", a, b, "--out", "report.html"])
        .ended(0);
    let page = fs::read_to_string(scratch.path("report.html")).unwrap();
    for part in ["<!DOCTYPE html>", "<svg role=\"img\"", "recall@5", a, b] {
        assert!(page.contains(part), "no {part} in the report");
    }
    assert!(
        !page.contains("<script") && !page.contains("http"),
        "{page}"
    );

    genie.run(&["eval", "gate", b, "--baseline", a]).ended(0);
    // A baseline of figures alone.
    scratch.write("baseline.json", run.to_string());
    genie
        .run(&["eval", "gate", b, "--baseline", "baseline.json"])
        .ended(0);
    // A run that finds nothing has lost.
    let worse = scratch.path("worse");
    fs::create_dir(&worse).unwrap();
    let found = genie.home().join("state/evals").join(b);
    fs::copy(found.join("run.json"), worse.join("run.json")).unwrap();
    let items = fs::read_to_string(found.join("items.jsonl")).unwrap();
    let items: String = items
        .lines()
        .map(|line| {
            let mut item: Value = serde_json::from_str(line).unwrap();
            item["values"]["recall@5"] = json!(0.0);
            format!("{item}\n")
        })
        .collect();
    fs::write(worse.join("items.jsonl"), items).unwrap();
    let lost = genie
        .run(&["eval", "gate", "worse", "--baseline", a])
        .ended(3);
    assert!(
        lost.out.contains("significant loss (alpha 0.05): recall@5"),
        "{}",
        lost.out
    );
    genie
        .run(&[
            "eval",
            "gate",
            "worse",
            "--baseline",
            a,
            "--metric",
            "mrr@10",
        ])
        .ended(0);
    genie
        .run(&["eval", "gate", "worse", "--baseline", a, "--metric", "bleu"])
        .refused(&["bleu", "recall@5"]);
    genie
        .run(&["eval", "gate", "worse", "--baseline", a, "--alpha", "5"])
        .ended(2);
}

#[test]
fn an_interrupted_run_is_taken_up() {
    let Some((scratch, genie)) = quick() else {
        return;
    };
    let questions = (0..1200).map(|number| format!("Where does cable {number} lie?"));
    scratch.write(
        "suite/en.json",
        squad(&[(PARAGRAPHS[0].0.to_owned(), questions.collect())]),
    );
    let done = |home: &Path| -> usize {
        runs(home)
            .iter()
            .filter_map(|run| fs::read_to_string(run.join("items.jsonl")).ok())
            .map(|items| items.lines().count())
            .sum()
    };
    let command = ["eval", "run", "suite/en.json", "--json"];
    let mut running = genie.start(&command);
    running.until("items were recorded", |_| {
        (done(genie.home()) > 20).then_some(())
    });
    running.signal("INT");
    let ended = running.wait(LIMIT).ended(130);
    assert!(ended.err.contains("goes on from there"), "{}", ended.err);
    let before = done(genie.home());
    assert!(before < 1200, "it was over before it was interrupted");
    genie
        .run(&["eval", "compare", "en-", "en-"])
        .refused(&["not finished"]);

    let finished = genie.run(&command).ended(0);
    assert!(finished.err.contains("taking up"), "{}", finished.err);
    let run: Value = serde_json::from_str(&finished.out).unwrap();
    assert_eq!(
        (&run["items"], &run["run"]["resumed"]),
        (&json!(1200), &json!(1))
    );
    assert_eq!(runs(genie.home()).len(), 1);
    assert_eq!(done(genie.home()), 1200);
}

#[test]
fn gold_questions_are_asked_of_their_documents_or_of_the_index() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    let line = |id: &str, question: &str, document: &str, quote: &str| {
        json!({
            "id": id, "lang": "en", "question": question, "answerable": true, "kind": "fact",
            "must_include": [["ship", "networks"]],
            "evidence": [{ "doc": document, "quote": quote }],
        })
        .to_string()
    };
    let lines = [
        line(
            "a",
            "Who lifts a broken cable?",
            "cable.md",
            "A repair ship\nlifts a broken cable",
        ),
        line(
            "b",
            "Where do networks meet?",
            "exchange.md",
            "a place where networks meet",
        ),
        json!({ "id": "c", "lang": "en", "question": "How is bread baked?", "answerable": false })
            .to_string(),
    ];
    scratch.write("gold.jsonl", lines.join("\n"));
    let run = genie.json(&["eval", "run", "gold.jsonl", "--documents", "docs", "--json"]);
    let overall = &run["metrics"]["overall"];
    assert_eq!(overall["recall@5"]["value"], 1.0, "{run}");
    assert_eq!(overall["recall@5"]["n"], 2);
    assert_eq!(overall["evidence@5"]["n"], 2);
    assert_eq!(overall["answered"]["n"], 2);
    assert_eq!(overall["refused_rightly"]["n"], 1);
    // It has an index of its own; the installation's is empty.
    assert_eq!(genie.index().len(), 0);
    let gold = ["eval", "run", "gold.jsonl", "--only", "retrieval", "--json"];
    genie.run(&gold).refused(&["--documents"]);

    genie.run(&["ingest", "docs"]).ended(0);
    let run = genie.json(&gold);
    assert_eq!(run["metrics"]["overall"]["recall@5"]["value"], 1.0, "{run}");
    assert_eq!(run["metrics"]["overall"].get("answered"), None);
    let service = Service::start(&genie);
    genie
        .run(&gold)
        .refused(&["the index is in use by the server at", "--documents"]);
    service.stop().ended(0);
}

/// Six paragraphs, so that some can be left out of what is learnt from.
fn larger_suite(scratch: &Scratch) {
    let facts = [
        "The lighthouse keeper feeds a grey goat every evening.",
        "Copper wires under the bridge carry the telephone calls of the village.",
        "A satellite dish on the school roof points towards the equator.",
        "The postman delivers parcels with an electric tricycle.",
        "Two wind turbines behind the harbour drive the ice factory.",
        "The museum shows a radio receiver from the year 1931.",
    ];
    let paragraphs: Vec<(String, Vec<String>)> = facts
        .iter()
        .map(|fact| ((*fact).to_owned(), vec![format!("Is it true? {fact}")]))
        .collect();
    scratch.write("suite/en.json", squad(&paragraphs));
}

#[test]
fn weights_are_learnt_used_and_refused_with_another_model() {
    let Some((scratch, genie)) = quick() else {
        return;
    };
    small_suite(&scratch);
    let learn = ["eval", "learn", "suite/en.json", "--json"];
    genie.run(&learn).refused(&["too few questions"]);
    larger_suite(&scratch);
    genie
        .run(&["eval", "learn", "suite/en.json", "--metric", "bleu"])
        .refused(&["bleu", "mrr@10"]);
    let lesson = genie.json(&[&learn[..], &["--out", "home/learnt.toml"]].concat());
    assert_eq!(lesson["metric"], "ndcg@10");
    assert_eq!(lesson["by_fold"].as_array().map(Vec::len), Some(5));
    assert_eq!(lesson["gain"]["n"], 6);
    assert!(lesson["fitted"].as_f64() >= lesson["before"].as_f64());
    let shown = genie.run(&["eval", "learn", "suite/en.json"]).ended(0);
    assert!(
        shown.out.contains("gain on questions left out"),
        "{}",
        shown.out
    );

    let profile = fs::read_to_string(scratch.path("home/learnt.toml")).unwrap();
    assert!(profile.contains(MINILM), "{profile}");
    let weight = |retrieval: &Value| retrieval["weights"]["lexical"].as_f64();
    let other = profile.replacen(
        &format!(
            "lexical_weight = {:?}",
            weight(&lesson["best"]).unwrap_or_default()
        ),
        "lexical_weight = 0.75",
        1,
    );
    assert_ne!(other, profile, "{profile}");
    scratch.write("home/learnt.toml", &other);
    scratch.write(
        "home/config.toml",
        "[retrieval]\nprofile = \"learnt.toml\"\n",
    );
    let run = genie.json(&["eval", "run", "suite/en.json", "--json"]);
    assert_eq!(weight(&run["run"]["retrieval"]), Some(0.75));

    scratch.write("home/learnt.toml", other.replace(MINILM, "another-model"));
    genie.run(&["eval", "run", "suite/en.json"]).refused(&[
        "learnt.toml",
        "another-model",
        "eval learn",
    ]);
    // Learning anew is the way out, and works.
    genie.run(&learn).ended(0);
}

#[test]
fn kept_indexes_are_listed_and_removed_when_asked_for() {
    let Some((scratch, genie)) = quick() else {
        return;
    };
    let none = genie.run(&["eval", "clean"]).ended(0);
    assert!(none.out.contains("No indexes"), "{}", none.out);
    small_suite(&scratch);
    genie.run(&["eval", "run", "suite/en.json"]).ended(0);
    let kept = || {
        fs::read_dir(genie.home().join("state/eval-index"))
            .unwrap()
            .count()
    };
    let listed = genie.json(&["eval", "clean", "--json"]);
    assert_eq!((listed.as_array().map(Vec::len), kept()), (Some(1), 1));
    assert!(listed[0]["bytes"].as_u64() > Some(1000), "{listed}");
    assert_eq!(listed[0]["removed"], false);
    let shown = genie.run(&["eval", "clean"]).ended(0);
    assert!(shown.out.contains("--yes"), "{}", shown.out);
    assert_eq!(kept(), 1);
    genie.run(&["eval", "clean", "--yes"]).ended(0);
    assert_eq!((kept(), runs(genie.home()).len()), (0, 1));
    genie.run(&["eval", "run", "suite/en.json"]).ended(0);
    assert_eq!(kept(), 1);
}

#[test]
fn malformed_suites_are_refused_with_the_line() {
    let scratch = Scratch::new();
    let genie = Genie::bare(&scratch.home());
    scratch.write("gold.jsonl", "\n{\"id\": \"a\"}\n");
    genie
        .run(&["eval", "run", "gold.jsonl"])
        .refused(&["gold.jsonl:2:", "lang"]);
    scratch.write("en.json", "{\"data\": [\n3]}");
    genie
        .run(&["eval", "run", "en.json"])
        .refused(&["en.json:2:"]);
    genie
        .run(&["eval", "run", "none.jsonl"])
        .refused(&["none.jsonl does not exist"]);
    genie
        .run(&["eval", "run", "en.json", "--depth", "3"])
        .ended(2);
    let listed = genie.run(&["eval", "list"]).ended(0);
    assert!(listed.out.contains("No runs yet"), "{}", listed.out);
}
