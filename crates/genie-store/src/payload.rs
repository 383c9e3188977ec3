//! Points and their payloads.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use genie_core::{
    Chunk, ChunkId, ContentHash, Date, DocumentId, DocumentRecord, Filter, Point, Span, TokenCodes,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::engine::{Bounds, Condition, FieldKind, Fields, RawPoint, RawRecord, Selector, Vectors};

/// What a point is; see [`Kind`].
pub(crate) const KIND: &str = "kind";
/// The document's identity.
pub(crate) const DOCUMENT: &str = "document";
/// The revision that wrote the point.
pub(crate) const REVISION: &str = "revision";
/// Hexadecimal digits of a revision, 80 bits: it is in every chunk twice, with
/// its index, and has to differ only from the others of one index.
const REVISION_DIGITS: usize = 20;
/// The passage's language.
pub(crate) const LANGUAGE: &str = "language";
/// The document's labels and everything above them.
pub(crate) const LABEL_PATHS: &str = "label_paths";
/// The document's date as [`Date::number`].
pub(crate) const DATE: &str = "date";
/// The codes of a passage's tokens in base 64.
pub(crate) const TOKENS: &str = "tokens";
/// The text of a chunk.
const TEXT: &str = "text";
/// The path or URI of a document.
pub(crate) const URI: &str = "uri";
/// The fields that have an index: all that anything is ever selected by.
pub(crate) const INDEXED: [(&str, FieldKind); 7] = [
    (KIND, FieldKind::Keyword),
    (DOCUMENT, FieldKind::Keyword),
    (REVISION, FieldKind::Keyword),
    (LANGUAGE, FieldKind::Keyword),
    (LABEL_PATHS, FieldKind::Keyword),
    (DATE, FieldKind::Number),
    (URI, FieldKind::Keyword),
];

/// What a point is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A chunk.
    Chunk,
    /// A document, the commit of its chunks.
    Document,
    /// The identity of the collection.
    Identity,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Chunk => "chunk",
            Self::Document => "document",
            Self::Identity => "identity",
        }
    }

    /// Only points of this kind.
    pub(crate) fn only(self) -> Condition {
        Condition::Is(KIND, self.as_str().to_owned())
    }
}

/// A committed document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) record: DocumentRecord,
    pub(crate) revision: String,
}

/// The point that commits a document.
pub(crate) fn commit_id(document: &DocumentId) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, document.hash().as_bytes())
}

/// The point that carries a collection's identity.
pub(crate) fn identity_id() -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, b"genie identity")
}

/// Names the content of a write, so that chunks of an unfinished write can't
/// pass for those of another; the same content has the same revision.
pub(crate) fn revision(document: &DocumentRecord, points: &[Point]) -> String {
    let mut digests = Vec::new();
    let mut buffer =
        document_fields(document, "")
            .into_iter()
            .fold(Vec::new(), |mut buffer, (name, value)| {
                buffer.extend_from_slice(format!("{name}={value};").as_bytes());
                buffer
            });
    digests.extend_from_slice(ContentHash::of(&buffer).as_bytes());
    for point in points {
        buffer.clear();
        buffer.extend_from_slice(point.chunk.id.as_bytes());
        buffer.extend_from_slice(point.chunk.text.as_bytes());
        buffer.extend(point.dense.iter().flat_map(|value| value.to_le_bytes()));
        let lexical = point.lexical.indices.iter().zip(&point.lexical.values);
        for (index, value) in lexical {
            buffer.extend_from_slice(&index.to_le_bytes());
            buffer.extend_from_slice(&value.to_le_bytes());
        }
        buffer.extend_from_slice(&point.tokens.0);
        digests.extend_from_slice(ContentHash::of(&buffer).as_bytes());
    }
    let mut name = ContentHash::of(&digests).to_string();
    name.truncate(REVISION_DIGITS);
    name
}

/// The point that commits `document`.
pub(crate) fn document_point(document: &DocumentRecord, revision: &str) -> RawPoint {
    RawPoint {
        id: commit_id(&document.id),
        payload: document_fields(document, revision),
        vectors: None,
    }
}

fn document_fields(document: &DocumentRecord, revision: &str) -> Fields {
    object(json!({
        KIND: Kind::Document.as_str(),
        DOCUMENT: document.id.to_string(),
        REVISION: revision,
        LANGUAGE: document.language.map(|language| language.code()),
        LABEL_PATHS: label_paths(&document.labels),
        DATE: document.date.map(Date::number),
        URI: document.uri,
        "title": document.title,
        "media_type": document.media_type.as_str(),
        "bytes": document.bytes,
        "labels": document.labels,
        "chunks": document.chunks,
    }))
}

/// The point of a chunk, without the fields of [`chunk_text`].
pub(crate) fn chunk_point(point: Point, document: &DocumentRecord, revision: &str) -> RawPoint {
    let Point {
        chunk,
        dense,
        lexical,
        tokens,
    } = point;
    let mut payload = object(json!({
            KIND: Kind::Chunk.as_str(),
            DOCUMENT: chunk.document.to_string(),
            REVISION: revision,
            LANGUAGE: chunk.language.map(|language| language.code()),
            LABEL_PATHS: label_paths(&document.labels),
            DATE: document.date.map(Date::number),
    }));
    if !tokens.0.is_empty() {
        payload.insert(TOKENS.to_owned(), BASE64.encode(tokens.0).into());
    }
    RawPoint {
        id: uuid_of(&chunk),
        payload,
        vectors: Some(Vectors { dense, lexical }),
    }
}

/// The fields of a chunk that nothing is selected by.
pub(crate) fn chunk_text(chunk: &Chunk) -> Fields {
    object(json!({
            "ordinal": chunk.ordinal,
            "start": chunk.span.start(),
            "end": chunk.span.end(),
            TEXT: chunk.text,
            "section": chunk.section,
            "page": chunk.page,
    }))
}

/// Whether a record of a chunk has the fields of [`chunk_text`].
pub(crate) fn has_text(record: &RawRecord) -> bool {
    record.payload.contains_key(TEXT)
}

/// The identity of a chunk's point.
pub(crate) fn uuid_of(chunk: &Chunk) -> Uuid {
    Uuid::from_bytes(*chunk.id.as_bytes())
}

fn object(value: Value) -> Fields {
    match value {
        Value::Object(fields) => fields,
        _ => Fields::new(),
    }
}

/// A label and all labels above it: `a/b` is also found under `a`.
fn label_paths(labels: &[String]) -> BTreeSet<&str> {
    labels
        .iter()
        .flat_map(|label| {
            label
                .match_indices('/')
                .map(|(end, _)| &label[..end])
                .chain(std::iter::once(label.as_str()))
        })
        .filter(|path| !path.is_empty())
        .collect()
}

/// The selector of a search. That points are chunks needs no condition: no
/// others have vectors, and each condition costs time at every candidate.
pub(crate) fn selector(filter: &Filter) -> Selector {
    let lists: [(&'static str, Vec<String>); 3] = [
        (
            DOCUMENT,
            filter.documents.iter().map(ToString::to_string).collect(),
        ),
        (
            LANGUAGE,
            filter.languages.iter().map(ToString::to_string).collect(),
        ),
        (LABEL_PATHS, filter.labels.clone()),
    ];
    let mut conditions: Selector = lists
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(field, values)| Condition::AnyOf(field, values))
        .collect();
    if !filter.dates.is_open() {
        let bounds = Bounds {
            first: filter.dates.from.map(Date::number),
            last: filter.dates.to.map(Date::number),
        };
        conditions.push(Condition::Within(DATE, bounds));
    }
    conditions
}

/// Reads a document point; the error says what is wrong with it.
pub(crate) fn read_commit(record: &RawRecord) -> Result<Commit, String> {
    let fields = &record.payload;
    Ok(Commit {
        revision: field(fields, REVISION)?,
        record: DocumentRecord {
            id: parsed(fields, DOCUMENT)?,
            uri: field(fields, URI)?,
            title: field(fields, "title")?,
            media_type: parsed(fields, "media_type")?,
            bytes: field(fields, "bytes")?,
            language: parsed_option(fields, LANGUAGE)?,
            labels: field(fields, "labels")?,
            date: date(fields)?,
            chunks: field(fields, "chunks")?,
        },
    })
}

/// Reads a chunk point; the error says what is wrong with it.
pub(crate) fn read_chunk(record: &RawRecord) -> Result<Chunk, String> {
    let fields = &record.payload;
    let (start, end) = (field(fields, "start")?, field(fields, "end")?);
    Ok(Chunk {
        id: ChunkId::from_bytes(*record.id.as_bytes()),
        document: parsed(fields, DOCUMENT)?,
        ordinal: field(fields, "ordinal")?,
        span: Span::new(start, end).ok_or_else(|| format!("its span is {start} to {end}"))?,
        text: field(fields, TEXT)?,
        section: field(fields, "section")?,
        page: field(fields, "page")?,
        language: parsed_option(fields, LANGUAGE)?,
    })
}

/// The codes of a chunk's tokens; none where the index keeps none.
pub(crate) fn read_tokens(record: &RawRecord) -> Result<TokenCodes, String> {
    let coded: Option<String> = field(&record.payload, TOKENS)?;
    let codes = coded.map(|coded| BASE64.decode(coded)).transpose();
    codes
        .map(|codes| TokenCodes(codes.unwrap_or_default()))
        .map_err(|error| format!("its field {TOKENS:?}: {error}"))
}

/// The document and the revision that a point belongs to.
pub(crate) fn read_origin(record: &RawRecord) -> Result<(DocumentId, String), String> {
    Ok((
        parsed(&record.payload, DOCUMENT)?,
        field(&record.payload, REVISION)?,
    ))
}

/// The date, where there is one.
fn date(fields: &Fields) -> Result<Option<Date>, String> {
    let number: Option<u32> = field(fields, DATE)?;
    number
        .map(|number| {
            Date::from_number(number).ok_or_else(|| format!("its field {DATE:?} is {number}"))
        })
        .transpose()
}

/// A field; one that is absent reads as `null`.
fn field<T: DeserializeOwned>(fields: &Fields, name: &str) -> Result<T, String> {
    let value = fields.get(name).cloned().unwrap_or(Value::Null);
    serde_json::from_value(value).map_err(|error| format!("its field {name:?}: {error}"))
}

fn parsed<T: std::str::FromStr>(fields: &Fields, name: &str) -> Result<T, String> {
    let text: String = field(fields, name)?;
    text.parse()
        .map_err(|_| format!("its field {name:?} is {text:?}"))
}

fn parsed_option<T: std::str::FromStr>(fields: &Fields, name: &str) -> Result<Option<T>, String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => parsed(fields, name).map(Some),
    }
}
