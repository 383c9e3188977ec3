//! The command that measures.

use serde_json::Value;

use crate::genie::{Genie, LIMIT, MINILM, models};
use crate::material::Scratch;

/// The installation with a folder for what is temporary.
fn measuring() -> Option<(Scratch, Genie)> {
    let models = models(&[MINILM])?;
    let scratch = Scratch::new();
    std::fs::create_dir_all(scratch.path("temporary")).expect("a folder");
    let temporary = scratch.path("temporary");
    let genie = Genie::quick(&scratch.home(), &models).set("TMPDIR", temporary.to_string_lossy());
    Some((scratch, genie))
}

fn is_empty(scratch: &Scratch) -> bool {
    let mut entries = std::fs::read_dir(scratch.path("temporary")).expect("a folder");
    entries.next().is_none()
}

#[test]
fn an_index_is_built_measured_and_removed() {
    let Some((scratch, genie)) = measuring() else {
        return;
    };
    let report = genie.json(&[
        "bench",
        "retrieval",
        "--chunks",
        "120,300",
        "--encode",
        "40",
        "--json",
    ]);
    assert_eq!(report["benchmark"], "retrieval");
    assert_eq!(report["settings"]["encoded"], 40);
    let figure = |name: &str, chunks: u64, filter: Value| -> f64 {
        let found: Vec<&Value> = report["results"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|it| it["name"] == name && it["chunks"] == chunks && it["filter"] == filter)
            .collect();
        assert_eq!(found.len(), 1, "{name} {chunks} {filter} in {report}");
        assert_eq!(found[0]["store"], "edge");
        assert!(found[0]["unit"].is_string());
        found[0]["value"].as_f64().expect("a number")
    };
    for chunks in [120, 300] {
        for name in ["build", "write", "open", "disk"] {
            assert!(figure(name, chunks, Value::Null) > 0.0, "{name}");
        }
        for filter in [
            "none",
            "language",
            "label",
            "dates",
            "label_and_dates",
            "documents",
        ] {
            let [p50, p95, p99] =
                ["p50", "p95", "p99"].map(|name| figure(name, chunks, filter.into()));
            assert!(0.0 < p50 && p50 <= p95 && p95 <= p99);
        }
        // So small an index compares everything; 16 bits may swap neighbours.
        assert!(figure("recall@10", chunks, "none".into()) > 0.99);
    }
    assert!(is_empty(&scratch), "the index is still there");
    assert!(
        !scratch.path("home/index").exists(),
        "the own index was touched"
    );
}

#[test]
fn ctrl_c_leaves_no_index_behind() {
    let Some((scratch, genie)) = measuring() else {
        return;
    };
    let mut running = genie.start(&["bench", "retrieval", "--chunks", "200000", "--encode", "20"]);
    running.until("it began", |_| (!is_empty(&scratch)).then_some(()));
    running.signal("INT");
    let ended = running.wait(LIMIT).ended(130);
    assert!(ended.err.contains("interrupted"), "{}", ended.err);
    assert!(is_empty(&scratch), "something is left");
}

#[test]
fn an_index_that_no_disk_holds_is_refused_before_anything_is_done() {
    let scratch = Scratch::new();
    let genie = Genie::bare(&scratch.home());
    genie
        .run(&["bench", "retrieval", "--chunks", "999999999999"])
        .refused(&["GB", "--keep"]);
    genie
        .run(&["bench", "retrieval", "--chunks", "0"])
        .refused(&["--chunks"]);
}
