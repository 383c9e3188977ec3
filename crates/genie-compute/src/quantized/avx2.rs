//! The product of one tile with AVX2.
//!
//! Where many rows of input meet a tile, its weights become one byte each in
//! a panel that stays in the first-level cache, and are then met by four rows
//! at a time. Few rows meet the tile as it lies in memory: one row of any
//! format, up to three where a block has one scale. A product of
//! unsigned weights and signed input (`vpmaddubsw`) adds two neighbours in 16
//! bits, and those of 32 columns (16 for Q6_K) are added up before they move
//! on to 32 bits:
//!
//! | weights up to | eight `vpmaddubsw` at most |
//! |---|---|
//! | 15 (Q4) | 30,480 |
//! | 31 (Q5), 63 (Q6) | too much for 16 bits |
//!
//! So sums of Q4_0, Q5_0, Q5_K and Q6_K begin below zero by what weights are
//! stored too large (Q5_K: as if they were), and may wrap around on the way:
//! what they end at is 16,256 for weights from -8 and 32,512 for weights from
//! -16 and for half as many from -32, at most.
//!
//! Every function needs AVX2, FMA and F16C; [`available`] tells.

mod meet;
mod one;
mod rounding;
mod source;
mod steps;
mod vectors;

use std::ops::Range;

use super::activations::Activations;
use super::dot::number;
use super::dot::weights::{format, parts};
use super::format::{Format, PANEL, TILE};
use super::panel::Panel;
use super::pointers::Rows;
use meet::meet;
pub(super) use rounding::round_block;
use source::{Source, Tile, Unpacked};

/// Vectors of eight rows that a tile has.
const HALVES: usize = 2;
/// Rows of input that meet an unpacked panel together.
const TOGETHER: usize = 4;

/// Whether this processor has what the kernels need.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// A product with one format.
type Multiply = unsafe fn(&[u8], &Activations, Range<usize>, &mut [[f32; TILE]], &mut Panel);

/// Adds to `sums`, sixteen for each of `rows` of `input`, the products with a
/// tile. What `panel` held before does not matter.
///
/// # Safety
///
/// [`available`] must have said yes.
pub(super) unsafe fn multiply(
    format: Format,
    tile: &[u8],
    input: &Activations,
    rows: Range<usize>,
    sums: &mut [[f32; TILE]],
    panel: &mut Panel,
) {
    const KERNELS: [Multiply; 7] = [
        of_format::<0>,
        of_format::<1>,
        of_format::<2>,
        of_format::<3>,
        of_format::<4>,
        of_format::<5>,
        of_format::<6>,
    ];
    // SAFETY: promised by the caller.
    unsafe { KERNELS[number(format)](tile, input, rows, sums, panel) }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn of_format<const F: u8>(
    tile: &[u8],
    input: &Activations,
    rows: Range<usize>,
    sums: &mut [[f32; TILE]],
    panel: &mut Panel,
) {
    assert!(!rows.is_empty() && rows.len() == sums.len());
    // Blocks of 256 columns have a scale for each part of them: unpacking
    // those again for a second row takes longer than to read a copy.
    let is_small = format::<F>().columns() == super::format::BLOCK;
    if let ([sums], false) = (&mut *sums, is_small) {
        one::of_format::<F>(tile, input, rows.start, sums);
        return;
    }
    let bytes = PANEL / format::<F>().columns() * parts::<F>().end;
    // Weights of Q8_0 need no unpacking, and few rows meet the others sooner
    // than a copy of them is written.
    let packed = (rows.len() < TOGETHER && is_small) || matches!(format::<F>(), Format::Q8_0);
    for (index, blocks) in tile.chunks(bytes).enumerate() {
        let count = blocks.len() / parts::<F>().end;
        let rows = Rows::of((input, index), count, rows.clone());
        let tile = Tile::<F>(blocks.as_ptr());
        // SAFETY: `blocks` has that many of them, and the rows were checked.
        unsafe {
            if packed {
                sweep::<_, F>(tile, count, rows, sums);
            } else {
                let panel = Unpacked::<F>::fill(panel, tile, count);
                sweep::<_, F>(panel, count, rows, sums);
            }
        }
    }
}

/// Meets the rows of input, as many at a time as fit in registers.
///
/// # Safety
///
/// `source` must have that many blocks, and `rows` as many rows as there are
/// sums, with as many blocks.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn sweep<S: Source, const F: u8>(
    source: S,
    blocks: usize,
    mut rows: Rows,
    mut sums: &mut [[f32; TILE]],
) {
    macro_rules! together {
        ($count:expr) => {
            while sums.len() >= $count {
                let (some, rest) = std::mem::take(&mut sums).split_at_mut($count);
                let some: &mut [_; $count] = some.try_into().expect("as many");
                // SAFETY: promised by the caller.
                unsafe { meet::<S, F, { $count }>(source, blocks, rows, some) };
                rows = rows.skip($count);
                sums = rest;
            }
        };
    }
    together!(TOGETHER);
    together!(3);
    together!(2);
    together!(1);
}
