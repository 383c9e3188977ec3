//! The questions that the default models have to answer, on real documents.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::genie::{E5, Genie, MINILM, QWEN, SMOLLM, alone, models};
use crate::material::{Scratch, shared_corpus};
use crate::service::Service;

/// Every citation's quote stands in the document where it says, counted in
/// characters, and every number in the text has its citation.
#[track_caller]
pub(crate) fn citations_are_exact(answer: &Value, folder: &Path) {
    let text = answer["answer"].as_str().expect("text");
    let citations = answer["citations"].as_array().expect("a list");
    for (index, citation) in citations.iter().enumerate() {
        assert_eq!(citation["number"], index + 1, "{answer}");
        assert!(
            text.contains(&format!("[{}]", index + 1)),
            "citation {} is not in the text: {answer}",
            index + 1
        );
        let name = citation["document"].as_str().expect("a path");
        let document = fs::read_to_string(folder.join(name)).expect("the document");
        let number = |key: &str| citation[key].as_u64().expect("a number") as usize;
        let (start, end) = (number("start"), number("end"));
        let slice: String = document.chars().skip(start).take(end - start).collect();
        assert_eq!(citation["quote"], slice, "{name} at {start}..{end}");
        assert!(!slice.trim().is_empty(), "{citation}");
    }
    for piece in text.split('[').skip(1) {
        if let Some(number) = piece
            .split(']')
            .next()
            .and_then(|n| n.parse::<usize>().ok())
        {
            assert!(
                (1..=citations.len()).contains(&number),
                "[{number}] in {text}"
            );
        }
    }
}

#[test]
fn the_default_models_answer_from_the_real_documents() {
    let Some(corpus) = shared_corpus() else {
        return;
    };
    let Some(models) = models(&[E5, QWEN]) else {
        return;
    };
    let _turn = alone();
    let scratch = Scratch::new();
    let genie = Genie::default_models(&scratch.home(), &models).within(&corpus);
    // All of it takes minutes; the rest of it is there to be confused with.
    let documents: &[&str] = if std::env::var_os("GENIE_TEST_FULL").is_some() {
        &["itu", "govstack"]
    } else {
        &[
            "itu",
            "govstack/sandbox-*.md",
            "govstack/use-case-ai-*.md",
            "govstack/information-mediator-[34]-*.md",
            "govstack/cloud-infrastructure-[23]-*.md",
        ]
    };
    let arguments: Vec<&str> = std::iter::once(&"ingest")
        .chain(documents)
        .copied()
        .collect();
    genie
        .start(&arguments)
        .wait(std::time::Duration::from_secs(900))
        .ended(0);
    // The service holds the index, so the commands go through it and the
    // model is loaded once.
    let service = Service::start(&genie);

    let counted = genie.json(&[
        "ask",
        "--json",
        "How many projects did the UN AI activities report catalogue in 2025, and how many in 2024?",
    ]);
    eprintln!("{}", counted["answer"]);
    let text = counted["answer"].as_str().unwrap();
    assert!(text.contains("729") && text.contains("406"), "{counted}");
    assert_eq!(counted["answered"], true);
    assert_eq!(counted["degraded"], false);
    assert_eq!(counted["language"], "en");
    assert_eq!(counted["model"], QWEN);
    assert!(
        counted["citations"]
            .as_array()
            .unwrap()
            .iter()
            .any(|citation| citation["document"]
                .as_str()
                .unwrap()
                .ends_with("000_12d49f0f1eeb1cd5.txt")),
        "{counted}"
    );
    citations_are_exact(&counted, &corpus);
    for key in ["embed", "search", "first_token", "total"] {
        assert!(counted["timings_ms"][key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert!(counted["usage"]["completion_tokens"].as_u64().unwrap() > 0);

    let french = genie.json(&[
        "ask",
        "--json",
        "Qu'est-ce que GENIE.AI et quel est son lien avec GovStack ?",
    ]);
    eprintln!("{}", french["answer"]);
    assert_eq!(french["language"], "fr", "{french}");
    assert_eq!(french["answered"], true, "{french}");
    assert!(!french["citations"].as_array().unwrap().is_empty());
    assert!(
        french["answer"].as_str().unwrap().contains("GENIE"),
        "{french}"
    );
    citations_are_exact(&french, &corpus);

    let elsewhere = genie.json(&["ask", "--json", "What is the capital of Mongolia?"]);
    eprintln!("{}", elsewhere["answer"]);
    assert_eq!(elsewhere["answered"], false, "{elsewhere}");
    assert_eq!(elsewhere["citations"], serde_json::json!([]));
    assert_eq!(elsewhere["language"], "en");
    assert!(!elsewhere["answer"].as_str().unwrap().contains("Ulaan"));
    service.stop().ended(0);
}

#[test]
fn without_a_language_model_passages_are_quoted() {
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let scratch = Scratch::new();
    scratch.write("home/config.toml", "[retrieval]\nmin_similarity = 0.1\n");
    // From the environment and by flag; and where the model is not installed.
    let genie = Genie::quick(&scratch.home(), &models);
    scratch.articles();
    genie.run(&["ingest", "docs"]).ended(0);
    let absent = genie.clone().set("GENIE_CHAT_MODEL", "olmo-2-1b-instruct");
    let installed = models_has(&models, "olmo-2-1b-instruct");
    let question = "What does a repair ship do with a broken cable?";
    let mut answers = vec![genie.json(&["ask", question, "--json", "--chat-model", "none"])];
    if !installed {
        let finished = absent.run(&["ask", question, "--json"]).ended(0);
        assert!(
            finished.err.contains("olmo-2-1b-instruct"),
            "{}",
            finished.err
        );
        answers.push(serde_json::from_str(&finished.out).unwrap());
    }
    for answer in answers {
        assert_eq!(answer["degraded"], true, "{answer}");
        assert_eq!(answer["answered"], true, "{answer}");
        assert_eq!(answer["model"], Value::Null);
        let citations = answer["citations"].as_array().unwrap();
        assert_eq!(citations[0]["document"], "docs/cable.md", "{answer}");
        assert!(
            citations[0]["quote"]
                .as_str()
                .unwrap()
                .contains("repair ship"),
            "{answer}"
        );
        citations_are_exact(&answer, &scratch.path(""));
    }
}

#[test]
fn a_workspace_has_a_model_of_its_own() {
    let Some(models) = models(&[MINILM, SMOLLM]) else {
        return;
    };
    let _turn = alone();
    let scratch = Scratch::new();
    scratch.write(
        "home/config.toml",
        format!("chat_models = [\"{SMOLLM}\"]\n[retrieval]\nmin_similarity = 0.1\n"),
    );
    let genie = Genie::quick(&scratch.home(), &models).set("GENIE_CHAT_MODEL", "none");
    let service = Service::start(&genie);
    let made = |settings: Value| {
        let new = serde_json::json!({"id": "health", "settings": settings});
        service.post("/api/v1/workspaces", &new)
    };
    let refused = made(serde_json::json!({"model": "olmo-2-1b-instruct"}));
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains(SMOLLM), "{}", refused.text);
    let settings = serde_json::json!({"model": SMOLLM, "style": "brief", "languages": ["fr"]});
    assert_eq!(made(settings).status, 201);
    let document = serde_json::json!({
        "uri": "cable.md",
        "text": "A repair ship lifts a broken cable and joins its ends.",
    });
    let ask = |base: &str, question: &str| {
        let reply = service.post(
            &format!("{base}/answer"),
            &serde_json::json!({"question": question}),
        );
        assert_eq!(reply.status, 200, "{}", reply.text);
        reply.json()
    };
    let health = "/api/v1/workspaces/health";
    for base in [health, "/api/v1"] {
        let added = service.post(&format!("{base}/documents"), &document);
        assert_eq!(added.status, 201, "{}", added.text);
    }
    let question = "What does a repair ship do with a broken cable?";
    let answer = ask(health, question);
    assert_eq!(answer["model"], SMOLLM, "{answer}");
    assert_eq!(answer["language"], "en", "{answer}");
    // A name alone shows no language.
    assert_eq!(ask(health, "GENIE.AI?")["language"], "fr");
    let others = ask("/api/v1", question);
    assert_eq!(others["model"], Value::Null, "{others}");
    assert_eq!(others["degraded"], true, "{others}");
    let metrics = service.get("/metrics").ok().text;
    let tokens = metrics
        .lines()
        .find_map(|line| line.strip_prefix("genie_model_pass_tokens_total "))
        .expect("passes are counted");
    assert_ne!(tokens.trim(), "0");
    service.stop().ended(0);
}

fn models_has(folder: &Path, name: &str) -> bool {
    folder.join(name).exists()
}

#[test]
fn a_small_model_answers_with_exact_citations_or_not_at_all() {
    let Some(models) = models(&[MINILM, SMOLLM]) else {
        return;
    };
    let _turn = alone();
    let scratch = Scratch::new();
    scratch.write("home/config.toml", "[retrieval]\nmin_similarity = 0.1\n");
    let genie = Genie::quick(&scratch.home(), &models).set("GENIE_CHAT_MODEL", SMOLLM);
    scratch.articles();
    genie.run(&["ingest", "docs"]).ended(0);
    let answer = genie.json(&["ask", "What is an Internet exchange point?", "--json"]);
    assert_eq!(answer["model"], SMOLLM, "{answer}");
    assert_eq!(
        answer["answered"] == true,
        !answer["citations"].as_array().unwrap().is_empty(),
        "{answer}"
    );
    citations_are_exact(&answer, &scratch.path(""));
}
