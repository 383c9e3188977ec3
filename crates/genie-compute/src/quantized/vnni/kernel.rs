//! Products of the weights of a panel with a few rows of input.

use super::super::activations::Row;
use super::super::format::{BLOCK, Format, GROUP, TILE};
use super::lanes::Lanes;
use super::weights::{Weights, eight_times, format, groups_a_scale, parts};

/// What of a row of input meets a panel.
#[derive(Clone, Copy)]
pub(super) struct Pointers {
    /// Four bytes for each group of columns.
    numbers: *const i8,
    /// One for each block.
    scales: *const f32,
    /// One for each group of columns with a scale, for K formats.
    sums: *const i16,
    /// One for each block of the older formats.
    offsets: *const i32,
    /// One for each block, for Q4_1.
    scaled_sums: *const f32,
}

impl Pointers {
    /// Checks that there is as much as `blocks` blocks need.
    #[inline(always)]
    pub(super) fn of<const F: u8>(row: Row<'_>, blocks: usize) -> Self {
        let format = format::<F>();
        let sums = blocks * format.columns() / (GROUP * groups_a_scale::<F>());
        assert!(row.numbers.len() >= blocks * format.columns());
        assert!(row.scales.len() >= blocks && row.sums.len() >= sums);
        assert!(format != Format::Q4_1 || row.scaled_sums.len() >= blocks);
        assert!(!has_offsets::<F>() || row.offsets.len() >= blocks);
        Self {
            numbers: row.numbers.as_ptr(),
            scales: row.scales.as_ptr(),
            sums: row.sums.as_ptr(),
            offsets: row.offsets.as_ptr(),
            scaled_sums: row.scaled_sums.as_ptr(),
        }
    }

    /// Four numbers in every lane.
    ///
    /// # Safety
    ///
    /// There must be such a group, and the processor must have what `L`
    /// needs.
    #[inline(always)]
    unsafe fn four<L: Lanes>(self, group: usize) -> L::Whole {
        // SAFETY: promised by the caller.
        unsafe { L::splat(self.numbers.cast::<i32>().add(group).read_unaligned()) }
    }
}

const fn has_offsets<const F: u8>() -> bool {
    matches!(format::<F>(), Format::Q4_0 | Format::Q5_0 | Format::Q8_0)
}

/// Adds to `sums` what a panel and `N` rows make.
///
/// # Safety
///
/// There must be that many blocks in `weights`, behind `block` and in each
/// row, and the processor must have what `L` needs.
#[inline(always)]
pub(super) unsafe fn meet<L: Lanes, W: Weights<L>, const F: u8, const N: usize>(
    weights: W,
    (block, blocks): (*const u8, usize),
    rows: [Pointers; N],
    sums: &mut [[f32; TILE]; N],
) {
    // SAFETY: promised by the caller.
    unsafe {
        if format::<F>().columns() == BLOCK {
            meet_blocks::<L, W, F, N>(weights, (block, blocks), rows, sums);
        } else {
            meet_panel::<L, W, F, N>(weights, block, rows, sums);
        }
    }
}

/// K formats: whole numbers throughout the 256 columns.
///
/// # Safety
///
/// As for [`meet`], with one block.
#[inline(always)]
unsafe fn meet_panel<L: Lanes, W: Weights<L>, const F: u8, const N: usize>(
    weights: W,
    block: *const u8,
    rows: [Pointers; N],
    sums: &mut [[f32; TILE]; N],
) {
    let scales = super::weights::groups::<F>() / groups_a_scale::<F>();
    // SAFETY: the caller promises weights and input for 256 columns.
    unsafe {
        let mut scaled = [L::splat(0); N];
        for scale in 0..scales {
            let first = scale * groups_a_scale::<F>();
            let mut products = [L::splat(0); N];
            eight_times!(STEP, {
                if STEP < groups_a_scale::<F>() {
                    let weights = weights.group::<STEP>(0, scale);
                    for (product, row) in products.iter_mut().zip(rows) {
                        *product = L::dot(*product, weights, row.four::<L>(first + STEP));
                    }
                }
            });
            let scale = weights.scale(scale);
            for (scaled, product) in scaled.iter_mut().zip(products) {
                *scaled = L::add(*scaled, L::multiply(product, scale));
            }
        }
        let mut minima = [L::splat(0); N];
        for pair in 0..scales / 2 {
            let minimum = weights.minima(pair);
            for (minima, row) in minima.iter_mut().zip(rows) {
                let two = row.sums.cast::<i32>().add(pair).read_unaligned();
                *minima = L::dot_pairs(*minima, minimum, L::splat(two));
            }
        }
        let d = L::halves(block.add(parts::<F>().d));
        for (((row, scaled), minima), sums) in rows.iter().zip(scaled).zip(minima).zip(sums) {
            let product = if matches!(format::<F>(), Format::Q6K) {
                L::multiply_floats(d, L::floats(L::subtract(scaled, minima)))
            } else {
                let d_min = L::halves(block.add(parts::<F>().d_min));
                let minima = L::multiply_floats(d_min, L::floats(minima));
                L::fused_less(d, L::floats(scaled), minima)
            };
            let sum = L::load_floats(sums);
            let scale = L::splat_float(*row.scales);
            L::store_floats(sums, L::fused(scale, product, sum));
        }
    }
}

/// The older formats: a scale for 32 columns.
///
/// # Safety
///
/// As for [`meet`].
#[inline(always)]
unsafe fn meet_blocks<L: Lanes, W: Weights<L>, const F: u8, const N: usize>(
    weights: W,
    (block, blocks): (*const u8, usize),
    rows: [Pointers; N],
    sums: &mut [[f32; TILE]; N],
) {
    // SAFETY: the caller promises weights and input for that many blocks.
    unsafe {
        let mut floats = [L::splat_float(0.0); N];
        for index in 0..blocks {
            let mut products = [L::splat(0); N];
            if has_offsets::<F>() {
                for (product, row) in products.iter_mut().zip(rows) {
                    *product = L::splat(*row.offsets.add(index));
                }
            }
            eight_times!(STEP, {
                let weights = weights.group::<STEP>(index, 0);
                for (product, row) in products.iter_mut().zip(rows) {
                    let four = row.four::<L>(index * (BLOCK / GROUP) + STEP);
                    *product = L::dot(*product, weights, four);
                }
            });
            let block = block.add(index * parts::<F>().end);
            let d = L::halves(block.add(parts::<F>().d));
            for ((floats, product), row) in floats.iter_mut().zip(products).zip(rows) {
                let scale = L::multiply_floats(d, L::splat_float(*row.scales.add(index)));
                *floats = L::fused(L::floats(product), scale, *floats);
                if matches!(format::<F>(), Format::Q4_1) {
                    let minimum = L::halves(block.add(parts::<F>().d_min));
                    let sum = L::splat_float(*row.scaled_sums.add(index));
                    *floats = L::fused(minimum, sum, *floats);
                }
            }
        }
        for (sums, floats) in sums.iter_mut().zip(floats) {
            let sum = L::add_floats(L::load_floats(sums), floats);
            L::store_floats(sums, sum);
        }
    }
}
