//! Asks every item of a suite and records what came of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use genie_core::{ContentHash, Filter, Passage, Usage};
use genie_rag::{AnswerEvent, RagError, SearchOutcome, SearchRequest};

use crate::answers;
use crate::cluster::clusters;
use crate::documents::{Documents, Indexes, Opened, Wanted, digest_of_texts, fill_with_texts};
use crate::evidence::Known;
use crate::record::Recording;
use crate::run::ItemRecord;
use crate::suite::{Item, Suite, Target};

/// What is evaluated.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The questions.
    pub suite: &'a Suite,
    /// What is searched by a suite without texts of its own; `None` is the
    /// installation's index.
    pub documents: Option<&'a Documents>,
    /// What is judged.
    pub parts: Parts,
    /// Passages that people are given for a question. What is found among the
    /// first of them is judged by a search that asks for no more.
    pub top_k: usize,
    /// Passages that are looked at for what is found further down.
    pub depth: usize,
}

/// What is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts {
    /// What is found.
    pub retrieval: bool,
    /// What is answered.
    pub answers: bool,
}

/// What an evaluation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Documents go into an index.
    Indexing {
        /// The document or collection.
        name: &'a str,
        /// Documents before it.
        done: usize,
        /// Documents in all.
        total: usize,
    },
    /// Questions are asked.
    Asking {
        /// Items that are done, those of an earlier start included.
        done: usize,
        /// Items in all.
        total: usize,
    },
    /// A question was answered; goes on whatever it is told.
    Answered(Usage),
    /// Something long is going on; only asks whether to go on.
    Working,
}

/// Asks what the recording lacks. `watch` is told of every step; when it
/// breaks, the evaluation stops with what is recorded, and the answer is
/// [`ControlFlow::Break`].
///
/// # Errors
///
/// Fails where an index can't be opened or written, where evidence is not in
/// its document, and where a model or the disk fails.
pub fn evaluate(
    plan: &Plan<'_>,
    indexes: &dyn Indexes,
    recording: &mut Recording,
    watch: &mut dyn FnMut(Step<'_>) -> ControlFlow<()>,
) -> anyhow::Result<ControlFlow<()>> {
    let items = &plan.suite.items;
    // Times of a question that was asked before don't count: its vector may
    // be remembered.
    let mut asked = HashSet::new();
    let all: Vec<&Item> = items.iter().collect();
    let clusters: HashMap<&str, &str> = items
        .iter()
        .zip(clusters(&all))
        .map(|(item, first)| (item.id.as_str(), items[first].id.as_str()))
        .collect();
    let mut rest = items.as_slice();
    while let Some(first) = rest.first() {
        let end = rest
            .iter()
            .position(|item| item.collection != first.collection)
            .unwrap_or(rest.len());
        let (group, others) = rest.split_at(end);
        rest = others;
        if group.iter().all(|item| recording.has(&item.id)) {
            continue;
        }
        let opened = match open(plan, first.collection, indexes, watch)? {
            ControlFlow::Continue(opened) => opened,
            ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
        };
        let known = Known::of(plan, group, &opened)?;
        if plan.parts.retrieval {
            warm_up(&opened)?;
        }
        for item in group {
            if recording.has(&item.id) {
                continue;
            }
            let step = Step::Asking {
                done: recording.len(),
                total: items.len(),
            };
            if watch(step).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let asking = Asking {
                plan,
                opened: &opened,
                known: &known,
                item,
                cluster: clusters.get(item.id.as_str()).copied().unwrap_or_default(),
                timed: asked.insert(item.question.as_str()),
            };
            match asking.record(watch)? {
                Some(record) => recording.add(record)?,
                None => return Ok(ControlFlow::Break(())),
            }
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The first search after a start reads files and fills caches, which is no
/// time that people wait for.
fn warm_up(opened: &Opened) -> anyhow::Result<()> {
    opened.engine.search(SearchRequest {
        query: "What is this about?".to_owned(),
        language: None,
        filter: Filter::default(),
        limit: None,
    })?;
    Ok(())
}

pub(crate) fn open(
    plan: &Plan<'_>,
    collection: Option<usize>,
    indexes: &dyn Indexes,
    watch: &mut dyn FnMut(Step<'_>) -> ControlFlow<()>,
) -> anyhow::Result<ControlFlow<(), Opened>> {
    let (opened, filled) = if let Some(at) = collection {
        let collection = plan
            .suite
            .collections
            .get(at)
            .with_context(|| format!("{} has no collection {at}", plan.suite.name))?;
        let opened = indexes.open(Wanted::Kept(&digest_of_texts(collection)))?;
        let filled = fill_with_texts(collection, &opened.indexer, watch)?;
        (opened, filled)
    } else if let Some(documents) = plan.documents {
        let opened = indexes.open(Wanted::Kept(documents.hash()))?;
        let filled = documents.fill(&opened.indexer, watch)?;
        (opened, filled)
    } else {
        let opened = indexes.open(Wanted::Installed)?;
        if opened.engine.store().count()? == 0 {
            bail!("the index is empty; ingest documents, or name their folder with --documents");
        }
        (opened, ControlFlow::Continue(()))
    };
    Ok(match filled {
        ControlFlow::Continue(()) => ControlFlow::Continue(opened),
        ControlFlow::Break(()) => ControlFlow::Break(()),
    })
}

/// One item on its way.
struct Asking<'a> {
    plan: &'a Plan<'a>,
    opened: &'a Opened,
    known: &'a Known<'a>,
    item: &'a Item,
    /// The first item that is about the same.
    cluster: &'a str,
    timed: bool,
}

impl Asking<'_> {
    /// `None` where it was stopped.
    fn record(
        &self,
        watch: &mut dyn FnMut(Step<'_>) -> ControlFlow<()>,
    ) -> anyhow::Result<Option<ItemRecord>> {
        let item = self.item;
        let mut record = ItemRecord {
            id: item.id.clone(),
            language: item.language.clone(),
            kinds: item.kinds.clone(),
            question: item.question.clone(),
            cluster: self.cluster.to_owned(),
            wanted: self.known.wanted(item),
            values: BTreeMap::new(),
            latency_ms: BTreeMap::new(),
            found: Vec::new(),
            ranks: Vec::new(),
            answer: None,
        };
        if self.plan.parts.retrieval && item.target != Target::Nothing {
            self.retrieve(&mut record)?;
        }
        if self.plan.parts.answers && item.expected.is_some() {
            let mut question = item.ask();
            question.top_k = Some(self.plan.top_k);
            let answer = self
                .opened
                .engine
                .answer(question, &mut |event| match event {
                    AnswerEvent::Sources(_) | AnswerEvent::Delta(_) => watch(Step::Working),
                });
            let answer = match answer {
                Err(RagError::Cancelled) => return Ok(None),
                answer => answer.with_context(|| format!("item {}", item.id))?,
            };
            // What was answered is recorded, or it would be asked twice.
            let _ = watch(Step::Answered(answer.usage));
            record
                .values
                .extend(answers::values(item, &answer, &self.known.places(item)));
            let times = [
                ("answer", Some(answer.timings.total)),
                ("first_token", answer.timings.first_token),
            ];
            for (name, time) in times {
                if let Some(time) = time {
                    record.latency_ms.insert(name.to_owned(), in_ms(time));
                }
            }
            record.answer = Some(answer.text);
        }
        Ok(Some(record))
    }

    fn retrieve(&self, record: &mut ItemRecord) -> anyhow::Result<()> {
        let (plan, engine) = (self.plan, &self.opened.engine);
        let deep = wanted(plan, self.item).max(plan.top_k);
        // Where more is only more of the same, one search tells both.
        let at_once = engine.begins_alike(plan.top_k, deep);
        let started = Instant::now();
        let outcome = self.search(if at_once { deep } else { plan.top_k })?;
        let total = started.elapsed();
        record
            .latency_ms
            .insert("search".to_owned(), in_ms(outcome.search));
        if self.timed {
            record
                .latency_ms
                .insert("embed".to_owned(), in_ms(outcome.embed));
            record.latency_ms.insert("total".to_owned(), in_ms(total));
        }
        let given = &outcome.passages[..plan.top_k.min(outcome.passages.len())];
        let given = self.known.ranking(self.item, given);
        let passages = if at_once {
            outcome.passages
        } else {
            self.search(deep)?.passages
        };
        let ranking = self.known.ranking(self.item, &passages);
        record.ranks = ranking.found.iter().map(|(rank, _)| *rank).collect();
        record.values.extend(ranking.values(plan.depth));
        let given = given.values(plan.depth).into_iter();
        record
            .values
            .extend(given.filter(|(name, _)| is_within(name, plan.top_k)));
        record.found = passages.iter().take(plan.depth).map(name).collect();
        Ok(())
    }

    /// As a person searches: the language is detected.
    fn search(&self, limit: usize) -> anyhow::Result<SearchOutcome> {
        let request = SearchRequest {
            query: self.item.ask().search_text(),
            language: None,
            filter: Filter::default(),
            limit: Some(limit),
        };
        let outcome = self.opened.engine.search(request);
        outcome.with_context(|| format!("item {}", self.item.id))
    }
}

/// Whether a metric looks at no rank beyond this one.
fn is_within(metric: &str, rank: usize) -> bool {
    let at = metric.rsplit_once('@').and_then(|(_, at)| at.parse().ok());
    at.is_some_and(|at: usize| at <= rank)
}

/// Passages that an item is judged by further down.
pub(crate) fn wanted(plan: &Plan<'_>, item: &Item) -> usize {
    match item.target {
        // Several chunks of one text are one text.
        Target::Texts(_) => 2 * plan.depth,
        Target::Evidence(_) | Target::Nothing => plan.depth,
    }
}

fn name(passage: &Passage) -> String {
    let span = passage.hit.chunk.span;
    format!(
        "{}#{}-{}",
        passage.hit.document.uri,
        span.start(),
        span.end()
    )
}

fn in_ms(time: Duration) -> f64 {
    // Microseconds are noise.
    (time.as_secs_f64() * 1e5).round() / 100.0
}

/// The digest of an installed index's documents, for records.
///
/// # Errors
///
/// Fails where the index does.
pub fn documents_hash(store: &dyn genie_core::Store) -> anyhow::Result<ContentHash> {
    let mut ids: Vec<String> = store
        .documents()?
        .iter()
        .map(|document| document.id.to_string())
        .collect();
    ids.sort();
    Ok(ContentHash::of(ids.join("\n").as_bytes()))
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
