//! A new process, until it has written its first token.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::ValueEnum;
use genie_compute::choose_device;
use genie_core::{ChatMessage, ChatRole, Config, ContentHash, Generate, GenerateRequest};
use genie_llm::{ChatModel, ChatModelOptions};
use serde::{Deserialize, Serialize};

use super::report::Sample;
use crate::cli::Common;
use crate::commands::say;

const QUESTION: &str = "What does an Internet exchange point do?";

/// What the new process says when it has its first token.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    /// Bytes of memory that it has; absent where the system does not say.
    resident: Option<f64>,
}

/// Starts the program anew with a model file and stops the time: of its start,
/// of loading the model and of reading a short prompt.
pub(super) fn measure(model: &Path, threads: usize, common: &Common) -> anyhow::Result<Sample> {
    let program = std::env::current_exe().context("this program's own path is not known")?;
    let mut command = Command::new(program);
    if let Some(home) = &common.home {
        command.arg("--home").arg(home);
    }
    if let Some(device) = common.device.and_then(|device| device.to_possible_value()) {
        command.args(["--device", device.get_name()]);
    }
    let started = Instant::now();
    let mut child = command
        .args(["bench", "llm", "--first-token", "--threads"])
        .arg(threads.to_string())
        .arg("--model")
        .arg(model)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context("this program can't be started a second time")?;
    let mut line = String::new();
    let pipe = child.stdout.take().context("a program without output")?;
    let read = BufReader::new(pipe).read_line(&mut line);
    let value = started.elapsed().as_secs_f64();
    let status = child.wait()?;
    read?;
    ensure!(status.success(), "a second process failed: {status}");
    let written: Written =
        serde_json::from_str(&line).with_context(|| format!("a second process said {line:?}"))?;
    Ok(Sample {
        value,
        resident: written.resident,
        ..Sample::default()
    })
}

/// What [`measure`] starts: loads the file, writes one token and says so.
pub(super) fn write(model: &str, config: &Config) -> anyhow::Result<()> {
    // Nobody asks which file it was, and to hash it takes longer than to load
    // it.
    let mut options = ChatModelOptions::new(model, ContentHash::from_bytes([0; 32]));
    options.device = choose_device(config.device)?.device;
    let model = ChatModel::load(Path::new(model), options)?;
    let messages = vec![ChatMessage::new(ChatRole::User, QUESTION)];
    let request = GenerateRequest::new(messages, 1);
    let generation = model.generate(request, &mut |_| ControlFlow::Continue(()))?;
    ensure!(
        generation.usage.completion_tokens > 0,
        "the model's answer is empty"
    );
    let written = Written {
        resident: resident(),
    };
    // One line, which is read as soon as it is there.
    say(&format!("{}\n", serde_json::to_string(&written)?))
}

/// Bytes of this process in memory, as Linux says.
fn resident() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}
