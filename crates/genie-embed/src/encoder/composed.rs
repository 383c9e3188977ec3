//! The encoder on tensors in single precision: on devices other than the
//! processor, and there what the rounded one is compared with.

use candle_core::{DType, Device, Tensor};
use genie_compute::Heads;

use super::batch::Batch;
use super::config::EncoderConfig;
use super::names::{LayerPart, Part, Role};
use super::ops::{BiasGelu, Norm, PackedAttention, Vector};
use super::weights::Weights;
use crate::EncoderError;

/// All layers, and what comes before the first.
pub(super) struct Composed {
    device: Device,
    heads: Heads,
    /// `[positions, hidden]`, see [`Weights::positions`].
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

impl Composed {
    pub(super) fn load(
        weights: &mut Weights,
        config: &EncoderConfig,
        device: &Device,
    ) -> Result<Self, EncoderError> {
        Loader {
            weights,
            config,
            device,
        }
        .all()
    }

    /// The contextual vectors of packed tokens, `[tokens, hidden]`, from
    /// their rows of the table.
    pub(super) fn forward(
        &self,
        tokens: Tensor,
        lengths: &[usize],
    ) -> candle_core::Result<Vec<f32>> {
        let places: Vec<u32> = lengths.iter().flat_map(|&n| 0..n as u32).collect();
        let places = Tensor::new(places, &self.device)?;
        let positions = self.positions.index_select(&places, 0)?;
        let batches = match self.device {
            Device::Cpu => Vec::new(),
            _ => Batch::all(lengths, &self.device)?,
        };
        let mut rows = self.norm.add(tokens, &positions)?;
        for layer in &self.layers {
            rows = layer.forward(rows, lengths, &batches, self.heads)?;
        }
        rows.flatten_all()?.to_vec1()
    }
}

impl Layer {
    fn forward(
        &self,
        rows: Tensor,
        lengths: &[usize],
        batches: &[Batch],
        heads: Heads,
    ) -> candle_core::Result<Tensor> {
        let attention = PackedAttention {
            bias: &self.qkv_bias,
            lengths,
            batches,
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

struct Loader<'a> {
    weights: &'a mut Weights,
    config: &'a EncoderConfig,
    device: &'a Device,
}

impl Loader<'_> {
    fn all(mut self) -> Result<Composed, EncoderError> {
        let EncoderConfig { hidden, layers, .. } = *self.config;
        let norm = Norm {
            bias: Vector::new(Tensor::zeros(hidden, DType::F32, self.device)?)?,
            weight: self.vector(Part::EmbeddingNormWeight, hidden)?,
            shift: self.vector(Part::EmbeddingNormBias, hidden)?,
            epsilon: self.config.epsilon,
        };
        let layers = (0..layers)
            .map(|index| self.layer(index))
            .collect::<Result<_, _>>()?;
        Ok(Composed {
            device: self.device.clone(),
            heads: self.config.heads(),
            positions: self.weights.positions(self.config, self.device)?,
            norm,
            layers,
        })
    }

    fn layer(&mut self, index: usize) -> Result<Layer, EncoderError> {
        use LayerPart::{AttentionNorm, AttentionOutput, Down, Key, OutputNorm, Query, Up, Value};
        let EncoderConfig {
            hidden,
            intermediate,
            ..
        } = *self.config;
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
