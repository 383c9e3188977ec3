//! How fast texts become vectors on this machine.
//! `docs/benchmarks/embed_peers.py` asks other programs the same.
//!
//! `cargo run --release -p genie-embed --example embed_speed -- FOLDER [--cuda] [--json] [--write TEXTS]`
//!
//! FOLDER holds `model.gguf` (or `model.safetensors` and `config.json`) and
//! `tokenizer.json` of an encoder with the prefixes of E5. `--write` leaves
//! the texts that were used in a file, as JSON. `--cuda` needs
//! `--features genie/cuda`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use genie_compute::{choose_device, set_threads};
use genie_core::{ContentHash, DeviceChoice, Embed, TextRole};
use genie_embed::{EmbedderOptions, EncoderFiles, Precision, TextEmbedder};
use serde::Deserialize;

/// Sentences in six languages.
const SENTENCES: &str = include_str!("../tests/reference/sentences.json");
const PASSAGES: usize = 128;
/// Tokens that a passage has at least, unless it would need more sentences.
const TOKENS: usize = 105;
const RUNS: usize = 5;
/// Queries of each run.
const QUERIES: usize = 20;

type Failure = Box<dyn std::error::Error>;

#[derive(Deserialize)]
struct Sentence {
    role: String,
    text: String,
}

fn main() -> Result<(), Failure> {
    let usage = "usage: embed_speed FOLDER [--cuda] [--json] [--write TEXTS]";
    let (mut folder, mut json, mut texts) = (None, false, None);
    let mut device = DeviceChoice::Cpu;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = true,
            "--cuda" => device = DeviceChoice::Cuda,
            "--write" => texts = Some(arguments.next().ok_or(usage)?),
            _ if folder.is_none() => folder = Some(argument),
            _ => return Err(usage.into()),
        }
    }
    set_threads(0)?;
    let started = Instant::now();
    let model = load(Path::new(&folder.ok_or(usage)?), device)?;
    let load = started.elapsed().as_secs_f64();
    let sentences: Vec<Sentence> = serde_json::from_str(SENTENCES)?;
    let passages = passages(&model, &sentences);
    let queries: Vec<&Sentence> = sentences.iter().filter(|s| s.role == "query").collect();
    let query = (queries.iter().max_by_key(|s| s.text.len())).ok_or("no query")?;
    let query = [query.text.clone()];
    if let Some(file) = texts {
        let texts = serde_json::json!({ "passages": passages, "query": query[0] });
        std::fs::write(file, texts.to_string())?;
    }

    // Once without counting: the system hands out memory, caches fill.
    let warm = model.embed(TextRole::Passage, &passages)?;
    let tokens: usize = warm.iter().map(|embedding| embedding.tokens).sum();
    let query_tokens = model.embed(TextRole::Query, &query)?[0].tokens;
    let (mut rates, mut latencies) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let started = Instant::now();
        model.embed(TextRole::Passage, &passages)?;
        rates.push(PASSAGES as f64 / started.elapsed().as_secs_f64());
        for _ in 0..QUERIES {
            let started = Instant::now();
            model.embed(TextRole::Query, &query)?;
            latencies.push(1000.0 * started.elapsed().as_secs_f64());
        }
    }
    let per_passage = tokens as f64 / PASSAGES as f64;
    let (rates, latencies) = (Spread::of(rates), Spread::of(latencies));
    if json {
        let report = serde_json::json!({
            "passages_per_s": rates.median,
            "tokens_per_passage": per_passage,
            "query_ms": latencies.median,
            "query_tokens": query_tokens,
        });
        println!("{report}");
        return Ok(());
    }
    println!("load: {load:.2} s");
    println!(
        "{PASSAGES} passages of {per_passage:.0} tokens: {rates} passages/s, {:.0} tokens/s",
        rates.median * per_passage
    );
    println!("one query of {query_tokens} tokens: {latencies} ms");
    println!("resident: {} MiB", resident_mib());
    Ok(())
}

fn load(folder: &Path, device: DeviceChoice) -> Result<TextEmbedder, Failure> {
    let files = ["model.gguf", "model.safetensors"].map(|name| folder.join(name));
    let weights: Option<PathBuf> = files.into_iter().find(|file| file.is_file());
    let files = EncoderFiles {
        weights: weights.ok_or("no model.gguf or model.safetensors in the folder")?,
        tokenizer: folder.join("tokenizer.json"),
        config: None,
    };
    let options = EmbedderOptions {
        model: "speed".to_owned(),
        hash: ContentHash::from_bytes([0; 32]),
        query_prefix: "query: ".to_owned(),
        passage_prefix: "passage: ".to_owned(),
        max_tokens: None,
        dimension: None,
        least_dimension: None,
        device: choose_device(device)?.device,
        precision: Precision::Rounded,
        queue: 4,
    };
    Ok(TextEmbedder::load(&files, options)?)
}

/// Sentences joined until they are about as long as a chunk of a document.
fn passages(model: &TextEmbedder, sentences: &[Sentence]) -> Vec<String> {
    let mut sentences = sentences.iter().map(|s| s.text.as_str()).cycle();
    let passage = || {
        let mut text = String::new();
        while model.count_tokens(&text) < TOKENS {
            text.push_str(sentences.next().unwrap_or_default());
            text.push(' ');
        }
        text
    };
    std::iter::repeat_with(passage).take(PASSAGES).collect()
}

/// Median, least and most of some runs.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        Self {
            least: numbers[0],
            median: numbers[numbers.len() / 2],
            most: numbers[numbers.len() - 1],
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            least,
            median,
            most,
        } = self;
        write!(f, "{median:.2} ({least:.2} to {most:.2})")
    }
}

/// What Linux says of this process; 0 elsewhere.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
