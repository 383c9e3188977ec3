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
