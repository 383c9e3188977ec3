//! `genie mcp`: the Model Context Protocol on standard input and output, for
//! programs that start this one. Standard output is the protocol's alone; the
//! log goes to standard error.

use std::io::{BufRead, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use genie_server::{AppState, serve_mcp};
use serde_json::{Value, json};

use crate::cli::{Common, Serve};
use crate::remote::Remote;
use crate::wiring::{Parts, Place, place};
use crate::{Ended, interrupt, settings};

/// JSON-RPC's code for a server that failed.
const FAILED: i32 = -32603;

/// Runs the command.
pub(crate) fn run(common: &Common) -> anyhow::Result<Ended> {
    let config = settings::read(common, &Serve::default())?;
    match place(common, &config)? {
        Place::Service(remote) => relay(&remote, config.server.max_body_bytes)?,
        Place::Here => {
            let parts = Parts::open(common, &config)?;
            let engine = Arc::new(parts.engine(common, &config)?);
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .context("the runtime can't be started")?;
            let state = AppState::new(engine, config.server);
            let outcome = runtime.block_on(async {
                let (read, write) = rmcp::transport::stdio_pipes();
                serve_mcp(state, read, write, super::serve::interrupted()).await
            });
            // A read of standard input may never return.
            runtime.shutdown_timeout(Duration::from_secs(3));
            outcome?;
        }
    }
    Ok(Ended::Done)
}

/// Passes messages on to the service that has the index, one after the other.
fn relay(remote: &Remote, longest: usize) -> anyhow::Result<()> {
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let mut version: Option<String> = None;
    loop {
        interrupt::check()?;
        let mut line = Vec::new();
        let most = u64::try_from(longest).unwrap_or(u64::MAX).saturating_add(1);
        let read = (&mut input).take(most).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        anyhow::ensure!(
            line.ends_with(b"\n") || line.len() <= longest,
            "a message has more than {longest} bytes"
        );
        if line.trim_ascii().is_empty() {
            continue;
        }
        let message = String::from_utf8_lossy(&line);
        let asked: Value = serde_json::from_str(&message).unwrap_or_default();
        let headers = headers(&asked, version.as_deref());
        let reply = match remote.mcp(message.trim(), &headers) {
            Ok(reply) => reply,
            Err(error) => refusal(&asked, &crate::sentence(&error)),
        };
        let Some(reply) = reply else { continue };
        let parsed: Value = serde_json::from_str(&reply).unwrap_or_default();
        if let Some(agreed) = parsed["result"]["protocolVersion"].as_str() {
            version = Some(agreed.to_owned());
        }
        writeln!(output, "{}", reply.trim())?;
        output.flush()?;
    }
}

/// What the protocol says again in headers over HTTP: the version, which each
/// message brings or both sides have agreed upon, and what it is about. A name
/// that fits into no header is left out, and the service says what is missing.
fn headers<'a>(asked: &'a Value, agreed: Option<&'a str>) -> Vec<(&'static str, &'a str)> {
    let params = &asked["params"];
    let version = params["_meta"]["io.modelcontextprotocol/protocolVersion"]
        .as_str()
        .or(agreed);
    let name = match asked["method"].as_str() {
        Some("tools/call" | "prompts/get") => params["name"].as_str(),
        Some("resources/read") => params["uri"].as_str(),
        _ => None,
    };
    [
        ("MCP-Protocol-Version", version),
        ("Mcp-Method", asked["method"].as_str()),
        ("Mcp-Name", name),
    ]
    .into_iter()
    .filter_map(|(header, value)| Some((header, value?)))
    .filter(|(_, value)| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic()))
    .collect()
}

/// What a request is told that the service did not answer; nothing where it
/// was no request.
fn refusal(asked: &Value, reason: &str) -> Option<String> {
    let id = asked.get("id").filter(|id| !id.is_null())?;
    let error = json!({"code": FAILED, "message": reason});
    Some(json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_are_told_of_a_failure() {
        let asked = json!({"jsonrpc": "2.0", "id": 7, "method": "x"});
        let told = refusal(&asked, "it is gone").expect("a reply");
        let told: Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!(told["id"], 7);
        assert_eq!(told["error"]["message"], "it is gone");
        assert_eq!(
            refusal(&json!({"jsonrpc": "2.0", "method": "x"}), "?"),
            None
        );
        assert_eq!(refusal(&Value::Null, "?"), None);
    }

    #[test]
    fn headers_say_what_a_message_says() {
        let call = json!({"method": "tools/call", "params": {
            "name": "search",
            "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"},
        }});
        assert_eq!(
            headers(&call, Some("2025-06-18")),
            [
                ("MCP-Protocol-Version", "2026-07-28"),
                ("Mcp-Method", "tools/call"),
                ("Mcp-Name", "search"),
            ]
        );
        let list = json!({"method": "tools/list"});
        assert_eq!(
            headers(&list, Some("2025-06-18")),
            [
                ("MCP-Protocol-Version", "2025-06-18"),
                ("Mcp-Method", "tools/list")
            ]
        );
        let hostile = json!({"method": "tools/call", "params": {"name": "a\r\nHost: b"}});
        assert_eq!(headers(&hostile, None), [("Mcp-Method", "tools/call")]);
    }
}
