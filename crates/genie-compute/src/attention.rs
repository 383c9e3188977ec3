//! Causal attention on the processor, without ever writing down all scores.
//!
//! Keys are taken 64 at a time; the sums of the softmax are corrected when a
//! larger score turns up (<https://arxiv.org/abs/2205.14135>). The heads that
//! share keys are worked on together, so that keys and values are read once.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};

use crate::math::exp;
use crate::panel::{LANES, ROWS as TILE, product};
use crate::team::collect;

/// Keys that are scored together.
const KEYS: usize = 64;
/// Queries of a job, over all heads that share keys: enough that rearranging
/// keys and values costs little, and what they need, 1.2 kB each with heads of
/// 128, stays in the second-level cache.
const QUERIES: usize = 192;

/// Causal attention of queries `[heads, count, width]` over keys and values
/// `[kv_heads, total, width]`, whose last `count` positions are those of the
/// queries. Each `heads / kv_heads` queries share keys. Gives `[count, heads *
/// width]`.
///
/// # Errors
///
/// Fails on shapes that don't fit, and on tensors that are not single
/// precision on the processor.
pub fn causal_attention(queries: &Tensor, keys: &Tensor, values: &Tensor) -> Result<Tensor> {
    windowed_attention(queries, keys, values, usize::MAX)
}

/// [`causal_attention`] in which each position sees `window` positions at
/// most, itself and those right before it.
///
/// # Errors
///
/// As [`causal_attention`], and on a window of nothing.
pub fn windowed_attention(
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    window: usize,
) -> Result<Tensor> {
    queries.apply_op3_no_bwd(keys, values, &CausalAttention { window })
}

struct CausalAttention {
    window: usize,
}

impl CustomOp3 for CausalAttention {
    fn name(&self) -> &'static str {
        "causal-attention"
    }

    fn cpu_fwd(
        &self,
        queries: &CpuStorage,
        queries_layout: &Layout,
        keys: &CpuStorage,
        keys_layout: &Layout,
        values: &CpuStorage,
        values_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (heads, count, width) = queries_layout.shape().dims3()?;
        let (kv_heads, total, _) = keys_layout.shape().dims3()?;
        let fits = keys_layout.shape() == values_layout.shape()
            && keys_layout.shape().dims3()?.2 == width
            && kv_heads > 0
            && heads.is_multiple_of(kv_heads)
            && self.window > 0
            && (1..=total).contains(&count);
        let Some((from, to)) = queries_layout.contiguous_offsets().filter(|_| fits) else {
            bail!("attention of {queries_layout:?} over {keys_layout:?} and {values_layout:?}");
        };
        let scene = Scene {
            queries: &queries.as_slice::<f32>()?[from..to],
            keys: Heads::new(keys.as_slice()?, keys_layout)?,
            values: Heads::new(values.as_slice()?, values_layout)?,
            count,
            total,
            width,
            group: heads / kv_heads,
            window: self.window,
        };
        let mixed = scene.attend(kv_heads);
        Ok((CpuStorage::F32(mixed), Shape::from((count, heads * width))))
    }
}

/// The rows of some heads in memory that may be larger.
#[derive(Clone, Copy)]
struct Heads<'a> {
    floats: &'a [f32],
    stride: usize,
    width: usize,
}

impl<'a> Heads<'a> {
    fn new(floats: &'a [f32], layout: &Layout) -> Result<Self> {
        let (_, _, width) = layout.shape().dims3()?;
        let [stride, row, 1] = *layout.stride() else {
            bail!("rows without gaps are needed, not {layout:?}");
        };
        if row != width {
            bail!("rows without gaps are needed, not {layout:?}");
        }
        Ok(Self {
            floats: &floats[layout.start_offset()..],
            stride,
            width,
        })
    }

    fn rows(&self, head: usize, rows: Range<usize>) -> &'a [f32] {
        let start = head * self.stride;
        &self.floats[start + rows.start * self.width..start + rows.end * self.width]
    }
}

struct Scene<'a> {
    queries: &'a [f32],
    keys: Heads<'a>,
    values: Heads<'a>,
    count: usize,
    total: usize,
    width: usize,
    /// Queries that share keys.
    group: usize,
    /// Keys that a query sees at most.
    window: usize,
}

impl Scene<'_> {
    fn attend(&self, kv_heads: usize) -> Vec<f32> {
        let step = (QUERIES / self.group).clamp(1, self.count);
        // The last positions have most to do, so they come first.
        let jobs: Vec<(usize, Range<usize>)> = (0..self.count)
            .step_by(step)
            .rev()
            .flat_map(|start| {
                let positions = start..self.count.min(start + step);
                (0..kv_heads).map(move |head| (head, positions.clone()))
            })
            .collect();
        let parts = collect(jobs.len(), |job| {
            let (head, positions) = &jobs[job];
            self.job(*head, positions.clone())
        });
        let row = kv_heads * self.group * self.width;
        let mut mixed = vec![0.0; self.count * row];
        for ((head, positions), part) in jobs.into_iter().zip(&parts) {
            let mut heads = part.chunks_exact(self.width);
            for member in 0..self.group {
                let column = (head * self.group + member) * self.width;
                for (position, head) in positions.clone().zip(&mut heads) {
                    mixed[position * row + column..][..self.width].copy_from_slice(head);
                }
            }
        }
        mixed
    }

    /// What the queries of one group see, `[group, positions, width]`.
    fn job(&self, head: usize, positions: Range<usize>) -> Vec<f32> {
        let width = self.width;
        let rows = self.group * positions.len();
        let padded = rows.next_multiple_of(TILE);
        let scale = 1.0 / (width as f32).sqrt();
        let mut queries = Vec::with_capacity(padded * width);
        for member in 0..self.group {
            let first = (head * self.group + member) * self.count;
            let part = first + positions.start..first + positions.end;
            let part = &self.queries[part.start * width..part.end * width];
            queries.extend(part.iter().map(|query| query * scale));
        }
        queries.resize(padded * width, 0.0);

        let before = self.total - self.count;
        let panel_width = width.next_multiple_of(LANES);
        let mut state = State {
            width: panel_width,
            mixed: vec![0.0; padded * panel_width],
            largest: vec![f32::NEG_INFINITY; padded],
            sums: vec![0.0; padded],
        };
        let mut scores = vec![[0.0f32; KEYS]; padded];
        let mut key_panels = vec![[0.0; LANES]; KEYS / LANES * width];
        let mut value_panels = vec![[0.0; LANES]; KEYS * panel_width / LANES];
        let end = before + positions.end;
        // The first key that any of them sees. Blocks begin where they would
        // without a window, so that a row's sums don't depend on its company.
        let first = (before + positions.start + 1).saturating_sub(self.window);
        for start in (first / KEYS * KEYS..end).step_by(KEYS) {
            let keys = start..end.min(start + KEYS);
            pack_keys(self.keys.rows(head, keys.clone()), width, &mut key_panels);
            pack_values(self.values.rows(head, keys), width, &mut value_panels);
            score(&queries, &key_panels, width, &mut scores);
            for (row, scores) in scores[..rows].iter_mut().enumerate() {
                let position = before + positions.start + row % positions.len();
                let seen = (position + 1).saturating_sub(start).min(KEYS);
                scores[seen..].fill(f32::NEG_INFINITY);
                let past = (position + 1).saturating_sub(self.window);
                scores[..past.saturating_sub(start).min(KEYS)].fill(f32::NEG_INFINITY);
                state.weigh(row, scores);
            }
            state.mix(&scores, &value_panels);
        }
        state.finish(rows, width)
    }
}

/// Rows of keys as panels of sixteen, filled up with zeros: `[KEYS / LANES,
/// width, LANES]`.
fn pack_keys(keys: &[f32], width: usize, panels: &mut [[f32; LANES]]) {
    if keys.len() < panels.as_flattened().len() {
        panels.as_flattened_mut().fill(0.0);
    }
    let groups = keys.chunks(LANES * width);
    for (panel, keys) in panels.chunks_exact_mut(width).zip(groups) {
        for (lane, key) in keys.chunks_exact(width).enumerate() {
            for (lanes, x) in panel.iter_mut().zip(key) {
                lanes[lane] = *x;
            }
        }
    }
}

/// Rows of values as panels of sixteen columns: `[width / LANES, KEYS,
/// LANES]`. What a short block leaves standing from the one before is met by
/// weights of zero.
fn pack_values(values: &[f32], width: usize, panels: &mut [[f32; LANES]]) {
    for (key, row) in values.chunks_exact(width).enumerate() {
        for (panel, part) in panels.chunks_exact_mut(KEYS).zip(row.chunks(LANES)) {
            panel[key][..part.len()].copy_from_slice(part);
        }
    }
}

fn score(queries: &[f32], panels: &[[f32; LANES]], width: usize, scores: &mut [[f32; KEYS]]) {
    let tiles = queries.chunks_exact(TILE * width);
    for (queries, scores) in tiles.zip(scores.chunks_exact_mut(TILE)) {
        let rows = std::array::from_fn(|row| &queries[row * width..][..width]);
        for (index, panel) in panels.chunks_exact(width).enumerate() {
            let sums = product(panel, rows);
            for (scores, sums) in scores.iter_mut().zip(&sums) {
                scores[index * LANES..][..LANES].copy_from_slice(sums);
            }
        }
    }
}

/// What was mixed so far.
struct State {
    /// A multiple of `LANES`.
    width: usize,
    /// `[queries, width]`, to be divided by the sums.
    mixed: Vec<f32>,
    /// The largest score of each query.
    largest: Vec<f32>,
    /// The sum of each query's weights.
    sums: Vec<f32>,
}

impl State {
    /// Turns scores into weights, relative to the largest score so far.
    fn weigh(&mut self, row: usize, scores: &mut [f32; KEYS]) {
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for chunk in scores.as_chunks::<LANES>().0 {
            lanes = std::array::from_fn(|lane| lanes[lane].max(chunk[lane]));
        }
        let before = self.largest[row];
        let largest = lanes.into_iter().fold(before, f32::max);
        if largest == f32::NEG_INFINITY {
            // Nothing seen yet.
            scores.fill(0.0);
            return;
        }
        if largest > before {
            let shrink = if before == f32::NEG_INFINITY {
                0.0
            } else {
                exp(before - largest)
            };
            self.largest[row] = largest;
            self.sums[row] *= shrink;
            for x in &mut self.mixed[row * self.width..][..self.width] {
                *x *= shrink;
            }
        }
        let mut sums = [0.0f32; LANES];
        for chunk in scores.as_chunks_mut::<LANES>().0 {
            for (sum, score) in sums.iter_mut().zip(chunk) {
                // `exp` ends at -87; what lies below does not count.
                let difference = *score - largest;
                let weight = if difference < -87.0 {
                    0.0
                } else {
                    exp(difference)
                };
                *score = weight;
                *sum += weight;
            }
        }
        self.sums[row] += sums.iter().sum::<f32>();
    }

    /// Adds the values, panels of `[KEYS, LANES]`, by their weights.
    fn mix(&mut self, weights: &[[f32; KEYS]], panels: &[[f32; LANES]]) {
        let tiles = self.mixed.chunks_exact_mut(TILE * self.width);
        for (mixed, weights) in tiles.zip(weights.as_chunks::<TILE>().0) {
            let weights = weights.each_ref().map(<[f32; KEYS]>::as_slice);
            for (index, panel) in panels.chunks_exact(KEYS).enumerate() {
                let sums = product(panel, weights);
                for (row, sums) in mixed.chunks_exact_mut(self.width).zip(&sums) {
                    for (x, sum) in row[index * LANES..][..LANES].iter_mut().zip(sums) {
                        *x += sum;
                    }
                }
            }
        }
    }

    /// `[rows, width]` of what was mixed.
    fn finish(&self, rows: usize, width: usize) -> Vec<f32> {
        let mut mixed = Vec::with_capacity(rows * width);
        let all = self.mixed.chunks_exact(self.width).zip(&self.sums);
        for (row, sum) in all.take(rows) {
            mixed.extend(row[..width].iter().map(|x| x / sum));
        }
        mixed
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{D, Device};

    use super::*;

    fn tensor(shape: (usize, usize, usize), seed: f32) -> Tensor {
        let numbers: Vec<f32> = (0..shape.0 * shape.1 * shape.2)
            .map(|i| ((i as f32 + seed) * 0.731).sin() * 3.0)
            .collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu).expect("as many as the shape says")
    }

    /// The same by candle's operations.
    fn wanted(queries: &Tensor, keys: &Tensor, values: &Tensor, window: usize) -> Result<Tensor> {
        let (heads, count, width) = queries.dims3()?;
        let (kv_heads, total, _) = keys.dims3()?;
        let repeat = |x: &Tensor| {
            let shape = (kv_heads, heads / kv_heads, total, width);
            x.unsqueeze(1)?
                .broadcast_as(shape)?
                .reshape((heads, total, width))
        };
        let mask: Vec<f32> = (0..count)
            .flat_map(|row| {
                let seen = total - count + row;
                let visible = move |key| key <= seen && seen - key < window;
                (0..total).map(move |key| if visible(key) { 0.0 } else { f32::NEG_INFINITY })
            })
            .collect();
        let mask = Tensor::from_vec(mask, (1, count, total), &Device::Cpu)?;
        let scores = (queries.matmul(&repeat(keys)?.t()?.contiguous()?)? / (width as f64).sqrt())?;
        let scores = scores.broadcast_add(&mask)?;
        let largest = scores.max_keepdim(D::Minus1)?;
        let weights = scores.broadcast_sub(&largest)?.exp()?;
        let weights = weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)?;
        let mixed = weights.matmul(&repeat(values)?)?;
        mixed
            .transpose(0, 1)?
            .contiguous()?
            .reshape((count, heads * width))
    }

    #[test]
    fn it_equals_the_composed_operations() -> Result<()> {
        for (heads, kv_heads, count, total, width) in [
            (4, 2, 7, 7, 16),
            (6, 1, 1, 200, 64),
            (12, 2, 70, 150, 128),
            (3, 3, 65, 65, 24),
            (9, 3, 5, 64, 64),
            (1, 1, 1, 1, 2),
        ] {
            let queries = tensor((heads, count, width), 0.0);
            // Views of a larger cache, as the decoder has them.
            let cache = |seed| tensor((kv_heads, total + 9, width), seed).narrow(1, 0, total);
            let (keys, values) = (cache(1.0)?, cache(2.0)?);
            let all = causal_attention(&queries, &keys, &values)?;
            let (keys_alone, values_alone) = (keys.contiguous()?, values.contiguous()?);
            for window in [1, 5, 63, 64, 65, usize::MAX] {
                let found = windowed_attention(&queries, &keys, &values, window)?;
                let wanted = wanted(&queries, &keys_alone, &values_alone, window)?;
                let apart = (&found - wanted)?.abs()?.max_all()?.to_scalar::<f32>()?;
                assert!(
                    apart < 1e-4,
                    "{heads} {kv_heads} {count} {total} {width} {window}: {apart}"
                );
                if window >= total {
                    assert_eq!(found.to_vec2::<f32>()?, all.to_vec2::<f32>()?);
                }
            }
            assert!(windowed_attention(&queries, &keys, &values, 0).is_err());
        }
        Ok(())
    }

    /// Guesses and prompts in pieces rest on this.
    #[test]
    fn a_row_in_a_window_is_the_same_in_any_company() -> Result<()> {
        let (heads, kv_heads, count, total, width) = (4, 2, 130, 190, 16);
        let queries = tensor((heads, count, width), 0.0);
        let [keys, values] = [1.0, 2.0].map(|seed| tensor((kv_heads, total, width), seed));
        for window in [1, 20, 64, 100] {
            let together = windowed_attention(&queries, &keys, &values, window)?;
            for row in [0, 1, 63, 64, 129] {
                let end = total - count + row + 1;
                let alone = windowed_attention(
                    &queries.narrow(1, row, 1)?.contiguous()?,
                    &keys.narrow(1, 0, end)?,
                    &values.narrow(1, 0, end)?,
                    window,
                )?;
                let row = together.narrow(0, row, 1)?;
                assert_eq!(row.to_vec2::<f32>()?, alone.to_vec2::<f32>()?);
            }
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() {
        let attend = |q, k, v| causal_attention(&tensor(q, 0.0), &tensor(k, 0.0), &tensor(v, 0.0));
        assert!(attend((4, 3, 8), (2, 3, 8), (2, 3, 8)).is_ok());
        assert!(attend((4, 3, 8), (3, 3, 8), (3, 3, 8)).is_err());
        assert!(attend((4, 3, 8), (2, 2, 8), (2, 2, 8)).is_err());
        assert!(attend((4, 3, 8), (2, 3, 4), (2, 3, 4)).is_err());
        assert!(attend((4, 3, 8), (2, 3, 8), (2, 4, 8)).is_err());
    }
}
