//! Our terms and those of the server's interface.

use std::collections::HashMap;

use qdrant_client::Payload;
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::vector_output::Vector;
use qdrant_client::qdrant::with_payload_selector::SelectorOptions as PayloadSelector;
use qdrant_client::qdrant::with_vectors_selector::SelectorOptions as VectorSelector;
use qdrant_client::qdrant::{
    self, Condition as ServerCondition, FieldType, Filter, PayloadIncludeSelector, PointId,
    PointStruct, Query, RetrievedPoint, ScoredPoint, VectorsOutput, VectorsSelector,
};
use uuid::Uuid;

use crate::engine::{
    Bounds, Candidate, Condition, DENSE, Detail, FieldKind, Fields, LEXICAL, Probe, RawPoint,
    RawRecord, Vectors,
};
use crate::payload::{DOCUMENT, REVISION};

/// A point came without an id that can be read.
#[derive(Debug, thiserror::Error)]
#[error("the server sent a point without an id")]
pub(crate) struct NoId;

pub(crate) fn filter(which: &[Condition]) -> Filter {
    let mut filter = Filter::default();
    for condition in which {
        match condition {
            Condition::Is(field, value) => filter
                .must
                .push(ServerCondition::matches(*field, value.clone())),
            Condition::IsNot(field, value) => filter
                .must_not
                .push(ServerCondition::matches(*field, value.clone())),
            Condition::AnyOf(field, values) => filter
                .must
                .push(ServerCondition::matches(*field, values.clone())),
            Condition::Within(field, bounds) => filter
                .must
                .push(ServerCondition::range(*field, range(*bounds))),
        }
    }
    filter
}

fn range(bounds: Bounds) -> qdrant::Range {
    qdrant::Range {
        gte: bounds.first.map(f64::from),
        lte: bounds.last.map(f64::from),
        ..qdrant::Range::default()
    }
}

pub(crate) const fn field_type(kind: FieldKind) -> FieldType {
    match kind {
        FieldKind::Keyword => FieldType::Keyword,
        FieldKind::Number => FieldType::Integer,
    }
}

pub(crate) fn with_payload(detail: Detail) -> PayloadSelector {
    match detail {
        Detail::Id => PayloadSelector::Enable(false),
        Detail::Commit => PayloadSelector::Include(PayloadIncludeSelector {
            fields: vec![DOCUMENT.to_owned(), REVISION.to_owned()],
        }),
        Detail::Payload | Detail::PayloadAndDense => PayloadSelector::Enable(true),
    }
}

pub(crate) fn with_vectors(detail: Detail) -> VectorSelector {
    match detail {
        Detail::Id | Detail::Commit | Detail::Payload => VectorSelector::Enable(false),
        Detail::PayloadAndDense => VectorSelector::Include(VectorsSelector {
            names: vec![DENSE.to_owned()],
        }),
    }
}

/// The query and the name of the vector that it is for.
pub(crate) fn query(probe: Probe<'_>) -> (&'static str, Query) {
    match probe {
        Probe::Dense(vector) => (DENSE, Query::from(vector.to_vec())),
        Probe::Lexical(vector) => {
            let pairs: Vec<(u32, f32)> = vector
                .indices
                .iter()
                .copied()
                .zip(vector.values.iter().copied())
                .collect();
            (LEXICAL, Query::from(pairs))
        }
    }
}

pub(crate) fn point_struct(point: RawPoint) -> PointStruct {
    let mut vectors: HashMap<String, qdrant::Vector> = HashMap::new();
    if let Some(Vectors { dense, lexical }) = point.vectors {
        vectors.insert(DENSE.to_owned(), qdrant::Vector::new_dense(dense));
        vectors.insert(
            LEXICAL.to_owned(),
            qdrant::Vector::new_sparse(lexical.indices, lexical.values),
        );
    }
    PointStruct::new(point.id.to_string(), vectors, Payload::from(point.payload))
}

fn fields(payload: HashMap<String, qdrant::Value>) -> Fields {
    payload
        .into_iter()
        .map(|(name, value)| (name, value.into()))
        .collect()
}

pub(crate) fn candidate(point: ScoredPoint) -> Result<Candidate, NoId> {
    Ok(Candidate {
        score: point.score,
        record: RawRecord {
            id: uuid(point.id)?,
            payload: fields(point.payload),
            dense: dense(point.vectors),
        },
    })
}

pub(crate) fn record(point: RetrievedPoint) -> Result<RawRecord, NoId> {
    Ok(RawRecord {
        id: uuid(point.id)?,
        payload: fields(point.payload),
        dense: dense(point.vectors),
    })
}

fn dense(vectors: Option<VectorsOutput>) -> Option<Vec<f32>> {
    match vectors?.get_vector_by_name(DENSE)? {
        Vector::Dense(dense) => Some(dense.data),
        _ => None,
    }
}

fn uuid(id: Option<PointId>) -> Result<Uuid, NoId> {
    match id.and_then(|id| id.point_id_options) {
        Some(PointIdOptions::Uuid(text)) => Uuid::parse_str(&text).map_err(|_| NoId),
        // Not written by us; kept apart from all UUIDs that are.
        Some(PointIdOptions::Num(number)) => Ok(Uuid::from_u128(u128::from(number))),
        None => Err(NoId),
    }
}
