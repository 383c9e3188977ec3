//! What is promised of the interface: that it is as described, and that
//! nothing that was acknowledged is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::genie::{Genie, MINILM, alone, models};
use crate::material::Scratch;
use crate::service::Service;

/// Inputs made for each operation; more find little more and take long.
const EXAMPLES: &str = "15";

/// Where a request that keeps to the description may still be refused, with
/// what and why: rules that a schema has no words for. Everything else that
/// keeps to it has to be taken, and what does not has to be refused.
const SENSELESS: &[(&[&str], u16, &str)] = &[
    (
        &["/answer", "/search", "/conversations/{id}/messages"],
        422,
        "days of a filter in the wrong order; a webhook for an answer that is not waited for",
    ),
    (
        &["/documents"],
        422,
        "bytes that are no document; bytes without a name",
    ),
    (&["/documents/{id}"], 422, "a change of nothing"),
    (&["/evaluations"], 422, "text that is no suite of questions"),
    (
        &["/messages/{id}/feedback"],
        422,
        "an opinion about nothing",
    ),
    (
        &["/keys"],
        422,
        "a scope that the role does not have; an end that has passed",
    ),
    (
        &["/workspaces", "/workspaces/{workspace}"],
        422,
        "a model that is not offered here",
    ),
    (
        &["/mcp"],
        406,
        "the protocol's own rules of what is accepted",
    ),
    (&["/mcp"], 400, "the protocol's own messages"),
    (
        &["/v1/chat/completions", "/v1/responses"],
        400,
        "fields that contradict each other; forms and tools that can't be honoured; a \
         conversation that does not end with a question",
    ),
    (
        &["/v1/embeddings"],
        400,
        "a number of dimensions that the model was not trained for",
    ),
    (&["/v1/files"], 422, "bytes that are no document"),
    (
        &[
            "/v1/vector_stores",
            "/v1/vector_stores/{id}",
            "/v1/vector_stores/{id}/files",
        ],
        400,
        "stores are not made, changed or removed here, and keep no attributes",
    ),
    (
        &["/v1/vector_stores/{id}/search"],
        400,
        "filters that are not understood",
    ),
];

/// Schemathesis' settings with these exceptions.
fn settings() -> String {
    let mut statuses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (paths, status, _) in SENSELESS {
        for path in *paths {
            let usual = ["2xx", "3xx", "401", "403", "404", "409", "429", "5xx"].map(str::to_owned);
            let places = if path.starts_with("/v1/") {
                vec![(*path).to_owned()]
            } else {
                let alone = if *path == "/mcp" { "" } else { "/api/v1" };
                vec![
                    format!("{alone}{path}"),
                    format!("/api/v1/workspaces/{{workspace}}{path}"),
                ]
            };
            for place in places {
                let of = statuses
                    .entry(place)
                    .or_insert_with(|| usual.clone().into());
                of.insert(status.to_string());
            }
        }
    }
    let operations = statuses.iter().map(|(path, statuses)| {
        let statuses: Vec<_> = statuses.iter().collect();
        format!(
            "[[operations]]\ninclude-path = {path:?}\n\
             checks.positive_data_acceptance.expected-statuses = {statuses:?}\n"
        )
    });
    // A body that is too long is refused, though not for what is wrong in it.
    let refused = [
        "400", "401", "403", "404", "405", "406", "409", "413", "415", "422", "428", "429", "5xx",
    ];
    let everywhere = format!("[checks]\nnegative_data_rejection.expected-statuses = {refused:?}\n");
    std::iter::once(everywhere).chain(operations).collect()
}

fn service(scratch: &Scratch, server: &str) -> Option<(Genie, Service)> {
    let models = models(&[MINILM])?;
    scratch.write(
        "home/config.toml",
        format!("[retrieval]\nmin_similarity = 0.1\n[server]\nrequests_per_minute = 0\n{server}"),
    );
    let genie = Genie::quick(&scratch.home(), &models).set("GENIE_CHAT_MODEL", "none");
    scratch.articles();
    genie.run(&["ingest", "docs"]).ended(0);
    let service = Service::start(&genie);
    Some((genie, service))
}

#[test]
fn the_service_is_as_its_description_says() {
    checked("", |_| None);
}

/// As somebody from elsewhere, who needs a key: with one that may do
/// everything, and tried again without it and with wrong ones.
#[test]
fn the_service_is_as_its_description_says_to_whoever_has_a_key() {
    checked("authentication = \"required\"\n", |genie| {
        let operator = ["key", "create", "--name", "all", "--operator"];
        let secret = genie.run(&operator).ended(0).out.trim().to_owned();
        Some(format!("Authorization: Bearer {secret}"))
    });
}

fn checked(server: &str, header: impl FnOnce(&Genie) -> Option<String>) {
    let Some(python) = std::env::var_os("GENIE_TEST_PYTHON").map(PathBuf::from) else {
        eprintln!("skipped: GENIE_TEST_PYTHON names no Python that has the package schemathesis");
        return;
    };
    let schemathesis = python.with_file_name("schemathesis");
    if !schemathesis.exists() {
        eprintln!("skipped: the package schemathesis is not there");
        return;
    }
    let _turn = alone();
    let scratch = Scratch::new();
    let Some((genie, service)) = service(&scratch, server) else {
        return;
    };
    let header = header(&genie).map(|header| ["--header".to_owned(), header]);
    let settings = scratch.write("schemathesis.toml", settings());
    let checked = Command::new(schemathesis)
        .arg("--config-file")
        .arg(settings)
        .arg("run")
        .arg(format!("{}/v3/api-docs", service.url))
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--checks", "all"])
        .args(header.into_iter().flatten())
        .args(["--max-examples", EXAMPLES, "--workers", "2", "--seed", "1"])
        .args([
            "--generation-database",
            "none",
            "--continue-on-failure",
            "--no-color",
        ])
        .args(["--suppress-health-check", "all", "--warnings", "off"])
        .current_dir(scratch.path(""))
        .output()
        .expect("it can be started");
    let report = String::from_utf8_lossy(&checked.stdout);
    let errors = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "{report}\n{errors}");
    service.stop().ended(0);
}

#[test]
fn what_was_acknowledged_is_there_after_a_crash() {
    let _turn = alone();
    let scratch = Scratch::new();
    let Some((genie, mut service)) = service(&scratch, "") else {
        return;
    };
    let opened = service.post("/api/v1/conversations", &json!({"title": "kept"}));
    let id = opened.json()["id"].as_str().expect("an id").to_owned();
    let messages = format!("/api/v1/conversations/{id}/messages");
    let mut acknowledged = 0;
    for round in 0..5 {
        for _ in 0..=round {
            let body = json!({"question": "What is an Internet exchange point?"});
            let reply = service.post(&messages, &body);
            assert_eq!(reply.status, 201, "{}", reply.text);
            acknowledged += 2;
        }
        service.kill();
        service = Service::start(&genie);
        let kept: Value = service.get(&messages).ok().json();
        assert_eq!(kept["count"], acknowledged, "after round {round}");
        let verdict = service.get("/api/v1/audit/verify").ok().json();
        assert_eq!(verdict["whole"], true, "{verdict}");
        assert_eq!(
            verdict["records"].as_u64(),
            Some(acknowledged / 2),
            "one an answer"
        );
    }
    service.stop().ended(0);
}
