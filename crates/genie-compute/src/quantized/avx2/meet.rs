//! Products of a panel with rows of input, on pointers that are checked once
//! a panel, so that little but the products is in the loops.

use std::arch::x86_64::*;

use super::super::format::{BLOCK, Format, GROUP, PANEL, TILE};
use super::super::pointers::Rows;
use super::vectors::{in_register, opaque};
use super::{GROUPS, HALVES, Panel};

/// Adds to `sums` the products of a panel, unpacked from `blocks`, and as
/// many rows.
///
/// # Safety
///
/// The panel must hold as many blocks as there are, and `rows` must have as
/// many rows as there are sums, with as many blocks.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn meet(
    panel: &Panel,
    format: Format,
    blocks: &[u8],
    mut rows: Rows,
    mut sums: &mut [[f32; TILE]],
) {
    macro_rules! together {
        ($count:literal) => {
            while sums.len() >= $count {
                let (some, rest) = std::mem::take(&mut sums).split_at_mut($count);
                let some: &mut [_; $count] = some.try_into().expect("as many");
                // SAFETY: promised by the caller.
                unsafe {
                    match format {
                        Format::Q4_0 => unreachable!("has a loop of its own"),
                        Format::Q4_1 => meet_blocks::<$count, 8>(panel, format, blocks, rows, some),
                        Format::Q5_0 => meet_blocks::<$count, 4>(panel, format, blocks, rows, some),
                        Format::Q8_0 => meet_signed(panel, blocks, rows, some),
                        Format::Q4K => meet_panel::<$count, 8>(panel, format, blocks, rows, some),
                        Format::Q5K => meet_panel::<$count, 4>(panel, format, blocks, rows, some),
                        Format::Q6K => meet_six_bits(panel, blocks, rows, some),
                    }
                }
                rows = rows.skip($count);
                sums = rest;
            }
        };
    }
    together!(4);
    together!(3);
    together!(2);
    together!(1);
}

/// Adds to `products`, in 16 bits, those of `STEPS` groups of columns.
///
/// # Safety
///
/// The panel and the rows must have those groups.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn multiply<const N: usize, const STEPS: usize, const COLUMNS: usize>(
    panel: &Panel,
    first: usize,
    rows: Rows,
    mut products: [[__m256i; HALVES]; N],
) -> [[__m256i; HALVES]; N] {
    let weights = panel.weights.as_ptr().cast::<__m256i>();
    // A loop: written out, it has more vectors alive than there are registers.
    for group in first..first + opaque(STEPS) {
        // SAFETY: promised by the caller, and loads need no alignment.
        let weights = unsafe {
            let at = weights.add(group * HALVES);
            [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))]
        };
        for (row, products) in products.iter_mut().enumerate() {
            // SAFETY: promised by the caller.
            let four = _mm256_set1_epi32(unsafe { rows.four::<COLUMNS>(row, group) });
            for (product, weights) in products.iter_mut().zip(weights) {
                let sum = _mm256_add_epi16(*product, _mm256_maddubs_epi16(weights, four));
                *product = in_register(sum);
            }
        }
    }
    products
}

/// Adds products in 16 bits to sums in 32, each multiplied by a number of the
/// lane.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn scale<const N: usize>(
    sums: &mut [[__m256i; HALVES]; N],
    products: [[__m256i; HALVES]; N],
    by: [__m256i; HALVES],
) {
    for (sums, products) in sums.iter_mut().zip(products) {
        for ((sum, product), by) in sums.iter_mut().zip(products).zip(by) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(product, by));
        }
    }
}

/// Q4_K and Q5_K: whole numbers throughout the 256 columns.
///
/// # Safety
///
/// There must be a whole panel of everything.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn meet_panel<const N: usize, const STEPS: usize>(
    panel: &Panel,
    format: Format,
    block: &[u8],
    rows: Rows,
    sums: &mut [[f32; TILE]; N],
) {
    const SCALE: usize = BLOCK / GROUP;
    let mut scaled = [[_mm256_setzero_si256(); HALVES]; N];
    for (index, scales) in panel.scales[..GROUPS / SCALE].iter().enumerate() {
        let scales = [super::load_32(&scales[0]), super::load_32(&scales[1])];
        for part in (0..SCALE).step_by(STEPS) {
            let none = [[_mm256_setzero_si256(); HALVES]; N];
            // SAFETY: promised by the caller.
            let products =
                unsafe { multiply::<N, STEPS, PANEL>(panel, index * SCALE + part, rows, none) };
            scale(&mut scaled, products, scales);
        }
    }
    let mut minima = [[_mm256_setzero_si256(); HALVES]; N];
    for (pair, minimum) in panel.minima[..GROUPS / SCALE / 2].iter().enumerate() {
        let minimum = [super::load_32(&minimum[0]), super::load_32(&minimum[1])];
        for (row, minima) in minima.iter_mut().enumerate() {
            // SAFETY: promised by the caller.
            let two = _mm256_set1_epi32(unsafe { rows.two_sums(row, pair) });
            for (minima, minimum) in minima.iter_mut().zip(minimum) {
                *minima = _mm256_add_epi32(*minima, _mm256_madd_epi16(minimum, two));
            }
        }
    }
    let parts = format.parts();
    for half in 0..HALVES {
        let d = super::halves(&block[parts.d + half * 16..]);
        let d_min = super::halves(&block[parts.d_min + half * 16..]);
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: promised by the caller.
            let scale = _mm256_set1_ps(unsafe { rows.of_block(rows.scales, row, 0) });
            let product = _mm256_fmsub_ps(
                d,
                _mm256_cvtepi32_ps(scaled[row][half]),
                _mm256_mul_ps(d_min, _mm256_cvtepi32_ps(minima[row][half])),
            );
            super::add(&mut sums[half * 8..], |sum| {
                _mm256_fmadd_ps(scale, product, sum)
            });
        }
    }
}

/// Q6_K. Sums of products begin so far below zero that weights count as 32
/// smaller than they are stored; then those of a scale's 16 columns fit in
/// 16 bits.
///
/// # Safety
///
/// There must be a whole panel of everything.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn meet_six_bits<const N: usize>(
    panel: &Panel,
    block: &[u8],
    rows: Rows,
    sums: &mut [[f32; TILE]; N],
) {
    const SCALE: usize = 4;
    let mut scaled = [[_mm256_setzero_si256(); HALVES]; N];
    for (index, scales) in panel.scales.iter().enumerate() {
        let scales = [super::load_32(&scales[0]), super::load_32(&scales[1])];
        let mut products = [[_mm256_setzero_si256(); HALVES]; N];
        for (row, products) in products.iter_mut().enumerate() {
            // SAFETY: promised by the caller.
            let start = unsafe { rows.start(row, index) };
            *products = [_mm256_set1_epi32(start); HALVES];
        }
        // SAFETY: promised by the caller.
        let products = unsafe { multiply::<N, SCALE, PANEL>(panel, index * SCALE, rows, products) };
        scale(&mut scaled, products, scales);
    }
    let parts = Format::Q6K.parts();
    for half in 0..HALVES {
        let d = super::halves(&block[parts.d + half * 16..]);
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: promised by the caller.
            let scale = _mm256_set1_ps(unsafe { rows.of_block(rows.scales, row, 0) });
            let product = _mm256_mul_ps(d, _mm256_cvtepi32_ps(scaled[row][half]));
            super::add(&mut sums[half * 8..], |sum| {
                _mm256_fmadd_ps(scale, product, sum)
            });
        }
    }
}

/// Q4_1 and Q5_0: unsigned weights, a scale for 32 columns.
///
/// # Safety
///
/// There must be as many blocks of everything.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn meet_blocks<const N: usize, const STEPS: usize>(
    panel: &Panel,
    format: Format,
    blocks: &[u8],
    rows: Rows,
    sums: &mut [[f32; TILE]; N],
) {
    let parts = format.parts();
    let ones = [_mm256_set1_epi16(1); HALVES];
    let mut floats = [[_mm256_setzero_ps(); HALVES]; N];
    for (index, block) in blocks.chunks_exact(parts.end).enumerate() {
        let mut whole = [[_mm256_setzero_si256(); HALVES]; N];
        if format == Format::Q5_0 {
            for (row, whole) in whole.iter_mut().enumerate() {
                // SAFETY: promised by the caller.
                let offset = unsafe { rows.of_block(rows.offsets, row, index) };
                *whole = [_mm256_set1_epi32(offset); HALVES];
            }
        }
        for step in (0..BLOCK / GROUP).step_by(STEPS) {
            let group = index * (BLOCK / GROUP) + step;
            let none = [[_mm256_setzero_si256(); HALVES]; N];
            // SAFETY: promised by the caller.
            let products = unsafe { multiply::<N, STEPS, BLOCK>(panel, group, rows, none) };
            scale(&mut whole, products, ones);
        }
        for half in 0..HALVES {
            let d = super::halves(&block[parts.d + half * 16..]);
            for (row, floats) in floats.iter_mut().enumerate() {
                // SAFETY: promised by the caller.
                let scale = unsafe { rows.of_block(rows.scales, row, index) };
                let scale = _mm256_mul_ps(d, _mm256_set1_ps(scale));
                let product = _mm256_cvtepi32_ps(whole[row][half]);
                floats[half] = _mm256_fmadd_ps(product, scale, floats[half]);
                if format == Format::Q4_1 {
                    let minimum = super::halves(&block[parts.d_min + half * 16..]);
                    // SAFETY: promised by the caller.
                    let sum = unsafe { rows.of_block(rows.scaled_sums, row, index) };
                    floats[half] = _mm256_fmadd_ps(minimum, _mm256_set1_ps(sum), floats[half]);
                }
            }
        }
    }
    super::add_all(floats, sums);
}

/// Q8_0: signed weights. The sign moves to the input, since
/// `vpmaddubsw` wants one side without.
///
/// # Safety
///
/// There must be as many blocks of everything.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn meet_signed<const N: usize>(
    panel: &Panel,
    blocks: &[u8],
    rows: Rows,
    sums: &mut [[f32; TILE]; N],
) {
    let parts = Format::Q8_0.parts();
    let ones = _mm256_set1_epi16(1);
    let mut floats = [[_mm256_setzero_ps(); HALVES]; N];
    for (index, block) in blocks.chunks_exact(parts.end).enumerate() {
        let mut whole = [[_mm256_setzero_si256(); HALVES]; N];
        for step in 0..BLOCK / GROUP {
            let group = index * (BLOCK / GROUP) + step;
            for half in 0..HALVES {
                let weights = super::load(&panel.weights[group][half]);
                let positive = _mm256_abs_epi8(weights);
                for (row, whole) in whole.iter_mut().enumerate() {
                    // SAFETY: promised by the caller.
                    let four = unsafe { rows.four::<BLOCK>(row, group) };
                    let signed = _mm256_sign_epi8(_mm256_set1_epi32(four), weights);
                    let product = _mm256_maddubs_epi16(positive, signed);
                    let product = _mm256_madd_epi16(product, ones);
                    whole[half] = _mm256_add_epi32(whole[half], product);
                }
            }
        }
        for half in 0..HALVES {
            let d = super::halves(&block[parts.d + half * 16..]);
            for (row, floats) in floats.iter_mut().enumerate() {
                // SAFETY: promised by the caller.
                let scale = _mm256_set1_ps(unsafe { rows.of_block(rows.scales, row, index) });
                let product = _mm256_cvtepi32_ps(whole[row][half]);
                floats[half] = _mm256_fmadd_ps(product, _mm256_mul_ps(d, scale), floats[half]);
            }
        }
    }
    super::add_all(floats, sums);
}
