//! A BERT or XLM-R encoder: packed tokens in, one mean vector a text out.

mod config;
mod kernels;
mod names;
mod ops;
mod weights;

use std::ops::Range;
use std::path::Path;

use candle_core::{Device, Tensor};

use self::config::EncoderConfig;
use self::kernels::Heads;
use self::names::{LayerPart, Part, Role};
use self::ops::{BiasGelu, Norm, PackedAttention, Vector};
use self::weights::{TokenTable, Weights};
use crate::EncoderError;
use crate::tokens::Tokens;

/// An encoder with its weights on a device.
///
/// Texts of a pack lie one after the other without padding, so a token costs
/// the same whatever its neighbours are, and a text's vector doesn't depend
/// on what it was packed with.
pub(crate) struct Encoder {
    config: EncoderConfig,
    device: Device,
    tokens: TokenTable,
    /// `[positions, hidden]`: position vectors plus the vector of token
    /// type 0, which is all that single texts use.
    positions: Tensor,
    norm: Norm,
    layers: Vec<Layer>,
}

struct Layer {
    /// `[hidden, 3 * hidden]`.
    qkv: Tensor,
    qkv_bias: Vector,
    /// `[hidden, hidden]`.
    output: Tensor,
    attention_norm: Norm,
    /// `[hidden, intermediate]`.
    up: Tensor,
    gelu: BiasGelu,
    /// `[intermediate, hidden]`.
    down: Tensor,
    output_norm: Norm,
}

impl Encoder {
    /// Reads an encoder from a GGUF file, or from a safetensors file with the
    /// `config.json` beside it or given.
    pub(crate) fn load(
        file: &Path,
        config: Option<&Path>,
        device: &Device,
    ) -> Result<Self, EncoderError> {
        let (weights, config) = Weights::open(file, config)?;
        Loader {
            weights,
            config,
            device,
        }
        .encoder()
    }

    /// Components of a vector.
    pub(crate) fn dimension(&self) -> usize {
        self.config.hidden
    }

    /// The most tokens of a text.
    pub(crate) fn max_tokens(&self) -> usize {
        self.config.positions
    }

    /// Token ids below this are known.
    pub(crate) fn vocabulary(&self) -> candle_core::Result<usize> {
        Ok(self.tokens.shape()?.0)
    }

    /// One vector of length one for each text, and one for each of its parts
    /// that has tokens: the mean over the tokens (of a text all of them,
    /// special ones too), divided by its norm. Texts have from 1 to
    /// `max_tokens` tokens.
    pub(crate) fn embed(&self, texts: &[Tokens]) -> candle_core::Result<Vec<Pooled>> {
        let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<u32> = texts.iter().flat_map(|text| &text.ids).copied().collect();
        let ids = Tensor::new(ids, &self.device)?;
        let places: Vec<u32> = lengths.iter().flat_map(|&n| 0..n as u32).collect();
        let places = Tensor::new(places, &self.device)?;
        let positions = self.positions.index_select(&places, 0)?;
        let mut rows = self.norm.add(self.tokens.rows(&ids)?, &positions)?;
        for layer in &self.layers {
            rows = layer.forward(rows, &lengths, self.heads())?;
        }
        let rows = rows.flatten_all()?.to_vec1::<f32>()?;
        let hidden = self.config.hidden;
        let mut rest = rows.as_slice();
        let pooled = texts.iter().map(|text| {
            let (rows, after) = rest.split_at(text.ids.len() * hidden);
            rest = after;
            Pooled::new(rows, &text.parts, hidden)
        });
        Ok(pooled.collect())
    }

    fn heads(&self) -> Heads {
        Heads {
            count: self.config.heads,
            width: self.config.hidden / self.config.heads,
        }
    }
}

impl Layer {
    fn forward(
        &self,
        rows: Tensor,
        lengths: &[usize],
        heads: Heads,
    ) -> candle_core::Result<Tensor> {
        let attention = PackedAttention {
            bias: &self.qkv_bias,
            lengths,
            heads,
        };
        let context = attention.apply(&rows.matmul(&self.qkv)?)?;
        let rows = self
            .attention_norm
            .add(rows, &context.matmul(&self.output)?)?;
        let inner = self.gelu.apply(rows.matmul(&self.up)?)?;
        self.output_norm.add(rows, &inner.matmul(&self.down)?)
    }
}

/// The vectors of a text.
#[derive(Debug, Clone)]
pub(crate) struct Pooled {
    /// Of all tokens.
    pub(crate) whole: Vec<f32>,
    /// Of the tokens of each part; empty where there are none.
    pub(crate) parts: Vec<Vec<f32>>,
}

impl Pooled {
    fn new(rows: &[f32], parts: &[Range<usize>], width: usize) -> Self {
        let part = |part: &Range<usize>| {
            if part.is_empty() {
                return Vec::new();
            }
            unit_mean(&rows[part.start * width..part.end * width], width)
        };
        Self {
            whole: unit_mean(rows, width),
            parts: parts.iter().map(part).collect(),
        }
    }
}

/// The mean of the rows, divided by its norm.
fn unit_mean(rows: &[f32], width: usize) -> Vec<f32> {
    let mut mean = vec![0.0_f32; width];
    for row in rows.chunks_exact(width) {
        for (sum, x) in mean.iter_mut().zip(row) {
            *sum += x;
        }
    }
    // The division by the number of rows falls out with the norm.
    let norm = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
    let scale = 1.0 / norm.max(f32::MIN_POSITIVE);
    mean.iter_mut().for_each(|x| *x *= scale);
    mean
}

struct Loader<'a> {
    weights: Weights,
    config: EncoderConfig,
    device: &'a Device,
}

impl Loader<'_> {
    fn encoder(mut self) -> Result<Encoder, EncoderError> {
        let EncoderConfig { hidden, layers, .. } = self.config;
        let tokens = self.weights.tokens(hidden, self.device)?;
        let norm = Norm {
            bias: Vector::new(Tensor::zeros(hidden, candle_core::DType::F32, self.device)?)?,
            weight: self.vector(Part::EmbeddingNormWeight, hidden)?,
            shift: self.vector(Part::EmbeddingNormBias, hidden)?,
            epsilon: self.config.epsilon,
        };
        let positions = self.positions()?;
        let layers = (0..layers)
            .map(|index| self.layer(index))
            .collect::<Result<_, _>>()?;
        Ok(Encoder {
            config: self.config,
            device: self.device.clone(),
            tokens,
            positions,
            norm,
            layers,
        })
    }

    fn positions(&mut self) -> Result<Tensor, EncoderError> {
        let EncoderConfig {
            hidden,
            positions,
            position_offset,
            ..
        } = self.config;
        let shape = [positions + position_offset, hidden];
        let table = self.weights.dense(Part::Positions, &shape, self.device)?;
        let table = table.narrow(0, position_offset, positions)?;
        let types = self
            .weights
            .first_row(Part::TokenTypes, hidden, self.device)?;
        Ok(table.broadcast_add(&types)?)
    }

    fn layer(&mut self, index: usize) -> Result<Layer, EncoderError> {
        use LayerPart::{AttentionNorm, AttentionOutput, Down, Key, OutputNorm, Query, Up, Value};
        let EncoderConfig {
            hidden,
            intermediate,
            ..
        } = self.config;
        let part = |part: fn(Role) -> LayerPart, role| Part::Layer(index, part(role));
        let mut matrices = Vec::new();
        let mut biases = Vec::new();
        for which in [Query, Key, Value] {
            let weight = part(which, Role::Weight);
            matrices.push(self.weights.dense(weight, &[hidden; 2], self.device)?);
            let bias = part(which, Role::Bias);
            biases.push(self.weights.dense(bias, &[hidden], self.device)?);
        }
        let qkv = transposed(&Tensor::cat(&matrices, 0)?)?;
        let output = self.matrix(part(AttentionOutput, Role::Weight), hidden, hidden)?;
        let up = self.matrix(part(Up, Role::Weight), intermediate, hidden)?;
        let down = self.matrix(part(Down, Role::Weight), hidden, intermediate)?;
        Ok(Layer {
            qkv,
            qkv_bias: Vector::new(Tensor::cat(&biases, 0)?)?,
            output,
            attention_norm: self.norm(
                part(AttentionOutput, Role::Bias),
                [
                    part(AttentionNorm, Role::Weight),
                    part(AttentionNorm, Role::Bias),
                ],
            )?,
            up,
            gelu: BiasGelu(self.vector(part(Up, Role::Bias), intermediate)?),
            down,
            output_norm: self.norm(
                part(Down, Role::Bias),
                [part(OutputNorm, Role::Weight), part(OutputNorm, Role::Bias)],
            )?,
        })
    }

    fn norm(&mut self, bias: Part, [weight, shift]: [Part; 2]) -> Result<Norm, EncoderError> {
        let hidden = self.config.hidden;
        Ok(Norm {
            bias: self.vector(bias, hidden)?,
            weight: self.vector(weight, hidden)?,
            shift: self.vector(shift, hidden)?,
            epsilon: self.config.epsilon,
        })
    }

    fn vector(&mut self, part: Part, length: usize) -> Result<Vector, EncoderError> {
        let tensor = self.weights.dense(part, &[length], self.device)?;
        Ok(Vector::new(tensor)?)
    }

    fn matrix(&mut self, part: Part, rows: usize, width: usize) -> Result<Tensor, EncoderError> {
        let tensor = self.weights.dense(part, &[rows, width], self.device)?;
        Ok(transposed(&tensor)?)
    }
}

/// Weights lie as `[outputs, inputs]` in files; the products take them the
/// other way round.
fn transposed(weight: &Tensor) -> candle_core::Result<Tensor> {
    weight.t()?.contiguous()
}
