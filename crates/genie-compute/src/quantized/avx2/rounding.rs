//! Input rounded to eight bits, a block of 32 columns at a time.

use std::arch::x86_64::*;

use super::super::activations::Rounded;
use super::super::format::BLOCK;
use super::vectors::{load_floats, store_signed};

/// See `round_block_portable`, of which this is the twin.
///
/// # Safety
///
/// [`super::available`] must have said yes.
#[target_feature(enable = "avx2,fma,f16c")]
pub(in super::super) fn round_block(x: &[f32; BLOCK], numbers: &mut [i8; BLOCK]) -> Rounded {
    let (x, _) = x.as_chunks::<8>();
    let x = [
        load_floats(&x[0]),
        load_floats(&x[1]),
        load_floats(&x[2]),
        load_floats(&x[3]),
    ];
    let sign = _mm256_set1_ps(-0.0);
    let mut most = _mm256_setzero_ps();
    for x in x {
        // In this order a number that is none is passed over.
        most = _mm256_max_ps(_mm256_andnot_ps(sign, x), most);
    }
    let four = _mm_max_ps(
        _mm256_castps256_ps128(most),
        _mm256_extractf128_ps::<1>(most),
    );
    let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    let most = _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
    let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
    let inverse = _mm256_set1_ps(inverse);
    let [a, b, c, d] = x.map(|x| _mm256_cvtps_epi32(_mm256_mul_ps(x, inverse)));
    // Packing works on halves of vectors, which leaves fours in this order:
    // a b c d of the first halves, then of the second ones.
    let packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    let packed = _mm256_permutevar8x32_epi32(packed, order);
    store_signed(numbers, packed);

    let pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), packed);
    let eight = _mm_add_epi16(
        _mm256_castsi256_si128(pairs),
        _mm256_extracti128_si256::<1>(pairs),
    );
    let four = _mm_add_epi16(eight, _mm_unpackhi_epi64(eight, eight));
    let two = _mm_add_epi16(four, _mm_shuffle_epi32::<1>(four));
    let two = _mm_cvtsi128_si32(two);
    Rounded {
        scale: most / 127.0,
        halves: [two as i16, (two >> 16) as i16],
    }
}
