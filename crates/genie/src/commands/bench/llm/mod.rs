//! `genie bench llm`: how fast a language model reads and writes, beside
//! llama.cpp where that is there.
//!
//! Each round measures everything once, and the peer right before or after
//! ours, so that a machine which changes its speed changes it for both. The
//! texts are questions with passages of the articles that come with the
//! program ([`prompts`]); nothing is known of a prompt when it is asked, but
//! where that is what is measured.

mod first;
mod ours;
mod peer;
mod prompts;
mod report;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use genie_compute::{choose_device, physical_cores};
use genie_core::ContentHash;
use genie_llm::{ChatModel, ChatModelOptions};
use genie_models::ModelName;
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};

use self::ours::Ours;
use self::peer::{Completion, Peer, Test};
use self::prompts::Prompts;
use self::report::{Name, Rounds, Sample};
use super::Report;
use crate::cli::{Common, Serve};
use crate::commands::{say, say_json};
use crate::{Ended, interrupt, progress, settings, wiring};

/// Chats at once in `serve-8`, and tokens of their prompts and answers.
const CHATS: usize = 8;
const CHAT_PROMPT: usize = 900;
const CHAT_ANSWER: usize = 100;
/// Tokens written for `decode-128`.
const WRITTEN: usize = 128;

/// Tokens before those of `decode-at-2048`, and how many these are.
const DEPTH: usize = 2048;
const WRITTEN_THERE: usize = 64;
/// Tokens of each answer of `batch-…`.
const BATCH_ANSWER: usize = 64;
/// Answers of the largest batch.
const MOST_AT_ONCE: usize = 16;

/// The arguments of `genie bench llm`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie bench llm\n  genie bench llm --model smollm2-135m-instruct --threads 2 --against ./llama-bench --json\n  genie bench llm --model model.gguf --against http://127.0.0.1:8081 --only serve-8"
)]
pub(super) struct Arguments {
    /// Registry name or GGUF file (without: the configured model)
    #[arg(long, value_name = "NAME|FILE")]
    model: Option<String>,
    /// Run beside ours: the program llama-bench, or a llama-server that has
    /// the same file open
    #[arg(long, value_name = "PATH|URL")]
    against: Option<String>,
    /// Rounds; the figures are medians
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Measure only these
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_enum)]
    only: Vec<Name>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write one token and say so: what `first-token` starts
    #[arg(long, hide = true)]
    first_token: bool,
}

impl Arguments {
    fn wants(&self, name: Name) -> bool {
        self.only.is_empty() || self.only.contains(&name)
    }
}

/// What the figures hold for.
#[derive(Debug, serde::Serialize)]
struct Settings {
    model: String,
    sha256: String,
    device: String,
    threads: usize,
    rounds: usize,
    against: Option<&'static str>,
}

/// Runs the command.
pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<Ended> {
    if arguments.rounds == 0 {
        bail!("--rounds has to be 1 or more");
    }
    let config = settings::read(common, &Serve::default())?;
    let peer = arguments.against.as_deref().map(Peer::new).transpose()?;
    let asked = arguments.model.as_deref().or(config.chat_model.as_deref());
    let asked = asked.context("no language model is configured; name one with --model")?;
    genie_compute::set_threads(config.threads).context("the threads can't be started")?;
    if arguments.first_token {
        first::write(asked, &config)?;
        return Ok(Ended::Done);
    }
    let file = find(common, &config, asked)?;
    let threads = match config.threads {
        0 => physical_cores(),
        threads => threads,
    };
    // Before this process has a copy of the model beside theirs.
    let first_tokens = match arguments.wants(Name::FirstToken) {
        true => first_tokens(&file.path, threads, common, arguments.rounds)?,
        false => Vec::new(),
    };
    let device = choose_device(config.device)?;
    let mut options = ChatModelOptions::new(file.name.as_str(), file.hash);
    options.device = device.device;
    options.slots = options.slots.max(MOST_AT_ONCE);
    // They are one tenant's, which may have three quarters of the queue.
    options = options.with_queue(2 * MOST_AT_ONCE);
    let waiting = progress::waiting("loading the language model");
    let model = ChatModel::load(&file.path, options)?;
    waiting.finish_and_clear();

    let prompts = Prompts::read()?;
    let bench = Bench {
        ours: Ours::new(model, &prompts),
        first_tokens,
        file: &file.path,
        threads,
        peer: peer.as_ref(),
    };
    let outcomes = bench.run(arguments)?;
    if arguments.json {
        say_json(&Report {
            benchmark: "llm",
            settings: Settings {
                model: file.name,
                sha256: file.hash.to_string(),
                device: device.note,
                threads,
                rounds: arguments.rounds,
                against: peer.as_ref().map(Peer::name),
            },
            results: outcomes,
        })?;
    } else {
        say(&report::table(&outcomes))?;
    }
    Ok(Ended::Done)
}

/// New processes, one a round. One more before them brings the file into the
/// page cache.
fn first_tokens(
    file: &Path,
    threads: usize,
    common: &Common,
    rounds: usize,
) -> anyhow::Result<Vec<Sample>> {
    let bar = progress::steps("starting anew", rounds as u64 + 1);
    let mut samples = Vec::with_capacity(rounds + 1);
    for _ in 0..=rounds {
        interrupt::check()?;
        let sample = first::measure(file, threads, common);
        samples.push(sample.context("first-token can't be measured")?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(samples.split_off(1))
}

/// A model file with what it is called.
struct ModelFile {
    name: String,
    path: PathBuf,
    hash: ContentHash,
}

/// A file of this path, or the registry's model of this name.
fn find(common: &Common, config: &genie_core::Config, asked: &str) -> anyhow::Result<ModelFile> {
    let path = Path::new(asked);
    if path.is_file() {
        let hash = hash(path).with_context(|| format!("{asked} can't be read"))?;
        return Ok(ModelFile {
            name: asked.to_owned(),
            path: path.to_owned(),
            hash,
        });
    }
    let name: ModelName = asked
        .parse()
        .with_context(|| format!("{asked} is neither a file nor the name of a model"))?;
    let installed = wiring::models(common, &config.places)?.locate(&name)?;
    Ok(ModelFile {
        name: name.to_string(),
        path: installed.weights,
        hash: installed.hash,
    })
}

fn hash(path: &Path) -> std::io::Result<ContentHash> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(ContentHash::from_bytes(hasher.finalize().into())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

struct Bench<'a> {
    ours: Ours<'a>,
    /// One a round.
    first_tokens: Vec<Sample>,
    file: &'a Path,
    threads: usize,
    peer: Option<&'a Peer>,
}

impl Bench<'_> {
    fn run(&self, arguments: &Arguments) -> anyhow::Result<Vec<report::Outcome>> {
        let wanted = Name::ALL.into_iter().filter(|name| arguments.wants(*name));
        let names: Vec<Name> = wanted.collect();
        let bar = progress::steps("measuring", (names.len() * arguments.rounds) as u64);
        let mut figures: Vec<Rounds> = names.iter().map(|_| Rounds::default()).collect();
        for round in 0..arguments.rounds {
            for (name, rounds) in names.iter().zip(&mut figures) {
                interrupt::check()?;
                self.measure(*name, round, rounds, &bar)
                    .with_context(|| format!("{} can't be measured", name.as_str()))?;
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        let outcomes = names.iter().zip(&figures);
        Ok(outcomes
            .filter_map(|(name, rounds)| rounds.outcome(*name))
            .collect())
    }

    /// One round of one figure. What does not fit into the model's context is
    /// not measured.
    fn measure(
        &self,
        name: Name,
        round: usize,
        rounds: &mut Rounds,
        bar: &ProgressBar,
    ) -> anyhow::Result<()> {
        bar.set_message(format!("{}, round {}", name.as_str(), round + 1));
        let ours = &self.ours;
        match name {
            Name::Prefill512 => self.prefill(512, round, rounds),
            Name::Prefill2048 => self.prefill(2048, round, rounds),
            Name::Decode128 => {
                let both = Both {
                    ours: &|| ours.decode(round, WRITTEN),
                    peer: &|peer| self.decode_of(peer, round),
                };
                self.interleave(round, rounds, &both)
            }
            Name::DecodeAt2048 if ours.holds(DEPTH + WRITTEN_THERE + 1) => {
                let both = Both {
                    ours: &|| ours.decode_at(round, DEPTH, WRITTEN_THERE),
                    peer: &|peer| self.decode_at_of(peer, round),
                };
                self.interleave(round, rounds, &both)
            }
            Name::Batch2 | Name::Batch4 | Name::Batch8 | Name::Batch16 => {
                let count = match name {
                    Name::Batch2 => 2,
                    Name::Batch4 => 4,
                    Name::Batch8 => 8,
                    _ => MOST_AT_ONCE,
                };
                let [one, many] = ours.batch(round, count, BATCH_ANSWER)?;
                rounds.add(many);
                rounds.add_peer("one answer", one);
                Ok(())
            }
            Name::FirstToken => {
                let first = self.first_tokens.get(round).copied();
                rounds.add(first.context("no process was started for this round")?);
                Ok(())
            }
            Name::Serve8 if ours.holds(CHAT_PROMPT + CHAT_ANSWER) => self.serve(round, rounds),
            Name::PrefixTtft if ours.holds(CHAT_PROMPT + 1) => {
                let [first, second] = ours.prefix(round)?;
                rounds.add(second);
                rounds.add_peer("first question", first);
                Ok(())
            }
            Name::Speculation if ours.holds(CHAT_PROMPT + CHAT_ANSWER) => {
                let [plain, guessed] = ours.speculation(round)?;
                rounds.add(guessed);
                rounds.add_peer("token by token", plain);
                Ok(())
            }
            Name::Form | Name::FormDrawn if ours.holds(CHAT_PROMPT + CHAT_ANSWER) => {
                let temperature = if name == Name::Form { 0.0 } else { 0.7 };
                let [without, with] = ours.form(round, temperature)?;
                rounds.add(with);
                rounds.add_peer("without the grammar's time", without);
                Ok(())
            }
            Name::DecodeAt2048
            | Name::Serve8
            | Name::PrefixTtft
            | Name::Speculation
            | Name::Form
            | Name::FormDrawn => Ok(()),
        }
    }

    fn prefill(&self, tokens: usize, round: usize, rounds: &mut Rounds) -> anyhow::Result<()> {
        if !self.ours.holds(tokens + 1) {
            return Ok(());
        }
        let messages = self.ours.prompts.sized(&self.ours.model, round, tokens)?;
        let both = Both {
            ours: &|| self.ours.prefill(messages.clone()),
            peer: &|peer| match peer {
                Peer::Bench(program) => {
                    let test = Test {
                        read: tokens,
                        ..Test::default()
                    };
                    peer::bench(program, self.file, self.threads, test)
                }
                Peer::Server { url, agent } => {
                    let asked = Completion {
                        messages: &messages,
                        max_tokens: 1,
                        to_the_last: false,
                    };
                    Ok(peer::complete((url, agent), &asked)?.reading)
                }
            },
        };
        self.interleave(round, rounds, &both)
    }

    fn decode_of(&self, peer: &Peer, round: usize) -> anyhow::Result<f64> {
        match peer {
            Peer::Bench(program) => {
                let test = Test {
                    written: WRITTEN,
                    ..Test::default()
                };
                peer::bench(program, self.file, self.threads, test)
            }
            Peer::Server { .. } => self.written_by(peer, round, 160, WRITTEN),
        }
    }

    fn decode_at_of(&self, peer: &Peer, round: usize) -> anyhow::Result<f64> {
        match peer {
            Peer::Bench(program) => {
                let test = Test {
                    written: WRITTEN_THERE,
                    depth: DEPTH,
                    ..Test::default()
                };
                peer::bench(program, self.file, self.threads, test)
            }
            Peer::Server { .. } => self.written_by(peer, round, DEPTH, WRITTEN_THERE),
        }
    }

    /// Tokens a second of a server's answer of so many behind a prompt.
    fn written_by(
        &self,
        peer: &Peer,
        round: usize,
        prompt: usize,
        tokens: usize,
    ) -> anyhow::Result<f64> {
        let Peer::Server { url, agent } = peer else {
            bail!("{} answers no prompts", peer.name());
        };
        let asked = Completion {
            messages: &self.ours.prompts.sized(&self.ours.model, round, prompt)?,
            max_tokens: tokens,
            to_the_last: true,
        };
        Ok(peer::complete((url, agent), &asked)?.writing)
    }

    /// `llama-bench` knows no chats, so only a server is a peer here.
    fn serve(&self, round: usize, rounds: &mut Rounds) -> anyhow::Result<()> {
        rounds.add(self.ours.serve(round)?);
        if let Some(peer @ Peer::Server { url, agent }) = self.peer {
            let chats = (0..CHATS)
                .map(|chat| {
                    let number = round * CHATS + chat;
                    self.ours
                        .prompts
                        .sized(&self.ours.model, number, CHAT_PROMPT)
                })
                .collect::<anyhow::Result<Vec<_>>>()?;
            let served = peer::serve((url, agent), &chats, CHAT_ANSWER)?;
            rounds.add_peer(peer.name(), served);
        }
        Ok(())
    }

    /// Who goes first changes from round to round.
    fn interleave(&self, round: usize, rounds: &mut Rounds, both: &Both<'_>) -> anyhow::Result<()> {
        let theirs = |rounds: &mut Rounds| -> anyhow::Result<()> {
            if let Some(peer) = self.peer {
                rounds.add_peer(peer.name(), (both.peer)(peer)?);
            }
            Ok(())
        };
        if round.is_multiple_of(2) {
            rounds.add((both.ours)()?);
            theirs(rounds)
        } else {
            theirs(rounds)?;
            rounds.add((both.ours)()?);
            Ok(())
        }
    }
}

/// How a figure is measured on either side.
struct Both<'a> {
    ours: &'a dyn Fn() -> anyhow::Result<f64>,
    peer: &'a dyn Fn(&Peer) -> anyhow::Result<f64>,
}
