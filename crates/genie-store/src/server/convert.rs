//! Our terms and those of the server's interface.

use std::collections::HashMap;

use qdrant_client::Payload;
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::vector_output::Vector;
use qdrant_client::qdrant::with_payload_selector::SelectorOptions as PayloadSelector;
use qdrant_client::qdrant::with_vectors_selector::SelectorOptions as VectorSelector;
use qdrant_client::qdrant::{
    self, Condition as ServerCondition, Filter, PayloadIncludeSelector, PointId, PointStruct,
    RetrievedPoint, ScoredPoint, VectorsSelector,
};
use uuid::Uuid;

use crate::engine::{Candidate, Condition, DENSE, Fields, LEXICAL, RawPoint, RawRecord};
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
        }
    }
    filter
}

pub(crate) fn commit_fields() -> PayloadSelector {
    PayloadSelector::Include(PayloadIncludeSelector {
        fields: vec![DOCUMENT.to_owned(), REVISION.to_owned()],
    })
}

pub(crate) fn dense_only() -> VectorSelector {
    VectorSelector::Include(VectorsSelector {
        names: vec![DENSE.to_owned()],
    })
}

pub(crate) fn point_struct(point: RawPoint) -> PointStruct {
    let mut vectors: HashMap<String, qdrant::Vector> = HashMap::new();
    if let Some((dense, lexical)) = point.vectors {
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
            dense: None,
        },
    })
}

pub(crate) fn record(point: RetrievedPoint) -> Result<RawRecord, NoId> {
    let dense = point
        .vectors
        .and_then(|vectors| vectors.get_vector_by_name(DENSE))
        .and_then(|vector| match vector {
            Vector::Dense(dense) => Some(dense.data),
            _ => None,
        });
    Ok(RawRecord {
        id: uuid(point.id)?,
        payload: fields(point.payload),
        dense,
    })
}

fn uuid(id: Option<PointId>) -> Result<Uuid, NoId> {
    match id.and_then(|id| id.point_id_options) {
        Some(PointIdOptions::Uuid(text)) => Uuid::parse_str(&text).map_err(|_| NoId),
        // Not written by us; kept apart from all UUIDs that are.
        Some(PointIdOptions::Num(number)) => Ok(Uuid::from_u128(u128::from(number))),
        None => Err(NoId),
    }
}
