//! Rotary position embedding (<https://arxiv.org/abs/2104.09864>).

use candle_core::{Device, Result, Tensor};
use candle_nn::rotary_emb;

use crate::config::{RopeConfig, RopeStyle};

/// Turns queries and keys by an angle that grows with their position.
#[derive(Debug)]
pub(crate) struct Rope {
    style: RopeStyle,
    skipped: Option<usize>,
    /// Radians a position, one for each pair of a head.
    frequencies: Vec<f64>,
    device: Device,
}

/// The cosines and sines of some positions, each [positions, head_dim / 2].
#[derive(Debug)]
pub(crate) struct Angles {
    style: RopeStyle,
    cos: Tensor,
    sin: Tensor,
}

impl Rope {
    /// `factors` divide the frequencies, one for each pair (what llama 3 files
    /// carry as a tensor).
    pub(crate) fn new(
        config: &RopeConfig,
        head_dim: usize,
        factors: Option<&[f32]>,
        device: &Device,
    ) -> Self {
        let frequencies = (0..head_dim / 2)
            .map(|pair| {
                let exponent = -2.0 * pair as f64 / head_dim as f64;
                let factor = factors
                    .and_then(|factors| factors.get(pair))
                    .map_or(1.0, |factor| f64::from(*factor));
                config.base.powf(exponent) / (config.scale * factor)
            })
            .collect();
        Self {
            style: config.style,
            skipped: config.skipped,
            frequencies,
            device: device.clone(),
        }
    }

    /// Whether the layer with this number, from 0 on, has positions.
    pub(crate) fn turns(&self, layer: usize) -> bool {
        self.skipped
            .is_none_or(|skipped| !(layer + 1).is_multiple_of(skipped))
    }

    /// The angles of some positions. They are computed
    /// anew for each step: a table for the whole context would be larger than
    /// the layers' norms, and this is one layer's work of dozens.
    pub(crate) fn angles(&self, positions: impl Iterator<Item = usize>) -> Result<Angles> {
        let width = self.frequencies.len();
        let (mut cos, mut sin) = (Vec::new(), Vec::new());
        let mut count = 0;
        for position in positions {
            count += 1;
            for frequency in &self.frequencies {
                let (s, c) = (position as f64 * frequency).sin_cos();
                cos.push(c as f32);
                sin.push(s as f32);
            }
        }
        Ok(Angles {
            style: self.style,
            cos: Tensor::from_vec(cos, (count, width), &self.device)?,
            sin: Tensor::from_vec(sin, (count, width), &self.device)?,
        })
    }
}

impl Angles {
    /// Turns `x` of shape [1, heads, positions, head_dim].
    pub(crate) fn turn(&self, x: &Tensor) -> Result<Tensor> {
        match self.style {
            RopeStyle::Interleaved => rotary_emb::rope_i(x, &self.cos, &self.sin),
            RopeStyle::Halves => rotary_emb::rope(x, &self.cos, &self.sin),
        }
    }
}
