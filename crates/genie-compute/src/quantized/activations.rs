//! The input of a product, rounded to eight bits.
//!
//! The rounding is that of llama.cpp, so that the same file gives the same
//! whole numbers there and here: one scale for each 32 columns (Q8_0, Q8_1)
//! or for each 256 (Q8_K).

use half::f16;
use rayon::prelude::*;

use super::format::{BLOCK, Format, PANEL};

/// Rows of eight-bit numbers with their scales and sums.
#[derive(Debug)]
pub(super) struct Activations {
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// `[panels, rows, columns of the panel]`: what meets a panel of weights
    /// lies in one piece.
    numbers: Vec<i8>,
    /// `[rows, blocks]`: what a number of a block has to be multiplied by.
    pub(super) scales: Vec<f32>,
    /// `[rows, sums_per_row]`: sums of the numbers of each 16 or 32 columns.
    pub(super) sums: Vec<i16>,
    /// `[rows, blocks]`: the sums in single precision, scaled, for Q4_1.
    pub(super) scaled_sums: Vec<f32>,
    /// Columns that a scale stands for.
    pub(super) block: usize,
    /// Columns that a sum stands for.
    pub(super) sum_columns: usize,
}

impl Activations {
    /// Rounds `x`, rows of `columns` each, for a product with `format`.
    pub(super) fn new(x: &[f32], columns: usize, format: Format) -> Self {
        let rows = x.len() / columns;
        let block = format.columns();
        let sum_columns = if format == Format::Q6K { 16 } else { BLOCK };
        let mut this = Self {
            rows,
            columns,
            numbers: vec![0; x.len()],
            scales: vec![0.0; x.len() / block],
            sums: vec![0; x.len() / sum_columns],
            scaled_sums: Vec::new(),
            block,
            sum_columns,
        };
        if format == Format::Q4_1 {
            this.scaled_sums = vec![0.0; x.len() / block];
        }
        let round = |x: &[f32], numbers: &mut [i8], scales: &mut [f32], sums: &mut [i16]| {
            for ((x, numbers), scale) in x
                .chunks_exact(block)
                .zip(numbers.chunks_exact_mut(block))
                .zip(scales)
            {
                *scale = if block == PANEL {
                    round_panel(x, numbers)
                } else {
                    round_block(x, numbers)
                };
            }
            for (sum, numbers) in sums.iter_mut().zip(numbers.chunks_exact(sum_columns)) {
                *sum = numbers.iter().map(|number| i16::from(*number)).sum();
            }
        };
        if rows == 1 {
            round(x, &mut this.numbers, &mut this.scales, &mut this.sums);
        } else {
            x.par_chunks_exact(columns)
                .zip(this.numbers.par_chunks_exact_mut(columns))
                .zip(this.scales.par_chunks_exact_mut(columns / block))
                .zip(this.sums.par_chunks_exact_mut(columns / sum_columns))
                .for_each(|(((x, numbers), scales), sums)| round(x, numbers, scales, sums));
        }
        if block == BLOCK {
            this.finish_blocks();
        }
        if rows > 1 {
            this.numbers = by_panel(&this.numbers, rows, columns);
        }
        this
    }

    /// The scales of 32 columns are kept in half precision, and so are the
    /// scaled sums.
    fn finish_blocks(&mut self) {
        let half = |number: f32| f16::from_f32(number).to_f32();
        for ((scaled, scale), sum) in self
            .scaled_sums
            .iter_mut()
            .zip(&self.scales)
            .zip(&self.sums)
        {
            *scaled = half(scale * f32::from(*sum));
        }
        for scale in &mut self.scales {
            *scale = half(*scale);
        }
    }

    /// What of a row meets the given panel.
    #[inline(always)]
    pub(super) fn row(&self, row: usize, panel: usize) -> Row<'_> {
        let first = panel * PANEL;
        let width = PANEL.min(self.columns - first);
        // Both are powers of two, which the compiler can't know.
        let part = |per: usize| {
            let shift = per.trailing_zeros();
            let start = (row * self.columns + first) >> shift;
            start..start + (width >> shift)
        };
        Row {
            numbers: &self.numbers[first * self.rows + row * width..][..width],
            scales: &self.scales[part(self.block)],
            sums: &self.sums[part(self.sum_columns)],
            scaled_sums: if self.scaled_sums.is_empty() {
                &[]
            } else {
                &self.scaled_sums[part(self.block)]
            },
        }
    }
}

/// Rows cut into panels, and all pieces of a panel together.
fn by_panel(numbers: &[i8], rows: usize, columns: usize) -> Vec<i8> {
    let mut panels = vec![0; numbers.len()];
    panels
        .par_chunks_mut(PANEL * rows)
        .enumerate()
        .for_each(|(index, panel)| {
            let width = panel.len() / rows;
            for (piece, row) in panel
                .chunks_exact_mut(width)
                .zip(numbers.chunks_exact(columns))
            {
                piece.copy_from_slice(&row[index * PANEL..][..width]);
            }
        });
    panels
}

/// A panel of one row of [`Activations`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) numbers: &'a [i8],
    pub(super) scales: &'a [f32],
    pub(super) sums: &'a [i16],
    pub(super) scaled_sums: &'a [f32],
}

/// Adding and subtracting 1.5 * 2^23 rounds to the nearest whole number, ties
/// to even, and leaves it in the low bits.
const ROUND: f32 = 12_582_912.0;

fn rounded(x: f32) -> i32 {
    (x + ROUND).to_bits().cast_signed() - ROUND.to_bits().cast_signed()
}

/// The largest absolute value, in lanes that become vectors.
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for chunk in x.chunks_exact(16) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            let x = x.abs();
            *lane = if x > *lane { x } else { *lane };
        }
    }
    lanes.into_iter().fold(0.0, f32::max)
}

/// 32 columns, symmetric: the largest becomes 127.
fn round_block(x: &[f32], numbers: &mut [i8]) -> f32 {
    let most = largest(x);
    let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
    for (number, x) in numbers.iter_mut().zip(x) {
        *number = rounded(x * inverse) as i8;
    }
    most / 127.0
}

/// 256 columns: the number furthest from zero, whatever its sign, becomes
/// -127.
fn round_panel(x: &[f32], numbers: &mut [i8]) -> f32 {
    let most = largest(x);
    if most == 0.0 || !most.is_finite() {
        numbers.fill(0);
        return 0.0;
    }
    let furthest = x.iter().copied().find(|x| x.abs() == most).unwrap_or(most);
    let inverse = -127.0 / furthest;
    for (number, x) in numbers.iter_mut().zip(x) {
        *number = rounded(x * inverse).min(127) as i8;
    }
    1.0 / inverse
}
