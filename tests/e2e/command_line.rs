//! Help, completions, configuration and the doctor.

use serde_json::Value;

use crate::genie::{Genie, MINILM, models};
use crate::material::Scratch;

const COMMANDS: &[&[&str]] = &[
    &[],
    &["quickstart"],
    &["models"],
    &["models", "list"],
    &["models", "pull"],
    &["models", "verify"],
    &["models", "path"],
    &["models", "rm"],
    &["models", "import"],
    &["ingest"],
    &["doc"],
    &["doc", "show"],
    &["doc", "text"],
    &["doc", "download"],
    &["doc", "set"],
    &["doc", "reindex"],
    &["doc", "restore"],
    &["doc", "list"],
    &["doc", "delete"],
    &["corpus"],
    &["corpus", "list"],
    &["corpus", "pull"],
    &["corpus", "starter"],
    &["ask"],
    &["search"],
    &["chat"],
    &["serve"],
    &["mcp"],
    &["health"],
    &["workspace"],
    &["workspace", "list"],
    &["workspace", "create"],
    &["workspace", "show"],
    &["workspace", "set"],
    &["workspace", "delete"],
    &["workspace", "restore"],
    &["key"],
    &["key", "list"],
    &["key", "create"],
    &["key", "rotate"],
    &["key", "revoke"],
    &["user"],
    &["user", "list"],
    &["user", "set"],
    &["user", "remove"],
    &["conversation"],
    &["conversation", "erase"],
    &["conversation", "restore"],
    &["conversation", "list"],
    &["conversation", "show"],
    &["conversation", "delete"],
    &["conversation", "export"],
    &["feedback"],
    &["feedback", "list"],
    &["feedback", "give"],
    &["usage"],
    &["job"],
    &["job", "list"],
    &["job", "show"],
    &["job", "cancel"],
    &["audit"],
    &["audit", "list"],
    &["audit", "verify"],
    &["audit", "export"],
    &["audit", "anchor"],
    &["config"],
    &["config", "check"],
    &["config", "show"],
    &["backup"],
    &["backup", "create"],
    &["backup", "restore"],
    &["backup", "verify"],
    &["eval"],
    &["eval", "run"],
    &["eval", "compare"],
    &["eval", "report"],
    &["eval", "gate"],
    &["eval", "list"],
    &["eval", "learn"],
    &["eval", "clean"],
    &["doctor"],
    &["bench"],
    &["bench", "retrieval"],
    &["openapi"],
    &["completions"],
    &["man"],
];

#[test]
fn every_command_explains_itself() {
    let scratch = Scratch::new();
    let genie = Genie::bare(&scratch.home());
    for command in COMMANDS {
        let arguments: Vec<_> = command.iter().copied().chain(["--help"]).collect();
        let help = genie.run(&arguments).ended(0);
        let first = help.out.lines().next().unwrap_or_default();
        assert!(
            first.len() > 10 && help.out.contains("Usage: genie"),
            "help of {command:?}:\n{}",
            help.out
        );
    }
    assert!(!scratch.home().exists(), "help made a home folder");
}

#[test]
fn every_command_is_in_the_help() {
    let scratch = Scratch::new();
    let help = Genie::bare(&scratch.home()).run(&["--help"]).ended(0);
    let listed: Vec<_> = help
        .out
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .collect();
    for name in &listed {
        assert!(
            COMMANDS.iter().any(|command| command.first() == Some(name)),
            "{name} is not in the list of this test"
        );
    }
    assert!(listed.len() >= 12, "{listed:?}");
}

#[test]
fn the_version_is_the_workspaces() {
    let scratch = Scratch::new();
    let version = Genie::bare(&scratch.home()).run(&["--version"]).ended(0);
    assert_eq!(
        version.out.trim(),
        format!("genie {}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn completions_name_the_commands() {
    let scratch = Scratch::new();
    let genie = Genie::bare(&scratch.home());
    for shell in ["bash", "zsh", "fish"] {
        let script = genie.run(&["completions", shell]).ended(0).out;
        for name in ["quickstart", "ingest", "doctor"] {
            assert!(script.contains(name), "no {name} for {shell}");
        }
    }
}

#[test]
fn arguments_that_make_no_sense_end_with_2() {
    let scratch = Scratch::new();
    let genie = Genie::bare(&scratch.home());
    for arguments in [
        &["explain"][..],
        &["ask"],
        &["ask", "?", "--lang", "tlh"],
        &["serve", "--listen", "here"],
    ] {
        let refused = genie.run(arguments).ended(2);
        assert!(refused.err.contains("error:"), "{}", refused.err);
    }
}

#[test]
fn an_unknown_setting_is_named_with_its_file() {
    let scratch = Scratch::new();
    scratch.write("home/config.toml", "[retrieval]\ntopk = 9\n");
    let genie = Genie::bare(&scratch.home());
    let refused = genie
        .run(&["ask", "What is an IXP?"])
        .refused(&["config.toml"]);
    // Below the sentence the place in the file is shown.
    assert!(refused.err.contains("topk"), "{}", refused.err);
    // The doctor goes on and says it too.
    let checks = genie.run(&["doctor", "--json"]).ended(3);
    let checks: Value = serde_json::from_str(&checks.out).unwrap();
    let configuration = verdict(&checks, "configuration");
    assert_eq!(configuration["verdict"], "error");
    assert!(configuration["detail"].as_str().unwrap().contains("topk"));
}

#[test]
fn a_setting_out_of_its_range_is_refused() {
    let scratch = Scratch::new();
    scratch.write("home/config.toml", "[retrieval]\ntop_k = 900\n");
    Genie::bare(&scratch.home())
        .run(&["ask", "What is an IXP?"])
        .refused(&["top_k", "900", "50"]);
}

#[test]
fn without_models_the_way_to_them_is_said() {
    let scratch = Scratch::new();
    let genie = Genie::bare(&scratch.home());
    genie
        .run(&["ask", "What is an IXP?"])
        .refused(&["multilingual-e5-small", "genie models pull"]);
    let checks = genie.run(&["doctor", "--json"]).ended(3);
    let checks: Value = serde_json::from_str(&checks.out).unwrap();
    assert_eq!(verdict(&checks, "embedding model")["verdict"], "error");
    assert_eq!(verdict(&checks, "language model")["verdict"], "warning");
}

#[test]
fn the_doctor_has_a_verdict_on_everything() {
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let scratch = Scratch::new();
    let genie = Genie::quick(&scratch.home(), &models);
    scratch.articles();
    genie.run(&["ingest", "docs"]).ended(0);
    let checks = genie.json(&["doctor", "--json"]);
    for name in [
        "processor",
        "configuration",
        "device",
        "embedding model",
        "language model",
        "index",
        "disk (home)",
        "disk (models)",
    ] {
        let check = verdict(&checks, name);
        assert!(
            matches!(check["verdict"].as_str(), Some("ok" | "warning")),
            "{check}"
        );
        assert!(!check["detail"].as_str().unwrap().is_empty(), "{check}");
    }
    let index = verdict(&checks, "index")["detail"].to_string();
    assert!(index.contains("3 documents"), "{index}");
    let shown = genie.run(&["doctor"]).ended(0);
    assert!(shown.out.lines().count() >= 8, "{}", shown.out);
}

#[track_caller]
fn verdict<'a>(checks: &'a Value, name: &str) -> &'a Value {
    checks
        .as_array()
        .expect("a list")
        .iter()
        .find(|check| check["name"] == name)
        .unwrap_or_else(|| panic!("no verdict on {name} in {checks}"))
}
