//! The product of one tile with AVX2.
//!
//! Weights become one byte each in a panel that stays in the first-level
//! cache, and are then met by up to four rows of input at a time. A product
//! of unsigned weights and signed input (`vpmaddubsw`) adds two neighbours in
//! 16 bits; how many of those can be added before they might overflow decides
//! how often sums move on to 32 bits:
//!
//! | weights up to | one `vpmaddubsw` at most | additions |
//! |---|---|---|
//! | 15 (Q4) | 3,810 | 8 |
//! | 31 (Q5) | 7,874 | 4 |
//! | 63 (Q6) | 16,002 | 2 |
//!
//! Sums of Q4_0 begin below zero by what its weights are stored too large,
//! and wrap around on the way: what they end at is 16,256 at most.
//!
//! Every function needs AVX2, FMA and F16C; [`available`] tells.

#![expect(
    clippy::expect_used,
    reason = "slices of a fixed length become arrays, which the compiler sees through"
)]

mod nibbles;
mod rounding;
mod vectors;

use std::arch::x86_64::*;

use super::activations::{Activations, Row};
use super::format::{BLOCK, Format, GROUP, PANEL, TILE};
use super::portable::offset;
pub(super) use rounding::round_block;
use vectors::{
    broadcast, halves, in_register, load, load_8, load_32, pairs, store, store_32, store_floats,
};

/// Groups of four columns in a panel.
const GROUPS: usize = PANEL / GROUP;
/// Blocks of 32 columns in a panel.
const BLOCKS: usize = PANEL / BLOCK;
/// Vectors of eight rows that a tile has.
const HALVES: usize = 2;
/// Rows of input that meet the weights together.
const ROWS: usize = 4;

/// Whether this processor has what the kernels need.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// A panel of a tile, one byte a weight.
#[repr(align(64))]
pub(super) struct Panel {
    /// Vectors `[group][half]`.
    pub(super) weights: [[[u8; 32]; HALVES]; GROUPS],
    /// For each group of columns and each row the scale, twice in 16 bits.
    pub(super) scales: [[[i32; 8]; HALVES]; 16],
    /// For each two groups of columns and each row their minima, in 16 bits.
    pub(super) minima: [[[i32; 8]; HALVES]; 8],
    /// For each block of 32 columns and each row its scale, for Q4_0.
    d: [[[f32; 8]; HALVES]; BLOCKS],
}

/// Adds to `sums`, sixteen for each of `rows` of `input`, the products with a
/// tile. What `panel` held before does not matter.
///
/// # Safety
///
/// [`available`] must have said yes.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(
    format: Format,
    tile: &[u8],
    input: &Activations,
    rows: std::ops::Range<usize>,
    sums: &mut [[f32; TILE]],
    panel: &mut Panel,
) {
    let bytes = format.parts().end;
    let blocks = PANEL / format.columns();
    for (index, blocks) in tile.chunks(bytes * blocks).enumerate() {
        panel.fill(format, blocks);
        if format == Format::Q4_0 {
            nibbles::meet(panel, index, input, rows.clone(), sums);
            continue;
        }
        let mut start = rows.start;
        for sums in sums.chunks_mut(ROWS) {
            // Written out: a closure in an array is not inlined.
            let (first, second) = (start, start + 1);
            match sums.len() {
                1 => panel.meet(format, blocks, [input.row(first, index)], sums),
                2 => {
                    let rows = [input.row(first, index), input.row(second, index)];
                    panel.meet(format, blocks, rows, sums);
                }
                3 => {
                    let third = input.row(start + 2, index);
                    let rows = [input.row(first, index), input.row(second, index), third];
                    panel.meet(format, blocks, rows, sums);
                }
                _ => {
                    let (third, fourth) =
                        (input.row(start + 2, index), input.row(start + 3, index));
                    let rows = [
                        input.row(first, index),
                        input.row(second, index),
                        third,
                        fourth,
                    ];
                    panel.meet(format, blocks, rows, sums);
                }
            }
            start += sums.len();
        }
    }
}

impl Panel {
    pub(super) const fn new() -> Self {
        Self {
            weights: [[[0; 32]; HALVES]; GROUPS],
            scales: [[[0; 8]; HALVES]; 16],
            minima: [[[0; 8]; HALVES]; 8],
            d: [[[0.0; 8]; HALVES]; BLOCKS],
        }
    }

    /// Unpacks the blocks of a panel.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn fill(&mut self, format: Format, blocks: &[u8]) {
        let parts = format.parts();
        let groups = format.columns() / GROUP;
        for (block, weights) in blocks
            .chunks_exact(parts.end)
            .zip(self.weights.chunks_exact_mut(groups))
        {
            match format {
                Format::Q8_0 => {
                    for (index, vector) in weights.as_flattened_mut().iter_mut().enumerate() {
                        store(vector, load(&block[index * 32..]));
                    }
                }
                _ => {
                    nibbles(block, weights);
                    match format {
                        Format::Q5_0 | Format::Q5K => fifth_bits(&block[parts.high..], weights),
                        Format::Q6K => two_bits(&block[parts.high..], weights),
                        _ => {}
                    }
                }
            }
        }
        match format {
            Format::Q4K | Format::Q5K => self.unsigned_scales(blocks, format),
            Format::Q6K => self.signed_scales(blocks),
            Format::Q4_0 => {
                for (block, d) in blocks.chunks_exact(parts.end).zip(&mut self.d) {
                    for (half, d) in d.iter_mut().enumerate() {
                        store_floats(d, halves(&block[parts.d + half * 16..]));
                    }
                }
            }
            _ => {}
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn unsigned_scales(&mut self, block: &[u8], format: Format) {
        let parts = format.parts();
        let rows = |part: usize, sub: usize, half: usize| {
            _mm256_cvtepu8_epi32(load_8(&block[part + sub * TILE + half * 8..]))
        };
        for half in 0..HALVES {
            for sub in 0..8 {
                let scales = rows(parts.scales, sub, half);
                store_32(&mut self.scales[sub][half], pairs(scales, scales));
            }
            for pair in 0..4 {
                let first = rows(parts.minima, 2 * pair, half);
                let second = rows(parts.minima, 2 * pair + 1, half);
                store_32(&mut self.minima[pair][half], pairs(first, second));
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn signed_scales(&mut self, block: &[u8]) {
        let part = Format::Q6K.parts().scales;
        for half in 0..HALVES {
            for pair in 0..8 {
                let rows = |sub: usize| {
                    _mm256_cvtepi8_epi32(load_8(&block[part + sub * TILE + half * 8..]))
                };
                let (first, second) = (rows(2 * pair), rows(2 * pair + 1));
                store_32(&mut self.scales[2 * pair][half], pairs(first, first));
                store_32(&mut self.scales[2 * pair + 1][half], pairs(second, second));
                // Weights are stored 32 larger than they are.
                let minima = pairs(
                    _mm256_slli_epi32::<5>(first),
                    _mm256_slli_epi32::<5>(second),
                );
                store_32(&mut self.minima[pair][half], minima);
            }
        }
    }

    /// Adds the products of the panel and some rows.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn meet<const N: usize>(
        &self,
        format: Format,
        blocks: &[u8],
        rows: [Row<'_>; N],
        sums: &mut [[f32; TILE]],
    ) {
        match format {
            Format::Q4_0 => unreachable!("has a loop of its own"),
            Format::Q4_1 => self.meet_blocks::<N, 8>(format, blocks, rows, sums),
            Format::Q5_0 => self.meet_blocks::<N, 4>(format, blocks, rows, sums),
            Format::Q8_0 => self.meet_signed(blocks, rows, sums),
            Format::Q4K => self.meet_panel::<N, 8, 8>(format, blocks, rows, sums),
            Format::Q5K => self.meet_panel::<N, 4, 8>(format, blocks, rows, sums),
            Format::Q6K => self.meet_panel::<N, 2, 4>(format, blocks, rows, sums),
        }
    }

    /// K formats: whole numbers throughout the 256 columns. A scale stands
    /// for `SCALE` groups.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn meet_panel<const N: usize, const STEPS: usize, const SCALE: usize>(
        &self,
        format: Format,
        block: &[u8],
        rows: [Row<'_>; N],
        sums: &mut [[f32; TILE]],
    ) {
        let numbers = rows.map(|row| fours(row.numbers));
        let mut scaled = [[_mm256_setzero_si256(); HALVES]; N];
        for group in (0..GROUPS).step_by(STEPS) {
            let numbers = numbers.map(|row| &row[group..]);
            let products = products::<N, STEPS>(&self.weights[group..], numbers);
            let scales = &self.scales[group / SCALE];
            let scales = [load_32(&scales[0]), load_32(&scales[1])];
            for (scaled, products) in scaled.iter_mut().zip(products) {
                for ((scaled, product), scales) in scaled.iter_mut().zip(products).zip(scales) {
                    *scaled = _mm256_add_epi32(*scaled, _mm256_madd_epi16(product, scales));
                }
            }
        }
        let parts = format.parts();
        let pairs = GROUPS / SCALE / 2;
        for half in 0..HALVES {
            let d = halves(&block[parts.d + half * 16..]);
            for ((row, scaled), sums) in rows.iter().zip(&scaled).zip(&mut *sums) {
                let mut minima = _mm256_setzero_si256();
                let input = &row.sums[..2 * pairs];
                for (pair, minimum) in input.chunks_exact(2).zip(&self.minima) {
                    let pair = i32::from(pair[0]) & 0xffff | i32::from(pair[1]) << 16;
                    let product =
                        _mm256_madd_epi16(load_32(&minimum[half]), _mm256_set1_epi32(pair));
                    minima = _mm256_add_epi32(minima, product);
                }
                let scale = _mm256_set1_ps(row.scales[0]);
                let product = if format == Format::Q6K {
                    let whole = _mm256_sub_epi32(scaled[half], minima);
                    _mm256_mul_ps(d, _mm256_cvtepi32_ps(whole))
                } else {
                    let d_min = halves(&block[parts.d_min + half * 16..]);
                    _mm256_fmsub_ps(
                        d,
                        _mm256_cvtepi32_ps(scaled[half]),
                        _mm256_mul_ps(d_min, _mm256_cvtepi32_ps(minima)),
                    )
                };
                add(&mut sums[half * 8..], |sum| {
                    _mm256_fmadd_ps(scale, product, sum)
                });
            }
        }
    }

    /// Q4_1 and Q5_0: unsigned weights, a scale for 32 columns.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn meet_blocks<const N: usize, const STEPS: usize>(
        &self,
        format: Format,
        blocks: &[u8],
        rows: [Row<'_>; N],
        sums: &mut [[f32; TILE]],
    ) {
        let parts = format.parts();
        let ones = _mm256_set1_epi16(1);
        let numbers = rows.map(|row| fours(row.numbers));
        let mut floats = [[_mm256_setzero_ps(); HALVES]; N];
        for (index, block) in blocks.chunks_exact(parts.end).enumerate() {
            let mut whole = [[_mm256_setzero_si256(); HALVES]; N];
            for (whole, row) in whole.iter_mut().zip(rows) {
                let offset = offset(format) * i32::from(row.sums[index]);
                *whole = [_mm256_set1_epi32(-offset); HALVES];
            }
            for step in (0..BLOCK / GROUP).step_by(STEPS) {
                let group = index * (BLOCK / GROUP) + step;
                let numbers = numbers.map(|row| &row[group..]);
                let products = products::<N, STEPS>(&self.weights[group..], numbers);
                for (whole, products) in whole.iter_mut().zip(products) {
                    for (whole, product) in whole.iter_mut().zip(products) {
                        *whole = _mm256_add_epi32(*whole, _mm256_madd_epi16(product, ones));
                    }
                }
            }
            for half in 0..HALVES {
                let d = halves(&block[parts.d + half * 16..]);
                for ((floats, whole), row) in floats.iter_mut().zip(&whole).zip(rows) {
                    let scale = _mm256_mul_ps(d, _mm256_set1_ps(row.scales[index]));
                    let product = _mm256_cvtepi32_ps(whole[half]);
                    floats[half] = _mm256_fmadd_ps(product, scale, floats[half]);
                    if format == Format::Q4_1 {
                        let minimum = halves(&block[parts.d_min + half * 16..]);
                        let sum = _mm256_set1_ps(row.scaled_sums[index]);
                        floats[half] = _mm256_fmadd_ps(minimum, sum, floats[half]);
                    }
                }
            }
        }
        add_all(floats, sums);
    }

    /// Q8_0: signed weights. The sign moves to the input, since
    /// `vpmaddubsw` wants one side without.
    #[target_feature(enable = "avx2,fma,f16c")]
    fn meet_signed<const N: usize>(
        &self,
        blocks: &[u8],
        rows: [Row<'_>; N],
        sums: &mut [[f32; TILE]],
    ) {
        let parts = Format::Q8_0.parts();
        let ones = _mm256_set1_epi16(1);
        let mut floats = [[_mm256_setzero_ps(); HALVES]; N];
        for (index, block) in blocks.chunks_exact(parts.end).enumerate() {
            let mut whole = [[_mm256_setzero_si256(); HALVES]; N];
            let numbers = rows.map(|row| fours(&row.numbers[index * BLOCK..][..BLOCK]));
            for step in 0..BLOCK / GROUP {
                let weights = &self.weights[index * (BLOCK / GROUP) + step];
                for half in 0..HALVES {
                    let weights = load(&weights[half]);
                    let positive = _mm256_abs_epi8(weights);
                    for (whole, numbers) in whole.iter_mut().zip(numbers) {
                        let input = broadcast(numbers[step]);
                        let signed = _mm256_sign_epi8(input, weights);
                        let product = _mm256_maddubs_epi16(positive, signed);
                        let product = _mm256_madd_epi16(product, ones);
                        whole[half] = _mm256_add_epi32(whole[half], product);
                    }
                }
            }
            for half in 0..HALVES {
                let d = halves(&block[parts.d + half * 16..]);
                for ((floats, whole), row) in floats.iter_mut().zip(&whole).zip(rows) {
                    let scale = _mm256_set1_ps(row.scales[index]);
                    let product = _mm256_cvtepi32_ps(whole[half]);
                    floats[half] = _mm256_fmadd_ps(product, _mm256_mul_ps(d, scale), floats[half]);
                }
            }
        }
        add_all(floats, sums);
    }
}

/// The sums of products of the first `STEPS` groups, in 16 bits.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn products<const N: usize, const STEPS: usize>(
    weights: &[[[u8; 32]; HALVES]],
    rows: [&[[i8; GROUP]]; N],
) -> [[__m256i; HALVES]; N] {
    let weights: &[_; STEPS] = weights.first_chunk().expect("as many groups");
    let rows = rows.map(|row| row.first_chunk::<STEPS>().expect("as many groups"));
    let mut products = [[_mm256_setzero_si256(); HALVES]; N];
    for (step, weights) in weights.iter().enumerate() {
        let weights = [load(&weights[0]), load(&weights[1])];
        for (products, row) in products.iter_mut().zip(rows) {
            let input = broadcast(row[step]);
            for (product, weights) in products.iter_mut().zip(weights) {
                let sum = _mm256_add_epi16(*product, _mm256_maddubs_epi16(weights, input));
                *product = in_register(sum);
            }
        }
    }
    products
}

/// Two weights a byte: groups 2i in the low nibbles, 2i + 1 in the high ones.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn nibbles(block: &[u8], weights: &mut [[[u8; 32]; HALVES]]) {
    let low = _mm256_set1_epi8(15);
    for (index, two) in weights.chunks_exact_mut(2).enumerate() {
        for half in 0..HALVES {
            let packed = load(&block[(index * HALVES + half) * 32..]);
            store(&mut two[0][half], _mm256_and_si256(packed, low));
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(packed), low);
            store(&mut two[1][half], high);
        }
    }
}

/// The fifth bits of eight groups in each vector, the first group's lowest.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn fifth_bits(high: &[u8], weights: &mut [[[u8; 32]; HALVES]]) {
    let sixteen = _mm256_set1_epi8(16);
    for (index, eight) in weights.chunks_exact_mut(8).enumerate() {
        for half in 0..HALVES {
            let bits = load(&high[(index * HALVES + half) * 32..]);
            for (bit, group) in eight.iter_mut().enumerate() {
                let bit = _mm256_set1_epi8((1u8 << bit).cast_signed());
                let set = _mm256_cmpeq_epi8(_mm256_and_si256(bits, bit), bit);
                let weights = load(&group[half]);
                let weights = _mm256_or_si256(weights, _mm256_and_si256(set, sixteen));
                store(&mut group[half], weights);
            }
        }
    }
}

/// The fifth and sixth bits of four groups in each vector, the first group's
/// lowest.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn two_bits(high: &[u8], weights: &mut [[[u8; 32]; HALVES]]) {
    let mask = _mm256_set1_epi8(0x30);
    for (index, four) in weights.chunks_exact_mut(4).enumerate() {
        for half in 0..HALVES {
            let bits = load(&high[(index * HALVES + half) * 32..]);
            let places = [
                _mm256_slli_epi16::<4>(bits),
                _mm256_slli_epi16::<2>(bits),
                bits,
                _mm256_srli_epi16::<2>(bits),
            ];
            for (group, place) in four.iter_mut().zip(places) {
                let weights = load(&group[half]);
                let weights = _mm256_or_si256(weights, _mm256_and_si256(place, mask));
                store(&mut group[half], weights);
            }
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_all<const N: usize>(floats: [[__m256; HALVES]; N], sums: &mut [[f32; TILE]]) {
    for (sums, floats) in sums.iter_mut().zip(floats) {
        for half in 0..HALVES {
            add(&mut sums[half * 8..], |sum| {
                _mm256_add_ps(sum, floats[half])
            });
        }
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add(sums: &mut [f32], change: impl FnOnce(__m256) -> __m256) {
    let sums: &mut [f32; 8] = (&mut sums[..8]).try_into().expect("eight of them");
    // SAFETY: eight floats lie there; the load and the store need no
    // alignment.
    unsafe {
        let sum = _mm256_loadu_ps(sums.as_ptr());
        _mm256_storeu_ps(sums.as_mut_ptr(), change(sum));
    }
}

/// Numbers in groups of four.
fn fours(numbers: &[i8]) -> &[[i8; GROUP]] {
    numbers.as_chunks().0
}
