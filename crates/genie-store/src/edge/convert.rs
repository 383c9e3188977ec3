//! Our terms and those of the engine in process.

use std::collections::HashMap;

use genie_core::SparseVector;
use qdrant_edge as edge;
use uuid::Uuid;

use crate::engine::{Condition, DENSE, Detail, LEXICAL, RawPoint, RawRecord};
use crate::payload::{DOCUMENT, REVISION};

/// Up to about 65,000 vectors of 384 components are compared one by one,
/// which is exact and takes tens of milliseconds; above, a graph is built.
const INDEXING_THRESHOLD_KB: usize = 100_000;

/// A log file of the engine. Its default of 32 MiB would be kept twice over.
const LOG_BYTES: usize = 4 << 20;

/// A name that the engine does not take for a payload field.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no name of a payload field")]
pub(crate) struct FieldName(&'static str);

pub(crate) fn configuration(dimension: usize) -> edge::EdgeConfig {
    edge::EdgeConfig::builder()
        .on_disk_payload(true)
        .vector(
            DENSE,
            edge::EdgeVectorParams::builder(dimension, edge::Distance::Cosine).build(),
        )
        .sparse_vector(
            LEXICAL,
            edge::EdgeSparseVectorParams::builder()
                .modifier(edge::Modifier::Idf)
                .build(),
        )
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

pub(crate) fn filter(which: &[Condition]) -> Result<edge::Filter, FieldName> {
    let (mut must, mut must_not) = (Vec::new(), Vec::new());
    for condition in which {
        let (field, matched, side) = match condition {
            Condition::Is(field, value) => (*field, edge::Match::from(value.clone()), &mut must),
            Condition::IsNot(field, value) => {
                (*field, edge::Match::from(value.clone()), &mut must_not)
            }
            Condition::AnyOf(field, values) => {
                (*field, edge::Match::from(values.clone()), &mut must)
            }
        };
        let key = path_of(field)?;
        side.push(edge::Condition::Field(edge::FieldCondition::new_match(
            key, matched,
        )));
    }
    Ok(edge::Filter {
        should: None,
        min_should: None,
        must: Some(must),
        must_not: (!must_not.is_empty()).then_some(must_not),
    })
}

pub(crate) fn path_of(field: &'static str) -> Result<edge::JsonPath, FieldName> {
    edge::JsonPath::try_from(field).map_err(|()| FieldName(field))
}

pub(crate) fn with_payload(detail: Detail) -> Result<edge::WithPayloadInterface, FieldName> {
    Ok(match detail {
        Detail::Payload | Detail::PayloadAndDense => edge::WithPayloadInterface::Bool(true),
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
        Detail::PayloadAndDense => edge::WithVector::Selector(vec![DENSE.to_owned()]),
        Detail::Payload | Detail::Commit => edge::WithVector::Bool(false),
    }
}

pub(crate) fn sparse(vector: SparseVector) -> edge::SparseVector {
    edge::SparseVector {
        indices: vector.indices,
        values: vector.values,
    }
}

pub(crate) fn persisted(point: RawPoint) -> edge::PointStructPersisted {
    let mut vectors = HashMap::new();
    if let Some((dense, lexical)) = point.vectors {
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
    let dense = match record.vector {
        Some(edge::VectorStructInternal::Named(mut vectors)) => match vectors.remove(DENSE) {
            Some(edge::VectorInternal::Dense(vector)) => Some(vector),
            _ => None,
        },
        Some(edge::VectorStructInternal::Single(vector)) => Some(vector),
        _ => None,
    };
    RawRecord {
        id: uuid_of(record.id),
        payload: record.payload.map(|payload| payload.0).unwrap_or_default(),
        dense,
    }
}

pub(crate) fn uuid_of(id: edge::PointId) -> Uuid {
    match id {
        edge::PointId::Uuid(id) => id,
        // Not written by us; kept apart from all UUIDs that are.
        edge::PointId::NumId(number) => Uuid::from_u128(u128::from(number)),
    }
}
