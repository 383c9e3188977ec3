//! Runs that tests make up.

use std::collections::BTreeMap;

use serde_json::json;

use crate::record::SavedRun;
use crate::run::{
    Configuration, Header, Index, ItemRecord, Machine, Model, Models, Run, State, latencies,
    metrics, missed,
};

pub(crate) fn configuration() -> Configuration {
    Configuration {
        version: "1.2.3".to_owned(),
        program: "dd".to_owned(),
        seed: 1,
        suite: "made-up.jsonl".to_owned(),
        layout: "gold".to_owned(),
        suite_hash: "aa".to_owned(),
        documents: "docs".to_owned(),
        documents_hash: "bb".to_owned(),
        parts: vec!["retrieval".to_owned()],
        top_k: 6,
        depth: 10,
        kinds: Vec::new(),
        limit: None,
        models: Models {
            embedding: Model {
                name: "tiny".to_owned(),
                hash: "cc".to_owned(),
            },
            chat: None,
        },
        index: Index {
            dimension: 4,
            query_prefix: "query: ".to_owned(),
            passage_prefix: "passage: ".to_owned(),
            lexical_version: "1".to_owned(),
            tokens_version: "none".to_owned(),
            chunker_version: "1".to_owned(),
        },
        retrieval: json!({ "top_k": 6, "weights": { "dense": 1.0 } }),
        answer: json!(null),
    }
}

pub(crate) fn machine() -> Machine {
    Machine {
        threads: 2,
        configured_threads: 0,
        device: "processor".to_owned(),
    }
}

pub(crate) fn item(id: &str, values: &[(&str, f64)]) -> ItemRecord {
    ItemRecord {
        id: id.to_owned(),
        language: "en".to_owned(),
        kinds: vec!["fact".to_owned()],
        question: format!("What is {id}?"),
        cluster: String::new(),
        wanted: Vec::new(),
        values: values
            .iter()
            .map(|&(name, value)| (name.to_owned(), value))
            .collect(),
        latency_ms: BTreeMap::from([("total".to_owned(), 12.5)]),
        found: Vec::new(),
        ranks: Vec::new(),
        answer: None,
    }
}

/// A finished run of these items.
pub(crate) fn saved(id: &str, items: Vec<ItemRecord>) -> SavedRun {
    SavedRun {
        run: Run {
            suite: "made-up.jsonl".to_owned(),
            items: items.len(),
            metrics: metrics(&items, 1),
            missed: missed(&items),
            latency_ms: latencies(&items),
            run: Header {
                id: id.to_owned(),
                state: State::Finished,
                started: "2026-01-01T00:00:00Z".to_owned(),
                finished: Some("2026-01-01T00:01:00Z".to_owned()),
                resumed: 0,
                machine: machine(),
                configuration: configuration(),
            },
        },
        items: Some(items),
    }
}
