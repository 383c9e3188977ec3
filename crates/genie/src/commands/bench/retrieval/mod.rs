//! `genie bench retrieval`: time, disk and recall of a hybrid index of made-up
//! chunks.
//!
//! Texts are put together from sentences of the starter corpus, vectors come
//! from the embedding model or are drawn around those that do ([`corpus`]).
//! The same queries are asked with every kind of filter ([`queries`]), and
//! their nearest chunks are also found by comparing each chunk ([`exact`]).

mod base;
mod corpus;
mod exact;
mod place;
mod queries;
mod report;

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use genie_core::{DocumentRecord, IndexIdentity, Point, Store, Tongues};
use genie_rag::candidates_of;

use self::base::Base;
use self::corpus::Corpus;
use self::exact::Exact;
use self::place::{Built, Folder, Place};
use self::queries::{FilterKind, HITS, Queries, Wanted};
use self::report::Results;
use super::Report;
use crate::cli::{Common, Serve};
use crate::commands::{say, say_json};
use crate::wiring::Vectors;
use crate::{Ended, interrupt, progress, settings};

/// Documents that wait to be written while the next one is made up.
const AHEAD: usize = 4;
/// Candidates of each side unless questions are asked as answers ask them.
const CANDIDATES: usize = 50;
/// How often each query is asked.
const ROUNDS: usize = 3;

/// The arguments of `genie bench retrieval`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  genie bench retrieval --chunks 10000,100000\n  genie bench retrieval --chunks 100000 --encode 2000 --json\n  genie --qdrant-url http://127.0.0.1:6334 bench retrieval --chunks 10000"
)]
pub(super) struct Arguments {
    /// Chunks of each index
    #[arg(long, value_name = "N,N…", value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    chunks: Vec<usize>,
    /// Chunks whose vectors the embedding model makes; those of the others
    /// are drawn around them
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    encode: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Keep indexes and vectors here, and use vectors that are here already
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Give chunks codes of tokens, and ask for all candidates that answers are
    /// made from, with these codes, which are compared
    #[arg(long)]
    as_answers_do: bool,
    /// Another seed makes up another corpus
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// What the figures hold for.
#[derive(Debug, serde::Serialize)]
struct Settings {
    seed: u64,
    encoded: usize,
    embedding_model: String,
    #[serde(flatten)]
    wanted: Wanted,
    queries: usize,
    threads: usize,
}

/// Runs the command.
pub(super) fn run(common: &Common, arguments: &Arguments) -> anyhow::Result<Ended> {
    let Some(largest) = arguments
        .chunks
        .iter()
        .copied()
        .max()
        .filter(|_| arguments.encode > 0 && arguments.chunks.iter().all(|chunks| *chunks > 0))
    else {
        bail!("--chunks and --encode have to be 1 or more");
    };
    let config = settings::read(common, &Serve::default())?;
    let folder = Folder::open(arguments.keep.as_deref())?;
    folder.check_space(largest, arguments.as_answers_do)?;

    let waiting = progress::waiting("loading the embedding model");
    let encoders = Vectors::load(common, &config)?;
    waiting.finish_and_clear();
    let corpus = Corpus::read(arguments.seed)?;
    let (tokens, wanted) = if arguments.as_answers_do {
        let Some(tokens) = encoders.tokens.as_deref() else {
            bail!("--as-answers-do needs retrieval.late_interaction = true");
        };
        let candidates = config.retrieval.candidates;
        let wanted = Wanted {
            candidates,
            hits: candidates,
            tokens: true,
        };
        (Some(tokens), wanted)
    } else {
        let wanted = Wanted {
            candidates: CANDIDATES,
            hits: HITS,
            tokens: false,
        };
        (None, wanted)
    };
    let encode = arguments.encode.min(largest);
    let base = Base::encode(&corpus, encode, &encoders, tokens, &folder)?;
    let queries = Queries::make(&corpus, &encoders, tokens, config.retrieval.weights, wanted)?;

    let mut results = Results::default();
    for chunks in &arguments.chunks {
        let job = Job {
            chunks: *chunks,
            corpus: &corpus,
            base: &base,
            queries: &queries,
            encoders: &encoders,
        };
        job.run(Place::edge(&folder, *chunks)?, &mut results)?;
        if let Some(place) = Place::server(&config) {
            job.run(place, &mut results)?;
        }
    }
    if arguments.json {
        say_json(&Report {
            benchmark: "retrieval",
            settings: Settings {
                seed: arguments.seed,
                encoded: base.len(),
                embedding_model: config.embedding_model.clone(),
                wanted,
                queries: queries.len(),
                threads: std::thread::available_parallelism().map_or(1, usize::from),
            },
            results: results.figures,
        })?;
    } else {
        say(&results.table())?;
    }
    Ok(Ended::Done)
}

/// One index to build and to query.
struct Job<'a> {
    chunks: usize,
    corpus: &'a Corpus,
    base: &'a Base,
    queries: &'a Queries,
    encoders: &'a Vectors,
}

impl Job<'_> {
    fn run(&self, place: Place, results: &mut Results) -> anyhow::Result<()> {
        let identity = self.encoders.identity.clone();
        let store = place.open(identity.clone())?;
        store.as_store().begin_bulk_load()?;
        let (exact, writing) = self.write(store.as_store(), place.name())?;
        let waiting = progress::waiting("building the index");
        let started = Instant::now();
        store.finish()?;
        waiting.finish_and_clear();
        let built = writing + started.elapsed();
        let mut figures = results.of(place.name(), self.chunks);
        figures.add("build", "s", built.as_secs_f64());
        figures.add("write", "s", writing.as_secs_f64());
        self.measure(&place, store, identity, &exact, &mut figures)?;
        place.remove()
    }

    /// Writes all documents, and finds what each query should find. Returns
    /// the time that the store took.
    fn write(&self, store: &dyn Store, name: &str) -> anyhow::Result<(Exact<'_>, Duration)> {
        let bar = progress::counted(
            &format!("writing into {name}"),
            self.chunks as u64,
            "chunks",
        );
        let mut taken = Duration::ZERO;
        let exact = std::thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel::<(DocumentRecord, Vec<Point>)>(AHEAD);
            let making = scope.spawn(move || {
                let mut exact = Exact::of(self.queries);
                let mut documents = self.corpus.documents(self.base, self.chunks);
                while let Some((record, points)) = documents.next(&*self.encoders.lexical) {
                    exact.observe(&record, &points);
                    // Whoever wrote has stopped, and says why.
                    if sender.send((record, points)).is_err() {
                        break;
                    }
                }
                exact
            });
            for (record, points) in receiver {
                interrupt::check()?;
                let started = Instant::now();
                let count = points.len() as u64;
                store.put(&record, points)?;
                taken += started.elapsed();
                bar.inc(count);
            }
            making
                .join()
                .map_err(|_| anyhow::anyhow!("making up documents failed"))
        });
        bar.finish_and_clear();
        Ok((exact?, taken))
    }

    fn measure(
        &self,
        place: &Place,
        store: Built,
        identity: IndexIdentity,
        exact: &Exact,
        figures: &mut report::Case<'_>,
    ) -> anyhow::Result<()> {
        drop(store);
        let disk = place.bytes()?;
        if !disk.is_empty() {
            let all: u64 = disk.iter().map(|(_, bytes)| bytes).sum();
            for (name, bytes) in std::iter::once(("disk", all)).chain(disk) {
                figures.add(name, "bytes/chunk", bytes as f64 / self.chunks as f64);
            }
        }
        let started = Instant::now();
        let store = place.open(identity)?;
        figures.add("open", "s", started.elapsed().as_secs_f64());
        let store = store.as_store();
        let stored = store.count()?;
        if stored != self.chunks {
            bail!("{stored} of {} chunks are in the index", self.chunks);
        }
        let bar = progress::counted(
            "asking",
            (FilterKind::ALL.len() * self.queries.len() * (ROUNDS + 2)) as u64,
            "queries",
        );
        for kind in FilterKind::ALL {
            let mut recall = exact::Recall::default();
            let (mut times, mut compared) = (Vec::new(), Vec::new());
            for round in 0..=ROUNDS {
                for number in 0..self.queries.len() {
                    interrupt::check()?;
                    let query = self.queries.hybrid(number, kind);
                    let language = self.queries.language(number);
                    let started = Instant::now();
                    let hits = candidates_of(store, &query, Some(language))?;
                    // The first round brings files into memory.
                    if round > 0 {
                        times.push(started.elapsed());
                    }
                    if let (Some(model), Some(tokens)) =
                        (self.encoders.tokens.as_deref(), self.queries.tokens(number))
                    {
                        let codes: Vec<_> = hits.iter().map(|hit| &hit.tokens).collect();
                        let scores = model.scores(tokens, &codes, Tongues::Several);
                        if scores.contains(&None) {
                            bail!("a hit came without codes of its tokens");
                        }
                        if round > 0 {
                            compared.push(started.elapsed());
                        }
                    }
                    bar.inc(1);
                }
            }
            for number in 0..self.queries.len() {
                let hits = store.search(&self.queries.dense(number, kind))?;
                recall.add(exact.nearest(number, kind), &hits);
                bar.inc(1);
            }
            figures.latencies(kind, ["p50", "p95", "p99"], times);
            let names = ["compared p50", "compared p95", "compared p99"];
            figures.latencies(kind, names, compared);
            if let Some(value) = recall.value() {
                figures.recall(kind, value);
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}

/// An error that names the folder.
fn in_folder<T>(result: std::io::Result<T>, path: &std::path::Path) -> anyhow::Result<T> {
    result.with_context(|| format!("{} can't be read or written", path.display()))
}
