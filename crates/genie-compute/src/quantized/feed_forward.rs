//! The gated feed-forward block of a decoder in one pass: `down(f(gate(x)) *
//! up(x))`, without writing down what is between its products.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::activations::{Activations, Places};
use super::format::{BLOCK, TILE};
use super::{INPUT_ROWS, QuantizedMatrix, Scratch};
use crate::activation::Gate;
use crate::team::share_ranges;

/// `x` of `[n, columns]` through the matrices `[gate, up]` of `[inner,
/// columns]` and `down` of `[rows, inner]`: `[n, rows]`; `function` is what
/// the gate is put through.
///
/// Gives the bits of [`QuantizedMatrix::forward`] and
/// [`gated_product`](crate::gated_product) one after the other. What lies between
/// is rounded to eight bits as soon as it is known, a block of `down` at a
/// time: of a long prompt it would be some megabytes of floats, three times.
///
/// # Errors
///
/// Fails on shapes that don't fit, and on tensors that are not single
/// precision on the processor.
pub fn gated_feed_forward(
    x: &Tensor,
    [gate, up]: [&QuantizedMatrix; 2],
    down: &QuantizedMatrix,
    function: Gate,
) -> Result<Tensor> {
    x.apply_op1_no_bwd(&FeedForward {
        gate,
        up,
        down,
        function,
    })
}

struct FeedForward<'a> {
    function: Gate,
    gate: &'a QuantizedMatrix,
    up: &'a QuantizedMatrix,
    down: &'a QuantizedMatrix,
}

impl CustomOp1 for FeedForward<'_> {
    fn name(&self) -> &'static str {
        "gated-feed-forward"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let Self { gate, up, down, .. } = self;
        let (count, columns) = layout.shape().dims2()?;
        let Some((from, to)) = layout.contiguous_offsets() else {
            bail!("a contiguous tensor is needed, not {layout:?}");
        };
        if columns != gate.columns || gate.shape() != up.shape() || down.columns != gate.rows {
            bail!("{gate:?}, {up:?} and {down:?} don't fit {columns} columns");
        }
        let x = &x.as_slice::<f32>()?[from..to];
        let product = down.multiply_rounded(&self.between(x));
        Ok((CpuStorage::F32(product), Shape::from((count, down.rows))))
    }
}

impl FeedForward<'_> {
    /// What goes into the last product, rounded for it.
    fn between(&self, x: &[f32]) -> Activations {
        let input = Activations::new(x, self.gate.columns, self.gate.format);
        let other = (self.up.format != self.gate.format)
            .then(|| Activations::new(x, self.up.columns, self.up.format));
        let inputs = [&input, other.as_ref().unwrap_or(&input)];
        let mut between = Activations::empty(self.down.columns, self.down.format);
        let places = between.places(input.rows);
        let width = self.down.format.columns();
        let bands = self.down.columns / width;
        share_ranges(bands, |bands| {
            let (mut scratch, mut other) = (Scratch::new(), Scratch::new());
            let mut mixed = Vec::new();
            for band in bands {
                for start in (0..input.rows).step_by(INPUT_ROWS) {
                    let rows = start..input.rows.min(start + INPUT_ROWS);
                    mixed.resize(rows.len() * width, 0.0);
                    for part in 0..width / TILE {
                        let tile = band * (width / TILE) + part;
                        let gates =
                            self.gate
                                .multiply_tile(tile, inputs[0], rows.clone(), &mut scratch);
                        let ups = self
                            .up
                            .multiply_tile(tile, inputs[1], rows.clone(), &mut other);
                        let pairs = gates.iter().zip(ups.iter());
                        for (row, (gates, ups)) in mixed.chunks_exact_mut(width).zip(pairs) {
                            let mixed: [f32; TILE] = self.function.apply(gates, ups);
                            row[part * TILE..][..TILE].copy_from_slice(&mixed);
                        }
                    }
                    // SAFETY: only this job writes these columns.
                    unsafe { write(&places, rows, band * width, &mixed, width) };
                }
            }
        });
        between
    }
}

/// Rounds blocks of `width` columns, from `column` on, of some rows.
///
/// # Safety
///
/// Nobody else may write them meanwhile.
unsafe fn write(places: &Places<'_>, rows: Range<usize>, column: usize, x: &[f32], width: usize) {
    for (row, x) in rows.zip(x.chunks_exact(width)) {
        // SAFETY: promised by the caller.
        unsafe {
            match x.as_array::<BLOCK>() {
                Some(x) => places.write_block(row, column, x),
                None => places.write_panel(row, column, x),
            }
        }
    }
}
