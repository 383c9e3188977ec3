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
//!
//! Sums of Q4_0 and Q6_K begin below zero by what weights are stored too
//! large, and may wrap around on the way: what those of 32 and of 16 columns
//! end at is 16,256 and 32,512 at most.
//!
//! Every function needs AVX2, FMA and F16C; [`available`] tells.

#![expect(
    clippy::expect_used,
    reason = "slices of a fixed length become arrays, which the compiler sees through"
)]

mod meet;
mod nibbles;
mod rounding;
mod vectors;

use std::arch::x86_64::*;

use super::activations::Activations;
use super::format::{BLOCK, Format, GROUP, PANEL, TILE};
use super::pointers::Rows;
pub(super) use rounding::round_block;
use vectors::{halves, load, load_8, load_32, pairs, store, store_32, store_floats};

/// Groups of four columns in a panel.
const GROUPS: usize = PANEL / GROUP;
/// Blocks of 32 columns in a panel.
const BLOCKS: usize = PANEL / BLOCK;
/// Vectors of eight rows that a tile has.
const HALVES: usize = 2;

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
    assert!(!rows.is_empty() && rows.len() == sums.len());
    let bytes = format.parts().end;
    let blocks = PANEL / format.columns();
    for (index, blocks) in tile.chunks(bytes * blocks).enumerate() {
        panel.fill(format, blocks);
        if format == Format::Q4_0 {
            nibbles::meet(panel, index, input, rows.clone(), sums);
            continue;
        }
        let count = blocks.len() / bytes;
        let rows = Rows::of((input, index), count, rows.clone());
        // SAFETY: the panel has just been filled with these blocks, and the
        // rows were checked.
        unsafe { meet::meet(panel, format, blocks, rows, sums) };
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
            for sub in 0..16 {
                let at = part + sub * TILE + half * 8;
                let scales = _mm256_cvtepi8_epi32(load_8(&block[at..]));
                store_32(&mut self.scales[sub][half], pairs(scales, scales));
            }
        }
    }
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
