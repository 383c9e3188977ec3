//! How fast a model reads and writes on this machine.
//! `docs/benchmarks/llama_speed.py` asks llama.cpp the same.
//!
//! `cargo run --release -p genie-llm --example speed -- model.gguf [cpu|cuda]`

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use genie_compute::choose_device;
use genie_core::{
    ChatMessage, ChatRole, ContentHash, DeviceChoice, Generate, GenerateRequest, Generation, Usage,
};
use genie_llm::{ChatModel, ChatModelOptions};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: speed MODEL.gguf [cpu|cuda]";
    let path = arguments.next().ok_or(usage)?;
    let mut options = ChatModelOptions::new("speed", ContentHash::from_bytes([0; 32]));
    let device = match arguments.next().as_deref() {
        None | Some("cpu") => DeviceChoice::Cpu,
        Some("cuda") => DeviceChoice::Cuda,
        Some(_) => return Err(usage.into()),
    };
    options.device = choose_device(device)?.device;
    let started = Instant::now();
    let model = ChatModel::load(Path::new(&path), options)?;
    println!("load: {:.2} s", started.elapsed().as_secs_f32());
    for words in [450, 1980] {
        let text = "one two ".repeat(words / 2);
        run(&model, &format!("{words} words to count: {text}"), 1)?;
    }
    run(&model, "Write the numbers from 1 to 100, all of them.", 65)?;
    println!("resident: {} MiB", resident_mib());
    Ok(())
}

fn run(model: &ChatModel, text: &str, max_tokens: usize) -> Result<(), Failure> {
    let started = Instant::now();
    let request = request(text.to_owned(), max_tokens);
    let generation = model.generate(request, &mut |_| ControlFlow::Continue(()))?;
    report(&generation, started.elapsed());
    Ok(())
}

fn request(text: String, max_tokens: usize) -> GenerateRequest {
    GenerateRequest {
        lookup: false,
        ..GenerateRequest::new(vec![ChatMessage::new(ChatRole::User, text)], max_tokens)
    }
}

fn report(generation: &Generation, total: Duration) {
    let Usage {
        prompt_tokens,
        completion_tokens,
    } = generation.usage;
    let read = prompt_tokens as f32 / generation.first_token.as_secs_f32();
    println!("read {prompt_tokens} tokens at {read:.0}/s");
    if completion_tokens > 1 {
        let steps = completion_tokens - 1;
        let written = steps as f32 / (total - generation.first_token).as_secs_f32();
        println!("wrote {steps} tokens at {written:.1}/s");
    }
}

/// What Linux says of this process; 0 elsewhere.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
