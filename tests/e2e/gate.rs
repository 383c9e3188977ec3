//! Retrieval over the starter corpus, held against what was recorded.

use std::fs;

use serde_json::Value;

use crate::genie::{E5, Genie, alone, models};
use crate::material::{Scratch, checkout, copy_folder};

/// The gold questions of the starter corpus, of all languages and across them.
const GOLD: [&str; 3] = ["gold.jsonl", "gold-multilingual.jsonl", "gold-across.jsonl"];

/// As the baseline was recorded, which docs/evaluation.md tells.
const SUITE: &str = "starter.jsonl";
/// One metric, and the one that says most: of several each would have to be
/// worse by more, and there are but 103 questions.
const METRIC: &str = "mrr@10";

#[test]
fn retrieval_over_the_starter_corpus_has_lost_nothing() {
    let Some(models) = models(&[E5]) else {
        return;
    };
    let _turn = alone();
    let scratch = Scratch::new();
    let genie = Genie::default_models(&scratch.home(), &models)
        .set("GENIE_CHAT_MODEL", "none")
        // How much is compared must not depend on what else the machine does.
        .set("GENIE__RETRIEVAL__RERANK_BUDGET_MS", "60000");
    let corpus = checkout().join("corpus");
    copy_folder(&corpus.join("starter"), &scratch.path("documents/starter"));
    let gold: String = GOLD
        .iter()
        .map(|name| fs::read_to_string(corpus.join(name)).expect("the questions are there"))
        .collect();
    scratch.write(SUITE, gold);
    let run = genie.json(&[
        "eval",
        "run",
        SUITE,
        "--documents",
        "documents",
        "--only",
        "retrieval",
        "--json",
    ]);
    let asked = run["metrics"]["overall"]["recall@5"]["n"].as_u64();
    assert!(asked > Some(100), "{run}");
    assert_eq!(run["run"]["top_k"], 6, "as people ask");
    let languages = run["metrics"]["by_language"].as_object();
    assert_eq!(languages.map(serde_json::Map::len), Some(6));
    let id = run["run"]["id"].as_str().expect("a run has a name");

    let baseline = checkout().join("tests/e2e/baseline/starter");
    let baseline = baseline.to_string_lossy();
    let gate = |run: &str| {
        genie.run(&[
            "eval",
            "gate",
            run,
            "--baseline",
            &*baseline,
            "--metric",
            METRIC,
        ])
    };
    gate(id).ended(0);

    // The gate of this very baseline does find a loss: every third question
    // finds nothing.
    let found = genie.home().join("state/evals").join(id);
    let worse = scratch.path("worse");
    fs::create_dir(&worse).expect("a folder");
    fs::copy(found.join("run.json"), worse.join("run.json")).expect("a copy");
    let items = fs::read_to_string(found.join("items.jsonl")).expect("the items");
    let items: String = items
        .lines()
        .enumerate()
        .map(|(at, line)| {
            let mut item: Value = serde_json::from_str(line).expect("an item");
            if at % 3 == 0 && item["values"].get(METRIC).is_some() {
                item["values"][METRIC] = 0.0.into();
            }
            format!("{item}\n")
        })
        .collect();
    fs::write(worse.join("items.jsonl"), items).expect("it is written");
    let lost = gate("worse").ended(3);
    assert!(
        lost.out
            .contains(&format!("significant loss (alpha 0.05): {METRIC}")),
        "{}",
        lost.out
    );
}
