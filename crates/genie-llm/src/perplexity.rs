//! How well a model foresees a text: what roundings of weights and input cost,
//! in one figure.

use std::path::Path;

use candle_core::Device;
use genie_compute::on_pool;

use crate::LlmError;
use crate::cache::KvCache;
use crate::decoder::{Decoder, Part};
use crate::gguf::Gguf;
use crate::tokenizer::Tokenizer;

/// Tokens of a window, as llama.cpp's program of this purpose has by default.
const WINDOW: usize = 512;

/// What [`perplexity`] found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Perplexity {
    /// *e* to the mean of what the tokens came unexpected by: between how many
    /// equally likely tokens the model had to choose.
    pub value: f64,
    /// Tokens that were foreseen, more or less.
    pub tokens: usize,
}

/// The perplexity of `text` for the model in `path`, on the processor.
///
/// As `llama-perplexity` computes it, so that figures can be compared: the text
/// is cut into windows of 512 tokens, each is read without the others, and its
/// second half counts. What is left at the end, and less than a window, does
/// not.
///
/// # Errors
///
/// Fails when the file can't be read or is damaged, and on a text that is
/// shorter than a window.
pub fn perplexity(path: &Path, text: &str) -> Result<Perplexity, LlmError> {
    let gguf = Gguf::open(path)?;
    let tokenizer = Tokenizer::read(&gguf).map_err(|problem| gguf.problem(problem))?;
    let decoder = Decoder::load(&gguf, &Device::Cpu)?;
    let mut tokens = tokenizer.encode(text)?;
    let begin = tokenizer.begin();
    if let Some(begin) = begin {
        tokens.insert(0, begin);
    }
    let mut cache = decoder.new_cache()?;
    let (mut surprise, mut count) = (0.0, 0);
    for window in tokens.chunks_exact_mut(WINDOW) {
        if let Some(begin) = begin {
            window[0] = begin;
        }
        for (logits, token) in foresee(&decoder, &mut cache, window)? {
            surprise += unexpected(&logits, token);
            count += 1;
        }
    }
    if count == 0 {
        return Err(LlmError::ShortText {
            tokens: tokens.len(),
            least: WINDOW,
        });
    }
    Ok(Perplexity {
        value: (surprise / count as f64).exp(),
        tokens: count,
    })
}

/// The tokens of the second half of a window, and what was foreseen before
/// each of them.
fn foresee(
    decoder: &Decoder,
    cache: &mut KvCache,
    window: &[u32],
) -> Result<impl Iterator<Item = (Vec<f32>, u32)>, LlmError> {
    let read = &window[..WINDOW - 1];
    let wanted = WINDOW / 2 - 1;
    cache.truncate(0);
    cache.reserve(read.len(), WINDOW)?;
    let mut parts = [Part {
        tokens: read,
        wanted,
        cache,
    }];
    let output = on_pool(|| decoder.read(&mut parts))?;
    let logits = match output {
        Some(output) => on_pool(|| decoder.logits(&output))?,
        None => Vec::new(),
    };
    let tokens = window[WINDOW - wanted..].to_vec();
    Ok(logits.into_iter().zip(tokens))
}

/// The negative logarithm of a token's probability.
fn unexpected(logits: &[f32], token: u32) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits
        .iter()
        .map(|logit| f64::from(logit - most).exp())
        .sum();
    let own = logits.get(token as usize).copied();
    sum.ln() - f64::from(own.unwrap_or(f32::NEG_INFINITY) - most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::Tiny;

    #[test]
    fn a_likely_token_is_less_unexpected() {
        let logits = [0.0, 2.0f32.ln(), 0.0];
        assert!((unexpected(&logits, 1) - 2.0f64.ln()).abs() < 1e-6);
        assert!((unexpected(&logits, 0) - 4.0f64.ln()).abs() < 1e-6);
        assert_eq!(unexpected(&logits, 3), f64::INFINITY);
    }

    #[test]
    fn every_whole_window_counts_by_its_second_half() {
        let (_folder, path) = Tiny::default().write();
        let text = "abc defg ".repeat(150);
        let found = perplexity(&path, &text).expect("a perplexity");
        assert_eq!(found.tokens, 2 * 255);
        // Random weights foresee nothing, among 264 tokens.
        assert!(found.value > 2.0 && found.value.is_finite(), "{found:?}");
        let short = perplexity(&path, "too short").expect_err("no window");
        assert!(matches!(short, LlmError::ShortText { least: 512, .. }));
    }
}
