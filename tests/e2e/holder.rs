//! An index that another process has open, and addresses that are taken.

use std::net::TcpListener;

use serde_json::Value;

use crate::genie::{Genie, LIMIT, MINILM, models, with_articles};
use crate::material::Scratch;
use crate::service::Service;

#[test]
fn commands_go_through_the_service_that_holds_the_index() {
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let scratch = Scratch::new();
    scratch.write("home/config.toml", "[retrieval]\nmin_similarity = 0.1\n");
    let genie = Genie::quick(&scratch.home(), &models);
    scratch.articles();
    genie.run(&["ingest", "docs"]).ended(0);
    let before = genie.index();
    let service = Service::start(&genie);
    let here = format!("process {}", service.id());

    assert_eq!(genie.json(&["doc", "list", "--json"]), before.documents);
    let found = genie.json(&["search", "repair ship", "--json"]);
    assert_eq!(found["passages"][0]["document"], "docs/cable.md", "{found}");
    let answer = genie.json(&["ask", "What does a repair ship do?", "--json"]);
    assert_eq!(answer["degraded"], true, "{answer}");
    assert_eq!(answer["citations"][0]["document"], "docs/cable.md");
    let shown = genie.run(&["ask", "What does a repair ship do?"]).ended(0);
    assert!(shown.out.contains("[1]") && shown.out.contains("docs/cable.md"));

    scratch.another("docs/fibre.md");
    scratch.empty("docs/nothing.md");
    let lines = genie.run(&["ingest", "--json", "docs"]).ended(3).lines();
    let outcomes: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["document"].as_str().unwrap(),
                line["status"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            ("docs/cable.md", "unchanged"),
            ("docs/exchange.md", "unchanged"),
            ("docs/fibre.md", "indexed"),
            ("docs/nothing.md", "skipped"),
            ("docs/spectrum.md", "unchanged"),
        ]
    );
    let reason = lines[3]["reason"].as_str().unwrap();
    assert!(
        reason.contains("nothing.md") && reason.contains("empty"),
        "{reason}"
    );
    let listed = genie.json(&["doc", "list", "--json"]);
    assert_eq!(listed.as_array().unwrap().len(), 4);
    let id = before.find("cable.md").unwrap()["id"].as_str().unwrap();
    genie.run(&["doc", "delete", id, "--yes"]).ended(0);

    let doctor = genie.run(&["doctor"]).ended(0);
    assert!(doctor.out.contains(&here), "{}", doctor.out);
    // What can't go through it says who holds the index.
    genie
        .run(&["serve", "--listen", "127.0.0.1:0"])
        .refused(&["in use", &here, &service.url]);

    service.stop().ended(0);
    let after = genie.index();
    assert_eq!(after.len(), 3);
    assert!(after.find("fibre.md").is_some() && after.find("cable.md").is_none());
}

#[test]
fn a_service_that_was_killed_holds_nothing() {
    let Some((_scratch, genie)) = with_articles() else {
        return;
    };
    genie.run(&["ingest", "docs"]).ended(0);
    let before = genie.index();
    Service::start(&genie).kill();
    assert_eq!(genie.index(), before);
    let service = Service::start(&genie);
    let listed: Value = service.get("/api/v1/documents").ok().json();
    assert_eq!(listed["results"], before.documents);
    service.stop().ended(0);
}

#[test]
fn a_second_ingest_is_told_who_holds_the_index() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    genie.run(&["ingest", "docs"]).ended(0);
    let before = genie.index();
    scratch.long_text("long.md");
    let note = scratch.path("home/index/holder.json");
    let mut first = genie.start(&["ingest", "long.md"]);
    first.until("it held the index", |_| note.exists().then_some(()));
    let who = format!("process {}", first.id());
    for arguments in [
        &["ingest", "docs"][..],
        &["ask", "What is an IXP?"],
        &["doc", "list"],
    ] {
        genie
            .run(arguments)
            .refused(&["in use by", &who, "stop it"]);
    }
    assert!(
        !first.has_ended(),
        "the first ingest was too quick for this test"
    );
    first.signal("INT");
    first.wait(LIMIT).ended(130);
    assert_eq!(genie.index(), before);
}

#[test]
fn a_port_in_use_is_named() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    Genie::bare(&scratch.home())
        .run(&["serve", "--listen", &address])
        .refused(&[&address, "--listen"]);
}

#[test]
fn an_address_that_others_can_reach_needs_consent() {
    let scratch = Scratch::new();
    Genie::bare(&scratch.home())
        .run(&["serve", "--listen", "0.0.0.0:0"])
        .refused(&["0.0.0.0:0", "--allow-remote"]);
}
