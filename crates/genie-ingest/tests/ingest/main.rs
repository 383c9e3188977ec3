//! Files in, documents and chunks out, through the public interface only.

#![allow(
    clippy::expect_used,
    reason = "a test fails by panicking, its fixtures too"
)]

mod bad_input;
mod corpus;
mod fixtures;
mod formats;
mod random;

use genie_core::{BlockKind, Chunk, Document};
use genie_ingest::{ChunkOptions, Chunker, IngestError, Limits, Source, parse};

fn read(uri: &str, bytes: &[u8]) -> Result<Document, IngestError> {
    let source = Source {
        bytes,
        uri,
        media_type: None,
    };
    parse(&source, &Limits::default())
}

/// About what a tokenizer makes of most languages, without one.
fn count(text: &str) -> usize {
    let wide = text.chars().filter(|c| *c >= '\u{2e80}').count();
    (text.chars().count() - wide).div_ceil(4) + wide
}

fn chunks(document: &Document) -> Vec<Chunk> {
    Chunker::new(ChunkOptions::default(), &count).chunk(document)
}

/// A document as one can read it in a snapshot.
fn outline(document: &Document) -> String {
    let language = document
        .language
        .map_or_else(|| "?".to_owned(), |language| language.to_string());
    let mut out = format!(
        "{} | {} | {language} {:?}\n",
        document.title, document.media_type, document.labels
    );
    for block in &document.blocks {
        let kind = match block.kind {
            BlockKind::Heading { level } => format!("H{level}"),
            kind => format!("{kind:?}"),
        };
        let page = block
            .page
            .map_or_else(String::new, |page| format!(" p{page}"));
        let text = block.span.slice(&document.text).expect("inside the text");
        out.push_str(&format!("{kind}{page}: {text}\n"));
    }
    out
}

/// What holds for the chunks of every document.
fn assert_sound(document: &Document, chunks: &[Chunk]) {
    let chars: Vec<char> = document.text.chars().collect();
    let slice = |start: usize, end: usize| chars[start..end].iter().collect::<String>();
    let mut covered = vec![false; chars.len()];
    let mut last_end = 0;
    for (ordinal, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.ordinal as usize, ordinal);
        assert_eq!(chunk.document, document.id);
        assert_eq!(
            slice(chunk.span.start(), chunk.span.end()),
            chunk.text,
            "{}",
            document.uri
        );
        assert!(!chunk.text.trim().is_empty());
        assert!(
            chunk.span.start() >= last_end,
            "chunks overlap in {}",
            document.uri
        );
        last_end = chunk.span.end();
        covered[chunk.span.start()..chunk.span.end()].fill(true);
    }
    let mut last_end = 0;
    for block in &document.blocks {
        assert!(
            block.span.start() >= last_end,
            "blocks overlap in {}",
            document.uri
        );
        last_end = block.span.end();
        if matches!(block.kind, BlockKind::Heading { .. }) {
            continue;
        }
        for at in block.span.start()..block.span.end() {
            assert!(
                covered[at] || chars[at].is_whitespace(),
                "{:?} of {} is in no chunk",
                slice(block.span.start(), block.span.end()),
                document.uri
            );
        }
    }
}
