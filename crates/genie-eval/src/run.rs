//! What a run was made with and what came of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Context;
use genie_core::ContentHash;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::statistics::{Clustered, Estimate, Percentiles, estimate, percentiles};

/// A run: what it was made with and its figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The suite's name.
    pub suite: String,
    /// Items that were asked.
    pub items: usize,
    /// The figures.
    pub metrics: Metrics,
    /// The questions that found not all they should, by the metric that says
    /// so: `recall@1` and `recall@5`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missed: BTreeMap<String, Vec<String>>,
    /// Percentiles of times in milliseconds, by what took them.
    pub latency_ms: BTreeMap<String, Percentiles>,
    /// What it was made with.
    pub run: Header,
}

/// Metrics by their names.
pub type Estimates = BTreeMap<String, Estimate>;

/// The figures of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Over all items.
    pub overall: Estimates,
    /// By the language of the question.
    pub by_language: BTreeMap<String, Estimates>,
    /// By kind of question.
    pub by_kind: BTreeMap<String, Estimates>,
}

/// Whether a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is being made, or was stopped and can be taken up.
    Unfinished,
    /// All items were asked.
    Finished,
}

/// What is known of a run before its figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Its name, that of its folder.
    pub id: String,
    /// Whether it is over.
    pub state: State,
    /// When it began (RFC 3339).
    pub started: String,
    /// When it was over.
    pub finished: Option<String>,
    /// How often it was taken up again.
    pub resumed: usize,
    /// The machine.
    pub machine: Machine,
    /// What decides its figures.
    #[serde(flatten)]
    pub configuration: Configuration,
}

/// Where a run was made; it decides times and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Threads that the machine offers.
    pub threads: usize,
    /// Threads that inference was allowed; 0 is one a core.
    pub configured_threads: usize,
    /// Where the models ran.
    pub device: String,
}

/// Everything that decides the figures of a run. Runs with the same
/// configuration are the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The version of the program.
    pub version: String,
    /// SHA-256 of the program: an interrupted run must not be taken up by
    /// another build of the same version.
    pub program: String,
    /// Of everything random: resamples and permutations.
    pub seed: u64,
    /// The suite's name.
    pub suite: String,
    /// The suite's layout.
    pub layout: String,
    /// The digest of what was taken of the suite.
    pub suite_hash: String,
    /// What was searched: texts of the suite, a folder, the installation.
    pub documents: String,
    /// The digest of the documents; empty for a suite with its own texts.
    pub documents_hash: String,
    /// What was asked for: retrieval, answers.
    pub parts: Vec<String>,
    /// How many passages people are given. Metrics at ranks up to this are of
    /// what a search gave that was asked for no more; 0 in records from before
    /// it was written down, where all are of one that was asked for `depth`.
    #[serde(default)]
    pub top_k: usize,
    /// How many passages were looked at for metrics at higher ranks.
    pub depth: usize,
    /// Kinds that the suite was restricted to.
    pub kinds: Vec<String>,
    /// How many questions were taken at most.
    pub limit: Option<usize>,
    /// The models.
    pub models: Models,
    /// The identity of the index.
    pub index: Index,
    /// The configuration of retrieval.
    pub retrieval: Value,
    /// The configuration of answers, where answers were asked for.
    pub answer: Value,
}

/// The models of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Models {
    /// The embedding model.
    pub embedding: Model,
    /// The language model; `None` where none was loaded.
    pub chat: Option<Model>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its name in the registry.
    pub name: String,
    /// SHA-256 of its weights.
    pub hash: String,
}

/// What makes an index what it is, beside its embedding model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Components of a vector.
    pub dimension: usize,
    /// In front of queries.
    pub query_prefix: String,
    /// In front of passages.
    pub passage_prefix: String,
    /// The lexical analysis.
    pub lexical_version: String,
    /// The form of the codes of tokens, or `none`; empty in records from before
    /// it was written down.
    #[serde(default)]
    pub tokens_version: String,
    /// The chunker.
    pub chunker_version: String,
}

impl Configuration {
    /// The digest of all of it.
    ///
    /// # Errors
    ///
    /// Fails where a setting can't be written as JSON.
    pub fn hash(&self) -> anyhow::Result<ContentHash> {
        let text = serde_json::to_string(self).context("the configuration can't be recorded")?;
        Ok(ContentHash::of(text.as_bytes()))
    }
}

/// Settings as they are recorded. Numbers go through their text, so that .15
/// stays .15 whatever its precision was.
///
/// # Errors
///
/// Fails where they can't be written as JSON.
pub fn as_json(settings: &impl Serialize) -> anyhow::Result<Value> {
    serde_json::to_string(settings)
        .and_then(|text| serde_json::from_str(&text))
        .context("the settings can't be recorded")
}

/// What came of one item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemRecord {
    /// The item.
    pub id: String,
    /// Its language.
    pub language: String,
    /// Its kinds.
    pub kinds: Vec<String>,
    /// What was asked.
    pub question: String,
    /// The first question of those that are about the same text or document;
    /// empty in records from before it was written down.
    #[serde(default)]
    pub cluster: String,
    /// The documents that hold what should be found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wanted: Vec<String>,
    /// Its value for each metric that applies to it.
    pub values: BTreeMap<String, f64>,
    /// Times in milliseconds.
    pub latency_ms: BTreeMap<String, f64>,
    /// What was found, best first: `document#start-end`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<String>,
    /// The rank of each thing that should have been found, from 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranks: Vec<Option<usize>>,
    /// What was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

/// Metrics whose misses are told one by one.
pub(crate) const MARKS: [&str; 2] = ["recall@1", "recall@5"];

impl ItemRecord {
    /// The marks that it missed.
    pub(crate) fn missed(&self) -> impl Iterator<Item = &'static str> + '_ {
        let lacks = |mark: &&str| self.values.get(*mark).is_some_and(|found| *found < 1.0);
        MARKS.into_iter().filter(lacks)
    }

    /// Names those that it depends on.
    fn cluster(&self) -> &str {
        if self.cluster.is_empty() {
            &self.id
        } else {
            &self.cluster
        }
    }
}

/// The numbers of the clusters of items.
#[derive(Debug, Default)]
pub(crate) struct Clusters<'a>(HashMap<&'a str, usize>);

impl<'a> Clusters<'a> {
    pub(crate) fn number(&mut self, item: &'a ItemRecord) -> usize {
        let next = self.0.len();
        *self.0.entry(item.cluster()).or_insert(next)
    }
}

/// The questions that missed each mark.
pub(crate) fn missed(items: &[ItemRecord]) -> BTreeMap<String, Vec<String>> {
    let mut missed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for item in items {
        for mark in item.missed() {
            let ids = missed.entry(mark.to_owned()).or_default();
            ids.push(item.id.clone());
        }
    }
    missed
}

/// The figures of these items.
pub(crate) fn metrics(items: &[ItemRecord], seed: u64) -> Metrics {
    let mut metrics = Metrics {
        overall: estimates(items.iter(), seed),
        ..Metrics::default()
    };
    let languages: BTreeSet<&String> = items.iter().map(|item| &item.language).collect();
    for language in languages {
        let of_it = items.iter().filter(|item| &item.language == language);
        insert(&mut metrics.by_language, language, estimates(of_it, seed));
    }
    let kinds: BTreeSet<&String> = items.iter().flat_map(|item| &item.kinds).collect();
    for kind in kinds {
        let of_it = items.iter().filter(|item| item.kinds.contains(kind));
        insert(&mut metrics.by_kind, kind, estimates(of_it, seed));
    }
    metrics
}

/// A group of which nothing is judged is left out.
fn insert(groups: &mut BTreeMap<String, Estimates>, name: &str, estimates: Estimates) {
    if !estimates.is_empty() {
        groups.insert(name.to_owned(), estimates);
    }
}

fn estimates<'a>(items: impl Iterator<Item = &'a ItemRecord>, seed: u64) -> Estimates {
    let mut values: BTreeMap<&String, Vec<Clustered>> = BTreeMap::new();
    let mut clusters = Clusters::default();
    for item in items {
        let cluster = clusters.number(item);
        for (name, value) in &item.values {
            values.entry(name).or_default().push((*value, cluster));
        }
    }
    values
        .into_iter()
        .filter_map(|(name, values)| Some((name.clone(), estimate(&values, seed)?)))
        .collect()
}

pub(crate) fn latencies(items: &[ItemRecord]) -> BTreeMap<String, Percentiles> {
    let mut times: BTreeMap<&String, Vec<f64>> = BTreeMap::new();
    for item in items {
        for (name, time) in &item.latency_ms {
            times.entry(name).or_default().push(*time);
        }
    }
    times
        .into_iter()
        .filter_map(|(name, times)| Some((name.clone(), percentiles(&times)?)))
        .collect()
}

/// Metrics in the order in which people read them: by family, then by rank.
pub fn in_order<'a>(names: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    const FAMILIES: [&str; 12] = [
        "recall",
        "evidence",
        "mrr",
        "ndcg",
        "right",
        "answered",
        "refused_rightly",
        "wrongly_answered",
        "language_kept",
        "citation_accuracy",
        "confidence",
        "brier",
    ];
    let mut names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    names.sort_by_key(|name| {
        let (family, rank) = name.split_once('@').unwrap_or((name, "0"));
        let family = FAMILIES.iter().position(|known| *known == family);
        (
            family.unwrap_or(FAMILIES.len()),
            rank.parse::<usize>().unwrap_or(0),
            *name,
        )
    });
    names.dedup();
    names
}

/// Whether more of this metric is better.
pub(crate) fn more_is_better(name: &str) -> bool {
    !matches!(name, "wrongly_answered" | "brier")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::item;

    #[test]
    fn figures_are_given_overall_and_of_groups_that_have_some() {
        let mut unjudged = item("c", &[]);
        unjudged.kinds = vec!["unanswerable".to_owned()];
        let mut french = item("b", &[("recall@1", 0.0), ("right", 1.0)]);
        french.language = "fr".to_owned();
        let items = [item("a", &[("recall@1", 1.0)]), french, unjudged];
        let found = metrics(&items, 1);
        assert_eq!(found.overall["recall@1"].value, 0.5);
        assert_eq!(found.overall["right"].n, 1);
        assert_eq!(found.by_language["fr"]["recall@1"].value, 0.0);
        let kinds: Vec<_> = found.by_kind.keys().collect();
        assert_eq!(kinds, ["fact"]);
        assert_eq!(found, metrics(&items, 1));
    }

    #[test]
    fn misses_are_named_at_each_mark() {
        let at = |id: &str, first, five| item(id, &[("recall@1", first), ("recall@5", five)]);
        let items = [
            at("a", 1.0, 1.0),
            at("b", 0.0, 1.0),
            at("c", 0.0, 0.5),
            item("unjudged", &[("right", 0.0)]),
        ];
        let missed = missed(&items);
        assert_eq!(missed["recall@1"], ["b", "c"]);
        assert_eq!(missed["recall@5"], ["c"]);
        assert!(super::missed(&items[..1]).is_empty());
    }

    #[test]
    fn questions_about_one_document_are_one_cluster() {
        let mut items: Vec<_> = (0..40)
            .map(|at| {
                let found = f64::from(u8::from(at / 10 % 2 == 0));
                item(&format!("q{at}"), &[("recall@1", found)])
            })
            .collect();
        let alone = metrics(&items, 1).overall["recall@1"];
        for (at, item) in items.iter_mut().enumerate() {
            item.cluster = format!("q{}", at / 10 * 10);
        }
        let together = metrics(&items, 1).overall["recall@1"];
        assert_eq!((alone.n, alone.clusters), (40, 40));
        assert_eq!((together.n, together.clusters), (40, 4));
        assert!(together.high - together.low > alone.high - alone.low);
    }

    #[test]
    fn metrics_are_read_by_family_and_rank() {
        let names = ["right", "recall@10", "mrr@10", "recall@5", "x"].map(str::to_owned);
        assert_eq!(
            in_order(&names),
            ["recall@5", "recall@10", "mrr@10", "right", "x"]
        );
    }
}
