//! One decoder for the families that [`DecoderConfig`] tells apart.

use std::ops::Range;

use candle_core::{Device, Result as TensorResult, Tensor};
use candle_nn::ops;
use genie_compute::{Gate, KvPrecision, gated_product, sum};

use crate::cache::{BLOCK, KvCache};
use crate::config::DecoderConfig;
use crate::device_cache::ROOM;
use crate::gguf::Gguf;
use crate::rope::{Angles, Rope};
use crate::weights::{Form, Linear, Loader, Matrix};
use crate::{FileProblem, LlmError};

/// The weights of a decoder on one device.
#[derive(Debug)]
pub(crate) struct Decoder {
    config: DecoderConfig,
    embedding: Matrix,
    layers: Vec<Layer>,
    norm: Tensor,
    output: Matrix,
    rope: Rope,
    /// Of layers that look at a window.
    local_rope: Option<Rope>,
    precision: KvPrecision,
    device: Device,
}

#[derive(Debug)]
struct Layer {
    attention_norm: Norms,
    query: Linear,
    key: Linear,
    value: Linear,
    query_norm: Option<Tensor>,
    key_norm: Option<Tensor>,
    attention_output: Linear,
    feed_forward_norm: Norms,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// Weights of the norms of what half a layer reads and of what it adds.
#[derive(Debug)]
struct Norms {
    before: Option<Tensor>,
    after: Option<Tensor>,
}

impl Decoder {
    pub(crate) fn load(gguf: &Gguf, device: &Device) -> Result<Self, LlmError> {
        Self::load_as(Form::Stored, gguf, device)
    }

    pub(crate) fn load_as(form: Form, gguf: &Gguf, device: &Device) -> Result<Self, LlmError> {
        let config = DecoderConfig::read(gguf).map_err(|problem| gguf.problem(problem))?;
        let DecoderConfig {
            hidden,
            inner,
            head_dim,
            vocabulary,
            ..
        } = config;
        let queries = config.heads * head_dim;
        let keys = config.kv_heads * head_dim;

        let mut loader = Loader::new(gguf, device, form);
        let embedding = loader.matrix("token_embd.weight", vocabulary, hidden)?;
        let output = if loader.has("output.weight") {
            loader.matrix("output.weight", vocabulary, hidden)?
        } else {
            // Many small models use their embedding for it.
            embedding.clone()
        };
        let norm = loader.vector("output_norm.weight", hidden)?;
        let factors = if loader.has("rope_freqs.weight") {
            let factors = loader.vector("rope_freqs.weight", head_dim / 2)?;
            Some(factors.to_vec1::<f32>()?)
        } else {
            None
        };
        let rope = Rope::new(&config.rope, head_dim, factors.as_deref(), device);
        let local = config.local.as_ref();
        let local_rope = local.map(|local| Rope::new(&local.rope, head_dim, None, device));

        let mut layers = Vec::with_capacity(config.layers);
        for index in 0..config.layers {
            let name = |part: &str| format!("blk.{index}.{part}");
            let order = config.norms;
            // Over all heads together, or over each.
            let widths = if order.before() {
                [head_dim; 2]
            } else {
                [queries, keys]
            };
            let mut norms = |before: &str, after: &str| -> Result<Norms, LlmError> {
                let mut norm = |part: &str, wanted: bool| {
                    let weights = wanted.then(|| loader.vector(&name(part), hidden));
                    weights.transpose()
                };
                Ok(Norms {
                    before: norm(before, order.before())?,
                    after: norm(after, order.after())?,
                })
            };
            let attention_norm = norms("attn_norm.weight", "post_attention_norm.weight")?;
            let feed_forward_norm = norms("ffn_norm.weight", "post_ffw_norm.weight")?;
            let query_norm = loader.optional_vector(&name("attn_q_norm.weight"), widths[0])?;
            // The norm is a good place for it: positions turn queries and
            // don't stretch them.
            let query_norm = match query_norm {
                Some(norm) if config.query_scale != 1.0 => Some((norm * config.query_scale)?),
                None if config.query_scale != 1.0 => {
                    let missing = FileProblem::MissingTensor(name("attn_q_norm.weight"));
                    return Err(gguf.problem(missing));
                }
                norm => norm,
            };
            layers.push(Layer {
                attention_norm,
                feed_forward_norm,
                query: loader.linear(&name("attn_q"), queries, hidden)?,
                key: loader.linear(&name("attn_k"), keys, hidden)?,
                value: loader.linear(&name("attn_v"), keys, hidden)?,
                query_norm,
                key_norm: loader.optional_vector(&name("attn_k_norm.weight"), widths[1])?,
                attention_output: loader.linear(&name("attn_output"), hidden, queries)?,
                gate: loader.linear(&name("ffn_gate"), inner, hidden)?,
                up: loader.linear(&name("ffn_up"), inner, hidden)?,
                down: loader.linear(&name("ffn_down"), hidden, inner)?,
            });
        }
        Ok(Self {
            config,
            embedding,
            layers,
            norm,
            output,
            rope,
            local_rope,
            precision: form.precision(),
            device: device.clone(),
        })
    }

    pub(crate) const fn config(&self) -> &DecoderConfig {
        &self.config
    }

    pub(crate) fn new_cache(&self) -> TensorResult<KvCache> {
        KvCache::new(&self.config, self.precision, &self.device)
    }

    /// Reads all parts in one pass and gives back the last layer's output for
    /// the rows that are wanted, part after part, of shape [rows, hidden];
    /// `None` where none is. The caches must have room.
    pub(crate) fn read(&self, parts: &mut [Part<'_>]) -> TensorResult<Option<Tensor>> {
        let tokens: Vec<u32> = parts.iter().flat_map(|part| part.tokens).copied().collect();
        let mut x = self.embedding.rows(&tokens, &self.device)?;
        if self.config.embedding_scale != 1.0 {
            x = (x * self.config.embedding_scale)?;
        }
        let global = self.sight(&self.rope, usize::MAX, parts)?;
        let local = match (&self.config.local, &self.local_rope) {
            (Some(local), Some(rope)) => {
                Some((self.sight(rope, local.window, parts)?, &local.layers))
            }
            _ => None,
        };
        for (index, layer) in self.layers.iter().enumerate() {
            let input = self.before(&x, &layer.attention_norm)?;
            let scene = Scene {
                layer: index,
                turns: self.rope.turns(index),
                sight: match &local {
                    Some((sight, layers)) if layers[index] => sight,
                    _ => &global,
                },
            };
            let seen = self.attend(&input, &scene, parts)?;
            x = sum(&x, &self.after(seen, &layer.attention_norm)?)?;
            if index + 1 == self.layers.len() {
                // Nobody reads the other positions any more.
                let Some(wanted) = wanted_rows(&x, parts)? else {
                    advance(parts);
                    return Ok(None);
                };
                x = wanted;
            }
            let input = self.before(&x, &layer.feed_forward_norm)?;
            let added = self.feed_forward(layer, &input)?;
            x = sum(&x, &self.after(added, &layer.feed_forward_norm)?)?;
        }
        advance(parts);
        Ok(Some(x))
    }

    /// The logits of each row of an output of [`Decoder::read`], one for each
    /// token of the vocabulary.
    pub(crate) fn logits(&self, output: &Tensor) -> TensorResult<Vec<Vec<f32>>> {
        let normalized = self.normalize(output, &self.norm)?;
        self.output.forward(&normalized)?.to_vec2::<f32>()
    }

    /// Whether a row of a batch comes out bit for bit as it would alone, which
    /// our kernels on the processor see to and others don't.
    pub(crate) fn rows_are_independent(&self) -> bool {
        self.device.is_cpu()
    }

    /// Positions of which a cache's room is a multiple.
    pub(crate) fn room_step(&self) -> usize {
        if self.device.is_cpu() { BLOCK } else { ROOM }
    }

    /// Whether it computes on the processor.
    pub(crate) fn is_on_processor(&self) -> bool {
        self.device.is_cpu()
    }

    fn feed_forward(&self, layer: &Layer, input: &Tensor) -> TensorResult<Tensor> {
        let function = self.config.gate;
        let linears = [&layer.gate, &layer.up, &layer.down];
        if let Some(added) = Linear::gated(linears, function, input) {
            return added;
        }
        let gate = layer.gate.forward(input)?;
        let up = layer.up.forward(input)?;
        let inner = if self.device.is_cpu() {
            gated_product(&gate, &up, function)?
        } else {
            let gate = match function {
                Gate::Silu => gate.silu()?,
                Gate::GeluTanh => gate.gelu()?,
            };
            (gate * up)?
        };
        layer.down.forward(&inner)
    }

    fn before(&self, x: &Tensor, norms: &Norms) -> TensorResult<Tensor> {
        match &norms.before {
            Some(weights) => self.normalize(x, weights),
            None => Ok(x.clone()),
        }
    }

    fn after(&self, x: Tensor, norms: &Norms) -> TensorResult<Tensor> {
        match &norms.after {
            Some(weights) => self.normalize(&x, weights),
            None => Ok(x),
        }
    }

    fn normalize(&self, x: &Tensor, weight: &Tensor) -> TensorResult<Tensor> {
        ops::rms_norm(x, weight, self.config.norm_eps)
    }

    /// Causal attention of `input`, [positions, hidden], of each part over
    /// everything in its cache up to each position.
    fn attend(
        &self,
        input: &Tensor,
        scene: &Scene<'_>,
        parts: &mut [Part<'_>],
    ) -> TensorResult<Tensor> {
        let layer = &self.layers[scene.layer];
        let DecoderConfig {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.config;
        let count = input.dim(0)?;
        let turned =
            |projection: Tensor, heads: usize, norm: Option<&Tensor>| -> TensorResult<Tensor> {
                let mut x = projection;
                // A norm is as wide as a head, or as all of them.
                if let Some(norm) = norm.filter(|norm| norm.elem_count() != head_dim) {
                    x = self.normalize(&x, norm)?;
                }
                x = x.reshape((1, count, heads, head_dim))?;
                if let Some(norm) = norm.filter(|norm| norm.elem_count() == head_dim) {
                    x = self.normalize(&x, norm)?;
                }
                let x = x.transpose(1, 2)?.contiguous()?;
                if scene.turns {
                    scene.sight.angles.turn(&x)?.squeeze(0)
                } else {
                    x.squeeze(0)
                }
            };
        let queries = turned(
            layer.query.forward(input)?,
            heads,
            layer.query_norm.as_ref(),
        )?;
        let keys = turned(layer.key.forward(input)?, kv_heads, layer.key_norm.as_ref())?;
        let values = layer
            .value
            .forward(input)?
            .reshape((count, kv_heads, head_dim))?
            .transpose(0, 1)?
            .contiguous()?;
        let mut mixed = Vec::with_capacity(parts.len());
        let mut start = 0;
        for (part, mask) in parts.iter_mut().zip(&scene.sight.masks) {
            let count = part.tokens.len();
            let own = |x: &Tensor| x.narrow(1, start, count)?.contiguous();
            let own = [&own(&queries)?, &own(&keys)?, &own(&values)?];
            let window = scene.sight.window;
            let seen = part.cache.attend(scene.layer, own, window, mask.as_ref())?;
            mixed.push(seen);
            start += count;
        }
        layer.attention_output.forward(&joined(mixed)?)
    }

    /// What layers of one kind share.
    fn sight(&self, rope: &Rope, window: usize, parts: &[Part<'_>]) -> TensorResult<Sight> {
        let masks = parts.iter().map(|part| self.mask(part, window));
        Ok(Sight {
            angles: rope.angles(parts.iter().flat_map(Part::positions))?,
            masks: masks.collect::<TensorResult<_>>()?,
            window,
        })
    }

    /// Our kernel on the processor needs none, and neither does a single row
    /// that looks at everything.
    fn mask(&self, part: &Part<'_>, window: usize) -> TensorResult<Option<Tensor>> {
        let positions = part.positions();
        if self.device.is_cpu() || positions.len() == 1 && positions.end <= window {
            return Ok(None);
        }
        causal_mask(positions, window, &self.device).map(Some)
    }
}

/// What one sequence adds to a pass.
pub(crate) struct Part<'a> {
    /// Read behind what the cache holds.
    pub(crate) tokens: &'a [u32],
    /// For how many of the last tokens the output is wanted.
    pub(crate) wanted: usize,
    pub(crate) cache: &'a mut KvCache,
}

impl Part<'_> {
    fn positions(&self) -> Range<usize> {
        let start = self.cache.len();
        start..start + self.tokens.len()
    }
}

fn advance(parts: &mut [Part<'_>]) {
    for part in parts {
        part.cache.advance(part.tokens.len());
    }
}

fn wanted_rows(x: &Tensor, parts: &[Part<'_>]) -> TensorResult<Option<Tensor>> {
    let mut rows = Vec::with_capacity(parts.len());
    let mut end = 0;
    for part in parts {
        end += part.tokens.len();
        if part.wanted > 0 {
            rows.push(x.narrow(0, end - part.wanted, part.wanted)?);
        }
    }
    if rows.is_empty() {
        return Ok(None);
    }
    joined(rows)?.contiguous().map(Some)
}

/// Rows one after the other.
fn joined(mut rows: Vec<Tensor>) -> TensorResult<Tensor> {
    match rows.len() {
        1 => Ok(rows.remove(0)),
        _ => Tensor::cat(&rows, 0),
    }
}

/// Where attention happens.
struct Scene<'a> {
    layer: usize,
    /// Whether the layer has positions.
    turns: bool,
    sight: &'a Sight,
}

/// How far positions look, and where they are.
struct Sight {
    angles: Angles,
    /// One for each part.
    masks: Vec<Option<Tensor>>,
    window: usize,
}

/// Minus infinity where a position would look ahead or further back than the
/// window, of shape [1, positions, all up to their end].
pub(crate) fn causal_mask(
    positions: Range<usize>,
    window: usize,
    device: &Device,
) -> TensorResult<Tensor> {
    let (count, total) = (positions.len(), positions.end);
    let mut mask = Vec::with_capacity(count * total);
    for position in positions {
        let seen = position + 1;
        let past = seen.saturating_sub(window);
        mask.extend(std::iter::repeat_n(f32::NEG_INFINITY, past));
        mask.extend(std::iter::repeat_n(0f32, seen - past));
        mask.extend(std::iter::repeat_n(f32::NEG_INFINITY, total - seen));
    }
    Tensor::from_vec(mask, (1, count, total), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_lets_through_what_the_window_holds() {
        let mask = causal_mask(2..5, 3, &Device::Cpu).expect("a mask");
        let rows = mask.squeeze(0).and_then(|mask| mask.to_vec2::<f32>());
        let seen: Vec<String> = rows
            .expect("floats")
            .iter()
            .map(|row| {
                row.iter()
                    .map(|x| if *x == 0.0 { 'x' } else { '.' })
                    .collect()
            })
            .collect();
        assert_eq!(seen, ["xxx..", ".xxx.", "..xxx"]);
    }
}
