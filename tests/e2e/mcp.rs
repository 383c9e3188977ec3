//! `genie mcp`: the Model Context Protocol on standard streams.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;

use serde_json::{Value, json};

use crate::genie::{Genie, LIMIT, program, with_articles};
use crate::service::Service;

/// A client of a few lines.
struct Client {
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

impl Client {
    fn start(genie: &Genie) -> Self {
        let mut child = genie
            .settled(Command::new(program()))
            .arg("mcp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("genie starts");
        let input = child.stdin.take();
        let output = child.stdout.take().expect("a pipe");
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            input,
            lines,
        }
    }

    fn tell(&mut self, message: &Value) {
        let input = self.input.as_mut().expect("it is open");
        writeln!(input, "{message}").expect("it reads");
        input.flush().expect("it reads");
    }

    /// The reply to a request. Every line on standard output is one.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.tell(&json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params}));
        let line = self.lines.recv_timeout(LIMIT).expect("a reply in time");
        let reply: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line}"));
        assert_eq!(reply["id"], method, "{reply}");
        reply
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        self.ask("tools/call", &params)["result"].take()
    }

    fn begin(&mut self) {
        let hello = json!({
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        });
        let told = self.ask("initialize", &hello);
        assert_eq!(told["result"]["serverInfo"]["name"], "genie", "{told}");
        self.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    }

    /// Searches, reads and asks; the same wherever the index is.
    fn check(&mut self) {
        self.begin();
        let tools = self.ask("tools/list", &json!({}));
        assert_eq!(
            tools["result"]["tools"].as_array().map(Vec::len),
            Some(3),
            "{tools}"
        );
        let found = self.call("search", json!({"query": "repair ship", "limit": 1}));
        let passage = &found["structuredContent"]["passages"][0];
        assert_eq!(passage["document"], "docs/cable.md", "{found}");
        let read = json!({"id": passage["document_id"], "offset": passage["start"]});
        let read = self.call("read_document", read);
        let text = read["structuredContent"]["text"].as_str().expect("a text");
        assert!(
            text.contains(passage["text"].as_str().expect("a text")),
            "{text}"
        );
        let question = json!({"question": "What is an Internet exchange point?"});
        let answer = self.call("answer", question);
        assert_eq!(answer["structuredContent"]["degraded"], true, "{answer}");
        let wrong = self.call("answer", json!({"question": ""}));
        assert_eq!(wrong["isError"], true, "{wrong}");
        let listed = self.ask("resources/list", &json!({}));
        let uri = listed["result"]["resources"][0]["uri"].clone();
        let read = self.ask("resources/read", &json!({"uri": uri}));
        assert!(read["result"]["contents"][0]["text"].is_string(), "{read}");
        let unknown = self.ask("prompts/get", &json!({"name": "x"}));
        assert!(unknown["error"]["code"].is_number(), "{unknown}");
    }

    /// Closes its input, on which it ends.
    fn end(mut self) {
        self.input = None;
        assert!(
            self.lines.recv_timeout(LIMIT).is_err(),
            "a line that nobody asked for"
        );
        let status = self.child.wait().expect("a child");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The articles are indexed, and questions are answered by quotes.
fn indexed() -> Option<(crate::material::Scratch, Genie)> {
    let (scratch, genie) = with_articles()?;
    scratch.write("home/config.toml", "[retrieval]\nmin_similarity = 0.1\n");
    genie.run(&["ingest", "docs"]).ended(0);
    Some((scratch, genie))
}

#[test]
fn the_protocol_is_spoken_on_standard_streams() {
    let Some((_scratch, genie)) = indexed() else {
        return;
    };
    let mut client = Client::start(&genie);
    client.check();
    client.end();
}

#[test]
fn a_running_service_is_asked_in_its_place() {
    let Some((_scratch, genie)) = indexed() else {
        return;
    };
    let service = Service::start(&genie);
    let mut client = Client::start(&genie);
    client.check();
    client.end();
    service.stop().ended(0);
}
