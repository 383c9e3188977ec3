//! `genie serve`, and a client of it.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;

use crate::genie::{Finished, Genie, Running};

/// A running service on a free port.
pub(crate) struct Service {
    running: Running,
    pub(crate) url: String,
    agent: Agent,
}

/// What the service answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) text: String,
}

impl Reply {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text);
        self
    }
}

impl Service {
    /// Starts it and waits until it says that it is ready.
    pub(crate) fn start(genie: &Genie) -> Self {
        let mut running = genie.start(&["serve", "--listen", "127.0.0.1:0"]);
        let url = running.until("it was ready", |out| {
            let line = out
                .split_inclusive('\n')
                .find(|line| line.ends_with('\n') && line.contains("genie is ready on "))?;
            let url = line.split("genie is ready on ").nth(1)?;
            Some(url.split_whitespace().next()?.to_owned())
        });
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        let agent = Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(300)))
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .into();
        Self {
            running,
            url,
            agent,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.running.id()
    }

    /// Bytes of memory that are resident, where the system tells.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kilobytes.unwrap_or(0_u64) * 1024
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        let response = self.agent.get(format!("{}{path}", self.url)).call();
        reply(response.expect("an answer"))
    }

    pub(crate) fn get_with_key(&self, path: &str, secret: &str) -> Reply {
        let response = self
            .agent
            .get(format!("{}{path}", self.url))
            .header("Authorization", format!("Bearer {secret}"))
            .call();
        reply(response.expect("an answer"))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        let response = self
            .agent
            .post(format!("{}{path}", self.url))
            .send_json(body);
        reply(response.expect("an answer"))
    }

    /// The server-sent events that answer a request, as names and data.
    pub(crate) fn events(&self, path: &str, body: &Value) -> Vec<(String, Value)> {
        let response = self
            .agent
            .post(format!("{}{path}", self.url))
            .header("Accept", "text/event-stream")
            .send_json(body)
            .expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()["content-type"].to_str().unwrap(),
            "text/event-stream"
        );
        let mut events = Vec::new();
        let mut name = String::new();
        for line in BufReader::new(response.into_body().into_reader()).lines() {
            let line = line.expect("a line");
            if let Some(value) = line.strip_prefix("event:") {
                value.trim().clone_into(&mut name);
            } else if let Some(data) = line.strip_prefix("data:") {
                // The format allows the name behind the data, but clients that
                // read line by line can't do anything with it then.
                assert!(!name.is_empty(), "data before its event's name: {line}");
                let data = serde_json::from_str(data.trim()).expect("JSON data");
                events.push((std::mem::take(&mut name), data));
            }
        }
        events
    }

    /// Ends it as a service manager does.
    pub(crate) fn stop(self) -> Finished {
        self.running.signal("TERM");
        self.running.wait(Duration::from_secs(30))
    }

    /// Ends it as a power cut does.
    pub(crate) fn kill(self) {
        assert!(self.running.kill(), "the service had ended by itself");
    }
}

fn reply(response: ureq::http::Response<ureq::Body>) -> Reply {
    Reply {
        status: response.status().as_u16(),
        text: response
            .into_body()
            .read_to_string()
            .expect("a body that is text"),
    }
}
