//! Suggestions over an index of the fakes.

use std::sync::Arc;

use genie_core::{
    AnswerConfig, Fusion, FusionWeights, HandOverConfig, Language, RerankConfig, RetrievalConfig,
    Span, Store as _, Style,
};
use genie_ingest::{ChunkOptions, Limits, Source};
use genie_testkit::{FakeEmbed, FakeLexical, MemoryStore};

use super::{SeenPlace, SuggestRequest};
use crate::{Engine, EngineParts, Indexer};

const ARTICLE: &str = "# Submarine cables\n\n\
    ## Surveyed route\n\n\
    A ship lays submarine cables along a surveyed route at walking speed, with a plough that buries it \
    near the coast where anchors and fishing gear are the greatest danger for it by far.\n\n\
    ## Repair\n\n\
    When an anchor cuts the cable a repair ship lifts both ends from the sea floor and splices \
    them on deck, which takes about a week where the weather is good and the crew is at hand.\n\n\
    ## What does a landing station do?\n\n\
    The landing station feeds the cable with current and hands its traffic over to networks on \
    land through equipment that is kept in two rooms which have separate supplies of power.\n";
const OTHER: &str = "# Câbles sous-marins\n\n\
    ## Réparation\n\n\
    Quand une ancre coupe le câble, un navire remonte les deux extrémités du fond de la mer et \
    les raccorde à bord, ce qui prend environ une semaine lorsque la météo le permet.\n";

fn engine(min_similarity: f32) -> (Engine, Arc<MemoryStore>) {
    // Sections as short as these are passages of their own.
    engine_with(
        min_similarity,
        ChunkOptions {
            min_tokens: 10,
            target_tokens: 60,
            max_tokens: 80,
        },
    )
}

fn engine_with(min_similarity: f32, options: ChunkOptions) -> (Engine, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let indexer = Indexer {
        embed: Arc::new(FakeEmbed::new()),
        lexical: Arc::new(FakeLexical::new()),
        tokens: None,
        store: store.clone(),
        limits: Limits::default(),
        options,
    };
    for (uri, text) in [("cables.md", ARTICLE), ("fr/cables.md", OTHER)] {
        let source = Source {
            bytes: text.as_bytes(),
            uri,
            media_type: None,
        };
        indexer.index(&source, &mut |_| true).expect("a document");
    }
    let engine = Engine::new(EngineParts {
        embed: Arc::new(FakeEmbed::new()),
        lexical: Arc::new(FakeLexical::new()),
        tokens: None,
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
            min_similarity,
            rerank: RerankConfig::default(),
        },
        answer: AnswerConfig {
            context_tokens: 1000,
            sentences: 3,
            max_tokens: 100,
            style: Style::default(),
            languages: Vec::new(),
            hand_over: HandOverConfig::default(),
        },
    });
    (engine, store)
}

/// The place of this text in a document.
fn place(store: &MemoryStore, uri: &str, text: &str, cited: bool) -> SeenPlace {
    let document = store.documents_from(uri).expect("an index").remove(0);
    let chunks = store.chunks(&document.id).expect("an index");
    let chunk = chunks
        .iter()
        .find(|chunk| chunk.text.contains(text))
        .expect("the text is in it");
    SeenPlace {
        uri: uri.to_owned(),
        span: Span::new(chunk.span.start(), chunk.span.end()).expect("a span"),
        cited,
    }
}

fn questions(engine: &Engine, request: &SuggestRequest) -> Vec<String> {
    let suggested = engine.suggest(request).expect("fakes don't fail");
    suggested.into_iter().map(|one| one.question).collect()
}

fn request(seen: Vec<SeenPlace>) -> SuggestRequest {
    SuggestRequest {
        language: Language::English,
        seen,
        asked: Vec::new(),
        limit: 3,
    }
}

#[test]
fn sections_that_were_not_answered_from_are_suggested() {
    let (engine, store) = engine(0.05);
    let wanted = request(vec![place(&store, "cables.md", "splices", true)]);
    let given = questions(&engine, &wanted);
    assert_eq!(
        given,
        [
            "What does “Submarine cables” say about “Surveyed route”?",
            "What does a landing station do?",
        ]
    );
    let one = SuggestRequest {
        limit: 1,
        ..wanted.clone()
    };
    assert_eq!(questions(&engine, &one).len(), 1);
    let asked = SuggestRequest {
        asked: vec!["what does a landing station do".to_owned()],
        ..wanted
    };
    assert_eq!(questions(&engine, &asked), given[..1]);
}

#[test]
fn sections_that_share_a_passage_are_suggested_each() {
    let (engine, store) = engine_with(0.05, ChunkOptions::default());
    let document = store
        .documents_from("cables.md")
        .expect("an index")
        .remove(0);
    let chunks = store.chunks(&document.id).expect("an index");
    assert_eq!(chunks.len(), 1, "they share one");
    // The part of it that an answer was taken from.
    let text = &chunks[0].text;
    let before = |text: &str, words: &str| {
        let (before, _) = text.split_once(words).expect("the words are in it");
        before.chars().count()
    };
    let start = chunks[0].span.start() + before(text, "When an anchor");
    let cited = SeenPlace {
        uri: "cables.md".to_owned(),
        span: Span::new(start, start + 40).expect("a span"),
        cited: true,
    };
    let suggested = engine
        .suggest(&request(vec![cited]))
        .expect("fakes don't fail");
    let told: Vec<(&str, String)> = suggested
        .iter()
        .map(|one| (one.question.as_str(), one.section.join(" › ")))
        .collect();
    assert_eq!(
        told,
        [
            (
                "What does “Submarine cables” say about “Surveyed route”?",
                "Submarine cables › Surveyed route".to_owned(),
            ),
            (
                "What does a landing station do?",
                "Submarine cables › What does a landing station do?".to_owned(),
            ),
        ]
    );
}

#[test]
fn a_place_that_was_only_found_is_suggested_itself() {
    let (engine, store) = engine(0.05);
    let given = questions(
        &engine,
        &request(vec![place(&store, "cables.md", "splices", false)]),
    );
    assert!(given[0].contains("“Repair”"), "{given:?}");
}

#[test]
fn what_retrieval_does_not_find_is_not_suggested() {
    let (engine, store) = engine(0.99);
    let wanted = request(vec![place(&store, "cables.md", "splices", true)]);
    assert!(questions(&engine, &wanted).is_empty());
}

#[test]
fn suggestions_keep_to_the_language_of_the_conversation() {
    let (engine, store) = engine(0.05);
    let seen = vec![
        place(&store, "fr/cables.md", "navire", false),
        place(&store, "cables.md", "splices", true),
    ];
    let french = SuggestRequest {
        language: Language::French,
        ..request(seen)
    };
    assert_eq!(
        questions(&engine, &french),
        ["Que dit « Câbles sous-marins » de « Réparation » ?"]
    );
}

#[test]
fn a_document_that_is_gone_suggests_nothing() {
    let (engine, store) = engine(0.05);
    let seen = place(&store, "cables.md", "splices", true);
    let id = store.documents_from("cables.md").expect("an index")[0].id;
    store.delete(&id).expect("an index");
    assert!(questions(&engine, &request(vec![seen])).is_empty());
    assert!(questions(&engine, &request(Vec::new())).is_empty());
}
