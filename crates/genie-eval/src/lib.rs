//! How good retrieval and answers are: suites, metrics, comparisons, reports.
//!
//! A [`Suite`] is data: questions in one of three layouts ([`load`]), with
//! what should be found and answered. [`evaluate`] asks them of an engine,
//! the same one that answers people, and records each item in a
//! [`Recording`] as it is done, so that a run that was stopped is taken up.
//! Finished, it is a [`Run`]: metrics with bootstrap intervals over all items,
//! by language and by kind, times, and everything that decides the figures.
//! [`compare`] tells what differs between two runs and whether that is
//! chance, [`Gate`] turns it into a verdict, and [`report`] makes a page of
//! runs.
//!
//! This crate knows engines and indexes by [`Indexes`] alone; which vector
//! engine and which models there are is decided outside.
//!
//! ```
//! use genie_eval::{LoadOptions, Target, load};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let file = folder.path().join("gold.jsonl");
//! std::fs::write(
//!     &file,
//!     r#"{"id": "1", "lang": "en", "question": "What is an IXP?", "answerable": true,
//!         "evidence": [{"doc": "ixp.md", "quote": "where networks meet"}]}"#
//!         .replace('\n', " "),
//! )?;
//! let suite = load(&file, &LoadOptions::default())?;
//! assert!(matches!(suite.items[0].target, Target::Evidence(_)));
//! # Ok(())
//! # }
//! ```

mod answers;
mod cluster;
mod compare;
mod documents;
mod evaluate;
mod evidence;
#[cfg(test)]
mod fixtures;
mod gate;
mod learn;
mod lines;
mod quote;
mod rank;
mod record;
mod remember;
mod report;
mod run;
mod statistics;
mod suite;

pub use compare::{ByName, Comparison, Difference, Differences, Differing, compare};
pub use documents::{Documents, Indexes, Opened, Wanted};
pub use evaluate::{Parts, Plan, Step, documents_hash, evaluate};
pub use gate::{Checked, Gate, Verdict};
pub use learn::{Lesson, Study, Tuning, learn};
pub use record::{Recording, SavedRun, list_runs, load_run};
pub use remember::{RememberingEmbed, RememberingTokens};
pub use report::report;
pub use run::{
    Configuration, Estimates, Header, Index, ItemRecord, Machine, Metrics, Model, Models, Run,
    State, as_json, in_order,
};
pub use statistics::{
    Clustered, Estimate, Percentiles, estimate, interval_p, percentiles, permutation_p,
};
pub use suite::{
    Collection, Evidence, Expected, Item, Layout, LoadOptions, Relevant, Suite, Target, Text, load,
};
