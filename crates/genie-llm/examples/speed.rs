//! How fast a model reads and writes on this machine.
//!
//! `cargo run --release -p genie-llm --example speed -- model.gguf`

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use genie_core::{
    ChatMessage, ChatRole, ContentHash, Generate, GenerateRequest, Generation, Sampling,
};
use genie_llm::{ChatModel, ChatModelOptions};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let path = std::env::args().nth(1).ok_or("usage: speed MODEL.gguf")?;
    let started = Instant::now();
    let hash = ContentHash::from_bytes([0; 32]);
    let model = ChatModel::load(Path::new(&path), ChatModelOptions::new("speed", hash))?;
    println!("load: {:.2} s", started.elapsed().as_secs_f32());
    for (words, max_tokens) in [(20, 8), (450, 64), (450, 64), (1800, 32)] {
        run(&model, words, max_tokens)?;
    }
    println!("resident: {} MiB", resident_mib());
    Ok(())
}

fn run(model: &ChatModel, words: usize, max_tokens: usize) -> Result<(), Failure> {
    // The number in front keeps runs from sharing more than the template.
    let salt = Instant::now().elapsed().as_nanos() + words as u128 + max_tokens as u128;
    let text = format!(
        "{salt} Count on from here: {}",
        "one two ".repeat(words / 2)
    );
    let started = Instant::now();
    let generation =
        model.generate(
            request(text, max_tokens),
            &mut |_| ControlFlow::Continue(()),
        )?;
    report(&generation, started.elapsed());
    Ok(())
}

fn request(text: String, max_tokens: usize) -> GenerateRequest {
    GenerateRequest {
        messages: vec![ChatMessage::new(ChatRole::User, text)],
        prefill: String::new(),
        sampling: Sampling::greedy(),
        max_tokens,
        stop: Vec::new(),
    }
}

fn report(generation: &Generation, total: Duration) {
    let read = generation.usage.prompt_tokens as f32 / generation.first_token.as_secs_f32();
    let steps = generation.usage.completion_tokens.saturating_sub(1);
    let written = steps as f32 / (total - generation.first_token).as_secs_f32();
    println!(
        "read {} tokens at {read:.0}/s, wrote {} at {written:.1}/s",
        generation.usage.prompt_tokens, generation.usage.completion_tokens
    );
}

/// What Linux says of this process; 0 elsewhere.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
