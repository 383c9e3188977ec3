//! Documents and stores to test with.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    reason = "each test binary uses a part, and fails by panicking"
)]

use std::path::Path;

use genie_core::{
    Chunk, ChunkId, ContentHash, Date, DocumentId, DocumentRecord, EmbeddingIdentity, Filter,
    Fusion, FusionWeights, HybridQuery, IndexIdentity, Language, MediaType, Point, Span,
    SparseVector, TokenCodes,
};
use genie_store::{EdgeStore, HolderNote};

/// Components of a sample vector.
pub const DIMENSION: usize = 8;

pub fn identity() -> IndexIdentity {
    IndexIdentity {
        embedding: EmbeddingIdentity {
            model: "sample".into(),
            hash: ContentHash::of(b"sample weights"),
            dimension: DIMENSION,
            query_prefix: "query: ".into(),
            passage_prefix: "passage: ".into(),
        },
        lexical_version: "words 1".into(),
        chunker_version: "chunks 1".into(),
        tokens_version: "tokens 1".into(),
    }
}

pub fn open(folder: &Path) -> EdgeStore {
    EdgeStore::open(folder, identity(), HolderNote::default()).expect("the index opens")
}

/// A direction that is mostly along `axis` and, by `seed`, a little elsewhere.
pub fn direction(axis: usize, seed: usize) -> Vec<f32> {
    let mut vector: Vec<f32> = (0..DIMENSION)
        .map(|component| ((seed * 31 + component * 17) % 13) as f32 * 0.004)
        .collect();
    vector[axis % DIMENSION] += 1.0;
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter().map(|value| value / length).collect()
}

pub fn words(terms: &[u32]) -> SparseVector {
    let mut indices = terms.to_vec();
    indices.sort_unstable();
    indices.dedup();
    SparseVector {
        values: vec![1.0; indices.len()],
        indices,
    }
}

/// A document named by `name`; its chunk `n` points along axis `axis + n` and
/// has the words `1` (all chunks), `axis + 10` and `1000 + n`.
pub struct Sample {
    pub record: DocumentRecord,
    pub points: Vec<Point>,
}

pub fn sample(name: &str, axis: usize, chunks: usize) -> Sample {
    let id = DocumentId::of(name.as_bytes());
    let language = Language::ALL[axis % Language::ALL.len()];
    let record = DocumentRecord {
        id,
        uri: format!("docs/{name}.md"),
        title: format!("Title of “{name}” 五六"),
        media_type: MediaType::Markdown,
        bytes: 12_345_678_901,
        language: Some(language),
        labels: vec![format!("area{axis}/part/leaf"), "all".into()],
        date: Date::new(2020 + i16::try_from(axis).expect("a small axis"), 5, 17),
        chunks: u32::try_from(chunks).expect("few chunks"),
    };
    let points = (0..chunks)
        .map(|number| {
            let span = Span::new(number * 100, number * 100 + 90).expect("a span");
            Point {
                chunk: Chunk {
                    id: ChunkId::new(&id, "chunks 1", span),
                    document: id,
                    ordinal: u32::try_from(number).expect("few chunks"),
                    span,
                    text: format!("Passage {number} of {name}: été 五六七八 مرحبا\nline two"),
                    section: vec!["Part".into(), format!("Section {number}")],
                    page: (number % 2 == 0).then_some(7),
                    language: (number % 5 != 4).then_some(language),
                },
                dense: direction(axis + number, number),
                lexical: words(&[
                    1,
                    u32::try_from(axis).expect("small") + 10,
                    1000 + u32::try_from(number).expect("small"),
                ]),
                // Some have none.
                tokens: TokenCodes(vec![255 - (number % 7) as u8; number % 3 * 20]),
            }
        })
        .collect();
    Sample { record, points }
}

pub fn query(axis: usize, terms: &[u32]) -> HybridQuery {
    HybridQuery {
        dense: direction(axis, 0),
        lexical: words(terms),
        filter: Filter::default(),
        fusion: Fusion::Rrf,
        weights: FusionWeights {
            dense: 1.0,
            lexical: 1.0,
        },
        candidates: 20,
        limit: 5,
        with_tokens: false,
    }
}
