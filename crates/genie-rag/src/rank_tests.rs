//! The final order, on hits made by hand.

use genie_core::{
    Chunk, ChunkId, Cut, DocumentId, DocumentRecord, Hit, Language, LateInteraction, MediaType,
    Passage, RerankConfig, Span, TokenVectors,
};
use genie_testkit::FakeEmbed;

use super::ranked;

const BRIDGE: &str = "The bridge over the river was closed for repairs in winter";
const CABLE: &str = "The cable to the island was cut by an anchor last spring";
const TOWER: &str = "A tower on the hill serves the whole valley with radio";

/// Hits in this order, with codes of their words.
fn hits(texts: &[&str]) -> Vec<Hit> {
    let owned: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    let coded = FakeEmbed::new().passages(&owned).expect("never fails");
    texts
        .iter()
        .zip(coded)
        .enumerate()
        .map(|(index, (text, (_, tokens)))| {
            let document = DocumentId::of(text.as_bytes());
            let span = Span::new(0, text.chars().count()).expect("a span");
            Hit {
                chunk: Chunk {
                    id: ChunkId::new(&document, "fake-chunker", span),
                    document,
                    ordinal: 0,
                    span,
                    text: (*text).to_owned(),
                    section: Vec::new(),
                    page: None,
                    language: Some(Language::English),
                },
                document: DocumentRecord {
                    id: document,
                    uri: format!("{index}.txt"),
                    title: String::new(),
                    media_type: MediaType::Text,
                    bytes: text.len() as u64,
                    language: Some(Language::English),
                    labels: Vec::new(),
                    date: None,
                    chunks: 1,
                },
                score: 1.0 / (61 + index) as f32,
                similarity: 0.9 - index as f32 / 100.0,
                lexical: None,
                tokens,
            }
        })
        .collect()
}

fn config() -> RerankConfig {
    RerankConfig {
        budget_ms: 60_000,
        ..RerankConfig::default()
    }
}

fn order(hits: Vec<Hit>, query: &str, config: RerankConfig, limit: usize) -> Vec<Passage> {
    let model = FakeEmbed::new();
    let (_, tokens): (_, TokenVectors) = model.query(query).expect("never fails");
    ranked(hits, Some((&model, &tokens)), config, limit)
}

fn uris(passages: &[Passage]) -> Vec<&str> {
    let uris = passages
        .iter()
        .map(|passage| passage.hit.document.uri.as_str());
    uris.collect()
}

#[test]
fn tokens_decide_and_every_stage_is_told() {
    let found = order(
        hits(&[BRIDGE, TOWER, CABLE]),
        "cut by an anchor",
        config(),
        3,
    );
    assert_eq!(uris(&found), ["2.txt", "0.txt", "1.txt"]);
    let stages = found[0].stages;
    assert_eq!((stages.fused.rank, stages.dense.rank), (3, 3));
    let tokens = stages.tokens.expect("compared");
    assert_eq!((tokens.rank, tokens.score), (1, 1.0));
    assert_eq!(stages.lexical, None);
    assert_eq!(found[0].hit.score, 1.0);
}

#[test]
fn words_decide_between_equals() {
    let mut hits = hits(&[BRIDGE, TOWER, CABLE]);
    hits[1].lexical = Some(2.0);
    hits[2].lexical = Some(4.0);
    let found = order(hits, "something else entirely", config(), 3);
    assert_eq!(uris(&found), ["2.txt", "1.txt", "0.txt"]);
    let lexical = found[1].stages.lexical.expect("it has words");
    assert_eq!((lexical.rank, lexical.score), (2, 2.0));
}

#[test]
fn what_has_no_codes_stays_behind_in_its_order() {
    let mut hits = hits(&[BRIDGE, TOWER, CABLE]);
    hits[0].tokens.0.clear();
    hits[1].tokens.0.clear();
    let found = order(hits.clone(), "cable", config(), 3);
    assert_eq!(uris(&found), ["2.txt", "0.txt", "1.txt"]);
    assert_eq!(found[1].stages.tokens, None);
    let found = ranked(hits, None, config(), 2);
    assert_eq!(uris(&found), ["0.txt", "1.txt"]);
}

#[test]
fn a_repetition_is_left_out() {
    let again = format!("{BRIDGE}.");
    let found = order(hits(&[BRIDGE, &again, TOWER]), "bridge", config(), 3);
    assert_eq!(uris(&found), ["0.txt", "2.txt"]);
}

#[test]
fn cuts_keep_what_is_near_the_best() {
    let texts = [CABLE, "The cable was cut by an anchor", "a radio", TOWER];
    let query = "The cable to the island was cut by an anchor";
    for (cut, kept) in [(Cut::Fixed, 4), (Cut::Gap, 2), (Cut::Threshold, 1)] {
        let found = order(hits(&texts), query, RerankConfig { cut, ..config() }, 4);
        assert_eq!(found.len(), kept, "{cut:?}");
        assert_eq!(found[0].hit.document.uri, "0.txt");
    }
    // Reciprocal ranks are left alone.
    let found = ranked(
        hits(&texts),
        None,
        RerankConfig {
            cut: Cut::Gap,
            ..config()
        },
        4,
    );
    assert_eq!(found.len(), 4);
}

#[test]
fn nothing_found_is_nothing_kept() {
    assert!(order(Vec::new(), "cable", config(), 5).is_empty());
}
