//! The command line of `genie eval`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  genie eval run gold.jsonl --documents reports/ --only retrieval
  genie eval run xquad/ --kinds within,pooled,ar-en --json
  genie eval run xquad/ar.json --paragraphs xquad/en.json
  genie eval compare before latest
  genie eval report before latest --out report.html
  genie eval gate latest --baseline baseline.json
  genie eval learn gold.jsonl --documents reports/ --out profile.toml";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Eval {
    #[command(subcommand)]
    pub(crate) action: EvalAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvalAction {
    /// Ask the questions of a suite and judge what is found and answered
    Run(EvalRun),
    /// Tell what differs between two runs, question by question, and whether
    /// that is chance
    Compare(EvalCompare),
    /// Make one HTML page of runs that opens without anything else
    Report(EvalReport),
    /// Fail where a run is significantly worse than a baseline
    Gate(EvalGate),
    /// Learn weights of retrieval from questions with known answers
    Learn(EvalLearn),
    /// Remove the indexes that were kept for suites
    Clean(EvalClean),
    /// Runs that were recorded
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "A run that was interrupted is taken up by the same command.\n\nExamples:\n  genie eval run gold.jsonl --documents reports/\n  genie eval run xquad/ --kinds within,pooled,ar-en --only retrieval --json\n  genie eval run scifact/ --limit 100"
)]
pub(crate) struct EvalRun {
    /// A file of gold questions (.jsonl), a SQuAD file (.json), a folder of
    /// parallel ones, or a folder in BEIR layout
    pub(crate) suite: PathBuf,
    /// Folder of documents that gold questions are about, which gets an index
    /// of its own; without it the installation's index is asked
    #[arg(long, value_name = "FOLDER")]
    pub(crate) documents: Option<PathBuf>,
    /// Ask the questions of a SQuAD file over the paragraphs of a parallel one
    #[arg(long, value_name = "FILE")]
    pub(crate) paragraphs: Option<PathBuf>,
    /// Judge one of the two; gold questions are judged by both
    #[arg(long, value_enum, value_name = "PART")]
    pub(crate) only: Option<EvalOnly>,
    /// Only questions of these kinds, such as `within,pooled,ar-en`; `mixed` asks
    /// parallel files over collections in two languages
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    pub(crate) kinds: Vec<String>,
    /// Ask this many questions, spread over the suite
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Seed of intervals and tests
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Passages looked at for metrics at ranks beyond retrieval.top_k
    #[arg(long, value_name = "K", default_value_t = 10, value_parser = clap::value_parser!(u16).range(10..=1000))]
    pub(crate) depth: u16,
    /// Begin anew: take up no interrupted run and make the suite's index
    /// again
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Print the run as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EvalOnly {
    Retrieval,
    Answers,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A run is named by its name, the beginning of it, `latest`, its folder, or a file with what `genie eval run --json` printed.\n\nExample:\n  genie eval compare xquad-20260102 latest"
)]
pub(crate) struct EvalCompare {
    /// The run before
    pub(crate) a: String,
    /// The run after
    pub(crate) b: String,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "With several runs the others are compared with the first.\n\nExample:\n  genie eval report latest --out report.html"
)]
pub(crate) struct EvalReport {
    /// Runs: names, folders or files
    #[arg(required = true, value_name = "RUN")]
    pub(crate) runs: Vec<String>,
    /// Write the page here instead of printing it
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 nothing is lost, 3 a metric is significantly worse (each is named), 1 the runs can't be compared\n\nExample:\n  genie eval gate latest --baseline baseline.json --metric recall@5 --alpha 0.01"
)]
pub(crate) struct EvalGate {
    /// The run that is judged
    pub(crate) run: String,
    /// What it is held against: a run, or a file with what `genie eval run
    /// --json` printed
    #[arg(long, value_name = "RUN")]
    pub(crate) baseline: String,
    /// Metrics to look at; without it all at 1, 5 and 10 and those of answers
    #[arg(long, value_name = "NAME")]
    pub(crate) metric: Vec<String>,
    /// Look at each language and each kind of question by itself, too
    #[arg(long)]
    pub(crate) groups: bool,
    /// Judge a run that has not all questions of the baseline, or others, or
    /// other documents
    #[arg(long)]
    pub(crate) partial: bool,
    /// A loss counts where chance makes one like it, among all that are looked
    /// at, more seldom than this
    #[arg(long, value_name = "P", default_value_t = 0.05, value_parser = share)]
    pub(crate) alpha: f64,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "What is gained is judged by questions that had no part in the choice.\n\nExamples:\n  genie eval learn gold.jsonl --documents reports/ --out profile.toml\n  genie eval learn xquad/ --kinds within --limit 600 --metric recall@1"
)]
pub(crate) struct EvalLearn {
    /// A suite, as `genie eval run` takes it
    pub(crate) suite: PathBuf,
    /// Folder of documents that gold questions are about
    #[arg(long, value_name = "FOLDER")]
    pub(crate) documents: Option<PathBuf>,
    /// Only questions of these kinds
    #[arg(long, value_delimiter = ',', value_name = "KIND,…")]
    pub(crate) kinds: Vec<String>,
    /// Ask this many questions, spread over the suite
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// What is to be better
    #[arg(long, value_name = "NAME", default_value = "ndcg@10")]
    pub(crate) metric: String,
    /// Seed of folds and intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Write what is best here; `retrieval.profile` in config.toml names the
    /// file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Without --yes it only lists them. Recorded runs stay.\n\nExample:\n  genie eval clean --yes"
)]
pub(crate) struct EvalClean {
    /// Remove them
    #[arg(long)]
    pub(crate) yes: bool,
    /// As JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("has to be a number between 0 and 1".to_owned()),
    }
}
