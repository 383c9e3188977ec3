//! The encoder on quantized weights, on the processor.
//!
//! The texts of a pack are shared out among the threads, and each share goes
//! through all layers by itself: no thread waits for another at every layer.
//! A thread that is done helps with the products of the others, which is also
//! how a single text uses all of them.

use std::sync::{Mutex, PoisonError};

use candle_core::Device;
use genie_compute::{Heads, QuantizedMatrix, QuantizedRows, on_pool, packed_attention};
use rayon::prelude::*;

use super::Pooled;
use super::config::EncoderConfig;
use super::kernels::{NormParameters, layer_norm};
use super::names::{LayerPart, Part, Role};
use super::weights::Weights;
use crate::EncoderError;
use crate::tokens::Tokens;

/// Tokens of a share at most, if they are of more than one text: what a share
/// works on should stay near the processor.
const SHARE_TOKENS: usize = 512;

/// All layers, and what comes before the first.
pub(super) struct Rounded {
    hidden: usize,
    heads: Heads,
    /// `[positions, hidden]`, see [`Weights::positions`].
    positions: Vec<f32>,
    norm: Norm,
    layers: Vec<Layer>,
    /// Memory of shares that are done.
    spare: Mutex<Vec<Buffers>>,
}

struct Layer {
    /// Queries, keys and values, one after the other.
    qkv: Linear,
    output: Linear,
    attention_norm: Norm,
    up: Linear,
    down: Linear,
    output_norm: Norm,
}

struct Linear {
    matrix: QuantizedMatrix,
    bias: Vec<f32>,
}

struct Norm {
    weight: Vec<f32>,
    shift: Vec<f32>,
    epsilon: f32,
}

/// What a share of a pack works with.
#[derive(Default)]
struct Buffers {
    /// `[tokens, hidden]`.
    rows: Vec<f32>,
    product: Vec<f32>,
    context: Vec<f32>,
    /// `[tokens, 3 * hidden]`.
    qkv: Vec<f32>,
    input: QuantizedRows,
    inner: QuantizedRows,
}

/// Some texts of a pack.
#[derive(Debug, Default, PartialEq, Eq)]
struct Share {
    tokens: usize,
    texts: Vec<usize>,
}

impl Rounded {
    /// Whether all widths are whole blocks.
    pub(super) const fn fits(config: &EncoderConfig) -> bool {
        config.hidden.is_multiple_of(32) && config.intermediate.is_multiple_of(32)
    }

    pub(super) fn load(
        weights: &mut Weights,
        config: &EncoderConfig,
    ) -> Result<Self, EncoderError> {
        let mut loader = Loader { weights, config };
        let norm = loader.norm([Part::EmbeddingNormWeight, Part::EmbeddingNormBias])?;
        let positions = loader.weights.positions(config, &Device::Cpu)?;
        Ok(Self {
            hidden: config.hidden,
            heads: config.heads(),
            positions: positions.flatten_all()?.to_vec1()?,
            norm,
            layers: (0..config.layers)
                .map(|index| loader.layer(index))
                .collect::<Result<_, _>>()?,
            spare: Mutex::default(),
        })
    }

    /// The vectors of texts whose rows of the token table lie one after the
    /// other in `tokens`.
    pub(super) fn embed(&self, tokens: &[f32], texts: &[Tokens]) -> Vec<Pooled> {
        let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
        let mut starts = Vec::with_capacity(texts.len());
        let mut end = 0;
        for length in &lengths {
            starts.push(end);
            end += length;
        }
        let shares = shares(&lengths, rayon::current_num_threads());
        let run = |share: &Share| {
            let mut buffers = self.spare_buffers().pop().unwrap_or_default();
            buffers.rows.clear();
            for &text in &share.texts {
                let rows = starts[text]..starts[text] + lengths[text];
                let rows = &tokens[rows.start * self.hidden..rows.end * self.hidden];
                buffers.rows.extend_from_slice(rows);
            }
            let lengths: Vec<usize> = share.texts.iter().map(|&text| lengths[text]).collect();
            self.forward(&mut buffers, &lengths);
            let texts = share.texts.iter().map(|&text| &texts[text]);
            let pooled = Pooled::all(&buffers.rows, texts, self.hidden);
            self.spare_buffers().push(buffers);
            pooled
        };
        let parts: Vec<Vec<Pooled>> =
            on_pool(|| shares.par_iter().with_max_len(1).map(run).collect());
        let mut all = vec![None; texts.len()];
        for (share, pooled) in shares.iter().zip(parts) {
            for (&text, pooled) in share.texts.iter().zip(pooled) {
                all[text] = Some(pooled);
            }
        }
        all.into_iter().flatten().collect()
    }

    fn spare_buffers(&self) -> std::sync::MutexGuard<'_, Vec<Buffers>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Turns rows of the token table into contextual vectors.
    fn forward(&self, buffers: &mut Buffers, lengths: &[usize]) {
        let mut start = 0;
        for length in lengths {
            let rows = &mut buffers.rows[start..][..length * self.hidden];
            add_and_norm(rows, &self.positions, &self.norm);
            start += length * self.hidden;
        }
        for layer in &self.layers {
            layer.forward(buffers, lengths, self.heads);
        }
    }
}

impl Layer {
    fn forward(&self, buffers: &mut Buffers, lengths: &[usize], heads: Heads) {
        let Buffers {
            rows,
            product,
            context,
            qkv,
            input,
            inner,
        } = buffers;
        product.resize(rows.len(), 0.0);
        context.resize(rows.len(), 0.0);
        qkv.resize(3 * rows.len(), 0.0);

        input.fill(rows, &self.qkv.matrix);
        self.qkv.apply(input, qkv);
        packed_attention(qkv, lengths, heads, context);
        input.fill(context, &self.output.matrix);
        self.output.apply(input, product);
        add_and_norm(product, rows, &self.attention_norm);

        input.fill(product, &self.up.matrix);
        let (up, down) = (&self.up, &self.down);
        up.matrix
            .multiply_gelu(input, &up.bias, &down.matrix, inner);
        down.apply(inner, rows);
        add_and_norm(rows, product, &self.output_norm);
    }
}

impl Linear {
    fn apply(&self, input: &QuantizedRows, output: &mut [f32]) {
        self.matrix.multiply_biased(input, &self.bias, output);
    }
}

/// Replaces each row by the layer norm of itself and its row of `others`.
fn add_and_norm(rows: &mut [f32], others: &[f32], norm: &Norm) {
    let width = norm.weight.len();
    let parameters = NormParameters {
        bias: &[],
        weight: &norm.weight,
        shift: &norm.shift,
        epsilon: norm.epsilon,
    };
    let both = rows.chunks_exact_mut(width).zip(others.chunks_exact(width));
    for (row, other) in both {
        for (x, y) in row.iter_mut().zip(other) {
            *x += y;
        }
        layer_norm(row, parameters);
    }
}

/// Shares texts out evenly, the longest first, each to the share that has
/// least: one share a thread, or more where they would be too large.
fn shares(lengths: &[usize], threads: usize) -> Vec<Share> {
    let tokens: usize = lengths.iter().sum();
    let count = threads
        .max(tokens.div_ceil(SHARE_TOKENS))
        .min(lengths.len());
    let mut shares: Vec<Share> = (0..count).map(|_| Share::default()).collect();
    let mut texts: Vec<usize> = (0..lengths.len()).collect();
    texts.sort_by_key(|&text| std::cmp::Reverse(lengths[text]));
    for text in texts {
        if let Some(least) = shares.iter_mut().min_by_key(|share| share.tokens) {
            least.tokens += lengths[text];
            least.texts.push(text);
        }
    }
    shares
}

struct Loader<'a> {
    weights: &'a mut Weights,
    config: &'a EncoderConfig,
}

impl Loader<'_> {
    fn layer(&mut self, index: usize) -> Result<Layer, EncoderError> {
        use LayerPart::{AttentionNorm, AttentionOutput, Down, Key, OutputNorm, Query, Up, Value};
        let EncoderConfig {
            hidden,
            intermediate,
            ..
        } = *self.config;
        let both = |part: fn(Role) -> LayerPart| {
            [Role::Weight, Role::Bias].map(|role| Part::Layer(index, part(role)))
        };
        Ok(Layer {
            qkv: self.linear(&[both(Query), both(Key), both(Value)], [hidden; 2])?,
            output: self.linear(&[both(AttentionOutput)], [hidden; 2])?,
            attention_norm: self.norm(both(AttentionNorm))?,
            up: self.linear(&[both(Up)], [intermediate, hidden])?,
            down: self.linear(&[both(Down)], [hidden, intermediate])?,
            output_norm: self.norm(both(OutputNorm))?,
        })
    }

    /// Layers with the same input as one. `parts` are weights and biases.
    fn linear(&mut self, parts: &[[Part; 2]], shape: [usize; 2]) -> Result<Linear, EncoderError> {
        let weights: Vec<Part> = parts.iter().map(|[weight, _]| *weight).collect();
        let matrix = self.weights.matrix(&weights, shape)?;
        let mut bias = Vec::new();
        for [_, part] in parts {
            bias.extend(self.vector(*part, shape[0])?);
        }
        Ok(Linear { matrix, bias })
    }

    fn norm(&mut self, [weight, shift]: [Part; 2]) -> Result<Norm, EncoderError> {
        Ok(Norm {
            weight: self.vector(weight, self.config.hidden)?,
            shift: self.vector(shift, self.config.hidden)?,
            epsilon: self.config.epsilon,
        })
    }

    fn vector(&mut self, part: Part, length: usize) -> Result<Vec<f32>, EncoderError> {
        Ok(self
            .weights
            .dense(part, &[length], &Device::Cpu)?
            .to_vec1()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shares_hold_every_text_once_and_are_even(
            lengths in prop::collection::vec(1_usize..300, 1..30),
            threads in 1_usize..9,
        ) {
            let shares = shares(&lengths, threads);
            let mut texts: Vec<usize> =
                shares.iter().flat_map(|share| share.texts.clone()).collect();
            texts.sort_unstable();
            prop_assert_eq!(texts, (0..lengths.len()).collect::<Vec<_>>());
            let longest = lengths.iter().copied().max().unwrap_or(0);
            let most = shares.iter().map(|share| share.tokens).max();
            let least = shares.iter().map(|share| share.tokens).min();
            // The share with most was the one with least before its last text.
            prop_assert!(most <= least.map(|least| least + longest));
            prop_assert!(shares.len() >= threads.min(lengths.len()));
        }
    }
}
