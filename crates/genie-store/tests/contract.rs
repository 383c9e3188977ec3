//! What every store promises, on the engine in process and on a server.
//!
//! The server's half runs where the environment variable `QDRANT_URL` names
//! a server (and `QDRANT_API_KEY` its key, if it has one).

#![allow(
    clippy::expect_used,
    reason = "also the helpers of tests fail by panicking"
)]

mod samples;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use genie_core::{
    Date, DateRange, DocumentId, Filter, Fusion, FusionWeights, Hit, Language, Store, StoreError,
};
use genie_store::{ServerOptions, ServerStore};
use qdrant_client::qdrant::{Condition, DeletePointsBuilder, Filter as ServerFilter};
use qdrant_client::{Qdrant, QdrantError};
use samples::{direction, identity, query, sample};

/// A store of either kind that can be opened again.
trait Fixture {
    fn open(&self, identity: genie_core::IndexIdentity) -> Result<Box<dyn Store>, StoreError>;
}

struct Edge(tempfile::TempDir);

impl Fixture for Edge {
    fn open(&self, identity: genie_core::IndexIdentity) -> Result<Box<dyn Store>, StoreError> {
        let store = genie_store::EdgeStore::open(
            self.0.path(),
            identity,
            genie_store::HolderNote::default(),
        )?;
        Ok(Box::new(store))
    }
}

struct Server(ServerOptions);

impl Fixture for Server {
    fn open(&self, identity: genie_core::IndexIdentity) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(ServerStore::connect(self.0.clone(), identity)?))
    }
}

impl Server {
    /// A collection of its own for the test, or `None` without a server.
    fn of(test: &str) -> Option<Self> {
        let Ok(url) = std::env::var("QDRANT_URL") else {
            eprintln!("skipped: QDRANT_URL is not set, so there is no Qdrant server to test with");
            return None;
        };
        let server = Self(ServerOptions {
            url,
            api_key: std::env::var("QDRANT_API_KEY").ok(),
            collection: format!("genie-test-{test}-{}", std::process::id()),
        });
        eprintln!("testing with the server at {}", server.0.url);
        server.remove();
        Some(server)
    }

    fn remove(&self) {
        let collection = self.0.collection.clone();
        self.run(async |client| client.delete_collection(collection).await.map(drop));
    }

    /// Does something that a store does not do.
    fn run(&self, call: impl AsyncFnOnce(Qdrant) -> Result<(), QdrantError>) {
        let url = self.0.url.replace("6333", "6334");
        let mut config = Qdrant::from_url(&url).skip_compatibility_check();
        if let Some(key) = &self.0.api_key {
            config = config.api_key(key.as_str());
        }
        let client = config.build().expect("a client");
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(call(client))
            .expect("the server does it");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.remove();
    }
}

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        mod edge {
            $(#[test]
            fn $name() {
                super::$name(&super::Edge(tempfile::tempdir().expect("a folder")));
            })*
        }
        mod server {
            $(#[test]
            fn $name() {
                if let Some(server) = super::Server::of(stringify!($name)) {
                    super::$name(&server);
                }
            })*
        }
    };
}

contract!(
    an_empty_index_has_nothing,
    a_document_reads_back_as_it_was_written,
    a_second_write_replaces_the_first,
    deleting_removes_one_document_only,
    an_index_outlives_its_store,
    another_identity_is_refused,
    meaning_finds_and_similarity_is_the_cosine,
    codes_of_tokens_come_back_when_they_are_asked_for,
    words_find_what_meaning_does_not,
    a_rare_word_counts_more_than_a_common_one,
    both_sides_are_fused_by_their_weights,
    scores_are_fused_where_that_is_asked_for,
    documents_that_are_written_together_are_as_those_that_are_not,
    filters_restrict_both_sides,
    dates_restrict_both_sides,
    limits_hold_and_order_is_the_same_each_time,
    a_large_document_is_whole,
    what_does_not_fit_is_refused,
    readers_see_documents_whole_or_not_at_all,
    a_snapshot_is_written,
);

fn opened(fixture: &dyn Fixture) -> Box<dyn Store> {
    fixture.open(identity()).expect("the store opens")
}

fn put(store: &dyn Store, sample: &samples::Sample) {
    store
        .put(&sample.record, sample.points.clone())
        .expect("the document is written");
}

fn uris(store: &dyn Store) -> Vec<String> {
    let documents = store.documents().expect("documents are listed");
    documents.into_iter().map(|document| document.uri).collect()
}

/// Document and ordinal of each hit.
fn found(store: &dyn Store, query: &genie_core::HybridQuery) -> Vec<(String, u32)> {
    store
        .search(query)
        .expect("the search works")
        .into_iter()
        .map(|hit| (hit.document.uri, hit.chunk.ordinal))
        .collect()
}

fn an_empty_index_has_nothing(fixture: &dyn Fixture) {
    let store = opened(fixture);
    assert_eq!(store.identity(), &identity());
    assert_eq!(store.count().expect("a count"), 0);
    assert!(uris(&*store).is_empty());
    assert!(found(&*store, &query(0, &[1])).is_empty());
    let nobody = DocumentId::of(b"nobody");
    assert_eq!(store.document(&nobody).expect("no document"), None);
    assert!(store.chunks(&nobody).expect("no chunks").is_empty());
    assert!(!store.delete(&nobody).expect("nothing to delete"));
}

fn a_document_reads_back_as_it_was_written(fixture: &dyn Fixture) {
    let store = opened(fixture);
    let (second, first) = (sample("b", 1, 7), sample("a", 0, 3));
    put(&*store, &second);
    put(&*store, &first);
    let mut bare = sample("c", 2, 0);
    bare.record.labels.clear();
    bare.record.language = None;
    put(&*store, &bare);

    assert_eq!(uris(&*store), ["docs/a.md", "docs/b.md", "docs/c.md"]);
    let from = |uri: &str| store.documents_from(uri).expect("readable");
    assert_eq!(from("docs/b.md"), std::slice::from_ref(&second.record));
    assert!(from("docs/").is_empty() && from("").is_empty());
    assert_eq!(store.count().expect("a count"), 10);
    for sample in [&first, &second, &bare] {
        let id = sample.record.id;
        assert_eq!(
            store.document(&id).expect("a document"),
            Some(sample.record.clone())
        );
        let chunks: Vec<_> = sample
            .points
            .iter()
            .map(|point| point.chunk.clone())
            .collect();
        assert_eq!(store.chunks(&id).expect("chunks"), chunks);
    }
}

fn a_second_write_replaces_the_first(fixture: &dyn Fixture) {
    let store = opened(fixture);
    put(&*store, &sample("a", 0, 6));
    put(&*store, &sample("b", 3, 2));
    let mut shorter = sample("a", 0, 2);
    shorter.record.title = "Another title".into();
    shorter.record.labels = vec!["new".into()];
    put(&*store, &shorter);
    put(&*store, &shorter);

    assert_eq!(store.count().expect("a count"), 4);
    assert_eq!(uris(&*store), ["docs/a.md", "docs/b.md"]);
    let id = shorter.record.id;
    assert_eq!(store.document(&id).expect("it"), Some(shorter.record));
    assert_eq!(store.chunks(&id).expect("chunks").len(), 2);
    // The word of a passage that is gone finds nothing.
    let mut gone = query(0, &[1005]);
    gone.weights.dense = 0.0;
    assert!(found(&*store, &gone).is_empty());
    gone.filter.labels = vec!["area0".into()];
    gone.lexical = samples::words(&[1]);
    assert!(found(&*store, &gone).is_empty(), "the old labels are gone");
}

fn deleting_removes_one_document_only(fixture: &dyn Fixture) {
    let store = opened(fixture);
    let (kept, removed) = (sample("kept", 0, 4), sample("removed", 0, 5));
    put(&*store, &kept);
    put(&*store, &removed);
    assert!(store.delete(&removed.record.id).expect("it is deleted"));
    assert!(!store.delete(&removed.record.id).expect("it is gone"));
    assert_eq!(uris(&*store), ["docs/kept.md"]);
    assert_eq!(store.count().expect("a count"), 4);
    assert!(store.chunks(&removed.record.id).expect("none").is_empty());
    let hits = found(&*store, &query(0, &[1]));
    assert!(!hits.is_empty() && hits.iter().all(|(uri, _)| uri == "docs/kept.md"));
    put(&*store, &removed);
    assert_eq!(store.count().expect("a count"), 9);
}

fn an_index_outlives_its_store(fixture: &dyn Fixture) {
    let kept = sample("kept", 2, 5);
    let store = opened(fixture);
    put(&*store, &kept);
    let before = found(&*store, &query(2, &[12]));
    drop(store);
    for _ in 0..2 {
        let store = opened(fixture);
        assert_eq!(store.count().expect("a count"), 5);
        assert_eq!(found(&*store, &query(2, &[12])), before);
    }
}

fn another_identity_is_refused(fixture: &dyn Fixture) {
    drop(opened(fixture));
    type Change = fn(&mut genie_core::IndexIdentity);
    let change: [(&str, Change); 7] = [
        ("embedding model", |it| it.embedding.model = "other".into()),
        ("embedding model hash", |it| {
            it.embedding.hash = genie_core::ContentHash::of(b"other");
        }),
        ("embedding dimension", |it| it.embedding.dimension = 16),
        ("query prefix", |it| it.embedding.query_prefix.clear()),
        ("passage prefix", |it| it.embedding.passage_prefix.clear()),
        ("lexical analysis", |it| {
            it.lexical_version = "words 2".into()
        }),
        ("chunker version", |it| {
            it.chunker_version = "chunks 2".into()
        }),
    ];
    for (expected, change) in change {
        let mut other = identity();
        change(&mut other);
        let error = fixture.open(other).err().expect("it is refused");
        assert!(
            matches!(&error, StoreError::IdentityMismatch { field, .. } if *field == expected),
            "{expected}: {error:?}"
        );
        assert!(error.to_string().contains("ingest again"), "{error}");
    }
    drop(opened(fixture));
}

fn codes_of_tokens_come_back_when_they_are_asked_for(fixture: &dyn Fixture) {
    let store = opened(fixture);
    let sample = sample("codes", 3, 5);
    put(&*store, &sample);
    let mut query = query(3, &[1, 1001]);
    for with_tokens in [true, false] {
        query.with_tokens = with_tokens;
        let hits = store.search(&query).expect("searched");
        assert_eq!(hits.len(), 5);
        for hit in &hits {
            let own = sample
                .points
                .iter()
                .find(|point| point.chunk.id == hit.chunk.id);
            let wanted = own
                .filter(|_| with_tokens)
                .map(|point| point.tokens.clone());
            assert_eq!(hit.tokens, wanted.unwrap_or_default());
        }
        // All have the first word, one has the second.
        let lexical = |hit: &Hit| hit.lexical.expect("it has a word");
        let best = hits.iter().max_by(|a, b| lexical(a).total_cmp(&lexical(b)));
        assert_eq!(best.expect("hits").chunk.ordinal, 1);
    }
}

fn meaning_finds_and_similarity_is_the_cosine(fixture: &dyn Fixture) {
    let store = opened(fixture);
    put(&*store, &sample("a", 0, 8));
    let asked = query(3, &[]);
    let hits = store.search(&asked).expect("hits");
    assert_eq!(hits.len(), 5);
    assert_eq!(hits[0].chunk.ordinal, 3);
    for hit in &hits {
        let ordinal = hit.chunk.ordinal as usize;
        let dense = direction(ordinal, ordinal);
        let cosine: f32 = dense.iter().zip(&asked.dense).map(|(a, b)| a * b).sum();
        assert!((hit.similarity - cosine).abs() < 1e-4, "{hit:?} {cosine}");
    }
    let scores: Vec<f32> = hits.iter().map(|hit| hit.score).collect();
    assert!(
        scores.is_sorted_by(|left, right| left >= right),
        "{scores:?}"
    );
}

fn words_find_what_meaning_does_not(fixture: &dyn Fixture) {
    let store = opened(fixture);
    put(&*store, &sample("a", 0, 8));
    let mut asked = query(0, &[1006]);
    asked.candidates = 1;
    asked.limit = 1;
    asked.weights = FusionWeights {
        dense: 0.5,
        lexical: 1.0,
    };
    let hits = store.search(&asked).expect("hits");
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].chunk.ordinal, 6);
    assert!(
        hits[0].similarity > 0.0 && hits[0].similarity < 0.5,
        "known though meaning did not find it: {}",
        hits[0].similarity
    );
    asked.weights.lexical = 0.0;
    assert_eq!(found(&*store, &asked), [("docs/a.md".to_owned(), 0)]);
    asked.weights.dense = 0.0;
    assert!(found(&*store, &asked).is_empty());
}

fn a_rare_word_counts_more_than_a_common_one(fixture: &dyn Fixture) {
    let store = opened(fixture);
    for number in 0..6 {
        put(&*store, &sample(&format!("common {number}"), 0, 2));
    }
    put(&*store, &sample("rare", 5, 1));
    // Everything has word 1; only "rare" has word 15.
    let mut asked = query(0, &[1, 15]);
    asked.weights.dense = 0.0;
    assert_eq!(found(&*store, &asked)[0].0, "docs/rare.md");
}

fn both_sides_are_fused_by_their_weights(fixture: &dyn Fixture) {
    let store = opened(fixture);
    put(&*store, &sample("meaning", 0, 1));
    put(&*store, &sample("words", 4, 1));
    let mut asked = query(0, &[14]);
    for (dense, lexical, first) in [(1.0, 0.1, "docs/meaning.md"), (0.1, 1.0, "docs/words.md")] {
        asked.candidates = 1;
        asked.limit = 1;
        asked.weights = FusionWeights { dense, lexical };
        assert_eq!(found(&*store, &asked)[0].0, first);
    }
    // What both sides name comes before what one side names.
    put(&*store, &sample("both", 0, 1));
    asked.lexical = samples::words(&[10]);
    asked.candidates = 20;
    asked.limit = 3;
    asked.weights = FusionWeights {
        dense: 1.0,
        lexical: 1.0,
    };
    let last = found(&*store, &asked).pop().expect("three hits");
    assert_eq!(last.0, "docs/words.md");
}

fn scores_are_fused_where_that_is_asked_for(fixture: &dyn Fixture) {
    let store = opened(fixture);
    put(&*store, &sample("a", 0, 4));
    put(&*store, &sample("b", 2, 3));
    let mut asked = query(0, &[12, 1000]);
    for (fusion, most) in [(Fusion::Rrf, 1.0 / 61.0), (Fusion::Dbsf, 1.0)] {
        asked.fusion = fusion;
        let hits = store.search(&asked).expect("the search works");
        assert!(!hits.is_empty());
        for hit in &hits {
            let shares = hit.shares;
            assert!((hit.score - shares.dense - shares.lexical).abs() < 1e-6);
            assert!((0.0..=most + 1e-6).contains(&shares.dense), "{shares:?}");
            assert_eq!(hit.lexical.is_some(), shares.lexical > 0.0, "{shares:?}");
            assert_eq!(hit.vector.len(), samples::DIMENSION);
        }
        // Both sides have it first.
        assert_eq!(hits[0].chunk.ordinal, 0);
    }
}

fn documents_that_are_written_together_are_as_those_that_are_not(fixture: &dyn Fixture) {
    let store = opened(fixture);
    put(&*store, &sample("b", 3, 9));
    let together = [sample("a", 0, 3), sample("b", 1, 200), sample("c", 2, 1)];
    let written = together
        .iter()
        .map(|sample| (sample.record.clone(), sample.points.clone()));
    store.put_all(written.collect()).expect("they are written");
    assert_eq!(uris(&*store), ["docs/a.md", "docs/b.md", "docs/c.md"]);
    for sample in &together {
        let chunks = store.chunks(&sample.record.id).expect("readable");
        let wanted: Vec<_> = sample.points.iter().map(|point| &point.chunk).collect();
        assert_eq!(chunks.iter().collect::<Vec<_>>(), wanted);
    }
    assert_eq!(store.count().expect("a count"), 204);
    // One that does not fit keeps the others out.
    let (fits, mut wrong) = (sample("d", 0, 1), sample("e", 0, 2));
    wrong.record.chunks = 7;
    let refused = store.put_all(vec![
        (fits.record, fits.points),
        (wrong.record, wrong.points),
    ]);
    assert!(refused.is_err());
    assert_eq!(store.documents().expect("readable").len(), 3);
    drop(store);
    assert_eq!(opened(fixture).count().expect("a count"), 204);
}

fn filters_restrict_both_sides(fixture: &dyn Fixture) {
    let store = opened(fixture);
    let samples: Vec<_> = (0..4)
        .map(|axis| sample(&format!("d{axis}"), axis, 6))
        .collect();
    for sample in &samples {
        put(&*store, sample);
    }
    let documents = |filter: Filter| -> HashSet<String> {
        let mut asked = query(0, &[1]);
        asked.filter = filter;
        asked.candidates = 50;
        asked.limit = 50;
        found(&*store, &asked)
            .into_iter()
            .map(|(uri, _)| uri)
            .collect()
    };
    let set = |numbers: &[usize]| -> HashSet<String> {
        numbers.iter().map(|n| format!("docs/d{n}.md")).collect()
    };
    assert_eq!(documents(Filter::default()), set(&[0, 1, 2, 3]));
    let by_document = Filter {
        documents: vec![samples[1].record.id, samples[3].record.id],
        ..Filter::default()
    };
    assert_eq!(documents(by_document.clone()), set(&[1, 3]));
    let language = |axis: usize| Language::ALL[axis];
    assert_eq!(
        documents(Filter {
            languages: vec![language(2), language(3)],
            ..Filter::default()
        }),
        set(&[2, 3])
    );
    for label in ["area2", "area2/part", "area2/part/leaf"] {
        assert_eq!(
            documents(Filter {
                labels: vec![label.into()],
                ..Filter::default()
            }),
            set(&[2]),
            "{label}"
        );
    }
    for label in ["area", "part", "area2/par", "area2/part/leaf/under"] {
        assert!(
            documents(Filter {
                labels: vec![label.into()],
                ..Filter::default()
            })
            .is_empty(),
            "{label}"
        );
    }
    assert_eq!(
        documents(Filter {
            labels: vec!["all".into()],
            languages: vec![language(1), language(2)],
            ..by_document
        }),
        set(&[1])
    );
}

fn dates_restrict_both_sides(fixture: &dyn Fixture) {
    let store = opened(fixture);
    // 2020-05-17, 2021-05-17 and so on.
    for axis in 0..4 {
        put(&*store, &sample(&format!("d{axis}"), axis, 6));
    }
    let mut undated = sample("undated", 0, 6);
    undated.record.date = None;
    put(&*store, &undated);
    let found = |from: &str, to: &str, weights: FusionWeights| -> Vec<String> {
        let bound = |text: &str| (!text.is_empty()).then(|| text.parse::<Date>().expect("a date"));
        let mut asked = query(0, &[1]);
        asked.filter.dates = DateRange {
            from: bound(from),
            to: bound(to),
        };
        (asked.candidates, asked.limit, asked.weights) = (50, 50, weights);
        let mut uris: Vec<String> = found(&*store, &asked)
            .into_iter()
            .map(|(uri, _)| uri)
            .collect();
        uris.sort();
        uris.dedup();
        uris
    };
    let all = ["d0", "d1", "d2", "d3", "undated"];
    for (from, to, expected) in [
        ("", "", &all[..]),
        ("2021-05-17", "2022-05-17", &all[1..3]),
        ("2021-05-18", "2022-05-16", &[]),
        ("2022-01-01", "", &all[2..4]),
        ("", "2020-05-17", &all[..1]),
        ("2023-01-01", "2022-01-01", &[]),
    ] {
        let expected: Vec<String> = expected.iter().map(|n| format!("docs/{n}.md")).collect();
        for (dense, lexical) in [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
            let weights = FusionWeights { dense, lexical };
            assert_eq!(
                found(from, to, weights),
                expected,
                "{from} to {to}, {weights:?}"
            );
        }
    }
    // A document's date is replaced with it.
    let mut moved = sample("d3", 3, 6);
    moved.record.date = Date::new(1999, 1, 1);
    put(&*store, &moved);
    let both = query(0, &[]).weights;
    assert_eq!(found("", "2000-01-01", both), ["docs/d3.md"]);
    assert!(found("2023-01-01", "", both).is_empty());
    let reads_back = store.document(&moved.record.id).expect("readable");
    assert_eq!(reads_back, Some(moved.record));
}

fn limits_hold_and_order_is_the_same_each_time(fixture: &dyn Fixture) {
    let store = opened(fixture);
    // Twins: equal vectors and words, so all ranks are ties.
    for number in 0..12 {
        put(&*store, &sample(&format!("twin {number:02}"), 0, 1));
    }
    let mut asked = query(0, &[1, 10]);
    asked.candidates = 50;
    asked.limit = 7;
    let first = found(&*store, &asked);
    assert_eq!(first.len(), 7);
    for _ in 0..3 {
        assert_eq!(found(&*store, &asked), first);
    }
    asked.limit = 0;
    assert!(found(&*store, &asked).is_empty());
}

fn a_large_document_is_whole(fixture: &dyn Fixture) {
    let large = sample("large", 0, 1_300);
    let store = opened(fixture);
    put(&*store, &large);
    assert_eq!(store.count().expect("a count"), 1_300);
    let chunks = store.chunks(&large.record.id).expect("chunks");
    assert!(
        chunks
            .iter()
            .zip(&large.points)
            .all(|(chunk, point)| *chunk == point.chunk)
    );
    assert_eq!(chunks.len(), 1_300);
    drop(store);
    let store = opened(fixture);
    assert_eq!(store.chunks(&large.record.id).expect("chunks").len(), 1_300);
    assert!(store.delete(&large.record.id).expect("deleted"));
    assert_eq!(store.count().expect("a count"), 0);
}

fn what_does_not_fit_is_refused(fixture: &dyn Fixture) {
    let store = opened(fixture);
    let refuse = |change: fn(&mut samples::Sample)| {
        let mut bad = sample("bad", 0, 3);
        change(&mut bad);
        let result = store.put(&bad.record, bad.points);
        assert!(
            matches!(result, Err(StoreError::Backend { .. })),
            "{result:?}"
        );
    };
    refuse(|bad| bad.record.chunks = 2);
    refuse(|bad| bad.points[1] = bad.points[0].clone());
    refuse(|bad| bad.points[1].dense.push(1.0));
    refuse(|bad| bad.points[1].dense[0] = f32::NAN);
    refuse(|bad| bad.points[2].lexical.values.clear());
    refuse(|bad| bad.points[2].chunk.document = DocumentId::of(b"other"));
    let mut asked = query(0, &[1]);
    asked.dense.pop();
    assert!(store.search(&asked).is_err());
    assert_eq!(store.count().expect("a count"), 0);
    put(&*store, &sample("good", 0, 3));
    assert_eq!(store.count().expect("a count"), 3);
}

fn readers_see_documents_whole_or_not_at_all(fixture: &dyn Fixture) {
    let store = opened(fixture);
    let (long, short) = (sample("a", 0, 300), sample("a", 0, 5));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = HashSet::new();
            let mut asked = query(0, &[1]);
            asked.candidates = 1_000;
            asked.limit = 1_000;
            while !done.load(Ordering::Acquire) {
                let hits = store.search(&asked).expect("hits");
                for hit in &hits {
                    assert!(hit.chunk.ordinal < hit.document.chunks, "of another write");
                }
                seen.insert(store.count().expect("a count"));
            }
            seen
        });
        for _ in 0..4 {
            put(&*store, &long);
            put(&*store, &short);
        }
        done.store(true, Ordering::Release);
        let seen = reader.join().expect("the reader is content");
        assert!(
            seen.iter().all(|count| [0, 5, 300].contains(count)),
            "{seen:?}"
        );
    });
}

fn a_snapshot_is_written(fixture: &dyn Fixture) {
    let store = opened(fixture);
    put(&*store, &sample("a", 0, 4));
    let folder = tempfile::tempdir().expect("a folder");
    let first = store.snapshot(folder.path()).expect("a snapshot");
    let second = store.snapshot(folder.path()).expect("another one");
    assert_ne!(first, second);
    for path in [first, second] {
        assert!(path.starts_with(folder.path()) && path.exists());
    }
    put(&*store, &sample("b", 1, 4));
    assert_eq!(store.count().expect("a count"), 8);
}

#[test]
fn a_document_that_a_server_holds_without_its_commit_is_not_there() {
    let Some(server) = Server::of("uncommitted") else {
        return;
    };
    let store = opened(&server);
    let (torn, kept) = (sample("torn", 0, 6), sample("kept", 1, 3));
    put(&*store, &torn);
    put(&*store, &kept);
    // As after a writer that died before its last step.
    let points = ServerFilter::must([
        Condition::matches("kind", "document".to_owned()),
        Condition::matches("document", torn.record.id.to_string()),
    ]);
    let request = DeletePointsBuilder::new(&server.0.collection)
        .points(points)
        .wait(true);
    server.run(async |client| client.delete_points(request).await.map(drop));

    assert_eq!(uris(&*store), ["docs/kept.md"]);
    assert_eq!(store.count().expect("a count"), 3);
    assert!(store.chunks(&torn.record.id).expect("none").is_empty());
    let hits = found(&*store, &query(0, &[1]));
    assert!(!hits.is_empty() && hits.iter().all(|(uri, _)| uri == "docs/kept.md"));
    put(&*store, &torn);
    assert_eq!(store.count().expect("a count"), 9);
}

#[test]
fn a_collection_of_somebody_else_is_left_alone() {
    let Some(server) = Server::of("foreign") else {
        return;
    };
    let store = opened(&server);
    put(&*store, &sample("a", 0, 2));
    drop(store);
    let identity_point = ServerFilter::must([Condition::matches("kind", "identity".to_owned())]);
    let request = DeletePointsBuilder::new(&server.0.collection)
        .points(identity_point)
        .wait(true);
    server.run(async |client| client.delete_points(request).await.map(drop));
    let error = server.open(identity()).err().expect("it is refused");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_an_error_within_seconds() {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    for url in [format!("http://127.0.0.1:{port}"), "localhost".to_owned()] {
        let begin = std::time::Instant::now();
        let options = ServerOptions {
            url: url.clone(),
            api_key: Some("secret".into()),
            collection: "none".into(),
        };
        assert!(!format!("{options:?}").contains("secret"));
        let error = ServerStore::connect(options, identity()).expect_err("nobody");
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains(&url), "{error}");
        assert!(begin.elapsed().as_secs() < 20);
    }
}

#[test]
fn a_server_can_be_used_from_blocking_threads_of_a_runtime() {
    let Some(server) = Server::of("runtime") else {
        return;
    };
    let options = server.0.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let count = runtime.block_on(async move {
        let task = tokio::task::spawn_blocking(move || {
            let store = ServerStore::connect(options, identity()).expect("connected");
            put(&store, &sample("a", 0, 2));
            let count = store.count().expect("a count");
            (store, count)
        });
        let (store, count) = task.await.expect("it ends");
        // Dropped within asynchronous code.
        drop(store);
        count
    });
    assert_eq!(count, 2);
}
