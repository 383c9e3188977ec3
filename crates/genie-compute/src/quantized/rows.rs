//! Products that share their input and hand on their output rounded, for
//! encoders: many rows at once, and no tensor in between.

use std::ops::Range;

use candle_core::quantized::GgmlDType;
use rayon::prelude::*;

use super::activations::Activations;
use super::format::{BLOCK, Format, TILE};
use super::{INPUT_ROWS, Output, QuantizedMatrix, Scratch};
use crate::math::gelu;

/// Tiles that one job works on: together they make a block of output.
const BAND: usize = BLOCK / TILE;

/// Rows rounded to eight bits, as products with one format of weights want
/// them.
#[derive(Debug)]
pub struct QuantizedRows(Activations);

impl Default for QuantizedRows {
    /// No rows yet.
    fn default() -> Self {
        Self(Activations::empty(BLOCK, Format::Q8_0))
    }
}

impl QuantizedRows {
    /// Rounds the rows of `x` for products with `matrix` and with others of
    /// its type and width, in the memory of those before.
    ///
    /// # Panics
    ///
    /// If `x` is not whole rows.
    pub fn fill(&mut self, x: &[f32], matrix: &QuantizedMatrix) {
        assert!(x.len().is_multiple_of(matrix.columns), "whole rows");
        self.aim(matrix);
        self.0.fill(x);
    }

    const fn aim(&mut self, matrix: &QuantizedMatrix) {
        (self.0.columns, self.0.format) = (matrix.columns, matrix.format);
    }
}

impl QuantizedMatrix {
    /// Whether a matrix of this type and number of columns can stand behind
    /// another in [`QuantizedMatrix::multiply_gelu`]: its blocks have 32
    /// columns.
    #[must_use]
    pub fn has_short_blocks(dtype: GgmlDType, columns: usize) -> bool {
        Self::supports(dtype, columns)
            && Format::of(dtype).is_some_and(|format| format.columns() == BLOCK)
    }

    /// The product and a bias a column: `[n, rows]` into `output`.
    ///
    /// # Panics
    ///
    /// If the shapes don't fit, or the input is for another format.
    pub fn multiply_biased(&self, input: &QuantizedRows, bias: &[f32], output: &mut [f32]) {
        let input = self.fitting(input, bias);
        assert_eq!(output.len(), input.rows * self.rows, "room for the product");
        let output = Output {
            start: output.as_mut_ptr(),
            width: self.rows,
        };
        self.bands(input, |rows, first, tiles| {
            for (tile, sums) in tiles.into_iter().enumerate() {
                let first = first + tile * TILE;
                let bias = &bias[first..self.rows.min(first + TILE)];
                for (row, sums) in rows.clone().zip(sums) {
                    // A known length, which the compiler turns into vectors.
                    if let Some(bias) = bias.as_array::<TILE>() {
                        let sums: [f32; TILE] = std::array::from_fn(|lane| sums[lane] + bias[lane]);
                        // SAFETY: there is such a row, these columns of it
                        // exist, and only this job writes them.
                        unsafe { output.write(row, first, &sums) };
                        continue;
                    }
                    for (sum, bias) in sums.iter_mut().zip(bias) {
                        *sum += bias;
                    }
                    // SAFETY: as above.
                    unsafe { output.write(row, first, &sums[..bias.len()]) };
                }
            }
        });
    }

    /// The product and a bias a column, GELU, and the result rounded as the
    /// input of `next`.
    ///
    /// # Panics
    ///
    /// If the shapes don't fit, or `next` has blocks of more than 32 columns.
    pub fn multiply_gelu(
        &self,
        input: &QuantizedRows,
        bias: &[f32],
        next: &Self,
        output: &mut QuantizedRows,
    ) {
        let input = self.fitting(input, bias);
        assert_eq!(next.columns, self.rows, "the next matrix is as wide");
        assert_eq!(next.format.columns(), BLOCK, "short blocks");
        output.aim(next);
        let places = output.0.places(input.rows);
        let (biases, _) = bias.as_chunks::<BLOCK>();
        self.bands(input, |rows, first, [low, high]| {
            let bias = &biases[first / BLOCK];
            for (row, (low, high)) in rows.zip(low.iter().zip(high.iter())) {
                // Of a known length: one that is not would be left scalar.
                let mut block = [0.0; BLOCK];
                block[..TILE].copy_from_slice(low);
                block[TILE..].copy_from_slice(high);
                for (x, bias) in block.iter_mut().zip(bias) {
                    *x = gelu(*x + bias);
                }
                // SAFETY: only this job writes these columns of the row.
                unsafe { places.write_block(row, first, &block) };
            }
        });
    }

    fn fitting<'a>(&self, input: &'a QuantizedRows, bias: &[f32]) -> &'a Activations {
        assert_eq!(input.0.columns, self.columns, "as many columns");
        assert_eq!(input.0.format, self.format, "rounded for this format");
        assert_eq!(bias.len(), self.rows, "a bias a column");
        &input.0
    }

    /// Hands the products with two tiles at a time to `each`: which rows of
    /// input, the first column of output, and sixteen columns of each row
    /// twice. The last band may have one tile only.
    fn bands(
        &self,
        input: &Activations,
        each: impl Fn(Range<usize>, usize, [&mut [[f32; TILE]]; BAND]) + Sync,
    ) {
        let tiles = self.rows.div_ceil(TILE);
        let bands = tiles.div_ceil(BAND);
        let least = (bands / (rayon::current_num_threads() * 4)).max(1);
        (0..bands)
            .into_par_iter()
            .with_min_len(least)
            .for_each_init(
                || (Scratch::new(), Vec::new()),
                |(scratch, first), band| {
                    let tile = band * BAND;
                    for start in (0..input.rows).step_by(INPUT_ROWS) {
                        let rows = start..input.rows.min(start + INPUT_ROWS);
                        self.multiply_tile(tile, input, rows.clone(), scratch);
                        std::mem::swap(&mut scratch.sums, first);
                        let second = if tile + 1 < tiles {
                            self.multiply_tile(tile + 1, input, rows.clone(), scratch)
                        } else {
                            &mut []
                        };
                        each(rows, tile * TILE, [first.as_mut_slice(), second]);
                    }
                },
            );
    }
}
