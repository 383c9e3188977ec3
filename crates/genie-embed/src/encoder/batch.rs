//! Texts of like length as one batch: a device wants few large steps, and
//! packed texts would be many small ones.

use candle_core::{Device, Result, Tensor};
use genie_compute::Heads;

/// Tokens of padding that cost less than another step.
const FEW: usize = 64;

/// Consecutive texts of a pack that a device attends to together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The row of the first token.
    start: usize,
    /// Tokens of all texts.
    tokens: usize,
    texts: usize,
    /// Tokens of the longest text.
    length: usize,
    /// Where not all texts are as long as the longest.
    padding: Option<Padding>,
}

#[derive(Debug)]
struct Padding {
    /// The row of each place, counted from `start`; what a place without a
    /// token holds is of no account. `[texts * length]`
    rows: Tensor,
    /// What is added to the scores of keys: nothing for a token, minus
    /// infinity else. `[texts, 1, 1, length]`
    mask: Tensor,
    /// The places with a token. `[tokens]`
    places: Tensor,
}

impl Batch {
    /// Divides a pack. Where texts are sorted by length, padding is at most a
    /// quarter and few tokens more.
    pub(crate) fn all(lengths: &[usize], device: &Device) -> Result<Vec<Self>> {
        let mut batches = Vec::new();
        let mut start = 0;
        for texts in lengths_alike(lengths) {
            let batch = Self::new(start, texts, device)?;
            start += batch.tokens;
            batches.push(batch);
        }
        Ok(batches)
    }

    fn new(start: usize, lengths: &[usize], device: &Device) -> Result<Self> {
        let (texts, tokens) = (lengths.len(), lengths.iter().sum());
        let length = lengths.iter().copied().max().unwrap_or(0);
        let padding = if texts * length == tokens {
            None
        } else {
            Some(Padding::new(lengths, length, device)?)
        };
        Ok(Self {
            start,
            tokens,
            texts,
            length,
            padding,
        })
    }

    /// `[all tokens of the pack, 3 * hidden]` to `[tokens, hidden]`.
    pub(crate) fn attention(&self, qkv: &Tensor, heads: Heads) -> Result<Tensor> {
        let Heads { count, width } = heads;
        let mut qkv = qkv.narrow(0, self.start, self.tokens)?;
        if let Some(padding) = &self.padding {
            qkv = qkv.contiguous()?.index_select(&padding.rows, 0)?;
        }
        // [3, texts, heads, length, width]
        let qkv = qkv.reshape((self.texts, self.length, 3, count, width))?;
        let qkv = qkv.permute((2, 0, 3, 1, 4))?.contiguous()?;
        let (q, k, v) = (qkv.get(0)?, qkv.get(1)?, qkv.get(2)?);
        let scale = 1.0 / (width as f64).sqrt();
        let mut scores = (q.matmul(&k.t()?)? * scale)?;
        if let Some(padding) = &self.padding {
            scores = scores.broadcast_add(&padding.mask)?;
        }
        let context = candle_nn::ops::softmax_last_dim(&scores)?.matmul(&v)?;
        let context = context.transpose(1, 2)?.contiguous()?;
        let context = context.reshape((self.texts * self.length, count * width))?;
        match &self.padding {
            Some(padding) => context.index_select(&padding.places, 0),
            None => Ok(context),
        }
    }
}

impl Padding {
    fn new(lengths: &[usize], length: usize, device: &Device) -> Result<Self> {
        let size = lengths.len() * length;
        let (mut rows, mut mask) = (Vec::with_capacity(size), Vec::with_capacity(size));
        let mut places = Vec::new();
        let mut start = 0;
        for (text, &own) in lengths.iter().enumerate() {
            for place in 0..length {
                let is_token = place < own;
                rows.push((start + if is_token { place } else { 0 }) as u32);
                mask.push(if is_token { 0.0 } else { f32::NEG_INFINITY });
                if is_token {
                    places.push((text * length + place) as u32);
                }
            }
            start += own;
        }
        Ok(Self {
            rows: Tensor::new(rows, device)?,
            mask: Tensor::from_vec(mask, (lengths.len(), 1, 1, length), device)?,
            places: Tensor::new(places, device)?,
        })
    }
}

/// Consecutive lengths that need little padding beside each other.
fn lengths_alike(lengths: &[usize]) -> Vec<&[usize]> {
    let mut found = Vec::new();
    let (mut first, mut longest, mut tokens) = (0, 0, 0);
    for (index, &length) in lengths.iter().enumerate() {
        let padded = (index + 1 - first) * length.max(longest);
        let own = tokens + length;
        if index > first && padded > own + own / 4 + FEW {
            found.push(&lengths[first..index]);
            (first, longest, tokens) = (index, length, length);
        } else {
            (longest, tokens) = (length.max(longest), own);
        }
    }
    found.push(&lengths[first..]);
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_is_in_one_batch_with_little_padding(
            mut lengths in prop::collection::vec(1_usize..600, 1..60),
        ) {
            lengths.sort_unstable();
            let alike = lengths_alike(&lengths);
            prop_assert_eq!(&alike.concat(), &lengths);
            for texts in alike {
                let tokens: usize = texts.iter().sum();
                let padded = texts.len() * texts[texts.len() - 1];
                prop_assert!(padded <= tokens + tokens / 4 + FEW);
            }
        }
    }
}
