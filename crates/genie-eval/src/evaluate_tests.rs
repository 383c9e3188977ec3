use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use genie_core::{
    AnswerConfig, Embed, Fusion, FusionWeights, HandOverConfig, RerankConfig, RetrievalConfig,
    Store, Style,
};
use genie_ingest::{ChunkOptions, Limits};
use genie_rag::{Engine, EngineParts, Indexer};
use genie_testkit::{FakeEmbed, FakeLexical, MemoryStore};

use super::*;
use crate::fixtures::{configuration, machine};
use crate::remember::RememberingEmbed;
use crate::suite::{LoadOptions, load};

/// Indexes in memory.
#[derive(Default)]
struct InMemory {
    kept: RefCell<HashMap<ContentHash, Arc<MemoryStore>>>,
    installed: Arc<MemoryStore>,
    opened: Cell<usize>,
    merge_neighbours: bool,
}

impl Indexes for InMemory {
    fn open(&self, wanted: Wanted<'_>) -> anyhow::Result<Opened> {
        self.opened.set(self.opened.get() + 1);
        let store: Arc<dyn Store> = match wanted {
            Wanted::Installed => self.installed.clone(),
            Wanted::Kept(hash) => self.kept.borrow_mut().entry(*hash).or_default().clone(),
        };
        let embed: Arc<dyn Embed> = Arc::new(RememberingEmbed::new(Arc::new(FakeEmbed::new())));
        Ok(Opened {
            engine: Engine::new(EngineParts {
                embed: embed.clone(),
                lexical: Arc::new(FakeLexical::new()),
                tokens: Some(Arc::new(FakeEmbed::new())),
                store: store.clone(),
                generate: None,
                retrieval: RetrievalConfig {
                    top_k: 5,
                    candidates: 20,
                    fusion: Fusion::default(),
                    weights: FusionWeights {
                        dense: 1.0,
                        lexical: 1.0,
                    },
                    min_similarity: 0.2,
                    rerank: RerankConfig {
                        merge_neighbours: self.merge_neighbours,
                        ..RerankConfig::default()
                    },
                },
                answer: AnswerConfig {
                    context_tokens: 1000,
                    sentences: 3,
                    max_tokens: 100,
                    style: Style::default(),
                    languages: Vec::new(),
                    hand_over: HandOverConfig::default(),
                },
            }),
            indexer: Indexer {
                embed,
                lexical: Arc::new(FakeLexical::new()),
                tokens: Some(Arc::new(FakeEmbed::new())),
                store,
                limits: Limits::default(),
                // Short chunks: a quote may need two of them.
                options: ChunkOptions {
                    min_tokens: 1,
                    target_tokens: 12,
                    max_tokens: 14,
                },
            },
        })
    }
}

struct World {
    folder: tempfile::TempDir,
    indexes: InMemory,
}

impl World {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            indexes: InMemory::default(),
        }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("runs")
    }

    fn recording(&self) -> Recording {
        Recording::open(&self.root(), configuration(), machine(), false).unwrap()
    }

    fn run(&self, suite: &Path, documents: Option<&Documents>, parts: Parts) -> Vec<ItemRecord> {
        self.run_for(suite, documents, parts, 5)
    }

    /// For people who are given so many passages.
    fn run_for(
        &self,
        suite: &Path,
        documents: Option<&Documents>,
        parts: Parts,
        top_k: usize,
    ) -> Vec<ItemRecord> {
        let suite = load(suite, &LoadOptions::default()).unwrap();
        let plan = Plan {
            suite: &suite,
            documents,
            parts,
            top_k,
            depth: 10,
        };
        let mut recording = self.recording();
        let ended = evaluate(&plan, &self.indexes, &mut recording, &mut |_| {
            ControlFlow::Continue(())
        });
        assert!(ended.unwrap().is_continue());
        let run = recording.finish().unwrap();
        crate::record::load_run(&run.run.id, &self.root())
            .unwrap()
            .items
            .unwrap()
    }
}

const RETRIEVAL: Parts = Parts {
    retrieval: true,
    answers: false,
};
const BOTH: Parts = Parts {
    retrieval: true,
    answers: true,
};

const EN: &str = r#"{"data": [{"title": "T", "paragraphs": [
    {"context": "A submarine cable lies on the sea floor and carries light.", "qas": [{"id": "q1", "question": "Which submarine cable carries light on the sea floor?"}]},
    {"context": "Radio spectrum is shared by mobile networks and satellites.", "qas": [{"id": "q2", "question": "Radio spectrum of mobile networks?"}]}]}]}"#;
const FR: &str = r#"{"data": [{"title": "T", "paragraphs": [
    {"context": "Un câble sous-marin repose au fond de la mer et conduit la lumière.", "qas": [{"id": "q1", "question": "Quel câble repose au fond de la mer ?"}]},
    {"context": "Le spectre radioélectrique est partagé par les réseaux mobiles.", "qas": [{"id": "q2", "question": "Qui partage le spectre, les réseaux mobiles ?"}]}]}]}"#;

#[test]
fn parallel_languages_are_asked_in_every_pair() {
    let world = World::new();
    world.write("suite/en.json", EN);
    world.write("suite/fr.json", FR);
    let suite = world.folder.path().join("suite");
    let items = world.run(&suite, None, RETRIEVAL);
    assert_eq!(items.len(), 12);
    for item in items
        .iter()
        .filter(|item| !item.kinds.contains(&"cross".to_owned()))
    {
        assert_eq!(item.values["recall@1"], 1.0, "{item:?}");
        assert_eq!(item.ranks, [Some(1)]);
        let of_whom = item.id.rsplit_once('/').map(|(_, question)| question);
        assert_eq!(item.cluster, format!("en-en/{}", of_whom.unwrap()));
        let both = item.kinds.contains(&"pooled".to_owned());
        assert_eq!(item.wanted.len(), if both { 2 } else { 1 }, "{item:?}");
    }
    // Three indexes, and of each question one time of the whole.
    assert_eq!(world.indexes.opened.get(), 3);
    let timed = items
        .iter()
        .filter(|item| item.latency_ms.contains_key("total"))
        .count();
    assert_eq!(timed, 4);
    assert!(
        items
            .iter()
            .all(|item| item.latency_ms.contains_key("search"))
    );
}

#[test]
fn a_stopped_evaluation_is_taken_up() {
    let world = World::new();
    let file = world.write("en.json", EN);
    let suite = load(&file, &LoadOptions::default()).unwrap();
    let plan = Plan {
        suite: &suite,
        documents: None,
        parts: RETRIEVAL,
        top_k: 5,
        depth: 10,
    };
    let mut recording = world.recording();
    let ended = evaluate(
        &plan,
        &world.indexes,
        &mut recording,
        &mut |step| match step {
            Step::Asking { done: 1, .. } => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        },
    );
    assert!(ended.unwrap().is_break());
    assert_eq!(recording.len(), 1);
    let id = recording.id().to_owned();
    drop(recording);

    let mut recording = world.recording();
    assert_eq!((recording.id(), recording.len()), (id.as_str(), 1));
    let mut asked = 0;
    let ended = evaluate(&plan, &world.indexes, &mut recording, &mut |step| {
        asked += usize::from(matches!(step, Step::Asking { .. }));
        ControlFlow::Continue(())
    });
    assert!(ended.unwrap().is_continue());
    assert_eq!((asked, recording.len()), (1, 2));
    assert_eq!(recording.finish().unwrap().metrics.overall["recall@1"].n, 2);
}

const ARTICLE: &str = "# Cables\n\nA submarine cable lies on the sea floor. It carries light \
between continents since many years ago.\n\n# Repair\n\nA ship lifts a broken cable and splices \
it again. This takes about two weeks in good weather.\n";

fn documents(world: &World) -> Documents {
    let file = world.write("docs/deep/cable.md", ARTICLE);
    world.write(
        "docs/other.md",
        "# Other\n\nNothing of interest stands here at all.\n",
    );
    let other = world.folder.path().join("docs/other.md");
    Documents::read(&world.folder.path().join("docs"), &[file, other]).unwrap()
}

fn gold(question: &str, quotes: &[&str]) -> String {
    let evidence: Vec<_> = quotes
        .iter()
        .map(|quote| serde_json::json!({ "doc": "deep/cable.md", "quote": quote }))
        .collect();
    serde_json::json!({
        "id": question, "lang": "en", "question": question, "answerable": true,
        "must_include": [["two weeks"]], "evidence": evidence,
    })
    .to_string()
}

#[test]
fn evidence_is_found_when_chunks_cover_it() {
    let world = World::new();
    let documents = documents(&world);
    // Over the border of two sentences, which are two chunks.
    let across = gold(
        "Which ship lifts a broken cable and splices it?",
        &["splices\u{a0}it again. This takes about two weeks"],
    );
    let both = gold(
        "A submarine cable lies on the sea floor?",
        &["lies on the sea floor", "splices it again"],
    );
    let unanswerable = r#"{"id": "u", "lang": "en", "question": "Purple walrus?", "answerable": false, "evidence": [{"doc": "nowhere.md", "quote": "a temptation"}]}"#;
    let file = world.write("gold.jsonl", &format!("{across}\n{both}\n{unanswerable}\n"));
    let items = world.run(&file, Some(&documents), BOTH);
    let first = &items[0];
    assert!(first.ranks[0] >= Some(2), "{first:?}");
    assert_eq!(
        (first.values["recall@1"], first.values["recall@10"]),
        (0.0, 1.0)
    );
    let second = &items[1];
    assert_eq!(second.ranks[0], Some(1), "{second:?}");
    assert_eq!(second.values["evidence@1"], 0.5);
    assert_eq!(second.values["recall@1"], 0.0);
    assert!(second.found[0].starts_with("deep/cable.md#"));
    // Without a language model answers are quotes, cited where they stand.
    assert_eq!(second.values["answered"], 1.0);
    assert!(second.values["citation_accuracy"] > 0.0, "{second:?}");
    assert!(!second.values.contains_key("language_kept"));
    let third = &items[2];
    assert!(!third.values.contains_key("recall@1"), "{third:?}");
    assert_eq!(third.values["refused_rightly"], 1.0, "{third:?}");

    // The index is kept; a second evaluation finds it filled.
    let store = world.indexes.kept.borrow()[documents.hash()].clone();
    let count = store.count().unwrap();
    world.run(&file, Some(&documents), RETRIEVAL);
    assert_eq!(store.count().unwrap(), count);
}

#[test]
fn what_people_are_given_is_judged_by_what_they_are_given() {
    let mut world = World::new();
    world.indexes.merge_neighbours = true;
    let documents = documents(&world);
    let across = gold(
        "Which ship lifts a broken cable and splices it?",
        &["splices\u{a0}it again. This takes about two weeks"],
    );
    let file = world.write("gold.jsonl", &across);
    // Of ten passages two are neighbours and become the first one; whoever is
    // given one gets a half of it.
    let items = world.run_for(&file, Some(&documents), RETRIEVAL, 1);
    let item = &items[0];
    assert_eq!(item.ranks, [Some(1)], "{item:?}");
    assert_eq!(
        (item.values["recall@1"], item.values["recall@10"]),
        (0.0, 1.0)
    );
    assert_eq!(item.wanted, ["deep/cable.md"]);
    let items = world.run_for(&file, Some(&documents), RETRIEVAL, 5);
    assert_eq!(items[0].values["recall@1"], 1.0, "{items:?}");
}

#[test]
fn evidence_that_is_not_there_is_an_error_that_names_the_line() {
    let world = World::new();
    let documents = documents(&world);
    let wrong = gold("Who?", &["lies on the moon"]);
    let elsewhere = wrong.replace("deep/cable.md", "deep/none.md");
    for (line, part) in [(&wrong, "lies on the moon"), (&elsewhere, "deep/none.md")] {
        let file = world.write("gold.jsonl", &format!("\n{line}\n"));
        let suite = load(&file, &LoadOptions::default()).unwrap();
        let plan = Plan {
            suite: &suite,
            documents: Some(&documents),
            parts: RETRIEVAL,
            top_k: 5,
            depth: 10,
        };
        let error = evaluate(&plan, &world.indexes, &mut world.recording(), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap_err()
        .to_string();
        assert!(
            error.contains("gold.jsonl:2") && error.contains(part),
            "{error}"
        );
    }
}

#[test]
fn the_installed_index_is_asked_where_no_documents_are_named() {
    let world = World::new();
    let file = world.write(
        "gold.jsonl",
        &gold("Which ship?", &["A ship lifts a broken cable"]),
    );
    let suite = load(&file, &LoadOptions::default()).unwrap();
    let plan = Plan {
        suite: &suite,
        documents: None,
        parts: RETRIEVAL,
        top_k: 5,
        depth: 10,
    };
    let mut watch = |_: Step<'_>| ControlFlow::Continue(());
    let error = evaluate(&plan, &world.indexes, &mut world.recording(), &mut watch)
        .unwrap_err()
        .to_string();
    assert!(error.contains("--documents"), "{error}");

    let opened = world.indexes.open(Wanted::Installed).unwrap();
    let source = genie_ingest::Source {
        bytes: ARTICLE.as_bytes(),
        uri: "somewhere/deep/cable.md",
        media_type: None,
    };
    opened.indexer.index(&source, &mut |_| true).unwrap();
    let items = world.run(&file, None, RETRIEVAL);
    assert_eq!(items[0].values["recall@1"], 1.0, "{items:?}");
}
