//! A BERT or XLM-R encoder: packed tokens in, one mean vector a text out.

mod batch;
mod composed;
mod config;
mod kernels;
mod names;
mod ops;
mod rounded;
mod weights;

use std::path::Path;

use candle_core::{Device, Tensor};
use genie_compute::on_pool;
use rayon::prelude::*;

use self::composed::Composed;
use self::config::EncoderConfig;
use self::rounded::Rounded;
use self::weights::{TokenTable, Weights};
use crate::EncoderError;
use crate::tokens::Tokens;

/// How exactly an encoder computes on the processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// Weights as they are quantized, or rounded to eight bits; their input
    /// rounded to eight bits.
    #[default]
    Rounded,
    /// Everything in single precision: many times slower, to compare with.
    Single,
}

/// An encoder with its weights on a device.
///
/// Texts of a pack lie one after the other without padding, so a token costs
/// the same whatever its neighbours are, and a text's vector doesn't depend
/// on what it was packed with.
pub(crate) struct Encoder {
    config: EncoderConfig,
    device: Device,
    tokens: TokenTable,
    layers: Layers,
}

enum Layers {
    Composed(Composed),
    Rounded(Rounded),
}

impl Encoder {
    /// Reads an encoder from a GGUF file, or from a safetensors file with the
    /// `config.json` beside it or given.
    pub(crate) fn load(
        file: &Path,
        config: Option<&Path>,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, EncoderError> {
        let (mut weights, config) = Weights::open(file, config)?;
        let tokens = weights.tokens(config.hidden, device)?;
        let rounded = device.is_cpu() && precision == Precision::Rounded;
        let layers = if rounded && Rounded::fits(&config) {
            Layers::Rounded(Rounded::load(&mut weights, &config)?)
        } else {
            Layers::Composed(Composed::load(&mut weights, &config, device)?)
        };
        Ok(Self {
            config,
            device: device.clone(),
            tokens,
            layers,
        })
    }

    /// Components of a vector.
    pub(crate) fn dimension(&self) -> usize {
        self.config.hidden
    }

    /// The most tokens of a text.
    pub(crate) fn max_tokens(&self) -> usize {
        self.config.positions
    }

    /// Tokens that go through the model together. More are hardly faster on a
    /// processor, where whoever asks next waits for the pack before; a GPU has
    /// nothing to do with few.
    pub(crate) fn pack_tokens(&self) -> usize {
        if self.device.is_cpu() { 512 } else { 8192 }
    }

    /// Token ids below this are known.
    pub(crate) fn vocabulary(&self) -> candle_core::Result<usize> {
        Ok(self.tokens.shape()?.0)
    }

    /// One vector of length one for each text, the mean over all its tokens,
    /// special ones too, divided by its norm; and one for each token that is
    /// asked for. Texts have from 1 to `max_tokens` tokens.
    pub(crate) fn embed(&self, texts: &[Tokens]) -> candle_core::Result<Vec<Pooled>> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<u32> = texts.iter().flat_map(|text| &text.ids).copied().collect();
        let tokens = self.tokens.rows(&Tensor::new(ids, &self.device)?)?;
        match &self.layers {
            Layers::Rounded(layers) => {
                let tokens = tokens.flatten_all()?.to_vec1()?;
                Ok(layers.embed(&tokens, texts))
            }
            Layers::Composed(layers) => {
                let lengths: Vec<usize> = texts.iter().map(|text| text.ids.len()).collect();
                let rows = layers.forward(tokens, &lengths)?;
                Ok(Pooled::all_shared_out(&rows, texts, self.config.hidden))
            }
        }
    }
}

/// The vectors of a text.
#[derive(Debug, Clone)]
pub(crate) struct Pooled {
    /// Of all tokens.
    pub(crate) whole: Vec<f32>,
    /// Of each token that was asked for, one after the other.
    pub(crate) tokens: Vec<f32>,
}

impl Pooled {
    /// Those of texts whose contextual vectors lie one after the other.
    fn all<'a>(
        rows: &[f32],
        texts: impl IntoIterator<Item = &'a Tokens>,
        width: usize,
    ) -> Vec<Self> {
        let texts = with_rows(rows, texts, width);
        texts
            .map(|(own, text)| Self::new(own, &text.wanted, width))
            .collect()
    }

    /// The same on all threads, for many texts at once. A question doesn't wait
    /// for them.
    fn all_shared_out(rows: &[f32], texts: &[Tokens], width: usize) -> Vec<Self> {
        if texts.len() == 1 {
            return Self::all(rows, texts, width);
        }
        let texts: Vec<(&[f32], &Tokens)> = with_rows(rows, texts, width).collect();
        let pooled = |(own, text): &(&[f32], &Tokens)| Self::new(own, &text.wanted, width);
        on_pool(|| texts.par_iter().map(pooled).collect())
    }

    fn new(rows: &[f32], wanted: &[usize], width: usize) -> Self {
        let token = |index: &usize| unit_mean(&rows[index * width..][..width], width);
        Self {
            whole: unit_mean(rows, width),
            tokens: wanted.iter().flat_map(token).collect(),
        }
    }
}

/// Texts with their rows, which lie one after the other.
fn with_rows<'a, 'r>(
    mut rows: &'r [f32],
    texts: impl IntoIterator<Item = &'a Tokens>,
    width: usize,
) -> impl Iterator<Item = (&'r [f32], &'a Tokens)> {
    texts.into_iter().map(move |text| {
        let (own, rest) = rows.split_at(text.ids.len() * width);
        rows = rest;
        (own, text)
    })
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
