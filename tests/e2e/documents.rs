//! Documents come, change and go.

use serde_json::{Value, json};

use crate::genie::{E5, Genie, MINILM, models, with_articles};
use crate::material::Scratch;
use crate::service::Service;

fn statuses(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["status"].as_str().expect("a status"))
        .collect()
}

#[test]
fn ingesting_twice_changes_nothing() {
    let Some((_scratch, genie)) = with_articles() else {
        return;
    };
    let first = genie.run(&["ingest", "--json", "docs"]).ended(0).lines();
    assert_eq!(statuses(&first), ["indexed"; 3]);
    let before = genie.index();
    let second = genie.run(&["ingest", "--json", "docs"]).ended(0).lines();
    assert_eq!(statuses(&second), ["unchanged"; 3]);
    assert_eq!(genie.index(), before);
    let tally = genie.run(&["ingest", "docs"]).ended(0);
    assert!(tally.out.contains("3 unchanged"), "{}", tally.out);
}

#[test]
fn a_changed_file_replaces_its_earlier_version() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    genie.run(&["ingest", "docs"]).ended(0);
    let before = genie.index();
    let old = before.find("cable.md").unwrap()["id"].clone();
    scratch.write(
        "docs/cable.md",
        "# Submarine cables\n\nThe amber walrus inspects the landing station.\n",
    );
    let lines = genie.run(&["ingest", "--json", "docs"]).ended(0).lines();
    assert_eq!(statuses(&lines), ["replaced", "unchanged", "unchanged"]);
    let after = genie.index();
    assert_eq!(after.len(), 3);
    assert_ne!(after.find("cable.md").unwrap()["id"], old);
    let found = genie.json(&["search", "amber walrus", "--json", "--top-k", "50"]);
    let texts = found["passages"].to_string();
    assert!(texts.contains("amber walrus"), "{texts}");
    assert!(
        !texts.contains("repair ship"),
        "the old version is found: {texts}"
    );
}

#[test]
fn delete_removes_a_document_by_the_beginning_of_its_id() {
    let Some((_scratch, genie)) = with_articles() else {
        return;
    };
    genie.run(&["ingest", "docs"]).ended(0);
    let before = genie.index();
    let id = before.find("cable.md").unwrap()["id"].as_str().unwrap();
    // Without a terminal and without --yes nothing is removed.
    genie.run(&["doc", "delete", id]).refused(&["--yes"]);
    assert_eq!(genie.index(), before);
    genie.run(&["doc", "delete", "ffff", "--yes"]).ended(1);
    genie
        .run(&["doc", "delete", "not-an-id", "--yes"])
        .refused(&["not-an-id", "genie doc list"]);
    assert_eq!(genie.index(), before);

    genie.run(&["doc", "delete", &id[..16], "--yes"]).ended(0);
    let after = genie.index();
    assert_eq!(after.len(), 2);
    assert!(after.find("cable.md").is_none());
    let found = genie.json(&["search", "repair ship splices a cable", "--json"]);
    assert!(
        !found["passages"].to_string().contains("cable.md"),
        "{found}"
    );
    genie
        .run(&["doc", "delete", id, "--yes"])
        .refused(&["no document"]);
    // It can come back.
    genie.run(&["ingest", "docs"]).ended(0);
    assert_eq!(genie.index(), before);
}

#[test]
fn globs_and_folders_name_files() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    scratch.another("docs/deep/fibre.md");
    scratch.write("docs/deep/tool.exe", "MZ");
    let listed = |arguments: &[&str]| -> Vec<String> {
        let arguments: Vec<_> = ["ingest", "--json"].iter().chain(arguments).collect();
        let lines = genie.run(&arguments).ended(0).lines();
        lines
            .iter()
            .map(|line| line["document"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(listed(&["docs/*change.md"]), ["docs/exchange.md"]);
    assert_eq!(listed(&["docs/**/f*.md"]), ["docs/deep/fibre.md"]);
    let all = listed(&["docs", "docs/cable.md"]);
    assert_eq!(all.len(), 4, "{all:?}");
    assert_eq!(genie.index().len(), 4);
    genie
        .run(&["ingest", "docs/*.pdf"])
        .refused(&["docs/*.pdf"]);
}

#[test]
fn an_index_of_another_embedding_model_is_refused() {
    let Some(models) = models(&[MINILM, E5]) else {
        return;
    };
    let scratch = Scratch::new();
    let other = Genie::quick(&scratch.home(), &models);
    let genie = other.clone().set("GENIE_EMBEDDING_MODEL", E5);
    scratch.articles();
    genie.run(&["ingest", "docs"]).ended(0);
    let before = genie.index();
    let extra = scratch.another("fibre.md");
    let extra = extra.to_str().unwrap();
    for arguments in [
        &["ask", "What is an IXP?"][..],
        &["search", "cable"],
        &["ingest", extra],
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        other
            .run(arguments)
            .refused(&[E5, MINILM, "index", "go back to the old setting"]);
    }
    assert_eq!(genie.index(), before);
}

#[test]
fn an_empty_index_is_said_to_be_empty() {
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let scratch = Scratch::new();
    let genie = Genie::quick(&scratch.home(), &models);
    let answer = genie.json(&["ask", "What is an Internet exchange point?", "--json"]);
    assert_eq!(answer["answered"], false, "{answer}");
    assert_eq!(answer["citations"], serde_json::json!([]));
    assert_eq!(genie.index().len(), 0);
}

#[test]
fn commands_work_in_a_workspace_here_and_through_a_service() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    scratch.write("home/config.toml", "[retrieval]\nmin_similarity = 0.1\n");
    genie.run(&["workspace", "create", "health"]).ended(0);
    let within = |arguments: &[&'static str]| [arguments, &["--workspace", "health"]].concat();
    let there = |arguments: &[&'static str]| genie.json(&within(arguments));
    genie.run(&within(&["ingest", "docs"])).ended(0);
    genie
        .run(&["doc", "list", "--workspace", "nowhere"])
        .refused(&["nowhere", "genie workspace list"]);
    let mut service = None;
    for round in ["here", "through a service"] {
        let listed = there(&["doc", "list", "--json"]);
        assert_eq!(listed.as_array().unwrap().len(), 3, "{round}: {listed}");
        assert_eq!(genie.json(&["doc", "list", "--json"]), json!([]), "{round}");
        let found = there(&["search", "repair ship splices a cable", "--json"]);
        assert_eq!(found["passages"][0]["document"], "docs/cable.md", "{found}");
        let answer = there(&["ask", "What does a repair ship do?", "--json"]);
        assert_eq!(answer["citations"][0]["document"], "docs/cable.md");
        let none = genie.json(&["search", "repair ship splices a cable", "--json"]);
        assert_eq!(none["passages"], json!([]), "{round}");

        let cable = listed.as_array().unwrap().iter();
        let cable = cable.clone().find(|one| one["uri"] == "docs/cable.md");
        let id = cable.unwrap()["id"].as_str().unwrap();
        let doc = |action: &str, more: &[&str]| {
            let arguments = [
                &["doc", action, &id[..12]],
                more,
                &["--workspace", "health"],
            ];
            genie.run(&arguments.concat())
        };
        let title = format!("Cables {round}");
        let set = doc("set", &["--title", &title, "--label", "sea/cables"]);
        assert!(set.ended(0).out.contains("sea/cables"));
        doc("set", &[]).refused(&["nothing is to be changed"]);
        doc("reindex", &[]).ended(0);
        let shown = doc("show", &["--json"]).ended(0).out;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["title"], title.as_str(), "{shown}");
        assert_eq!(shown["labels"], json!(["sea/cables"]), "{shown}");
        let text = doc("text", &[]).ended(0).out;
        assert!(text.contains("splice"), "{text}");
        let file = scratch.path(&format!("{}.md", round.replace(' ', "-")));
        let to = file.to_str().unwrap();
        doc("download", &[to]).ended(0);
        let sent = std::fs::read(scratch.path("docs/cable.md")).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), sent);
        doc("download", &[to]).refused(&["can't be made"]);
        service.get_or_insert_with(|| Service::start(&genie));
    }
    service.unwrap().stop().ended(0);
}
