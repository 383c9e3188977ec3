//! Products of a panel with rows of input, on pointers that are checked once
//! a panel, so that little but the products is in the loops.

use std::arch::x86_64::*;

use super::super::dot::weights::{eight_times, format, groups, groups_a_scale};
use super::super::format::{BLOCK, Format, GROUP, PANEL, TILE};
use super::super::pointers::Rows;
use super::HALVES;
use super::source::{Floats, Source, Whole};
use super::steps::{columns_32, columns_32_from_zero, sixteen_columns};
use super::vectors::in_register;

/// Whether sums of products begin so far below zero that weights count as
/// smaller than they are stored. Then those of a scale's columns fit in 16
/// bits, wherever they are on the way.
const fn has_starts<const F: u8>() -> bool {
    matches!(
        format::<F>(),
        Format::Q4_0 | Format::Q5_0 | Format::Q5K | Format::Q6K
    )
}

/// Adds to `sums` what `blocks` blocks and as many rows make.
///
/// # Safety
///
/// There must be that many blocks in `source` and in each of `N` rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) unsafe fn meet<S: Source, const F: u8, const N: usize>(
    source: S,
    blocks: usize,
    rows: Rows,
    sums: &mut [[f32; TILE]; N],
) {
    // SAFETY: promised by the caller.
    unsafe {
        match format::<F>() {
            Format::Q8_0 => meet_signed(source, blocks, rows, sums),
            Format::Q4_0 | Format::Q4_1 | Format::Q5_0 => {
                meet_blocks::<S, F, N>(source, blocks, rows, sums);
            }
            Format::Q4K | Format::Q5K | Format::Q6K => meet_panel::<S, F, N>(source, rows, sums),
        }
    }
}

/// Products, in 16 bits, of the columns of a scale.
///
/// # Safety
///
/// There must be such a block with such a scale in `source` and in the rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn products<S: Source, const F: u8, const N: usize>(
    source: S,
    rows: Rows,
    (block, scale): (usize, usize),
) -> [Whole; N] {
    let index = block * (groups::<F>() / groups_a_scale::<F>()) + scale;
    let mut products = [[_mm256_setzero_si256(); HALVES]; N];
    if has_starts::<F>() {
        for (row, products) in products.iter_mut().enumerate() {
            // SAFETY: promised by the caller.
            let start = unsafe { rows.start(row, index) };
            *products = [_mm256_set1_epi32(start); HALVES];
        }
    }
    let unpacked = source.unpacked(block, scale);
    if let (Some(weights), Some(four)) = (unpacked, products.as_mut_array::<4>()) {
        let first = index * groups_a_scale::<F>();
        // SAFETY: promised by the caller.
        *four = unsafe {
            let rows = std::array::from_fn(|row| rows.at::<F>(row, first));
            match (groups_a_scale::<F>(), has_starts::<F>()) {
                (4, _) => sixteen_columns(weights, rows, *four),
                (_, true) => columns_32(weights, rows, *four),
                (_, false) => columns_32_from_zero(weights, rows),
            }
        };
        return products;
    }
    eight_times!(STEP, {
        if STEP < groups_a_scale::<F>() {
            // SAFETY: promised by the caller.
            let weights = unsafe { source.group::<STEP>(block, scale) };
            for (row, products) in products.iter_mut().enumerate() {
                let group = index * groups_a_scale::<F>() + STEP;
                // SAFETY: promised by the caller.
                let four = unsafe { rows.at::<F>(row, group).cast::<i32>().read_unaligned() };
                let four = _mm256_set1_epi32(four);
                for (product, weights) in products.iter_mut().zip(&weights) {
                    let sum = _mm256_add_epi16(*product, _mm256_maddubs_epi16(*weights, four));
                    *product = in_register(sum);
                }
            }
        }
    });
    products
}

/// Adds to sums in 32 bits pairs in 16 bits, each multiplied by a number of
/// the lane.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_pairs(sums: &mut Whole, pairs: Whole, by: Whole) {
    for half in 0..HALVES {
        sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(pairs[half], by[half]));
    }
}

/// The K formats: whole numbers throughout the 256 columns.
///
/// # Safety
///
/// There must be a whole panel of everything.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn meet_panel<S: Source, const F: u8, const N: usize>(
    source: S,
    rows: Rows,
    sums: &mut [[f32; TILE]; N],
) {
    let scales = groups::<F>() / groups_a_scale::<F>();
    let mut scaled = [[_mm256_setzero_si256(); HALVES]; N];
    for index in 0..scales {
        // SAFETY: promised by the caller.
        let (products, scale) = unsafe {
            let products: [Whole; N] = products::<S, F, N>(source, rows, (0, index));
            (products, source.scale(index))
        };
        // By reference: iterators over arrays of vectors move them through
        // memory.
        for (scaled, products) in scaled.iter_mut().zip(&products) {
            add_pairs(scaled, *products, scale);
        }
    }
    let mut minima = [[_mm256_setzero_si256(); HALVES]; N];
    if !matches!(format::<F>(), Format::Q6K) {
        for pair in 0..scales / 2 {
            // SAFETY: promised by the caller.
            let minimum = unsafe { source.minima(pair) };
            for row in 0..N {
                // SAFETY: promised by the caller.
                let two = [_mm256_set1_epi32(unsafe { rows.two_sums(row, pair) }); HALVES];
                add_pairs(&mut minima[row], minimum, two);
                if matches!(format::<F>(), Format::Q5K) {
                    // Back to the weights as they are stored.
                    // SAFETY: promised by the caller.
                    let sixteen = unsafe { source.sixteen_scales(pair) };
                    add_pairs(&mut scaled[row], sixteen, two);
                }
            }
        }
    }
    // SAFETY: promised by the caller.
    let d = unsafe { source.d(0) };
    for (row, sums) in sums.iter_mut().enumerate() {
        // SAFETY: promised by the caller.
        let scale = _mm256_set1_ps(unsafe { rows.of_block(rows.scales, row, 0) });
        let product: Floats = std::array::from_fn(|half| {
            let scaled = _mm256_cvtepi32_ps(scaled[row][half]);
            if matches!(format::<F>(), Format::Q6K) {
                return _mm256_mul_ps(d[half], scaled);
            }
            // SAFETY: promised by the caller.
            let d_min = unsafe { source.d_min(0) };
            let minima = _mm256_mul_ps(d_min[half], _mm256_cvtepi32_ps(minima[row][half]));
            _mm256_fmsub_ps(d[half], scaled, minima)
        });
        add(sums, |half, sum| _mm256_fmadd_ps(scale, product[half], sum));
    }
}

/// Q4_0, Q4_1 and Q5_0: a scale for 32 columns.
///
/// # Safety
///
/// There must be as many blocks of everything.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn meet_blocks<S: Source, const F: u8, const N: usize>(
    source: S,
    blocks: usize,
    rows: Rows,
    sums: &mut [[f32; TILE]; N],
) {
    let ones = _mm256_set1_epi16(1);
    let mut floats = [[_mm256_setzero_ps(); HALVES]; N];
    for index in 0..blocks {
        source.prepare(index);
        // SAFETY: promised by the caller.
        let (products, d) = unsafe {
            let products: [Whole; N] = products::<S, F, N>(source, rows, (index, 0));
            (products, source.d(index))
        };
        for (row, (floats, products)) in floats.iter_mut().zip(&products).enumerate() {
            // SAFETY: promised by the caller.
            let scale = _mm256_set1_ps(unsafe { rows.of_block(rows.scales, row, index) });
            for (half, (sum, products)) in floats.iter_mut().zip(products).enumerate() {
                let whole = _mm256_cvtepi32_ps(_mm256_madd_epi16(*products, ones));
                *sum = _mm256_fmadd_ps(whole, _mm256_mul_ps(d[half], scale), *sum);
                if matches!(format::<F>(), Format::Q4_1) {
                    // SAFETY: promised by the caller.
                    let (minimum, scaled_sum) = unsafe {
                        let of_row = rows.of_block(rows.scaled_sums, row, index);
                        (source.d_min(index)[half], of_row)
                    };
                    *sum = _mm256_fmadd_ps(minimum, _mm256_set1_ps(scaled_sum), *sum);
                }
            }
        }
    }
    for (sums, floats) in sums.iter_mut().zip(&floats) {
        add(sums, |half, sum| _mm256_add_ps(sum, floats[half]));
    }
}

/// Q8_0: signed weights. The sign moves to the input, since
/// `vpmaddubsw` wants one side without.
///
/// # Safety
///
/// There must be as many blocks of everything.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn meet_signed<S: Source, const N: usize>(
    source: S,
    blocks: usize,
    rows: Rows,
    sums: &mut [[f32; TILE]; N],
) {
    let ones = _mm256_set1_epi16(1);
    let mut floats = [[_mm256_setzero_ps(); HALVES]; N];
    for index in 0..blocks {
        let mut whole = [[_mm256_setzero_si256(); HALVES]; N];
        eight_times!(STEP, {
            // SAFETY: promised by the caller.
            let weights = unsafe { source.group::<STEP>(index, 0) };
            let positive = weights.map(|weights| _mm256_abs_epi8(weights));
            for (row, whole) in whole.iter_mut().enumerate() {
                // SAFETY: promised by the caller.
                let four = unsafe { rows.four::<BLOCK>(row, index * (BLOCK / GROUP) + STEP) };
                let four = _mm256_set1_epi32(four);
                for half in 0..HALVES {
                    let signed = _mm256_sign_epi8(four, weights[half]);
                    let product = _mm256_maddubs_epi16(positive[half], signed);
                    let product = _mm256_madd_epi16(product, ones);
                    whole[half] = in_register(_mm256_add_epi32(whole[half], product));
                }
            }
        });
        // SAFETY: promised by the caller.
        let d = unsafe { source.d(index) };
        for (row, (floats, whole)) in floats.iter_mut().zip(&whole).enumerate() {
            // SAFETY: promised by the caller.
            let scale = _mm256_set1_ps(unsafe { rows.of_block(rows.scales, row, index) });
            for ((sum, whole), d) in floats.iter_mut().zip(whole).zip(&d) {
                let whole = _mm256_cvtepi32_ps(*whole);
                *sum = _mm256_fmadd_ps(whole, _mm256_mul_ps(*d, scale), *sum);
            }
        }
    }
    for (sums, floats) in sums.iter_mut().zip(&floats) {
        add(sums, |half, sum| _mm256_add_ps(sum, floats[half]));
    }
}

/// Changes both halves of a row of sums.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add(sums: &mut [f32; TILE], change: impl Fn(usize, __m256) -> __m256) {
    for half in 0..HALVES {
        // SAFETY: sixteen floats lie there; loads and stores need no
        // alignment.
        unsafe {
            let at = sums.as_mut_ptr().add(half * 8);
            _mm256_storeu_ps(at, change(half, _mm256_loadu_ps(at)));
        }
    }
}

const _: () = assert!(HALVES * 8 == TILE && PANEL / BLOCK == 8);
