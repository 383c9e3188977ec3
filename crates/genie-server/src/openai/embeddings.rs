//! `POST /v1/embeddings`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use genie_core::{EmbedError, Embedding, TextRole};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::models::check_embedding_model;
use crate::access::Access;
use crate::app::Service;
use crate::body::ApiJson;
use crate::bounds::NotEmpty;
use crate::failure::Failure;
use crate::work::with_engine;

/// As OpenAI's.
const MOST_INPUTS: usize = 2048;
/// Between batches it is seen whether the client is still there.
const BATCH: usize = 32;

#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct EmbeddingsRequest {
    #[serde(default)]
    model: Option<String>,
    #[schemars(with = "InputSchema")]
    input: Value,
    #[serde(default)]
    encoding_format: Encoding,
    /// What the model was trained to be cut to, else its own number.
    #[serde(default)]
    #[schemars(range(min = 1))]
    dimensions: Option<usize>,
    /// Not OpenAI's: what the texts are to the model, which knows questions
    /// from passages.
    #[serde(default)]
    input_type: InputType,
}

/// One text or several.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum InputSchema {
    Text(NotEmpty),
    Texts(#[schemars(length(min = 1, max = 2048))] Vec<NotEmpty>),
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    #[default]
    Float,
    Base64,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum InputType {
    Query,
    #[default]
    Passage,
}

pub(crate) async fn embeddings(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiJson(request): ApiJson<EmbeddingsRequest>,
) -> Result<Json<Value>, Failure> {
    let model = service.state.engine.embed();
    let (identity, least) = (model.identity(), model.least_dimension());
    if let Some(model) = &request.model {
        check_embedding_model(&service, model)?;
    }
    let dimensions = request.dimensions.unwrap_or(identity.dimension);
    check_dimensions(dimensions, identity.dimension, least)?;
    let texts = texts(request.input)?;
    let role = match request.input_type {
        InputType::Query => TextRole::Query,
        InputType::Passage => TextRole::Passage,
    };
    let left = Arc::new(AtomicBool::new(false));
    let guard = SetOnDrop(Arc::clone(&left));
    let embedded = with_engine(&service, &access, move |engine| {
        let mut all: Vec<Embedding> = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            if left.load(Ordering::Relaxed) {
                break;
            }
            all.extend(engine.embed().embed(role, batch)?);
        }
        Ok::<_, EmbedError>(all)
    })
    .await??;
    drop(guard);
    let tokens: usize = embedded.iter().map(|embedding| embedding.tokens).sum();
    let data: Vec<Value> = embedded
        .iter()
        .enumerate()
        .map(|(index, embedding)| {
            json!({
                "object": "embedding",
                "index": index,
                "embedding": encoded(&cut(&embedding.vector, dimensions), request.encoding_format),
            })
        })
        .collect();
    Ok(Json(json!({
        "object": "list",
        "data": data,
        "model": identity.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    })))
}

/// Ends the batches of a request that was dropped.
struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Vectors of a model that was not trained for it mean something else once
/// they are cut.
fn check_dimensions(wanted: usize, whole: usize, least: Option<usize>) -> Result<(), Failure> {
    let least = least.unwrap_or(whole);
    if (least..=whole).contains(&wanted) {
        return Ok(());
    }
    let reason = if least == whole {
        format!("is {wanted}, but this model's vectors have {whole} and can't be cut")
    } else {
        format!("is {wanted}, but has to be from {least} to {whole}")
    };
    Err(Failure::invalid("dimensions", reason))
}

/// The first components, made a vector of length one again.
fn cut(vector: &[f32], dimensions: usize) -> Vec<f32> {
    let mut cut: Vec<f32> = vector.iter().take(dimensions).copied().collect();
    if cut.len() < vector.len() {
        let length = cut.iter().map(|x| x * x).sum::<f32>().sqrt();
        let scale = 1.0 / length.max(f32::MIN_POSITIVE);
        cut.iter_mut().for_each(|x| *x *= scale);
    }
    cut
}

/// Base64 is that of the vector's little-endian 32-bit floats.
fn encoded(vector: &[f32], encoding: Encoding) -> Value {
    match encoding {
        Encoding::Float => json!(vector),
        Encoding::Base64 => {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            Value::String(STANDARD.encode(bytes))
        }
    }
}

fn texts(input: Value) -> Result<Vec<String>, Failure> {
    let texts = match input {
        Value::String(text) => vec![text],
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                _ => Err(Failure::invalid(
                    "input",
                    "has to be a text or a list of texts; lists of token numbers are not accepted",
                )),
            })
            .collect::<Result<_, _>>()?,
        _ => {
            return Err(Failure::invalid(
                "input",
                "has to be a text or a list of texts",
            ));
        }
    };
    if !(1..=MOST_INPUTS).contains(&texts.len()) {
        return Err(Failure::invalid(
            "input",
            format!(
                "has {} texts, but has to have from 1 to {MOST_INPUTS}",
                texts.len()
            ),
        ));
    }
    if texts.iter().any(String::is_empty) {
        return Err(Failure::invalid("input", "must not have an empty text"));
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_a_model_was_trained_for_is_cut() {
        assert!(check_dimensions(384, 384, None).is_ok());
        let failure = check_dimensions(128, 384, None).expect_err("it can't be cut");
        assert!(
            failure.message.contains("can't be cut"),
            "{}",
            failure.message
        );
        assert!(check_dimensions(32, 1024, Some(32)).is_ok());
        for wanted in [0, 31, 1025] {
            let failure = check_dimensions(wanted, 1024, Some(32)).expect_err("out of range");
            assert_eq!(failure.fields[0].field, "dimensions");
        }
    }

    proptest! {
        #[test]
        fn a_cut_vector_has_length_one(
            vector in prop::collection::vec(0.1_f32..1.0, 8..20),
            dimensions in 1_usize..8,
        ) {
            let cut = cut(&vector, dimensions);
            prop_assert_eq!(cut.len(), dimensions);
            let length = cut.iter().map(|x| x * x).sum::<f32>().sqrt();
            prop_assert!((length - 1.0).abs() < 1e-5);
            // Its direction stays.
            prop_assert!((cut[0] * vector[dimensions - 1] - cut[dimensions - 1] * vector[0]).abs() < 1e-5);
        }

        #[test]
        fn base64_gives_the_floats_back(vector in prop::collection::vec(-1.0_f32..1.0, 0..20)) {
            let Value::String(text) = encoded(&vector, Encoding::Base64) else {
                panic!("base64 is a text");
            };
            let bytes = STANDARD.decode(text).expect("base64");
            let back: Vec<f32> = bytes
                .chunks_exact(4)
                .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes")))
                .collect();
            prop_assert_eq!(back, vector);
        }
    }
}
