//! Our terms and those of the engine in process.

use std::collections::HashMap;

use genie_core::SparseVector;
use qdrant_edge as edge;
use qdrant_edge::external::ordered_float::OrderedFloat;
use uuid::Uuid;

use crate::engine::{
    Bounds, Candidate, Condition, DENSE, Detail, FieldKind, Fields, LEXICAL, Probe, RawPoint,
    RawRecord, Vectors,
};
use crate::payload::{DOCUMENT, REVISION, TOKENS};
use crate::tuning;

/// Up to about 26,000 vectors of 384 components in a segment are compared one
/// by one, which is exact; above, a graph is built.
const INDEXING_THRESHOLD_KB: usize = 20_000;

/// A log file of the engine. Its default of 32 MiB would be kept twice over,
/// and a purge leaves one full.
const LOG_BYTES: usize = 1 << 20;

/// A name that the engine does not take for a payload field.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no name of a payload field")]
pub(crate) struct FieldName(&'static str);

pub(crate) fn configuration(dimension: usize) -> edge::EdgeConfig {
    edge::EdgeConfig::builder()
        .on_disk_payload(true)
        .vector(
            DENSE,
            edge::EdgeVectorParams::builder(dimension, edge::Distance::Cosine)
                .datatype(edge::VectorStorageDatatype::Float16)
                .build(),
        )
        .sparse_vector(
            LEXICAL,
            edge::EdgeSparseVectorParams::builder()
                .modifier(edge::Modifier::Idf)
                // Of 256 steps between the least and the greatest weight of
                // each term's list.
                .datatype(edge::VectorStorageDatatype::Uint8)
                .build(),
        )
        .hnsw_config(edge::HnswIndexConfig {
            m: usize::from(tuning::LINKS),
            ef_construct: usize::from(tuning::BUILD_BREADTH),
            ..edge::HnswIndexConfig::default()
        })
        .optimizers(edge::EdgeOptimizersConfig {
            indexing_threshold: Some(INDEXING_THRESHOLD_KB),
            ..edge::EdgeOptimizersConfig::default()
        })
        .wal_options(edge::WalOptions {
            segment_capacity: LOG_BYTES,
            ..edge::WalOptions::default()
        })
        .build()
}

pub(crate) fn search_params(limit: usize) -> edge::SearchParams {
    edge::SearchParams {
        hnsw_ef: Some(tuning::search_breadth(limit)),
        ..edge::SearchParams::default()
    }
}

/// `None` where there is nothing to hold: an engine that is given a filter
/// checks it at every point that it visits.
pub(crate) fn filter(which: &[Condition]) -> Result<Option<edge::Filter>, FieldName> {
    let (mut must, mut must_not) = (Vec::new(), Vec::new());
    for condition in which {
        match condition {
            Condition::Is(field, value) => must.push(matching(field, value.clone())?),
            Condition::IsNot(field, value) => must_not.push(matching(field, value.clone())?),
            Condition::AnyOf(field, values) => must.push(matching(field, values.clone())?),
            Condition::Within(field, bounds) => must.push(edge::Condition::Field(
                edge::FieldCondition::new_range(path_of(field)?, range(*bounds)),
            )),
        }
    }
    Ok((!which.is_empty()).then_some(edge::Filter {
        should: None,
        min_should: None,
        must: (!must.is_empty()).then_some(must),
        must_not: (!must_not.is_empty()).then_some(must_not),
    }))
}

fn matching(
    field: &'static str,
    value: impl Into<edge::Match>,
) -> Result<edge::Condition, FieldName> {
    let condition = edge::FieldCondition::new_match(path_of(field)?, value.into());
    Ok(edge::Condition::Field(condition))
}

fn range(bounds: Bounds) -> edge::Range<OrderedFloat<f64>> {
    let number = |bound: Option<u32>| bound.map(|bound| OrderedFloat(f64::from(bound)));
    edge::Range {
        gte: number(bounds.first),
        lte: number(bounds.last),
        ..edge::Range::default()
    }
}

pub(crate) fn field_schema(kind: FieldKind) -> edge::PayloadFieldSchema {
    match kind {
        FieldKind::Keyword => edge::PayloadFieldSchema::FieldType(edge::PayloadSchemaType::Keyword),
        // Numbers are selected by ranges only; looking one up would take
        // another index.
        FieldKind::Number => edge::PayloadFieldSchema::FieldParams(
            edge::PayloadSchemaParams::Integer(edge::IntegerIndexParams {
                lookup: Some(false),
                range: Some(true),
                ..edge::IntegerIndexParams::default()
            }),
        ),
    }
}

pub(crate) fn path_of(field: &'static str) -> Result<edge::JsonPath, FieldName> {
    edge::JsonPath::try_from(field).map_err(|()| FieldName(field))
}

pub(crate) fn with_payload(detail: Detail) -> Result<edge::WithPayloadInterface, FieldName> {
    Ok(match detail {
        Detail::Id => edge::WithPayloadInterface::Bool(false),
        Detail::Payload | Detail::PayloadAndDense => {
            edge::PayloadSelectorExclude::new(vec![path_of(TOKENS)?]).into()
        }
        Detail::Everything => edge::WithPayloadInterface::Bool(true),
        Detail::Commit => edge::WithPayloadInterface::Fields(
            [DOCUMENT, REVISION]
                .into_iter()
                .map(path_of)
                .collect::<Result<_, _>>()?,
        ),
    })
}

pub(crate) fn with_vector(detail: Detail) -> edge::WithVector {
    match detail {
        Detail::PayloadAndDense | Detail::Everything => {
            edge::WithVector::Selector(vec![DENSE.to_owned()])
        }
        Detail::Id | Detail::Commit | Detail::Payload => edge::WithVector::Bool(false),
    }
}

/// The query and the name of the vector that it is for.
pub(crate) fn query(probe: Probe<'_>) -> edge::ScoringQuery {
    let (using, query) = match probe {
        Probe::Dense(vector) => (DENSE, edge::VectorInternal::Dense(vector.to_vec())),
        Probe::Lexical(vector) => (
            LEXICAL,
            edge::VectorInternal::Sparse(sparse(vector.clone())),
        ),
    };
    edge::ScoringQuery::Vector(edge::QueryEnum::Nearest(edge::NamedQuery {
        query,
        using: Some(using.to_owned()),
    }))
}

fn sparse(vector: SparseVector) -> edge::SparseVector {
    edge::SparseVector {
        indices: vector.indices,
        values: vector.values,
    }
}

pub(crate) fn persisted(point: RawPoint) -> edge::PointStructPersisted {
    let mut vectors = HashMap::new();
    if let Some(Vectors { dense, lexical }) = point.vectors {
        vectors.insert(DENSE.to_owned(), edge::VectorPersisted::Dense(dense));
        vectors.insert(
            LEXICAL.to_owned(),
            edge::VectorPersisted::Sparse(sparse(lexical)),
        );
    }
    edge::PointStructPersisted {
        id: edge::PointId::Uuid(point.id),
        vector: edge::VectorStructPersisted::Named(vectors),
        payload: Some(edge::Payload(point.payload)),
    }
}

pub(crate) fn record(record: edge::Record) -> RawRecord {
    RawRecord {
        id: uuid_of(record.id),
        payload: fields(record.payload),
        dense: dense(record.vector),
    }
}

pub(crate) fn candidate(point: edge::ScoredPoint) -> Candidate {
    Candidate {
        score: point.score,
        record: RawRecord {
            id: uuid_of(point.id),
            payload: fields(point.payload),
            dense: dense(point.vector),
        },
    }
}

fn fields(payload: Option<edge::Payload>) -> Fields {
    payload.map(|payload| payload.0).unwrap_or_default()
}

fn dense(vectors: Option<edge::VectorStructInternal>) -> Option<Vec<f32>> {
    let dense = match vectors? {
        edge::VectorStructInternal::Named(mut vectors) => vectors.remove(DENSE)?,
        edge::VectorStructInternal::Single(vector) => return Some(vector),
        _ => return None,
    };
    match dense {
        edge::VectorInternal::Dense(vector) => Some(vector),
        _ => None,
    }
}

fn uuid_of(id: edge::PointId) -> Uuid {
    match id {
        edge::PointId::Uuid(id) => id,
        // Not written by us; kept apart from all UUIDs that are.
        edge::PointId::NumId(number) => Uuid::from_u128(u128::from(number)),
    }
}
