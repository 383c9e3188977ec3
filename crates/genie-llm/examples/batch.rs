//! Answers prompts from standard input, one JSON object a line: what the
//! thresholds in `docs/benchmarks/answers.md` were calibrated with.
//!
//! A line is `{"messages": [["user", "…"]], "max_tokens": 64}` for text, or has
//! `"choices": ["Yes", "No"]` instead for the log-probability of each. The
//! answer is `{"text": "…"}` or `{"scores": [-0.1, -2.3]}`, in the same order.
//!
//! `cargo run --release -p genie-llm --example batch -- model.gguf [cpu|cuda]`

use std::io::{BufRead, Write};
use std::ops::ControlFlow;
use std::path::Path;

use genie_compute::choose_device;
use genie_core::{
    ChatMessage, ChatRole, ChoiceRequest, ContentHash, DeviceChoice, Generate, GenerateRequest,
    Tenant,
};
use genie_llm::{ChatModel, ChatModelOptions};
use serde::Deserialize;
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Line {
    messages: Vec<(String, String)>,
    #[serde(default)]
    choices: Vec<String>,
    #[serde(default)]
    max_tokens: usize,
    #[serde(default)]
    prefill: String,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: batch MODEL.gguf [cpu|cuda]")?;
    let device = match arguments.next().as_deref() {
        None | Some("cpu") => DeviceChoice::Cpu,
        Some("cuda") => DeviceChoice::Cuda,
        Some(other) => return Err(format!("{other} is neither cpu nor cuda").into()),
    };
    let mut options = ChatModelOptions::new("batch", ContentHash::from_bytes([0; 32]));
    options.device = choose_device(device)?.device;
    let model = ChatModel::load(Path::new(&path), options)?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&model, serde_json::from_str(&line?)?)?;
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn answer(model: &ChatModel, line: Line) -> Result<Value, Failure> {
    let messages = line
        .messages
        .into_iter()
        .map(|(role, content)| Ok(ChatMessage::new(role_of(&role)?, content)))
        .collect::<Result<Vec<_>, Failure>>()?;
    if !line.choices.is_empty() {
        let choices = line.choices;
        let scores = model.choose(ChoiceRequest {
            messages,
            choices,
            first: false,
            tenant: Tenant::default(),
        })?;
        return Ok(json!({ "scores": scores }));
    }
    let request = GenerateRequest {
        prefill: line.prefill,
        ..GenerateRequest::new(messages, line.max_tokens)
    };
    let generation = model.generate(request, &mut |_| ControlFlow::Continue(()))?;
    Ok(json!({ "text": generation.text }))
}

fn role_of(name: &str) -> Result<ChatRole, Failure> {
    [ChatRole::System, ChatRole::User, ChatRole::Assistant]
        .into_iter()
        .find(|role| role.as_str() == name)
        .ok_or_else(|| format!("{name} is no role").into())
}
