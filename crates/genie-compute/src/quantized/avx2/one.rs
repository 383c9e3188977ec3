//! One row of input against a tile of a K format, which is what writing an
//! answer consists of: all weights are read for each of its tokens, so that
//! the product has to keep up with the memory.
//!
//! Weights are met as they lie in the tile. The innermost loops are written
//! down in instructions: the compiler would keep less in registers.

use std::arch::asm;
use std::arch::x86_64::*;

use super::super::activations::{Activations, has_starts};
use super::super::dot::lanes::Lanes;
use super::super::dot::weights::{fetch_ahead, format, parts};
use super::super::dot::ymm::Ymm;
use super::super::format::{BLOCK, Format, PANEL, TILE};
use super::super::panel::VECTOR;
use super::HALVES;
use super::source::{Floats, Whole};

/// Eight columns: `$w` is where their nibbles lie, `$x` where their input.
/// Between, `$high` adds the bits above the fourth.
macro_rules! eight_columns {
    ($w:literal, $x:literal $(, $high:expr)*) => {
        concat!(
            "vmovdqu {c0}, [{w} + ", $w, "]\n",
            "vmovdqu {c1}, [{w} + ", $w, " + 32]\n",
            "vpbroadcastd {x0}, [{x} + ", $x, "]\n",
            "vpbroadcastd {x1}, [{x} + ", $x, " + 4]\n",
            "vpand {b0}, {c0}, {low}\n",
            "vpand {b1}, {c1}, {low}\n",
            "vpsrlw {c0}, {c0}, 4\n",
            "vpsrlw {c1}, {c1}, 4\n",
            "vpand {c0}, {c0}, {low}\n",
            "vpand {c1}, {c1}, {low}\n",
            $($high,)*
            "vpmaddubsw {b0}, {b0}, {x0}\n",
            "vpmaddubsw {b1}, {b1}, {x0}\n",
            "vpmaddubsw {c0}, {c0}, {x1}\n",
            "vpmaddubsw {c1}, {c1}, {x1}\n",
            "vpaddw {a0}, {a0}, {b0}\n",
            "vpaddw {a1}, {a1}, {b1}\n",
            "vpaddw {a0}, {a0}, {c0}\n",
            "vpaddw {a1}, {a1}, {c1}\n",
        )
    };
}

/// The bits above the fourth of four columns, moved to their place.
macro_rules! high {
    ($to0:literal, $to1:literal, "none", $bits:literal) => {
        concat!(
            "vpand {h}, {h0}, {mask}\n",
            "vpor {",
            $to0,
            "}, {",
            $to0,
            "}, {h}\n",
            "vpand {h}, {h1}, {mask}\n",
            "vpor {",
            $to1,
            "}, {",
            $to1,
            "}, {h}\n",
        )
    };
    ($to0:literal, $to1:literal, $shift:literal, $bits:literal) => {
        concat!(
            $shift,
            " {h}, {h0}, ",
            $bits,
            "\n",
            "vpand {h}, {h}, {mask}\n",
            "vpor {",
            $to0,
            "}, {",
            $to0,
            "}, {h}\n",
            $shift,
            " {h}, {h1}, ",
            $bits,
            "\n",
            "vpand {h}, {h}, {mask}\n",
            "vpor {",
            $to1,
            "}, {",
            $to1,
            "}, {h}\n",
        )
    };
}

/// The nibbles of 32 columns times the input, in pairs of 16 bits.
///
/// # Safety
///
/// The processor must have AVX2; 256 bytes must lie behind `weights` and 32
/// behind `input`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn of_four_bits(weights: *const u8, input: *const i8) -> Whole {
    let (mut a0, mut a1) = (_mm256_setzero_si256(), _mm256_setzero_si256());
    // SAFETY: only reads, of what the caller promises.
    unsafe {
        asm!(
            concat!(
                eight_columns!(0, 0),
                eight_columns!(64, 8),
                eight_columns!(128, 16),
                eight_columns!(192, 24)
            ),
            w = in(reg) weights,
            x = in(reg) input,
            low = in(ymm_reg) _mm256_set1_epi8(15),
            a0 = inout(ymm_reg) a0,
            a1 = inout(ymm_reg) a1,
            b0 = out(ymm_reg) _,
            b1 = out(ymm_reg) _,
            c0 = out(ymm_reg) _,
            c1 = out(ymm_reg) _,
            x0 = out(ymm_reg) _,
            x1 = out(ymm_reg) _,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    [a0, a1]
}

macro_rules! with_high_bits {
    ($(#[$note:meta])* $name:ident, $($code:expr),*) => {
        $(#[$note])*
        #[target_feature(enable = "avx2,fma,f16c")]
        #[inline]
        unsafe fn $name(
            weights: *const u8,
            high: *const u8,
            (input, mask): (*const i8, __m256i),
            start: i32,
        ) -> Whole {
            let (mut a0, mut a1) = (_mm256_set1_epi32(start), _mm256_set1_epi32(start));
            // SAFETY: only reads, of what the caller promises.
            unsafe {
                let [h0, h1] = Ymm::load(high);
                asm!(
                    concat!($($code),*),
                    w = in(reg) weights,
                    x = in(reg) input,
                    low = in(ymm_reg) _mm256_set1_epi8(15),
                    mask = in(ymm_reg) mask,
                    h0 = in(ymm_reg) h0,
                    h1 = in(ymm_reg) h1,
                    a0 = inout(ymm_reg) a0,
                    a1 = inout(ymm_reg) a1,
                    b0 = out(ymm_reg) _,
                    b1 = out(ymm_reg) _,
                    c0 = out(ymm_reg) _,
                    c1 = out(ymm_reg) _,
                    x0 = out(ymm_reg) _,
                    x1 = out(ymm_reg) _,
                    h = out(ymm_reg) _,
                    options(pure, readonly, nostack, preserves_flags),
                );
            }
            [a0, a1]
        }
    };
}

with_high_bits!(
    /// The same for weights of five bits, from `start` on.
    ///
    /// # Safety
    ///
    /// As for [`of_four_bits`], and 64 bytes must lie behind `high`.
    of_five_bits,
    eight_columns!(0, 0, high!("b0", "b1", "vpsllw", 4), high!("c0", "c1", "vpsllw", 3)),
    eight_columns!(64, 8, high!("b0", "b1", "vpsllw", 2), high!("c0", "c1", "vpsllw", 1)),
    eight_columns!(128, 16, high!("b0", "b1", "none", 0), high!("c0", "c1", "vpsrlw", 1)),
    eight_columns!(192, 24, high!("b0", "b1", "vpsrlw", 2), high!("c0", "c1", "vpsrlw", 3))
);
with_high_bits!(
    /// The same for 16 columns of six bits.
    ///
    /// # Safety
    ///
    /// The processor must have AVX2; 128 bytes must lie behind `weights`, 64
    /// behind `high` and 16 behind `input`.
    of_six_bits,
    eight_columns!(0, 0, high!("b0", "b1", "vpsllw", 4), high!("c0", "c1", "vpsllw", 2)),
    eight_columns!(64, 8, high!("b0", "b1", "none", 0), high!("c0", "c1", "vpsrlw", 2))
);

/// Sixteen numbers of a byte from `first` and as many from `second`, two by
/// two in 16 bits.
///
/// # Safety
///
/// The processor must have AVX2; 16 bytes must lie at each place.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn pairs<const SIGNED: bool>(first: *const u8, second: *const u8) -> Whole {
    // SAFETY: promised by the caller; loads need no alignment.
    let (first, second) = unsafe {
        (
            _mm_loadu_si128(first.cast()),
            _mm_loadu_si128(second.cast()),
        )
    };
    let halves: [__m128i; HALVES] = [
        _mm_unpacklo_epi8(first, second),
        _mm_unpackhi_epi8(first, second),
    ];
    halves.map(|half| match SIGNED {
        true => _mm256_cvtepi8_epi16(half),
        false => _mm256_cvtepu8_epi16(half),
    })
}

/// Adds to `sums` the products of pairs in 16 bits.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add(sums: &mut Whole, pairs: Whole, by: Whole) {
    for half in 0..HALVES {
        sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(pairs[half], by[half]));
    }
}

/// Adds to `sums` the products of a tile of a K format with one row.
///
/// # Panics
///
/// If the tile is not as wide as the input.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn of_format<const F: u8>(
    tile: &[u8],
    input: &Activations,
    row: usize,
    sums: &mut [f32; TILE],
) {
    let (parts, groups) = const { (parts::<F>(), PANEL / sum_columns::<F>()) };
    assert!(tile.len() * PANEL == input.columns * parts.end);
    let at = sums.as_mut_ptr();
    // SAFETY: sixteen floats lie there.
    let mut total: Floats = unsafe { [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))] };
    for (index, block) in tile.chunks_exact(parts.end).enumerate() {
        let row = input.row(row, index);
        assert!(row.numbers.len() == PANEL && row.sums.len() == groups && row.scales.len() == 1);
        assert!(!has_starts(format::<F>()) || row.starts.len() == groups);
        let scale = row.scales[0];
        // SAFETY: the block has all parts of its format, and the input was
        // checked.
        unsafe {
            let block = block.as_ptr();
            let (numbers, starts) = (row.numbers.as_ptr(), row.starts.as_ptr());
            let mut scaled = [_mm256_setzero_si256(); HALVES];
            let mut minima = [_mm256_setzero_si256(); HALVES];
            let scale_at = |group: usize| block.add(parts.scales + group * TILE);
            for group in 0..groups {
                fetch_ahead::<Ymm, F>(block, group);
                let input = numbers.add(group * sum_columns::<F>());
                let weights = block.add(group * (sum_columns::<F>() * TILE / 2));
                let high = block.add(parts.high + group * VECTOR);
                let products = match format::<F>() {
                    Format::Q4K => of_four_bits(weights, input),
                    Format::Q5K => {
                        let input = (input, _mm256_set1_epi8(0x10));
                        of_five_bits(weights, high, input, *starts.add(group))
                    }
                    _ => {
                        let input = (input, _mm256_set1_epi8(0x30));
                        of_six_bits(weights, high, input, *starts.add(group))
                    }
                };
                let scale = match format::<F>() {
                    Format::Q6K => pairs::<true>(scale_at(group), scale_at(group)),
                    _ => pairs::<false>(scale_at(group), scale_at(group)),
                };
                add(&mut scaled, products, scale);
            }
            if !matches!(format::<F>(), Format::Q6K) {
                for pair in 0..groups / 2 {
                    let two = row.sums.as_ptr().cast::<i32>().add(pair).read_unaligned();
                    let two = [_mm256_set1_epi32(two); HALVES];
                    let at = block.add(parts.minima + 2 * pair * TILE);
                    add(&mut minima, pairs::<false>(at, at.add(TILE)), two);
                    if matches!(format::<F>(), Format::Q5K) {
                        // Back to the weights as they are stored.
                        let scales = pairs::<false>(scale_at(2 * pair), scale_at(2 * pair + 1));
                        let sixteen = scales.map(|scales| _mm256_slli_epi16(scales, 4));
                        add(&mut scaled, sixteen, two);
                    }
                }
            }
            let d = Ymm::halves(block.add(parts.d));
            let scale = _mm256_set1_ps(scale);
            for half in 0..HALVES {
                let scaled = _mm256_cvtepi32_ps(scaled[half]);
                let product = if matches!(format::<F>(), Format::Q6K) {
                    _mm256_mul_ps(d[half], scaled)
                } else {
                    let d_min = Ymm::halves(block.add(parts.d_min))[half];
                    let minima = _mm256_mul_ps(d_min, _mm256_cvtepi32_ps(minima[half]));
                    _mm256_fmsub_ps(d[half], scaled, minima)
                };
                total[half] = _mm256_fmadd_ps(scale, product, total[half]);
            }
        }
    }
    // SAFETY: as above.
    unsafe {
        _mm256_storeu_ps(at, total[0]);
        _mm256_storeu_ps(at.add(8), total[1]);
    }
}

/// Columns of a K format that share a scale.
const fn sum_columns<const F: u8>() -> usize {
    match format::<F>() {
        Format::Q6K => 16,
        _ => BLOCK,
    }
}
