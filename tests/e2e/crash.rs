//! A power cut at any moment of an ingest costs nothing but time.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::genie::{Genie, MINILM, alone, models};
use crate::material::{Random, Scratch, a_dozen};
use crate::service::Service;

/// Everything in an index, chunk by chunk.
#[derive(Debug)]
struct Contents {
    documents: Value,
    chunks: Vec<(String, u64, u64, String, String, f64)>,
}

impl Contents {
    fn of(genie: &Genie) -> Self {
        let index = genie.index();
        let service = Service::start(genie);
        let mut chunks = Vec::new();
        for document in index.documents.as_array().expect("a list") {
            let body = json!({
                "query": "government services and data",
                "top_k": 50,
                "filter": {"documents": [document["id"]]},
            });
            let found = service.post("/api/v1/search", &body).ok().json();
            let passages = found["passages"].as_array().expect("a list");
            assert_eq!(
                passages.len() as u64,
                document["chunks"].as_u64().expect("a number"),
                "chunks of {document}"
            );
            for passage in passages {
                let text = |key: &str| passage[key].as_str().expect("text").to_owned();
                let number = |key: &str| passage[key].as_u64().expect("a number");
                chunks.push((
                    text("document"),
                    number("start"),
                    number("end"),
                    text("section"),
                    text("text"),
                    passage["similarity"].as_f64().expect("a number"),
                ));
            }
        }
        service.stop().ended(0);
        chunks.sort_by(|a, b| (&a.0, a.1, a.2).cmp(&(&b.0, b.1, b.2)));
        Self {
            documents: index.documents,
            chunks,
        }
    }

    /// Vectors may differ in their last bits; nothing else may.
    #[track_caller]
    fn same_as(&self, other: &Self) {
        assert_eq!(self.documents, other.documents);
        assert_eq!(self.chunks.len(), other.chunks.len());
        for (a, b) in self.chunks.iter().zip(&other.chunks) {
            assert_eq!((&a.0, a.1, a.2, &a.3, &a.4), (&b.0, b.1, b.2, &b.3, &b.4));
            assert!((a.5 - b.5).abs() < 1e-4, "{a:?} is not {b:?}");
        }
    }
}

#[test]
fn kill_at_ten_moments_and_run_again_gives_the_same_index() {
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let _turn = alone();
    let scratch = Scratch::new();
    let documents: Vec<PathBuf> = a_dozen();
    let arguments: Vec<String> = std::iter::once("ingest".to_owned())
        .chain(
            documents
                .iter()
                .map(|path| path.to_string_lossy().into_owned()),
        )
        .collect();
    let undisturbed = Genie::quick(&scratch.path("undisturbed"), &models);
    let started = Instant::now();
    undisturbed.run(&arguments).ended(0);
    let whole = started.elapsed();
    let expected = Contents::of(&undisturbed);
    assert_eq!(expected.documents.as_array().expect("a list").len(), 12);
    assert!(
        expected.chunks.len() >= 20,
        "{} chunks",
        expected.chunks.len()
    );

    let mut random = Random::new(0x0067_656e_6965);
    let mut cut_short = 0;
    for number in 0..10 {
        let genie = Genie::quick(&scratch.path(&format!("killed-{number}")), &models);
        let moment = whole.mul_f64(random.below(1000) as f64 / 1000.0);
        let running = genie.start(&arguments);
        // The moment is the point here: any is as good as another.
        std::thread::sleep(moment.saturating_sub(Duration::from_millis(5)));
        cut_short += u32::from(running.kill());
        genie.run(&arguments).ended(0);
        eprintln!("killed after {moment:?} of {whole:?}");
        Contents::of(&genie).same_as(&expected);
    }
    assert!(cut_short >= 5, "only {cut_short} of 10 were killed at work");
}
