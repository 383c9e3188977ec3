//! Vectors of 32 bytes: loads, stores and small rearrangements. All of it
//! needs AVX2, FMA and F16C.

use std::arch::x86_64::*;

/// The same vector, which the compiler must have at this point. Sums of
/// several steps would otherwise be reordered into trees, which need more
/// registers than there are, so that they spill.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn in_register(mut vector: __m256i) -> __m256i {
    // SAFETY: no instruction at all.
    unsafe {
        std::arch::asm!("/* {0} */", inout(ymm_reg) vector, options(pure, nomem, nostack, preserves_flags));
    }
    vector
}

/// The same number, which the compiler does not know.
#[inline(always)]
pub(super) fn opaque(mut number: usize) -> usize {
    // SAFETY: no instruction at all.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) number, options(pure, nomem, nostack, preserves_flags));
    }
    number
}

/// Two numbers of 16 bits in each lane of 32.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn pairs(first: __m256i, second: __m256i) -> __m256i {
    let low = _mm256_and_si256(first, _mm256_set1_epi32(0xffff));
    _mm256_or_si256(low, _mm256_slli_epi32::<16>(second))
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn load(bytes: &[u8]) -> __m256i {
    let bytes: &[u8; 32] = bytes[..32].try_into().expect("32 of them");
    // SAFETY: 32 bytes lie there, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn store(bytes: &mut [u8; 32], vector: __m256i) {
    // SAFETY: 32 bytes lie there, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn store_signed(numbers: &mut [i8; 32], vector: __m256i) {
    // SAFETY: 32 bytes lie there, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(numbers.as_mut_ptr().cast(), vector) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn load_floats(numbers: &[f32; 8]) -> __m256 {
    // SAFETY: 32 bytes lie there, and the load needs no alignment.
    unsafe { _mm256_loadu_ps(numbers.as_ptr()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn store_floats(numbers: &mut [f32; 8], vector: __m256) {
    // SAFETY: 32 bytes lie there, and the store needs no alignment.
    unsafe { _mm256_storeu_ps(numbers.as_mut_ptr(), vector) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn load_32(numbers: &[i32; 8]) -> __m256i {
    // SAFETY: 32 bytes lie there, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(numbers.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn store_32(numbers: &mut [i32; 8], vector: __m256i) {
    // SAFETY: 32 bytes lie there, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(numbers.as_mut_ptr().cast(), vector) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn load_8(bytes: &[u8]) -> __m128i {
    let eight: [u8; 8] = bytes[..8].try_into().expect("eight of them");
    _mm_cvtsi64_si128(i64::from_le_bytes(eight))
}

/// Eight numbers of half precision as single precision.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
pub(super) fn halves(bytes: &[u8]) -> __m256 {
    let bytes: &[u8; 16] = bytes[..16].try_into().expect("16 of them");
    // SAFETY: 16 bytes lie there, and the load needs no alignment.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}
