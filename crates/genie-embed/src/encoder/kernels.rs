//! The encoder's processor kernels: attention over packed texts, GELU and
//! residual layer norm, written so that the compiler turns them into vector
//! code, and spread over the thread pool.
//!
//! candle's own softmax and GELU call a scalar `exp` and `erf` for each
//! element, which costs as much as the matrix products of a small model.

use genie_compute::{Heads, exp, fused, gelu};
use rayon::prelude::*;

/// Queries handled together: a tile of scores stays in registers.
const ROWS: usize = 4;
/// Keys handled together: two vectors of eight floats.
const LANES: usize = 16;

/// Adds `bias` to each row and applies the exact (erf) GELU, in place.
pub(crate) fn bias_gelu(rows: &mut [f32], bias: &[f32]) {
    rows.par_chunks_mut(bias.len() * ROWS).for_each(|rows| {
        for row in rows.chunks_exact_mut(bias.len()) {
            for (x, b) in row.iter_mut().zip(bias) {
                *x = gelu(*x + b);
            }
        }
    });
}

/// The parameters of a layer norm, with the bias of the linear layer that
/// comes before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormParameters<'a> {
    /// Added to each row first.
    pub(crate) bias: &'a [f32],
    /// The scale.
    pub(crate) weight: &'a [f32],
    /// The shift.
    pub(crate) shift: &'a [f32],
    /// Added to the variance.
    pub(crate) epsilon: f32,
}

/// Replaces each row of `rows` by the layer norm of `row + residual + bias`.
pub(crate) fn residual_norm(rows: &mut [f32], residual: &[f32], norm: NormParameters<'_>) {
    let width = norm.weight.len();
    rows.par_chunks_mut(width * ROWS)
        .zip(residual.par_chunks(width * ROWS))
        .for_each(|(rows, residual)| {
            for (row, residual) in rows
                .chunks_exact_mut(width)
                .zip(residual.chunks_exact(width))
            {
                for ((x, r), b) in row.iter_mut().zip(residual).zip(norm.bias) {
                    *x += r + b;
                }
                layer_norm(row, norm);
            }
        });
}

/// Replaces a row by its layer norm; the bias is not added.
pub(crate) fn layer_norm(row: &mut [f32], norm: NormParameters<'_>) {
    let width = norm.weight.len() as f32;
    let mean = sum(row, |x| x) / width;
    let variance = sum(row, |x| (x - mean) * (x - mean)) / width;
    let scale = 1.0 / (variance + norm.epsilon).sqrt();
    for ((x, w), b) in row.iter_mut().zip(norm.weight).zip(norm.shift) {
        *x = fused((*x - mean) * scale, *w, *b);
    }
}

/// A sum in independent lanes, which vectorizes where a plain sum may not be
/// reordered.
#[inline(always)]
fn sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().map(|&x| f(x)).sum();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Attention of texts packed one after the other, each to itself only.
///
/// `qkv` holds a row of `3 * heads.count * heads.width` a token: queries,
/// keys, values; `bias` is added to each row. `lengths` are the tokens of
/// each text. The result has a row of `heads.count * heads.width` a token.
pub(crate) fn attention(qkv: &[f32], bias: &[f32], lengths: &[usize], heads: Heads) -> Vec<f32> {
    let hidden = heads.count * heads.width;
    let tokens: usize = lengths.iter().sum();
    let mut texts = Vec::with_capacity(lengths.len());
    let mut start = 0;
    for &length in lengths {
        texts.push(start..start + length);
        start += length;
    }
    let jobs: Vec<_> = texts
        .iter()
        .flat_map(|text| (0..heads.count).map(move |head| (text.clone(), head)))
        .collect();
    let parts: Vec<Vec<f32>> = jobs
        .par_iter()
        .map(|(text, head)| {
            let rows = &qkv[text.start * 3 * hidden..text.end * 3 * hidden];
            Head::gather(rows, bias, heads, *head).attend()
        })
        .collect();
    let mut context = vec![0.0; tokens * hidden];
    for ((text, head), part) in jobs.iter().zip(&parts) {
        let rows = context[text.start * hidden..text.end * hidden].chunks_exact_mut(hidden);
        for (row, values) in rows.zip(part.chunks_exact(heads.width)) {
            row[head * heads.width..][..heads.width].copy_from_slice(values);
        }
    }
    context
}

/// One head of one text, rearranged for the loops below.
struct Head {
    length: usize,
    width: usize,
    /// `[length, width]`, scaled.
    queries: Vec<f32>,
    /// Panels of `LANES` keys: `[length / LANES, width, LANES]`, filled up
    /// with zeros.
    keys: Vec<f32>,
    /// Panels of `LANES` components: `[width / LANES, length, LANES]`, filled
    /// up with zeros.
    values: Vec<f32>,
}

impl Head {
    fn gather(rows: &[f32], bias: &[f32], heads: Heads, head: usize) -> Self {
        let width = heads.width;
        let hidden = heads.count * width;
        let length = rows.len() / (3 * hidden);
        let scale = 1.0 / (width as f32).sqrt();
        let mut this = Self {
            length,
            width,
            queries: Vec::with_capacity(length * width),
            keys: vec![0.0; length.div_ceil(LANES) * width * LANES],
            values: vec![0.0; width.div_ceil(LANES) * length * LANES],
        };
        let part = |which: usize| {
            let start = which * hidden + head * width;
            start..start + width
        };
        let (q_bias, k_bias, v_bias) = (&bias[part(0)], &bias[part(1)], &bias[part(2)]);
        for (index, row) in rows.chunks_exact(3 * hidden).enumerate() {
            let queries = row[part(0)].iter().zip(q_bias);
            this.queries.extend(queries.map(|(x, b)| (x + b) * scale));
            let panel = &mut this.keys[index / LANES * width * LANES..][..width * LANES];
            for ((slot, x), b) in panel[index % LANES..]
                .iter_mut()
                .step_by(LANES)
                .zip(&row[part(1)])
                .zip(k_bias)
            {
                *slot = x + b;
            }
            let values = row[part(2)].chunks(LANES).zip(v_bias.chunks(LANES));
            for (panel, (values, bias)) in values.enumerate() {
                let slots = &mut this.values[(panel * length + index) * LANES..][..LANES];
                for ((slot, x), b) in slots.iter_mut().zip(values).zip(bias) {
                    *slot = x + b;
                }
            }
        }
        this
    }

    fn attend(&self) -> Vec<f32> {
        let stride = self.length.div_ceil(LANES) * LANES;
        let mut context = vec![0.0; self.length * self.width];
        let mut scores = vec![0.0; ROWS * stride];
        let queries = self.queries.chunks(ROWS * self.width);
        for (queries, context) in queries.zip(context.chunks_mut(ROWS * self.width)) {
            self.scores(queries, &mut scores);
            let mut scales = [0.0; ROWS];
            for (scale, scores) in scales.iter_mut().zip(scores.chunks_exact_mut(stride)) {
                *scale = 1.0 / exponentials(&mut scores[..self.length]);
            }
            self.weigh(&scores, scales, context);
        }
        context
    }

    /// Products of up to `ROWS` queries with all keys.
    fn scores(&self, queries: &[f32], scores: &mut [f32]) {
        let stride = scores.len() / ROWS;
        let mut lines = [&queries[..self.width]; ROWS];
        for (line, query) in lines.iter_mut().zip(queries.chunks_exact(self.width)) {
            *line = query;
        }
        for (index, panel) in self.keys.chunks_exact(self.width * LANES).enumerate() {
            let mut tile = [[0.0_f32; LANES]; ROWS];
            for (component, keys) in panel.chunks_exact(LANES).enumerate() {
                for (sums, line) in tile.iter_mut().zip(&lines) {
                    let q = line[component];
                    for (sum, key) in sums.iter_mut().zip(keys) {
                        *sum = fused(q, *key, *sum);
                    }
                }
            }
            for (row, sums) in scores.chunks_exact_mut(stride).zip(&tile) {
                row[index * LANES..][..LANES].copy_from_slice(sums);
            }
        }
    }

    /// Sums of all values, weighted by up to `ROWS` rows of scores.
    fn weigh(&self, scores: &[f32], scales: [f32; ROWS], context: &mut [f32]) {
        let stride = scores.len() / ROWS;
        let lines: [&[f32]; ROWS] =
            std::array::from_fn(|row| &scores[row * stride..][..self.length]);
        let panels = self.values.chunks_exact(self.length * LANES);
        for (index, panel) in panels.enumerate() {
            let mut tile = [[0.0_f32; LANES]; ROWS];
            for (key, values) in panel.chunks_exact(LANES).enumerate() {
                for (sums, line) in tile.iter_mut().zip(&lines) {
                    let weight = line[key];
                    for (sum, value) in sums.iter_mut().zip(values) {
                        *sum = fused(weight, *value, *sum);
                    }
                }
            }
            let rows = context.chunks_exact_mut(self.width);
            for ((row, sums), scale) in rows.zip(&tile).zip(scales) {
                for (x, sum) in row.iter_mut().skip(index * LANES).zip(sums) {
                    *x = scale * sum;
                }
            }
        }
    }
}

/// Replaces each score by `exp(score - highest)`, and returns their sum.
fn exponentials(scores: &mut [f32]) -> f32 {
    let mut highest = [f32::MIN; LANES];
    for chunk in scores.chunks(LANES) {
        for (best, &score) in highest.iter_mut().zip(chunk) {
            *best = if score > *best { score } else { *best };
        }
    }
    let highest = highest.into_iter().fold(f32::MIN, f32::max);
    for score in scores.iter_mut() {
        *score = exp(*score - highest);
    }
    sum(scores, |x| x)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Attention as the definition says it, in double precision.
    fn plain_attention(qkv: &[f32], bias: &[f32], lengths: &[usize], heads: Heads) -> Vec<f64> {
        let hidden = heads.count * heads.width;
        let at = |token: usize, which: usize, head: usize, i: usize| {
            let column = which * hidden + head * heads.width + i;
            f64::from(qkv[token * 3 * hidden + column] + bias[column])
        };
        let mut context = Vec::new();
        let mut start = 0;
        for &length in lengths {
            for token in start..start + length {
                for head in 0..heads.count {
                    let scores: Vec<f64> = (start..start + length)
                        .map(|other| {
                            let dot: f64 = (0..heads.width)
                                .map(|i| at(token, 0, head, i) * at(other, 1, head, i))
                                .sum();
                            (dot / (heads.width as f64).sqrt()).exp()
                        })
                        .collect();
                    let total: f64 = scores.iter().sum();
                    for i in 0..heads.width {
                        let value = (start..start + length)
                            .zip(&scores)
                            .map(|(other, score)| score / total * at(other, 2, head, i))
                            .sum();
                        context.push(value);
                    }
                }
            }
            start += length;
        }
        context
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn attention_equals_its_definition(
            lengths in prop::collection::vec(1_usize..40, 1..4),
            seed in prop::collection::vec(-2.0_f32..2.0, 97),
        ) {
            let heads = Heads { count: 2, width: 8 };
            let tokens: usize = lengths.iter().sum();
            let qkv: Vec<f32> = seed.iter().copied().cycle().take(tokens * 48).collect();
            let bias: Vec<f32> = seed.iter().rev().copied().take(48).collect();
            let found = attention(&qkv, &bias, &lengths, heads);
            let wanted = plain_attention(&qkv, &bias, &lengths, heads);
            prop_assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(&wanted) {
                prop_assert!((f64::from(*found) - wanted).abs() < 1e-4, "{} {}", found, wanted);
            }
        }

        #[test]
        fn exp_is_close(x in -87.0_f32..88.0) {
            let wanted = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) / wanted - 1.0).abs() < 4e-7);
        }

        #[test]
        fn a_normed_row_has_no_mean_and_variance_one(
            row in prop::collection::vec(-5.0_f32..5.0, 48),
        ) {
            // A row without any spread has no variance to bring to one.
            prop_assume!(row.iter().any(|x| (x - row[0]).abs() > 0.1));
            let (zeros, ones) = (vec![0.0; 48], vec![1.0; 48]);
            let norm = NormParameters { bias: &zeros, weight: &ones, shift: &zeros, epsilon: 1e-12 };
            let mut normed = row.clone();
            residual_norm(&mut normed, &zeros, norm);
            let mean = normed.iter().sum::<f32>() / 48.0;
            let variance = normed.iter().map(|x| x * x).sum::<f32>() / 48.0;
            prop_assert!(mean.abs() < 1e-4 && (variance - 1.0).abs() < 1e-3);
        }
    }
}
