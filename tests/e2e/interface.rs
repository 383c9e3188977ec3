//! What is promised of the interface: that it is as described, and that
//! nothing that was acknowledged is lost.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::genie::{Genie, MINILM, alone, models};
use crate::material::Scratch;
use crate::service::Service;

/// Inputs made for each operation; more find little more and take long.
const EXAMPLES: &str = "15";

/// What is held against the description.
const CONFORMS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,unsupported_method,\
    use_after_free,ensure_resource_availability";

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
    checked("", CONFORMS, |_| None);
}

/// As somebody from elsewhere, who needs a key: with one that may do
/// everything, and tried again without it and with wrong ones.
#[test]
fn the_service_is_as_its_description_says_to_whoever_has_a_key() {
    let checks = format!("{CONFORMS},ignored_auth,missing_required_header");
    checked("authentication = \"required\"\n", &checks, |genie| {
        let operator = ["key", "create", "--name", "all", "--operator"];
        let secret = genie.run(&operator).ended(0).out.trim().to_owned();
        Some(format!("Authorization: Bearer {secret}"))
    });
}

fn checked(server: &str, checks: &str, header: impl FnOnce(&Genie) -> Option<String>) {
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
    let checked = Command::new(schemathesis)
        .arg("run")
        .arg(format!("{}/v3/api-docs", service.url))
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--checks", checks])
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
