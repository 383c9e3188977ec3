//! Programs that others wrote for OpenAI's interface and for the Model Context
//! Protocol, against a service without a language model: its answers are
//! quotes, so they are always cited and the same each time.
//!
//! `./test` fetches the packages; a client whose package is not there is
//! skipped by name.

use std::path::PathBuf;
use std::process::Command;

use crate::genie::{Genie, alone, program, with_articles};
use crate::material::{Scratch, checkout};
use crate::service::Service;

/// A service over the articles.
fn service() -> Option<(Scratch, Genie, Service)> {
    let (scratch, genie) = with_articles()?;
    scratch.write(
        "home/config.toml",
        "[retrieval]\nmin_similarity = 0.1\n[server]\nrequests_per_minute = 0\n",
    );
    genie.run(&["ingest", "docs"]).ended(0);
    let service = Service::start(&genie);
    Some((scratch, genie, service))
}

fn script(name: &str) -> PathBuf {
    checkout().join("tests/e2e/clients").join(name)
}

/// The Python of a variable, if it has this module. Says so if not.
fn python(variable: &str, module: &str) -> Option<PathBuf> {
    let Some(python) = std::env::var_os(variable).map(PathBuf::from) else {
        eprintln!("skipped: {variable} names no Python that has the package {module}");
        return None;
    };
    // Importing some of them takes seconds.
    let found =
        "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)";
    let probe = Command::new(&python)
        .args(["-c", found, module])
        .output()
        .expect("Python starts");
    if !probe.status.success() {
        eprintln!("skipped: the Python of {variable} has no package {module}");
        return None;
    }
    Some(python)
}

/// Runs a client to its end; it prints `ok` if all was as it should be.
fn passes(mut command: Command) {
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    // Nothing but the service is to be asked.
    let done = command
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("LANGSMITH_TRACING", "false")
        .output()
        .expect("it starts");
    let out = String::from_utf8_lossy(&done.stdout);
    assert!(
        done.status.success() && out.trim_end().ends_with("ok"),
        "{out}{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

fn passes_with(python: PathBuf, name: &str) {
    let _turn = alone();
    let Some((_scratch, _genie, service)) = service() else {
        return;
    };
    let mut command = Command::new(python);
    command.arg(script(name)).arg(format!("{}/v1", service.url));
    passes(command);
    service.stop().ended(0);
}

#[test]
fn the_openai_package_uses_all_of_it() {
    if let Some(python) = python("GENIE_TEST_PYTHON", "openai") {
        passes_with(python, "openai_more.py");
    }
}

#[test]
fn langchain_talks_to_it() {
    if let Some(python) = python("GENIE_TEST_CLIENTS", "langchain_openai") {
        passes_with(python, "langchain_client.py");
    }
}

#[test]
fn llamaindex_talks_to_it() {
    if let Some(python) = python("GENIE_TEST_CLIENTS", "llama_index") {
        passes_with(python, "llamaindex_client.py");
    }
}

#[test]
fn what_open_webui_sends_is_answered() {
    if let Some(python) = python("GENIE_TEST_PYTHON", "json") {
        passes_with(python, "open_webui.py");
    }
}

#[test]
fn the_openai_package_for_node_talks_to_it() {
    let Some(modules) = std::env::var_os("GENIE_TEST_NODE").map(PathBuf::from) else {
        eprintln!("skipped: GENIE_TEST_NODE names no folder with the npm package openai");
        return;
    };
    let _turn = alone();
    let Some((_scratch, _genie, service)) = service() else {
        return;
    };
    let mut command = Command::new("node");
    command
        .env("NODE_PATH", modules)
        .arg(script("client.cjs"))
        .arg(format!("{}/v1", service.url));
    passes(command);
    service.stop().ended(0);
}

#[test]
fn the_mcp_package_talks_to_it_both_ways() {
    let Some(python) = python("GENIE_TEST_PYTHON", "mcp") else {
        return;
    };
    let _turn = alone();
    let Some((_scratch, genie, service)) = service() else {
        return;
    };
    let mut command = genie.settled(Command::new(python));
    command
        .arg(script("mcp_client.py"))
        .arg(format!("{}/mcp", service.url))
        .arg(program())
        .arg("mcp");
    passes(command);
    service.stop().ended(0);
}
