//! The same tokens as llama.cpp: `tests/reference/llama_greedy.py` recorded
//! what it generates, step by step, and this follows it.

use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::Deserialize;

use crate::decoder::Decoder;
use crate::gguf::Gguf;
use crate::reader::Reader;
use crate::tiny::Tiny;
use crate::tokenizer::Tokenizer;
use crate::weights::Form;

/// Where two logits are closer than this, rounding decides which one wins.
const TIE: f32 = 0.05;

#[derive(Deserialize)]
pub(crate) struct Reference {
    own: Own,
    pub(crate) runs: Vec<Run>,
}

/// How far llama.cpp's logits are from its own when it adds the same products
/// in another order. With eight-bit activations a last bit that differs flips
/// a rounding, which the next layers carry on: no engine comes closer.
#[derive(Deserialize)]
struct Own {
    median: f32,
    p95: f32,
}

#[derive(Deserialize)]
pub(crate) struct Run {
    language: String,
    text: String,
    pub(crate) prompt: Vec<u32>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Deserialize)]
pub(crate) struct Step {
    pub(crate) token: u32,
    pub(crate) logit: f32,
    pub(crate) second: u32,
    pub(crate) second_logit: f32,
}

/// What came of the comparison.
#[derive(Default)]
struct Tally {
    steps: usize,
    divergences: usize,
    /// Divergences where neither side's two best logits are closer than a tie.
    beyond_a_tie: usize,
    /// The same, nor closer than llama.cpp comes to itself.
    unexplained: usize,
    differences: Vec<f32>,
}

impl Tally {
    /// What `share` of 100 differences do not exceed; they are sorted.
    fn difference(&self, share: usize) -> f32 {
        self.differences[(self.differences.len() - 1) * share / 100]
    }
}

#[test]
fn the_135m_model_says_what_llama_cpp_says() {
    compare("smollm2-135m-instruct");
}

#[test]
fn the_half_billion_model_says_what_llama_cpp_says() {
    compare("qwen2.5-coder-0.5b-instruct");
}

/// The same models with their weights as floats on both sides. Nothing is
/// rounded to eight bits then, so that what is left is what is computed: a
/// token that differs has to be a tie, and no logit may be far off.
#[test]
fn as_floats_the_135m_model_says_what_llama_cpp_says() {
    compare_floats("smollm2-135m-instruct");
}

#[test]
fn as_floats_the_half_billion_model_says_what_llama_cpp_says() {
    compare_floats("qwen2.5-coder-0.5b-instruct");
}

/// Families without a small model of their own, with random weights.
#[test]
fn tiny_models_of_every_family_say_what_llama_cpp_says() {
    for family in FAMILIES {
        let (_folder, path) = tiny(family).write();
        let name = format!("tiny-{family}");
        if family != "gemma3" {
            compare_file(Form::StoredBesideFloats, &name, &path);
            continue;
        }
        // llama.cpp looks the gate's function up in a table of half precision
        // (`family_tests.rs` has the proof), in whatever order it adds.
        let (tally, _) = followed(&name, &path, &Device::Cpu);
        assert_eq!(tally.beyond_a_tie, 0, "{name}");
        assert!(tally.difference(95) < TIE, "{name}");
    }
}

/// On a GPU candle rounds activations in another way than llama.cpp does on
/// the processor, so nearly all tokens are the same and not all: a wrong layer
/// would leave none of them.
#[cfg(feature = "cuda")]
mod on_cuda {
    use super::*;

    #[test]
    fn tiny_models_of_every_family_say_nearly_what_llama_cpp_says() {
        for family in FAMILIES {
            let (_folder, path) = tiny(family).write();
            check(&format!("tiny-{family}"), &path);
        }
    }

    #[test]
    fn real_models_say_nearly_what_llama_cpp_says() {
        for name in ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"] {
            match model_file(name) {
                Some(path) => check(name, &path),
                None => eprintln!("skipped: GENIE_MODELS has no {name}/model.gguf"),
            }
        }
    }

    fn check(name: &str, path: &Path) {
        match genie_compute::choose_device(genie_core::DeviceChoice::Cuda) {
            Ok(open) => {
                let (tally, _) = followed(name, path, &open.device);
                assert!(10 * tally.divergences <= tally.steps, "{name}");
            }
            Err(error) => eprintln!("skipped: {error}: {:?}", std::error::Error::source(&error)),
        }
    }
}

/// Writes the files that `llama_greedy.py` reads for the test above.
#[test]
#[ignore = "only needed to record the references anew"]
fn write_tiny_models() {
    for family in FAMILIES {
        let path = std::env::temp_dir().join(format!("tiny-{family}.gguf"));
        std::fs::write(&path, tiny(family).bytes()).expect("written");
        eprintln!("{}", path.display());
    }
}

const FAMILIES: [&str; 4] = ["llama", "qwen2", "qwen3", "gemma3"];

fn tiny(family: &'static str) -> Tiny {
    Tiny {
        family,
        ..Tiny::default()
    }
}

fn compare(name: &str) {
    match model_file(name) {
        Some(path) => compare_file(Form::Stored, name, &path),
        None => eprintln!("skipped: GENIE_MODELS has no {name}/model.gguf"),
    }
}

fn compare_floats(name: &str) {
    let Some(path) = model_file(name) else {
        eprintln!("skipped: GENIE_MODELS has no {name}/model.gguf");
        return;
    };
    let (tally, _) = followed_as(Form::Floats, &format!("{name}-floats"), &path, &Device::Cpu);
    assert_eq!(tally.beyond_a_tie, 0, "{name}");
    assert!(tally.difference(100) < TIE, "{name}");
}

fn compare_file(form: Form, name: &str, path: &Path) {
    let (tally, own) = followed_as(form, name, path, &Device::Cpu);
    assert_eq!(tally.unexplained, 0, "{name}");
    // As far from llama.cpp as it is from itself, up to the difference between
    // two samples and what recordings of four digits round away.
    let (median, p95) = (tally.difference(50), tally.difference(95));
    assert!(median <= 2.0 * own.median + 1e-3, "{name}: {median}");
    assert!(p95 <= 2.0 * own.p95 + 2e-2, "{name}: {p95}");
}

fn followed(name: &str, path: &Path, device: &Device) -> (Tally, Own) {
    followed_as(Form::Stored, name, path, device)
}

fn followed_as(form: Form, name: &str, path: &Path, device: &Device) -> (Tally, Own) {
    let gguf = Gguf::open(path).expect("opened");
    let tokenizer = Tokenizer::read(&gguf).expect("a tokenizer");
    let decoder = Decoder::load_as(form, &gguf, device).expect("a decoder");
    let mut reader = Reader::new(decoder);
    let mut tally = Tally::default();
    let reference = reference(name);
    assert_eq!(reference.runs.len(), 10);
    for run in &reference.runs {
        follow(run, reference.own.p95, &mut reader, &tokenizer, &mut tally);
    }
    tally.differences.sort_by(f32::total_cmp);
    eprintln!(
        "{name}: {} steps, {} divergences, {} of them beyond {TIE}, {} unexplained; difference of \
         logits: median {}, 95 % {}, most {}",
        tally.steps,
        tally.divergences,
        tally.beyond_a_tie,
        tally.unexplained,
        tally.difference(50),
        tally.difference(95),
        tally.difference(100),
    );
    (tally, reference.own)
}

/// Follows llama.cpp's tokens, so that a step after a tie is still compared.
fn follow(run: &Run, own: f32, reader: &mut Reader, tokenizer: &Tokenizer, tally: &mut Tally) {
    let prompt = tokenizer
        .encode_structure(&run.text, None)
        .expect("encoded");
    assert_eq!(prompt, run.prompt, "tokens of {:?}", run.text);
    assert_eq!(run.steps.len(), 64);
    reader.forget();
    // In one pass: a step's logits are those of its row.
    let mut tokens = prompt.clone();
    tokens.extend(run.steps.iter().map(|step| step.token));
    tokens.pop();
    let rows = reader.read(&tokens).split_off(prompt.len() - 1);
    assert_eq!(rows.len(), run.steps.len());
    for ((index, step), logits) in run.steps.iter().enumerate().zip(&rows) {
        let ours = best(logits);
        let logit = |token: u32| logits[token as usize];
        tally.steps += 1;
        tally.differences.extend([
            (logit(step.token) - step.logit).abs(),
            (logit(step.second) - step.second_logit).abs(),
        ]);
        if ours != step.token {
            let theirs = step.logit - step.second_logit;
            let gap = logit(ours) - logit(step.token);
            eprintln!(
                "{} step {index}: {ours} and not {}, gap {theirs} there and {gap} here",
                run.language, step.token
            );
            tally.divergences += 1;
            let closer = |tie: f32| theirs < tie || gap < tie;
            tally.beyond_a_tie += usize::from(!closer(TIE));
            tally.unexplained += usize::from(!closer(TIE.max(own)));
        }
    }
}

fn best(logits: &[f32]) -> u32 {
    let best = logits
        .iter()
        .enumerate()
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
        .map(|(token, _)| token);
    u32::try_from(best.expect("logits")).expect("a token")
}

pub(crate) fn reference(name: &str) -> Reference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/reference")
        .join(format!("greedy-{name}.json"));
    let text = std::fs::read_to_string(&path).expect("the reference is committed");
    serde_json::from_str(&text).expect("the reference is JSON")
}

fn model_file(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("GENIE_MODELS")?;
    let path = Path::new(&folder).join(name).join("model.gguf");
    path.exists().then_some(path)
}
