//! llama.cpp, asked the same: its program `llama-bench`, or a running
//! `llama-server`.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use genie_core::ChatMessage;
use serde_json::{Value, json};
use ureq::Agent;

use super::report::Served;
use crate::interrupt;

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(20);

/// Who is run beside our engine.
pub(super) enum Peer {
    Bench(PathBuf),
    Server { url: String, agent: Agent },
}

impl Peer {
    /// A URL is a server, anything else the path of the program.
    pub(super) fn new(name: &str) -> anyhow::Result<Self> {
        if name.starts_with("http://") || name.starts_with("https://") {
            let agent = Agent::config_builder()
                .timeout_connect(Some(Duration::from_secs(5)))
                .build()
                .into();
            let url = name.trim_end_matches('/').to_owned();
            return Ok(Self::Server { url, agent });
        }
        let path = PathBuf::from(name);
        if !path.is_file() {
            bail!("{name} is neither a program nor the URL of a server");
        }
        Ok(Self::Bench(path))
    }

    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Bench(_) => "llama-bench",
            Self::Server { .. } => "llama-server",
        }
    }
}

/// What `llama-bench` is to measure.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Test {
    /// Tokens read.
    pub(super) read: usize,
    /// Tokens written.
    pub(super) written: usize,
    /// Tokens that stand before them.
    pub(super) depth: usize,
}

/// Tokens a second of `llama-bench` for reading or writing so many.
pub(super) fn bench(
    program: &Path,
    model: &Path,
    threads: usize,
    test: Test,
) -> anyhow::Result<f64> {
    let numbers = [threads, test.read, test.written, test.depth];
    let [threads, prompt, answer, depth] = numbers.map(|number| number.to_string());
    let mut child = Command::new(program)
        .args(["-o", "json", "-r", "1", "-t", &threads, "-p", &prompt])
        .args(["-n", &answer])
        // Older ones don't know it.
        .args(
            ["-d", &depth]
                .iter()
                .take(if test.depth > 0 { 2 } else { 0 }),
        )
        .arg("-m")
        .arg(model)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("{} does not start", program.display()))?;
    let pipe = child.stdout.take();
    let reading = std::thread::spawn(move || {
        let mut out = String::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_string(&mut out)?;
        }
        Ok::<_, std::io::Error>(out)
    });
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if let Err(interrupted) = interrupt::check() {
            child.kill().ok();
            child.wait().ok();
            return Err(interrupted.into());
        }
        std::thread::sleep(POLL);
    };
    let Ok(out) = reading.join() else {
        bail!("the output of {} can't be read", program.display());
    };
    let out = out?;
    if !status.success() {
        bail!("{} failed: {status}", program.display());
    }
    speed(&out, test.read, test.written).with_context(|| {
        format!(
            "{} gave no speed; its output was:\n{out}",
            program.display()
        )
    })
}

fn speed(out: &str, read: usize, write: usize) -> Option<f64> {
    let tests: Vec<Value> = serde_json::from_str(out).ok()?;
    let asked = |test: &&Value| {
        test["n_prompt"].as_u64() == Some(read as u64)
            && test["n_gen"].as_u64() == Some(write as u64)
    };
    tests.iter().find(asked)?["avg_ts"].as_f64()
}

/// What a `llama-server` is asked.
pub(super) struct Completion<'a> {
    pub(super) messages: &'a [ChatMessage],
    pub(super) max_tokens: usize,
    /// Go on behind the end of the answer, so that all tokens are written.
    pub(super) to_the_last: bool,
}

/// How a `llama-server` did.
#[derive(Debug, Default)]
pub(super) struct Timings {
    /// Tokens read a second.
    pub(super) reading: f64,
    /// Tokens written a second.
    pub(super) writing: f64,
    tokens: usize,
    first_token: Duration,
}

/// Asks for one completion, without what the server has read before.
pub(super) fn complete(
    (url, agent): (&str, &Agent),
    asked: &Completion<'_>,
) -> anyhow::Result<Timings> {
    let prompt = templated((url, agent), asked.messages)?;
    let body = json!({
        "prompt": prompt,
        "n_predict": asked.max_tokens,
        "cache_prompt": false,
        "ignore_eos": asked.to_the_last,
        "temperature": 0.0,
        "stream": true,
    });
    let started = Instant::now();
    let response = agent
        .post(format!("{url}/completion"))
        .send_json(&body)
        .with_context(|| format!("no completion from {url}"))?;
    let mut first_token = None;
    for line in BufReader::new(response.into_body().into_reader()).lines() {
        interrupt::check()?;
        let line = line.with_context(|| format!("{url} broke off its answer"))?;
        let Some(data) = line.strip_prefix("data:") else {
            continue;
        };
        let event: Value = serde_json::from_str(data.trim())
            .with_context(|| format!("{url} sent something that is not JSON"))?;
        let first_token = *first_token.get_or_insert_with(|| started.elapsed());
        if event["stop"] == true {
            return timings(&event, first_token)
                .with_context(|| format!("{url} gives no timings: {event}"));
        }
    }
    bail!("{url} broke off its answer")
}

/// The chat as the server's template of the same model writes it, so that both
/// sides read the same tokens and end their answers in the same place.
fn templated((url, agent): (&str, &Agent), messages: &[ChatMessage]) -> anyhow::Result<String> {
    let messages: Vec<Value> = messages
        .iter()
        .map(|message| json!({ "role": message.role.as_str(), "content": message.content }))
        .collect();
    let mut response = agent
        .post(format!("{url}/apply-template"))
        .send_json(json!({ "messages": messages }))
        .with_context(|| format!("{url} puts no chat into a template; is it a llama-server?"))?;
    let body: Value = response
        .body_mut()
        .read_json()
        .with_context(|| format!("{url} sent something that is not JSON"))?;
    let prompt = body["prompt"].as_str();
    Ok(prompt.context("a template gave no prompt")?.to_owned())
}

fn timings(event: &Value, first_token: Duration) -> Option<Timings> {
    let timings = &event["timings"];
    let number = |name: &str| timings[name].as_f64();
    Some(Timings {
        reading: number("prompt_per_second")?,
        writing: number("predicted_per_second")?,
        tokens: (number("prompt_n")? + number("predicted_n")?) as usize,
        first_token,
    })
}

/// Several completions at once.
pub(super) fn serve(
    server: (&str, &Agent),
    chats: &[Vec<ChatMessage>],
    max_tokens: usize,
) -> anyhow::Result<Served> {
    let started = Instant::now();
    let answers = std::thread::scope(|scope| {
        let asking: Vec<_> = chats
            .iter()
            .map(|messages| {
                let asked = Completion {
                    messages,
                    max_tokens,
                    to_the_last: false,
                };
                scope.spawn(move || complete(server, &asked))
            })
            .collect();
        asking
            .into_iter()
            .map(|chat| match chat.join() {
                Ok(answer) => answer,
                Err(_) => bail!("a chat broke off"),
            })
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    let tokens = answers.iter().map(|answer| answer.tokens).sum();
    let first = answers.iter().map(|answer| answer.first_token).collect();
    Ok(Served::new(tokens, started.elapsed(), first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_that_of_the_test_asked_for() {
        let out = r#"[
            {"n_prompt": 512, "n_gen": 0, "avg_ts": 158.2, "samples_ts": [158.2]},
            {"n_prompt": 0, "n_gen": 128, "avg_ts": 37.25}
        ]"#;
        assert_eq!(speed(out, 512, 0), Some(158.2));
        assert_eq!(speed(out, 0, 128), Some(37.25));
        assert_eq!(speed(out, 2048, 0), None);
        assert_eq!(speed("error: no such file", 512, 0), None);
    }

    #[test]
    fn timings_of_a_server_are_its_own() {
        let event = json!({ "stop": true, "timings": {
            "prompt_n": 512, "prompt_per_second": 150.5,
            "predicted_n": 128, "predicted_per_second": 36.0,
        }});
        let found = timings(&event, Duration::from_secs(1)).expect("timings");
        assert_eq!((found.reading, found.writing), (150.5, 36.0));
        assert_eq!(found.tokens, 640);
        assert!(timings(&json!({ "stop": true }), Duration::ZERO).is_none());
    }

    #[test]
    fn a_peer_is_a_program_or_a_url() {
        assert!(matches!(
            Peer::new("http://127.0.0.1:8080/"),
            Ok(Peer::Server { url, .. }) if url == "http://127.0.0.1:8080"
        ));
        assert!(Peer::new("/no/such/llama-bench").is_err());
    }
}
