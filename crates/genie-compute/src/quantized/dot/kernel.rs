//! Products of the weights of a panel with a few rows of input.

use super::super::format::{BLOCK, Format, GROUP, PANEL, TILE};
use super::super::pointers::Rows;
use super::lanes::Lanes;
use super::weights::{Weights, eight_times, format, groups_a_scale, parts};

const fn has_offsets<L: Lanes, const F: u8>() -> bool {
    match format::<F>() {
        Format::Q4_0 | Format::Q5_0 => true,
        Format::Q8_0 => !L::SIGNED,
        _ => false,
    }
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
    rows: Rows,
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
    rows: Rows,
    sums: &mut [[f32; TILE]; N],
) {
    let scales = super::weights::groups::<F>() / groups_a_scale::<F>();
    // SAFETY: the caller promises weights and input for 256 columns.
    unsafe {
        let mut scaled = [L::splat(0); N];
        for scale in 0..scales {
            weights.prepare(0, scale);
            let first = scale * groups_a_scale::<F>();
            let mut products = [L::splat(0); N];
            eight_times!(STEP, {
                if STEP < groups_a_scale::<F>() {
                    let weights = weights.group::<STEP>(0, scale);
                    for (row, product) in products.iter_mut().enumerate() {
                        let four = L::splat(rows.four::<PANEL>(row, first + STEP));
                        *product = L::dot(*product, weights, four);
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
            for (row, minima) in minima.iter_mut().enumerate() {
                let two = rows.two_sums(row, pair);
                *minima = L::dot_pairs(*minima, minimum, L::splat(two));
            }
        }
        let d = L::halves(block.add(parts::<F>().d));
        let rows = (0..N).map(|row| rows.of_block(rows.scales, row, 0));
        for (((scale, scaled), minima), sums) in rows.zip(scaled).zip(minima).zip(sums) {
            let product = if matches!(format::<F>(), Format::Q6K) {
                L::multiply_floats(d, L::floats(L::subtract(scaled, minima)))
            } else {
                let d_min = L::halves(block.add(parts::<F>().d_min));
                let minima = L::multiply_floats(d_min, L::floats(minima));
                L::fused_less(d, L::floats(scaled), minima)
            };
            let sum = L::load_floats(sums);
            let scale = L::splat_float(scale);
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
    rows: Rows,
    sums: &mut [[f32; TILE]; N],
) {
    // SAFETY: the caller promises weights and input for that many blocks.
    unsafe {
        let mut floats = [L::splat_float(0.0); N];
        for index in 0..blocks {
            weights.prepare(index, 0);
            let mut products = [L::splat(0); N];
            if has_offsets::<L, F>() {
                for (row, product) in products.iter_mut().enumerate() {
                    *product = L::splat(rows.of_block(rows.offsets, row, index));
                }
            }
            eight_times!(STEP, {
                let weights = weights.group::<STEP>(index, 0);
                for (row, product) in products.iter_mut().enumerate() {
                    let four = L::splat(rows.four::<BLOCK>(row, index * (BLOCK / GROUP) + STEP));
                    *product = L::dot(*product, weights, four);
                }
            });
            let block = block.add(index * parts::<F>().end);
            let d = L::halves(block.add(parts::<F>().d));
            for (row, (floats, product)) in floats.iter_mut().zip(products).enumerate() {
                let scale = L::splat_float(rows.of_block(rows.scales, row, index));
                let scale = L::multiply_floats(d, scale);
                *floats = L::fused(L::floats(product), scale, *floats);
                if matches!(format::<F>(), Format::Q4_1) {
                    let minimum = L::halves(block.add(parts::<F>().d_min));
                    let sum = L::splat_float(rows.of_block(rows.scaled_sums, row, index));
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
