//! Causal attention on the processor, without ever writing down all scores.
//!
//! Keys are taken 64 at a time; the sums of the softmax are corrected when a
//! larger score turns up (<https://arxiv.org/abs/2205.14135>). The heads that
//! share keys are worked on together, so that keys and values are read once.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use crate::kv::KvPages;
use crate::math::exp;
use crate::panel::{LANES, ROWS as TILE, product};
use crate::team::collect;

/// Keys that are scored together.
const KEYS: usize = 4 * KvPages::PAGE;
/// Keys whose values are mixed before they are added to those of the keys
/// before. Threads can share out the keys of one query by it, and since it is
/// so for every query, none comes out otherwise for that.
const CHUNK: usize = 8 * KEYS;
/// Queries of a job, over all heads that share keys: enough that unpacking
/// keys and values costs little, and what they need, 1.2 kB each with heads of
/// 128, stays in the second-level cache.
const QUERIES: usize = 192;
/// Queries of a head's job up to which its keys are shared out too.
const FEW: usize = 32;

impl KvPages {
    /// Causal attention of queries `[heads, count, width]`, whose last is at
    /// the position `total - 1`, over a layer's keys and values. Each
    /// `heads / kv_heads` queries share keys; each position sees `window`
    /// positions at most, itself and those right before it. Gives `[count,
    /// heads * width]`, row by row the same in any company.
    ///
    /// # Errors
    ///
    /// Fails on shapes that don't fit, on a window of nothing, where pages
    /// are missing, and on queries that are not single precision and in one
    /// piece on the processor.
    pub fn attend(
        &self,
        layer: usize,
        queries: &Tensor,
        total: usize,
        window: usize,
    ) -> Result<Tensor> {
        queries.apply_op1_no_bwd(&Attention {
            pages: self,
            layer,
            total,
            window,
        })
    }
}

struct Attention<'a> {
    pages: &'a KvPages,
    layer: usize,
    total: usize,
    window: usize,
}

impl CustomOp1 for Attention<'_> {
    fn name(&self) -> &'static str {
        "paged-attention"
    }

    fn cpu_fwd(&self, queries: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (heads, count, width) = layout.shape().dims3()?;
        let shape = self.pages.shape();
        let fits = width == shape.width
            && shape.heads > 0
            && heads > 0
            && heads.is_multiple_of(shape.heads)
            && self.layer < shape.layers
            && self.window > 0
            && (1..=self.total).contains(&count)
            && self.total <= self.pages.len() * KvPages::PAGE;
        let Some((from, to)) = layout.contiguous_offsets().filter(|_| fits) else {
            bail!(
                "attention of {layout:?} at {} over layer {} of {} pages of {shape:?}",
                self.total,
                self.layer,
                self.pages.len()
            );
        };
        let scene = Scene {
            queries: &queries.as_slice::<f32>()?[from..to],
            pages: self.pages,
            layer: self.layer,
            count,
            total: self.total,
            width,
            group: heads / shape.heads,
            window: self.window,
        };
        let mixed = scene.attend(shape.heads);
        Ok((CpuStorage::F32(mixed), Shape::from((count, heads * width))))
    }
}

struct Scene<'a> {
    queries: &'a [f32],
    pages: &'a KvPages,
    layer: usize,
    count: usize,
    total: usize,
    width: usize,
    /// Queries that share keys.
    group: usize,
    /// Keys that a query sees at most.
    window: usize,
}

/// The queries at some positions that share a head's keys, and the chunks of
/// keys that they are held against.
#[derive(Clone)]
struct Task {
    head: usize,
    positions: Range<usize>,
    chunks: Range<usize>,
}

impl Scene<'_> {
    fn attend(&self, kv_heads: usize) -> Vec<f32> {
        let step = (QUERIES / self.group).clamp(1, self.count);
        // The last positions have most to do, so they come first.
        let tasks = (0..self.count)
            .step_by(step)
            .rev()
            .flat_map(|start| {
                let positions = start..self.count.min(start + step);
                let chunks = self.chunks(&positions);
                (0..kv_heads).map(move |head| Task {
                    head,
                    positions: positions.clone(),
                    chunks: chunks.clone(),
                })
            })
            .collect::<Vec<_>>();
        let apart = self.count * self.group <= FEW;
        let jobs: Vec<Task> = tasks
            .iter()
            .flat_map(|task| {
                let size = if apart { 1 } else { task.chunks.len() };
                task.chunks.clone().step_by(size).map(move |first| Task {
                    chunks: first..task.chunks.end.min(first + size),
                    ..task.clone()
                })
            })
            .collect();
        let mut parts = collect(jobs.len(), |job| self.work(&jobs[job])).into_iter();
        let row = kv_heads * self.group * self.width;
        let mut mixed = vec![0.0; self.count * row];
        for task in tasks {
            let Some(mut state) = parts.next() else { break };
            if apart {
                for _ in 1..task.chunks.len() {
                    parts.next().iter().for_each(|part| state.add(part));
                }
            }
            let mut heads = state.rows();
            for member in 0..self.group {
                let column = (task.head * self.group + member) * self.width;
                for (position, (head, sum)) in task.positions.clone().zip(&mut heads) {
                    let to = &mut mixed[position * row + column..][..self.width];
                    for (to, x) in to.iter_mut().zip(head) {
                        *to = x / sum;
                    }
                }
            }
        }
        mixed
    }

    /// Where queries at these positions find keys: from the first that any of
    /// them sees.
    fn chunks(&self, positions: &Range<usize>) -> Range<usize> {
        let before = self.total - self.count;
        let first = (before + positions.start + 1).saturating_sub(self.window);
        first / CHUNK..(before + positions.end).div_ceil(CHUNK)
    }

    /// What the queries of one group see, `[group, positions, width]`.
    fn work(&self, task: &Task) -> State {
        let Task {
            head, positions, ..
        } = task;
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
        let mut scores = vec![[0.0f32; KEYS]; padded];
        let mut key_panels = vec![[0.0; LANES]; KEYS / LANES * width];
        let mut value_panels = vec![[0.0; LANES]; KEYS * panel_width / LANES];
        let end = before + positions.end;
        // Blocks begin where they would without a window, so that a row's
        // sums don't depend on its company.
        let first = (before + positions.start + 1).saturating_sub(self.window) / KEYS * KEYS;
        let mut whole: Option<State> = None;
        for chunk in task.chunks.clone() {
            let mut state = State::new(padded, panel_width);
            let keys = first.max(chunk * CHUNK)..end.min((chunk + 1) * CHUNK);
            for start in keys.step_by(KEYS) {
                let page = start / KvPages::PAGE;
                let panels = (&mut key_panels, &mut value_panels);
                self.pages
                    .unpack(self.layer, *head, page, panels.0, panels.1);
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
            match &mut whole {
                Some(whole) => whole.add(&state),
                None => whole = Some(state),
            }
        }
        whole.unwrap_or_else(|| State::new(padded, panel_width))
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
    fn new(rows: usize, width: usize) -> Self {
        Self {
            width,
            mixed: vec![0.0; rows * width],
            largest: vec![f32::NEG_INFINITY; rows],
            sums: vec![0.0; rows],
        }
    }

    /// Adds what was mixed of the keys behind these.
    fn add(&mut self, next: &Self) {
        let both = self.mixed.chunks_exact_mut(self.width);
        let both = both.zip(next.mixed.chunks_exact(self.width));
        for (row, (mixed, next_mixed)) in both.enumerate() {
            let (before, after) = (self.largest[row], next.largest[row]);
            // Nothing was seen there.
            if after == f32::NEG_INFINITY {
                continue;
            }
            let largest = before.max(after);
            let shrink = |x: f32| {
                // `exp` ends at -87; what lies below does not count.
                if x - largest < -87.0 {
                    0.0
                } else {
                    exp(x - largest)
                }
            };
            let shares = [before, after].map(shrink);
            self.largest[row] = largest;
            self.sums[row] = self.sums[row] * shares[0] + next.sums[row] * shares[1];
            for (x, y) in mixed.iter_mut().zip(next_mixed) {
                *x = *x * shares[0] + y * shares[1];
            }
        }
    }

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

    /// What was mixed of each query, and the sum of its weights.
    fn rows(&self) -> impl Iterator<Item = (&[f32], f32)> {
        let rows = self.mixed.chunks_exact(self.width);
        rows.zip(self.sums.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{D, DType, Device};

    use super::*;
    use crate::kv::{KvPrecision, KvShape};

    fn tensor(shape: (usize, usize, usize), seed: f32) -> Tensor {
        let numbers: Vec<f32> = (0..shape.0 * shape.1 * shape.2)
            .map(|i| ((i as f32 + seed) * 0.731).sin() * 3.0)
            .collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu).expect("as many as the shape says")
    }

    /// Keys and values as the middle one of three layers.
    fn pages(precision: KvPrecision, keys: &Tensor, values: &Tensor) -> Result<KvPages> {
        let (heads, _, width) = keys.dims3()?;
        let mut pages = KvPages::new(KvShape {
            layers: 3,
            heads,
            width,
            precision,
        });
        for layer in 0..3 {
            let factor = [7.0, 1.0, 5.0][layer];
            pages.write(layer, 0, &(keys * factor)?, &(values * factor)?)?;
        }
        Ok(pages)
    }

    fn attend(
        precision: KvPrecision,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        window: usize,
    ) -> Result<Tensor> {
        let pages = pages(precision, keys, values)?;
        pages.attend(1, queries, keys.dim(1)?, window)
    }

    /// Rounded to 16 bits.
    fn halved(x: &Tensor) -> Result<Tensor> {
        x.to_dtype(DType::F16)?.to_dtype(DType::F32)
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
            (6, 2, 1, 1100, 32),
            (12, 2, 70, 150, 128),
            (4, 1, 530, 1060, 8),
            (3, 3, 65, 65, 24),
            (9, 3, 5, 64, 64),
            (1, 1, 1, 1, 2),
        ] {
            let queries = tensor((heads, count, width), 0.0);
            let [keys, values] = [1.0, 2.0].map(|seed| tensor((kv_heads, total, width), seed));
            for window in [1, 5, 63, 64, 65, 600, usize::MAX] {
                for precision in [KvPrecision::Single, KvPrecision::Half] {
                    let found = attend(precision, &queries, &keys, &values, window)?;
                    let [keys, values] = match precision {
                        KvPrecision::Single => [keys.clone(), values.clone()],
                        KvPrecision::Half => [halved(&keys)?, halved(&values)?],
                    };
                    let wanted = wanted(&queries, &keys, &values, window)?;
                    let apart = (&found - wanted)?.abs()?.max_all()?.to_scalar::<f32>()?;
                    assert!(
                        apart < 1e-4,
                        "{heads} {kv_heads} {count} {total} {width} {window}: {apart}"
                    );
                }
            }
            assert!(attend(KvPrecision::Half, &queries, &keys, &values, 0).is_err());
        }
        Ok(())
    }

    /// Guesses and prompts in pieces rest on this.
    #[test]
    fn a_row_is_the_same_in_any_company() -> Result<()> {
        let (heads, kv_heads, count, total, width) = (4, 2, 900, 1300, 16);
        let queries = tensor((heads, count, width), 0.0);
        let [keys, values] = [1.0, 2.0].map(|seed| tensor((kv_heads, total, width), seed));
        let pages = pages(KvPrecision::Half, &keys, &values)?;
        for window in [1, 20, 64, 100, 513, usize::MAX] {
            let together = pages.attend(1, &queries, total, window)?;
            for row in [0, 1, 63, 64, 111, 112, 623, 624, 899] {
                let end = total - count + row + 1;
                let alone = queries.narrow(1, row, 1)?.contiguous()?;
                let alone = pages.attend(1, &alone, end, window)?;
                let row = together.narrow(0, row, 1)?;
                assert_eq!(row.to_vec2::<f32>()?, alone.to_vec2::<f32>()?);
            }
        }
        Ok(())
    }

    #[test]
    fn shapes_that_do_not_fit_are_errors() -> Result<()> {
        let pages = pages(
            KvPrecision::Half,
            &tensor((2, 16, 8), 0.0),
            &tensor((2, 16, 8), 0.0),
        )?;
        let attend = |layer, queries, total| {
            pages
                .attend(layer, &tensor(queries, 0.0), total, 9)
                .map(drop)
        };
        assert!(attend(2, (4, 3, 8), 16).is_ok());
        for (layer, queries, total) in [
            (3, (4, 3, 8), 16),
            (2, (3, 3, 8), 16),
            (2, (4, 3, 4), 16),
            (2, (4, 3, 8), 17),
            (2, (4, 3, 8), 2),
        ] {
            assert!(attend(layer, queries, total).is_err());
        }
        let turned = tensor((4, 8, 3), 0.0).t()?;
        assert!(pages.attend(0, &turned, 16, 9).is_err());
        Ok(())
    }
}
