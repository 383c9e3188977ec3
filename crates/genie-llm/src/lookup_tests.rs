//! With guesses the same as without: the same tokens, the same chances.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use genie_compute::Appetite;
use genie_core::{ChatMessage, ChatRole, FinishReason, Sampling, Tenant, Work};

use crate::admission::{Entry, Watch};
use crate::decoder::Decoder;
use crate::gguf::Gguf;
use crate::job::{End, Event, Job, Talk};
use crate::reader::Reader;
use crate::scheduler::{Limits, Scheduler};
use crate::scheduler_tests::Watcher;
use crate::template::ChatTemplate;
use crate::tiny::{Tiny, WORDS};
use crate::tokenizer::Tokenizer;

struct Model {
    scheduler: Scheduler,
    watcher: Arc<Watcher>,
    tokenizer: Arc<Tokenizer>,
}

impl Model {
    fn open(path: &Path) -> Self {
        let gguf = Gguf::open(path).expect("opened");
        let tokenizer = Arc::new(Tokenizer::read(&gguf).expect("a tokenizer"));
        let decoder = Decoder::load(&gguf, &Device::Cpu).expect("a decoder");
        let limits = Limits {
            context: decoder.config().context,
            slots: 1,
            held: 1 << 20,
            kept: 1 << 20,
        };
        let watch = Watch::default();
        let watcher = Arc::new(Watcher::default());
        watch.set(watcher.clone());
        Self {
            scheduler: Scheduler::new(decoder, Arc::clone(&tokenizer), limits).watched(watch),
            watcher,
            tokenizer,
        }
    }

    fn tiny(family: &'static str, seed: u64) -> Self {
        let (_folder, path) = Tiny {
            family,
            seed,
            repetitive: true,
            ..Tiny::default()
        }
        .write();
        Self::open(&path)
    }

    /// How many tokens were guessed so far, and how many of them were right.
    fn guesses(&self) -> (usize, usize) {
        let seen = self.watcher.0.lock().expect("nobody panics with it");
        seen.iter().fold((0, 0), |(all, good), work| match work {
            Work::Written { guessed, right, .. } => (all + guessed, good + right),
            _ => (all, good),
        })
    }

    /// The pieces of an answer and how it ended.
    fn write(&mut self, talk: &Asked<'_>, lookup: bool) -> (Vec<String>, End) {
        let (events, arrived) = crossbeam_channel::bounded(talk.max_tokens + 2);
        let talk = Talk {
            prompt: talk.prompt.to_vec(),
            sampling: talk.sampling.clone(),
            max_tokens: talk.max_tokens,
            stop: talk.stop.iter().map(|&stop| stop.to_owned()).collect(),
            tenant: Tenant::default(),
            lookup,
            rule: None,
            weights: None,
            entry: Entry::default(),
            events,
            left: Arc::new(AtomicBool::new(false)),
        };
        let mut job = Some(Job::Talk(talk));
        while self.scheduler.run(job.take()) != Appetite::Idle {}
        let mut pieces = Vec::new();
        for event in arrived {
            match event {
                Event::Token(piece) | Event::Rest(piece) => pieces.push(piece),
                Event::Weight(_) => {}
                Event::End(end) => return (pieces, end.expect("generated")),
            }
        }
        panic!("no end came");
    }
}

struct Asked<'a> {
    prompt: &'a [u32],
    sampling: Sampling,
    max_tokens: usize,
    stop: &'a [&'a str],
}

impl<'a> Asked<'a> {
    const fn greedy(prompt: &'a [u32], max_tokens: usize) -> Self {
        Self {
            prompt,
            sampling: Sampling::greedy(),
            max_tokens,
            stop: &[],
        }
    }
}

/// Tokens with much repetition, so that there is a lot to guess from.
fn repetitive(length: u32) -> Vec<u32> {
    (0..length).map(|at| (at * at / 3) % 11 + 65).collect()
}

#[test]
fn several_tokens_of_a_pass_have_the_logits_of_one_by_one() {
    for family in ["llama", "qwen2", "qwen3", "gemma3"] {
        let (_folder, path) = Tiny {
            family,
            ..Tiny::default()
        }
        .write();
        same_logits(&mut reader(&path).0, &repetitive(90), &repetitive(21));
    }
    for (name, path) in real() {
        eprintln!("{name}");
        let (mut reader, tokenizer) = reader(&path);
        let text = "An Internet exchange point is where networks meet. An Internet exchange";
        let text = tokenizer.encode(text).expect("encoded");
        same_logits(&mut reader, &text, &text);
    }
}

fn reader(path: &Path) -> (Reader, Tokenizer) {
    let gguf = Gguf::open(path).expect("opened");
    let tokenizer = Tokenizer::read(&gguf).expect("a tokenizer");
    let decoder = Decoder::load(&gguf, &Device::Cpu).expect("a decoder");
    (Reader::new(decoder), tokenizer)
}

/// Bit for bit: that is what makes the tokens the same even where two are
/// nearly as good.
fn same_logits(reader: &mut Reader, prompt: &[u32], next: &[u32]) {
    reader.forget();
    reader.read(prompt);
    let single: Vec<Vec<f32>> = next
        .iter()
        .map(|token| reader.read(&[*token]).remove(0))
        .collect();
    for width in [2, 3, 4, 5, 8, 13] {
        reader.forget();
        reader.read(prompt);
        let mut row = 0;
        for pass in next.chunks(width) {
            for logits in reader.read(pass) {
                assert!(logits == single[row], "row {row} in passes of {width}");
                row += 1;
            }
        }
    }
}

#[test]
fn tiny_models_write_the_same_with_and_without_guesses() {
    let prompt = repetitive(120);
    let mut all = (0, 0);
    for family in ["llama", "qwen2", "qwen3", "gemma3"] {
        for seed in 1..5 {
            let mut model = Model::tiny(family, seed);
            for length in [1, 2, 7, 200] {
                let asked = Asked::greedy(&prompt, length);
                let plain = model.write(&asked, false);
                assert_eq!(plain, model.write(&asked, true), "{family} {seed} {length}");
            }
            let (guessed, right) = model.guesses();
            all.0 += guessed;
            all.1 += right;
        }
    }
    // Not because nothing was guessed, nor because all of it was right.
    assert!(0 < all.1 && all.1 < all.0, "{} of {}", all.1, all.0);
}

#[test]
fn a_stop_string_in_the_middle_of_a_guess_ends_the_text_there() {
    let mut model = Model::tiny("llama", 2);
    let prompt = repetitive(120);
    let whole = model.write(&Asked::greedy(&prompt, 60), false).0.concat();
    let characters: Vec<char> = whole.chars().collect();
    for start in [1, characters.len() / 2] {
        let stop: String = characters[start..start + 2].iter().collect();
        let asked = Asked {
            stop: &[&stop],
            ..Asked::greedy(&prompt, 60)
        };
        let plain = model.write(&asked, false);
        assert_eq!(plain.1.finish, FinishReason::Stop);
        assert_eq!(plain, model.write(&asked, true));
        // What was read beyond the end is forgotten.
        let next = Asked::greedy(&prompt[..100], 30);
        let used = model.write(&next, true);
        assert_eq!(used, Model::tiny("llama", 2).write(&next, true));
    }
}

#[test]
fn the_same_seed_draws_the_same_tokens_with_and_without_guesses() {
    let prompt = repetitive(120);
    let mut model = Model::tiny("qwen2", 3);
    for seed in 0..6 {
        let sampling = Sampling {
            temperature: 0.7,
            top_p: 0.9,
            repetition_penalty: 1.1,
            seed,
            ..Sampling::greedy()
        };
        let asked = Asked {
            sampling,
            ..Asked::greedy(&prompt, 80)
        };
        let plain = model.write(&asked, false);
        assert_eq!(plain, model.write(&asked, true), "seed {seed}");
    }
    let (guessed, right) = model.guesses();
    assert!(0 < right && right < guessed, "{right} of {guessed}");
}

/// Seeds of their own on either side, so that only the chances can agree.
#[test]
fn guesses_leave_the_chances_of_texts_as_they_are() {
    const DRAWS: u64 = 1500;
    // Whatever is written first has stood behind the prompt's last token.
    let words = || WORDS.map(|word| word as u32);
    let prompt: Vec<u32> = words()
        .flat_map(|one| words().flat_map(move |other| [one, other]))
        .collect();
    let mut model = Model::tiny("llama", 1);
    let mut count = |lookup: bool, first_seed: u64| {
        let mut counts = std::collections::HashMap::<String, f64>::new();
        for seed in first_seed..first_seed + DRAWS {
            let sampling = Sampling {
                temperature: 1.0,
                top_k: 2,
                seed,
                ..Sampling::greedy()
            };
            let asked = Asked {
                sampling,
                ..Asked::greedy(&prompt, 8)
            };
            let (pieces, end) = model.write(&asked, lookup);
            *counts
                .entry(format!("{pieces:?} {:?}", end.finish))
                .or_default() += 1.0;
        }
        counts
    };
    let (plain, guessed) = (count(false, 0), count(true, 1_000_000));
    let (all, right) = model.guesses();
    assert!(
        all > DRAWS as usize / 2 && 0 < right && right < all,
        "{right} of {all}"
    );
    // Two samples of one distribution: the statistic has about as many degrees
    // of freedom as there are texts, and exceeds this once in ten thousand
    // times (Wilson and Hilferty's approximation). Rare texts count as one.
    let mut texts: Vec<&String> = plain.keys().chain(guessed.keys()).collect();
    texts.sort();
    texts.dedup();
    let of = |counts: &std::collections::HashMap<String, f64>, text: &String| {
        counts.get(text).copied().unwrap_or(0.0)
    };
    let (mut statistic, mut degrees, mut rare) = (0.0, -1.0, (0.0, 0.0));
    let mut add = |a: f64, b: f64| {
        statistic += (a - b).powi(2) / (a + b);
        degrees += 1.0;
    };
    for text in texts {
        let (a, b) = (of(&plain, text), of(&guessed, text));
        if a + b < 10.0 {
            rare = (rare.0 + a, rare.1 + b);
        } else {
            add(a, b);
        }
    }
    if rare.0 + rare.1 > 0.0 {
        add(rare.0, rare.1);
    }
    assert!(degrees >= 5.0, "only {degrees} kinds of texts");
    let spread: f64 = 2.0 / (9.0 * degrees);
    let most = degrees * (1.0 - spread + 3.72 * spread.sqrt()).powi(3);
    assert!(statistic < most, "{statistic} of {most}");
}

#[test]
fn real_models_write_the_same_with_and_without_guesses() {
    for (name, path) in real() {
        let mut model = Model::open(&path);
        let template = ChatTemplate::read(&Gguf::open(&path).expect("opened")).expect("a template");
        for (passages, question) in PROMPTS {
            let text = format!("Passages:\n\n{passages}\n\nQuestion: {question}");
            let messages = [ChatMessage::new(ChatRole::User, text)];
            let prompt = template
                .tokens(&messages, "", &model.tokenizer)
                .expect("tokens");
            let asked = Asked::greedy(&prompt, 80);
            let plain = model.write(&asked, false);
            assert_eq!(plain, model.write(&asked, true), "{name}: {question}");
        }
    }
}

const PROMPTS: [(&str, &str); 3] = [
    (
        "An Internet exchange point (IXP) is a place where networks exchange traffic directly. \
         Without one, traffic between two networks of the same country often travels abroad and \
         back, which costs money and time. Most IXPs are run by associations of their members.",
        "What is an Internet exchange point, and who runs it?",
    ),
    (
        "Un câble sous-marin transporte des données entre continents. Les câbles modernes \
         contiennent plusieurs paires de fibres optiques. Une coupure est réparée par un navire \
         câblier en une à trois semaines.",
        "Combien de temps dure la réparation d'un câble sous-marin ?",
    ),
    (
        "| band | use |\n|---|---|\n| 700 MHz | coverage |\n| 3.5 GHz | capacity |\n| 26 GHz | \
         hot spots |",
        "Repeat the table of bands and their use.",
    ),
];

fn real() -> Vec<(&'static str, PathBuf)> {
    let names = ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"];
    let Some(folder) = std::env::var_os("GENIE_MODELS") else {
        eprintln!("skipped: GENIE_MODELS is not set");
        return Vec::new();
    };
    names
        .into_iter()
        .map(|name| (name, PathBuf::from(&folder).join(name).join("model.gguf")))
        .filter(|(name, path)| {
            let there = path.exists();
            if !there {
                eprintln!("skipped: GENIE_MODELS has no {name}/model.gguf");
            }
            there
        })
        .collect()
}
