//! Being asked to stop.

use crate::genie::{LIMIT, with_articles};
use crate::service::Service;

#[test]
fn sigterm_ends_the_service_gracefully() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    genie.run(&["ingest", "docs"]).ended(0);
    let before = genie.index();
    let service = Service::start(&genie);
    service.get("/healthcheck").ok();
    let ended = service.stop().ended(0);
    assert!(!ended.err.contains("error"), "{}", ended.err);
    assert!(!scratch.path("home/index/holder.json").exists());
    assert_eq!(genie.index(), before);
}

#[test]
fn ctrl_c_ends_an_ingest_and_keeps_what_was_done() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    scratch.long_text("docs/long.md");
    let mut running = genie.start(&["ingest", "--json", "docs"]);
    running.until("two files were indexed", |out| {
        (out.lines().count() >= 2).then_some(())
    });
    running.signal("INT");
    let ended = running.wait(LIMIT).ended(130);
    assert!(ended.err.contains("interrupted"), "{}", ended.err);
    let index = genie.index();
    assert_eq!(index.len(), 2, "{:?}", index.documents);
    std::fs::remove_file(scratch.path("docs/long.md")).unwrap();
    let lines = genie.run(&["ingest", "--json", "docs"]).ended(0).lines();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2]["status"], "indexed");
}
