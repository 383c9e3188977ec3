//! Attention of an encoder: every token of a text sees all of that text.
//!
//! Scores and mixtures are products of whole numbers: queries and keys are
//! rounded to 13 bits with a scale a row, weights to 13 bits, values to 11
//! bits with a scale a component. That is finer than the eight bits to which
//! the products around it round their input.

use std::ops::Range;

use rayon::prelude::*;

use crate::math::{coarse_exp2, fused};
use crate::pairs::{LANES, Pair, ROUND, ROWS, product, rounded};

/// Keys whose weighted values are added up as whole numbers: 128 * 8191 *
/// 2047 stays below 2^31.
const KEYS: usize = 128;
/// What a weight of 1 is rounded to.
const WEIGHT: f32 = 8191.0;
/// The exponent below which a weight is zero.
const LEAST: f32 = -40.0;
/// What the largest value of a component is rounded to.
const VALUE: f32 = 2047.0;

/// How a row is divided into attention heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    /// Attention heads.
    pub count: usize,
    /// Components of a head.
    pub width: usize,
}

/// Attention of texts packed one after the other, each to itself only.
///
/// `qkv` holds a row of `3 * heads.count * heads.width` a token: queries,
/// keys, values. `lengths` are the tokens of each text. `context` gets a row
/// of `heads.count * heads.width` a token.
///
/// # Panics
///
/// If the shapes don't fit.
pub fn packed_attention(qkv: &[f32], lengths: &[usize], heads: Heads, context: &mut [f32]) {
    let hidden = heads.count * heads.width;
    let tokens: usize = lengths.iter().sum();
    assert_eq!(qkv.len(), tokens * 3 * hidden, "a row a token");
    assert_eq!(context.len(), tokens * hidden, "room for a row a token");
    let mut end = 0;
    let texts: Vec<Range<usize>> = lengths
        .iter()
        .map(|length| {
            end += length;
            end - length..end
        })
        .collect();
    let output = Output {
        start: context.as_mut_ptr(),
        hidden,
    };
    let jobs = texts.len() * heads.count;
    (0..jobs)
        .into_par_iter()
        .for_each_init(Scratch::default, |scratch, job| {
            let (text, head) = (texts[job / heads.count].clone(), job % heads.count);
            let first = head * heads.width;
            let rows = &qkv[text.start * 3 * hidden..text.end * 3 * hidden];
            scratch.gather(rows, heads, first);
            scratch.attend(|row, column, values| {
                // SAFETY: the text has such a row, the head's columns of it
                // exist, and only this job writes them.
                unsafe { output.write(text.start + row, first + column, values) };
            });
        });
}

/// Where jobs write what they mixed.
struct Output {
    start: *mut f32,
    hidden: usize,
}

// SAFETY: jobs write to disjoint parts; see `packed_attention`.
unsafe impl Sync for Output {}

impl Output {
    /// # Safety
    ///
    /// The row must have room for `values` from `column` on, and nobody else
    /// may touch that part.
    #[inline(always)]
    unsafe fn write(&self, row: usize, column: usize, values: &[f32]) {
        // SAFETY: promised by the caller.
        unsafe {
            let to = self.start.add(row * self.hidden + column);
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len());
        }
    }
}

/// One head of one text, rounded and rearranged, in memory that the next one
/// uses again.
#[derive(Default)]
struct Scratch {
    length: usize,
    width: usize,
    /// `[length, width / 2]`.
    queries: Vec<Pair>,
    query_scales: Vec<f32>,
    /// Panels of `LANES` keys, `[length / LANES, width / 2, LANES]`, with
    /// any numbers behind the last key.
    keys: Vec<[Pair; LANES]>,
    key_scales: Vec<[f32; LANES]>,
    /// One key.
    key: Vec<Pair>,
    /// Panels of `LANES` components, `[width / LANES, length / 2, LANES]`,
    /// with any numbers behind the last key.
    values: Vec<[Pair; LANES]>,
    value_scales: Vec<[f32; LANES]>,
    /// Scores of `ROWS` queries, `[length / LANES]`.
    scores: [Vec<[f32; LANES]>; ROWS],
    /// The same as weights.
    weights: [Vec<[i16; LANES]>; ROWS],
    /// What `ROWS` queries see, `[ROWS, width / LANES]`.
    mixed: Vec<[f32; LANES]>,
}

impl Scratch {
    /// Takes a head that begins at column `first` from rows of queries, keys
    /// and values.
    fn gather(&mut self, rows: &[f32], heads: Heads, first: usize) {
        let width = heads.width;
        let hidden = heads.count * width;
        let rows = rows.chunks_exact(3 * hidden);
        (self.length, self.width) = (rows.len(), width);
        let part = |which: usize| which * hidden + first..which * hidden + first + width;
        let pairs = width.div_ceil(2);
        let panels = self.length.div_ceil(LANES);
        // The largest sum is that of `width` squares.
        let most = (0.999 * i32::MAX as f32 / (2 * pairs) as f32)
            .sqrt()
            .min(8191.0)
            .floor();
        // Scores are exponents of two, see `weigh`.
        let scale = std::f32::consts::LOG2_E / (width as f32).sqrt();
        self.queries.clear();
        self.query_scales.clear();
        // What stays of another head behind the last key counts nothing.
        self.keys.resize(panels * pairs, [[0; 2]; LANES]);
        self.key_scales.resize(panels, [0.0; LANES]);
        for (index, row) in rows.clone().enumerate() {
            let query = &row[part(0)];
            let inverse = inverse(most, largest(query));
            self.query_scales.push(scale / inverse);
            push_pairs(query, inverse, &mut self.queries);

            let key = &row[part(1)];
            let inverse = self::inverse(most, largest(key));
            let (panel, lane) = (index / LANES, index % LANES);
            self.key_scales[panel][lane] = 1.0 / inverse;
            self.key.clear();
            push_pairs(key, inverse, &mut self.key);
            let panel = &mut self.keys[panel * pairs..][..pairs];
            for (lanes, pair) in panel.iter_mut().zip(&self.key) {
                lanes[lane] = *pair;
            }
        }
        self.gather_values(rows.map(|row| &row[part(2)]));
    }

    fn gather_values<'a>(&mut self, rows: impl Iterator<Item = &'a [f32]> + Clone) {
        let panels = self.width.div_ceil(LANES);
        let steps = self.length.next_multiple_of(LANES) / 2;
        self.values.resize(panels * steps, [[0; 2]; LANES]);
        self.value_scales.clear();
        for (index, values) in self.values.chunks_exact_mut(steps).enumerate() {
            let first = index * LANES;
            let columns = first..self.width.min(first + LANES);
            let rows = rows.clone().map(|row| lanes_of(&row[columns.clone()]));
            let mut most = [0.0_f32; LANES];
            for row in rows.clone() {
                for (most, x) in most.iter_mut().zip(row) {
                    let x = x.abs();
                    *most = if x > *most { x } else { *most };
                }
            }
            let inverses = most.map(|most| inverse(VALUE, most));
            self.value_scales.push(inverses.map(|x| 1.0 / x));
            let mut rows = rows;
            for values in values {
                let Some(first) = rows.next() else { break };
                let second = rows.next().unwrap_or([0.0; LANES]);
                *values = std::array::from_fn(|lane| {
                    [first[lane], second[lane]].map(|x| rounded(x * inverses[lane]))
                });
            }
        }
    }

    /// Hands what each query sees to `write`: the row, the first column and
    /// what to write there.
    fn attend(&mut self, mut write: impl FnMut(usize, usize, &[f32])) {
        let panels = self.length.div_ceil(LANES);
        for (scores, weights) in self.scores.iter_mut().zip(&mut self.weights) {
            scores.resize(panels, [0.0; LANES]);
            weights.resize(panels, [0; LANES]);
        }
        let pairs = self.width.div_ceil(2);
        let panels = self.value_scales.len();
        self.mixed.resize(panels * ROWS, [0.0; LANES]);
        for start in (0..self.length).step_by(ROWS) {
            let rows = ROWS.min(self.length - start);
            // The first query stands in where there are fewer than four.
            let row = |index: usize| start + if index < rows { index } else { 0 };
            let queries = std::array::from_fn(|index| &self.queries[row(index) * pairs..][..pairs]);
            let scales = std::array::from_fn(|index| self.query_scales[row(index)]);
            score(
                &self.keys,
                &self.key_scales,
                queries,
                scales,
                &mut self.scores,
            );
            let mut sums = [0.0; ROWS];
            let both = self.scores.iter_mut().zip(&mut self.weights);
            for (sum, (scores, weights)) in sums.iter_mut().zip(both) {
                *sum = weigh(scores, self.length, weights);
            }
            let weights = self
                .weights
                .each_ref()
                .map(|weights| weights.as_flattened());
            let weights = weights.map(|weights| weights.as_chunks().0);
            let steps = self.values.len() / panels;
            let values = self.values.chunks_exact(steps).zip(&self.value_scales);
            for (index, (values, scales)) in values.enumerate() {
                let mixed = mix(values, weights);
                let to = self.mixed.iter_mut().skip(index).step_by(panels);
                for ((to, mixed), sum) in to.zip(&mixed).zip(sums) {
                    *to = std::array::from_fn(|lane| mixed[lane] * (scales[lane] / sum));
                }
            }
            for (index, mixed) in self.mixed.chunks_exact(panels).take(rows).enumerate() {
                for (panel, mixed) in mixed.iter().enumerate() {
                    let column = panel * LANES;
                    if column + LANES <= self.width {
                        // A known length, which is written without a call.
                        write(start + index, column, mixed);
                    } else {
                        write(start + index, column, &mixed[..self.width - column]);
                    }
                }
            }
        }
    }
}

/// Scores of four queries with all keys.
fn score(
    keys: &[[Pair; LANES]],
    key_scales: &[[f32; LANES]],
    queries: [&[Pair]; ROWS],
    query_scales: [f32; ROWS],
    scores: &mut [Vec<[f32; LANES]>; ROWS],
) {
    let panels = keys.chunks_exact(queries[0].len()).zip(key_scales);
    for (index, (panel, key_scales)) in panels.enumerate() {
        let sums = product(panel, queries);
        for ((scores, sums), query_scale) in scores.iter_mut().zip(&sums).zip(query_scales) {
            let scores = &mut scores[index];
            for ((score, sum), key_scale) in scores.iter_mut().zip(sums).zip(key_scales) {
                *score = *sum as f32 * (key_scale * query_scale);
            }
        }
    }
}

/// Turns the scores of the first `length` keys, in exponents of two, into
/// weights from 0 to [`WEIGHT`], and returns their sum.
fn weigh(scores: &mut [[f32; LANES]], length: usize, weights: &mut [[i16; LANES]]) -> f32 {
    // The last panel is filled up with keys that are not there.
    scores.as_flattened_mut()[length..].fill(f32::MIN);
    let mut most = [f32::MIN; LANES];
    for scores in &*scores {
        for (most, score) in most.iter_mut().zip(scores) {
            *most = if *score > *most { *score } else { *most };
        }
    }
    let most = greatest(most);
    let mut sums = [0.0_f32; LANES];
    for (scores, weights) in scores.iter().zip(weights) {
        for ((sum, weight), score) in sums.iter_mut().zip(weights).zip(scores) {
            // What is further below than this is rounded to zero, and is kept
            // off the exponents that there are not.
            let below = score - most;
            let below = if below > LEAST { below } else { LEAST };
            // Rounded before they are added, so that they add up to one.
            let round = fused(WEIGHT, coarse_exp2(below), ROUND);
            *weight = round.to_bits() as u16 as i16;
            *sum += round - ROUND;
        }
    }
    total(sums)
}

/// The values of sixteen components by the weights of four queries.
fn mix(values: &[[Pair; LANES]], weights: [&[Pair]; ROWS]) -> [[f32; LANES]; ROWS] {
    let mut mixed = [[0.0; LANES]; ROWS];
    for (index, values) in values.chunks(KEYS / 2).enumerate() {
        let weights = weights.map(|row| &row[index * KEYS / 2..][..values.len()]);
        let sums = product(values, weights);
        for (x, sum) in mixed.as_flattened_mut().iter_mut().zip(sums.as_flattened()) {
            *x += *sum as f32;
        }
    }
    mixed
}

/// What makes the largest of some numbers `most`.
fn inverse(most: f32, largest: f32) -> f32 {
    // Zeros stay zeros whatever they are multiplied by, and what is not
    // finite is the caller's own fault.
    if largest > f32::MIN_POSITIVE * 1e6 {
        most / largest
    } else {
        1.0
    }
}

fn largest(x: &[f32]) -> f32 {
    let mut most = [0.0_f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    // Arrays: slices of any length would be left scalar.
    for chunk in chunks {
        for (most, x) in most.iter_mut().zip(chunk) {
            let x = x.abs();
            *most = if x > *most { x } else { *most };
        }
    }
    rest.iter()
        .fold(greatest(most), |most, x| most.max(x.abs()))
}

/// Up to sixteen numbers, filled up with zeros: of a length that the compiler
/// knows, so that it makes vectors of them.
fn lanes_of(x: &[f32]) -> [f32; LANES] {
    x.as_array().copied().unwrap_or_else(|| {
        let mut lanes = [0.0; LANES];
        lanes[..x.len()].copy_from_slice(x);
        lanes
    })
}

/// Adds rounded numbers, two by two.
fn push_pairs(x: &[f32], inverse: f32, to: &mut Vec<Pair>) {
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        let numbers = chunk.map(|x| rounded(x * inverse));
        to.extend_from_slice(numbers.as_chunks().0);
    }
    let numbers = lanes_of(rest).map(|x| rounded(x * inverse));
    to.extend_from_slice(&numbers.as_chunks().0[..rest.len().div_ceil(2)]);
}

/// The largest of sixteen numbers, and [`total`] their sum: by halves, since
/// one after the other each would wait for the one before.
fn greatest(lanes: [f32; LANES]) -> f32 {
    halved(lanes, |a, b| if a > b { a } else { b })
}

fn total(lanes: [f32; LANES]) -> f32 {
    halved(lanes, |a, b| a + b)
}

#[inline(always)]
fn halved(lanes: [f32; LANES], both: impl Fn(f32, f32) -> f32) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|i| both(lanes[i], lanes[i + 8]));
    let four: [f32; 4] = std::array::from_fn(|i| both(eight[i], eight[i + 4]));
    both(both(four[0], four[2]), both(four[1], four[3]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Attention as the definition says it, in double precision.
    fn plain(qkv: &[f32], lengths: &[usize], heads: Heads) -> Vec<f64> {
        let hidden = heads.count * heads.width;
        let at = |token: usize, which: usize, head: usize, i: usize| {
            f64::from(qkv[token * 3 * hidden + which * hidden + head * heads.width + i])
        };
        let mut context = Vec::new();
        let mut start = 0;
        for &length in lengths {
            let text = start..start + length;
            for (token, head) in text
                .clone()
                .flat_map(|token| (0..heads.count).map(move |head| (token, head)))
            {
                let score = |other: usize| {
                    let dot: f64 = (0..heads.width)
                        .map(|i| at(token, 0, head, i) * at(other, 1, head, i))
                        .sum();
                    dot / (heads.width as f64).sqrt()
                };
                let most = text.clone().map(score).fold(f64::MIN, f64::max);
                let weights: Vec<f64> = text
                    .clone()
                    .map(|other| (score(other) - most).exp())
                    .collect();
                let total: f64 = weights.iter().sum();
                for i in 0..heads.width {
                    let values = text.clone().zip(&weights);
                    let mixed: f64 = values
                        .map(|(other, weight)| weight / total * at(other, 2, head, i))
                        .sum();
                    context.push(mixed);
                }
            }
            start += length;
        }
        context
    }

    fn check(qkv: &[f32], lengths: &[usize], heads: Heads) -> Result<(), TestCaseError> {
        let hidden = heads.count * heads.width;
        let mut found = vec![0.0; qkv.len() / 3];
        packed_attention(qkv, lengths, heads, &mut found);
        let wanted = plain(qkv, lengths, heads);
        let largest = qkv.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        // A score is off by as much as both sides of its product are.
        let score = largest * largest * (heads.width as f32).sqrt() / 4096.0;
        let allowed = f64::from(largest * (score.min(1.0) + 0.002));
        for (index, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            let apart = (f64::from(*found) - wanted).abs();
            prop_assert!(
                apart <= allowed,
                "{} {}: {found} {wanted}",
                index / hidden,
                index % hidden
            );
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_equals_its_definition(
            lengths in prop::collection::vec(1_usize..40, 1..4),
            width in prop::sample::select(vec![1, 5, 8, 16, 20, 32, 64]),
            seed in prop::collection::vec(-2.0_f32..2.0, 97),
            large in prop::sample::select(vec![0.01_f32, 1.0, 5.0]),
        ) {
            let heads = Heads { count: 2, width };
            let tokens: usize = lengths.iter().sum();
            let numbers = seed.iter().map(|x| x * large);
            let qkv: Vec<f32> = numbers.cycle().take(tokens * 6 * width).collect();
            check(&qkv, &lengths, heads)?;
        }

        /// The largest numbers there can be after rounding, all of one sign
        /// and alternating: no sum overflows.
        #[test]
        fn extremes_do_not_overflow(
            length in prop::sample::select(vec![1_usize, 127, 128, 129, 300]),
            width in prop::sample::select(vec![1, 31, 32, 128, 256]),
            signs in any::<u64>(),
        ) {
            let heads = Heads { count: 1, width };
            let sign = |i: usize| if signs >> (i % 64) & 1 == 1 { 1.0 } else { -1.0 };
            let alternating: Vec<f32> = (0..length * 3 * width).map(sign).collect();
            check(&alternating, &[length], heads)?;
            check(&vec![-1.0; length * 3 * width], &[length], heads)?;
            check(&vec![0.0; length * 3 * width], &[length], heads)?;
        }
    }
}
