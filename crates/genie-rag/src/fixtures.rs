//! Passages that tests make up.

use genie_core::{
    Chunk, ChunkId, DocumentId, DocumentRecord, Fusion, Hit, Language, MediaType, Passage, Shares,
    Span, Stage, Stages, TokenCodes,
};

/// A hit of a document of one chunk.
pub(crate) fn hit(uri: &str, text: &str) -> Hit {
    let document = DocumentId::of(uri.as_bytes());
    let span = Span::new(0, text.chars().count()).expect("a span");
    Hit {
        chunk: Chunk {
            id: ChunkId::new(&document, "fake-chunker", span),
            document,
            ordinal: 0,
            span,
            text: text.to_owned(),
            section: Vec::new(),
            page: None,
            language: Some(Language::English),
        },
        document: DocumentRecord {
            id: document,
            uri: uri.to_owned(),
            title: String::new(),
            media_type: MediaType::Text,
            bytes: text.len() as u64,
            language: Some(Language::English),
            labels: Vec::new(),
            date: None,
            chunks: 1,
        },
        score: 0.5,
        shares: Shares::default(),
        similarity: 0.9,
        lexical: None,
        vector: vec![1.0, 0.0],
        tokens: TokenCodes::default(),
    }
}

/// The same as a passage.
pub(crate) fn passage(uri: &str, text: &str) -> Passage {
    let first = Stage {
        rank: 1,
        score: 0.5,
    };
    Passage {
        hit: hit(uri, text),
        parts: Vec::new(),
        stages: Stages {
            dense: first,
            lexical: None,
            fused: first,
            fusion: Fusion::Rrf,
            shares: Shares::default(),
            tokens: None,
            bonus: None,
            foreign: None,
            boost: None,
            scored: first,
            judged: None,
        },
    }
}
