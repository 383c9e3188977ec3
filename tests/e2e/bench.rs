//! The command that measures.

use serde_json::Value;

use crate::genie::{Genie, LIMIT, MINILM, SMOLLM, alone, models};
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

/// The quick language model, and what is measured of it in little time.
fn quick_model() -> Option<(Scratch, Genie)> {
    let models = models(&[SMOLLM])?;
    let scratch = Scratch::new();
    let genie = Genie::quick(&scratch.home(), &models);
    Some((scratch, genie))
}

fn outcomes(report: &Value) -> Vec<&str> {
    let results = report["results"].as_array().expect("a list");
    let names = results.iter().map(|it| it["name"].as_str());
    names.map(|name| name.expect("a name")).collect()
}

/// A program of the name `llama-bench`.
fn program(scratch: &Scratch, script: &str) -> std::path::PathBuf {
    let path = scratch.path("llama-bench");
    std::fs::write(&path, script).expect("written");
    let status = std::process::Command::new("chmod")
        .arg("+x")
        .arg(&path)
        .status();
    assert!(status.expect("chmod runs").success());
    path
}

#[test]
fn ctrl_c_ends_the_measuring_and_the_peer() {
    let Some((scratch, genie)) = quick_model() else {
        return;
    };
    let began = scratch.path("began");
    let script = format!(
        "#!/bin/sh\necho $$ > '{}'\nexec sleep 600\n",
        began.display()
    );
    let peer = program(&scratch, &script);
    let peer = peer.to_string_lossy();
    let asked = ["bench", "llm", "--model", SMOLLM, "--only", "prefill-512"];
    let mut running = genie.start(&[&asked[..], &["--against", &peer]].concat());
    let id = running.until("the peer began", |_| {
        let id = std::fs::read_to_string(&began).ok()?;
        id.trim().parse::<u32>().ok()
    });
    running.signal("INT");
    let ended = running.wait(LIMIT).ended(130);
    assert!(ended.err.contains("interrupted"), "{}", ended.err);
    let alive = std::process::Command::new("kill")
        .args(["-0", &id.to_string()])
        .stderr(std::process::Stdio::null())
        .status();
    assert!(!alive.expect("kill runs").success(), "the peer goes on");
}

#[test]
fn a_language_model_is_measured_beside_llama_bench() {
    let Some((scratch, genie)) = quick_model() else {
        return;
    };
    // In place of llama.cpp: what it prints for what it was asked.
    let script = "#!/bin/sh\nwhile [ $# -gt 1 ]; do\n  case $1 in -p) p=$2;; -n) n=$2;; -m) \
                  test -f \"$2\" || exit 1;; esac\n  shift\ndone\necho \"[{\\\"n_prompt\\\": $p, \
                  \\\"n_gen\\\": $n, \\\"avg_ts\\\": 12.5}]\"\n";
    let peer = program(&scratch, script);

    let _alone = alone();
    let report = genie.json(&[
        "bench",
        "llm",
        "--model",
        SMOLLM,
        "--rounds",
        "1",
        "--threads",
        "2",
        "--only",
        "prefill-512,decode-128,prefix-ttft,speculation",
        "--against",
        &peer.to_string_lossy(),
        "--json",
    ]);
    assert_eq!(report["benchmark"], "llm");
    assert_eq!(report["settings"]["model"], SMOLLM);
    assert_eq!(report["settings"]["threads"], 2);
    assert_eq!(
        outcomes(&report),
        ["prefill-512", "decode-128", "prefix-ttft", "speculation"]
    );
    for outcome in report["results"].as_array().expect("a list") {
        let number = |of: &Value| of.as_f64().expect("a number");
        let ours = &outcome["ours"];
        let [min, median, max] = ["min", "median", "max"].map(|name| number(&ours[name]));
        assert!(0.0 < min && min <= median && median <= max, "{outcome}");
        assert!(outcome["unit"].is_string());
        assert!(number(&outcome["ratio"]) > 0.0, "{outcome}");
        let peer = &outcome["peer"];
        if peer["name"] == "llama-bench" {
            assert_eq!(number(&peer["median"]), 12.5);
            let ratio = number(&outcome["ratio"]);
            assert!((ratio - median / 12.5).abs() < 0.01, "{outcome}");
        }
    }
}

#[test]
fn a_file_is_measured_without_a_peer_and_what_was_not_asked_for_is_left_out() {
    let Some((_scratch, genie)) = quick_model() else {
        return;
    };
    let models = models(&[SMOLLM]).expect("as above");
    let file = models.join(SMOLLM).join("model.gguf");
    let file = file.to_string_lossy();
    let asked = ["bench", "llm", "--model", &file, "--rounds", "1"];
    let report = genie.json(&[&asked[..], &["--only", "prefill-512", "--json"]].concat());
    assert_eq!(outcomes(&report), ["prefill-512"]);
    assert!(report["results"][0]["peer"].is_null());
    assert!(report["results"][0]["ratio"].is_null());
    let table = genie
        .run(&[&asked[..], &["--only", "prefill-512"]].concat())
        .ended(0);
    assert!(table.out.starts_with("prefill-512"), "{}", table.out);
}

#[test]
fn a_model_or_peer_that_is_not_there_is_refused_with_its_name() {
    let scratch = Scratch::new();
    let genie = Genie::bare(&scratch.home());
    genie
        .run(&["bench", "llm", "--model", "no/such/file.gguf"])
        .refused(&["no/such/file.gguf"]);
    genie
        .run(&["bench", "llm", "--against", "no-such-program"])
        .refused(&["no-such-program"]);
    genie
        .run(&["bench", "llm", "--rounds", "0"])
        .refused(&["--rounds"]);
}
