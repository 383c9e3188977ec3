//! Sixteen lanes in two registers of 32 bytes: AVX2 with AVX-VNNI, which
//! processors without AVX-512 have.

use std::arch::x86_64::*;

use super::super::format::TILE;
use super::lanes::Lanes;

/// Needs AVX2, FMA, F16C and AVX-VNNI.
#[derive(Clone, Copy)]
pub(in super::super) struct Ymm;

/// The same for both halves.
macro_rules! both {
    ($function:ident, $a:ident) => {
        unsafe { [$function($a[0]), $function($a[1])] }
    };
    ($function:ident, $a:ident, $b:ident) => {
        unsafe { [$function($a[0], $b[0]), $function($a[1], $b[1])] }
    };
    ($function:ident, $a:ident, $b:ident, $c:ident) => {
        unsafe {
            [
                $function($a[0], $b[0], $c[0]),
                $function($a[1], $b[1], $c[1]),
            ]
        }
    };
}

// SAFETY, for every block below: the features and the bytes behind pointers
// are promised by the caller, and no load or store needs alignment.
#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all, stated above"
)]
impl Lanes for Ymm {
    type Whole = [__m256i; 2];
    type Floats = [__m256; 2];
    const EIGHT_ROWS: bool = false;
    const SIGNED: bool = false;

    #[inline(always)]
    unsafe fn fetch(at: *const u8) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self::Whole {
        let from: *const __m256i = from.cast();
        unsafe { [_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))] }
    }

    #[inline(always)]
    unsafe fn store(to: *mut u8, x: Self::Whole) {
        let to: *mut __m256i = to.cast();
        unsafe {
            _mm256_storeu_si256(to, x[0]);
            _mm256_storeu_si256(to.add(1), x[1]);
        }
    }

    #[inline(always)]
    unsafe fn widen(from: *const u8) -> Self::Whole {
        unsafe {
            [
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())),
                _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.add(8).cast())),
            ]
        }
    }

    #[inline(always)]
    unsafe fn widen_signed(from: *const u8) -> Self::Whole {
        unsafe {
            [
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast())),
                _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.add(8).cast())),
            ]
        }
    }

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self::Whole {
        [unsafe { _mm256_set1_epi32(x) }; 2]
    }

    #[inline(always)]
    unsafe fn dot(sum: Self::Whole, weights: Self::Whole, input: Self::Whole) -> Self::Whole {
        both!(_mm256_dpbusd_avx_epi32, sum, weights, input)
    }

    #[inline(always)]
    unsafe fn dot_pairs(sum: Self::Whole, a: Self::Whole, b: Self::Whole) -> Self::Whole {
        both!(_mm256_dpwssd_avx_epi32, sum, a, b)
    }

    #[inline(always)]
    unsafe fn add(a: Self::Whole, b: Self::Whole) -> Self::Whole {
        both!(_mm256_add_epi32, a, b)
    }

    #[inline(always)]
    unsafe fn subtract(a: Self::Whole, b: Self::Whole) -> Self::Whole {
        both!(_mm256_sub_epi32, a, b)
    }

    #[inline(always)]
    unsafe fn multiply(a: Self::Whole, b: Self::Whole) -> Self::Whole {
        both!(_mm256_mullo_epi32, a, b)
    }

    #[inline(always)]
    unsafe fn and(a: Self::Whole, b: Self::Whole) -> Self::Whole {
        both!(_mm256_and_si256, a, b)
    }

    #[inline(always)]
    unsafe fn or(a: Self::Whole, b: Self::Whole) -> Self::Whole {
        both!(_mm256_or_si256, a, b)
    }

    #[inline(always)]
    unsafe fn xor(a: Self::Whole, b: Self::Whole) -> Self::Whole {
        both!(_mm256_xor_si256, a, b)
    }

    #[inline(always)]
    unsafe fn shift_left(x: Self::Whole, bits: i32) -> Self::Whole {
        let bits = unsafe { [_mm_cvtsi32_si128(bits); 2] };
        both!(_mm256_sll_epi32, x, bits)
    }

    #[inline(always)]
    unsafe fn shift_right(x: Self::Whole, bits: i32) -> Self::Whole {
        let bits = unsafe { [_mm_cvtsi32_si128(bits); 2] };
        both!(_mm256_srl_epi32, x, bits)
    }

    #[inline(always)]
    unsafe fn floats(x: Self::Whole) -> Self::Floats {
        both!(_mm256_cvtepi32_ps, x)
    }

    #[inline(always)]
    unsafe fn halves(from: *const u8) -> Self::Floats {
        let from: *const __m128i = from.cast();
        unsafe {
            [
                _mm256_cvtph_ps(_mm_loadu_si128(from)),
                _mm256_cvtph_ps(_mm_loadu_si128(from.add(1))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn splat_float(x: f32) -> Self::Floats {
        [unsafe { _mm256_set1_ps(x) }; 2]
    }

    #[inline(always)]
    unsafe fn load_floats(from: *const [f32; TILE]) -> Self::Floats {
        let from: *const f32 = from.cast();
        unsafe { [_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))] }
    }

    #[inline(always)]
    unsafe fn store_floats(to: *mut [f32; TILE], x: Self::Floats) {
        let to: *mut f32 = to.cast();
        unsafe {
            _mm256_storeu_ps(to, x[0]);
            _mm256_storeu_ps(to.add(8), x[1]);
        }
    }

    #[inline(always)]
    unsafe fn add_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        both!(_mm256_add_ps, a, b)
    }

    #[inline(always)]
    unsafe fn multiply_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        both!(_mm256_mul_ps, a, b)
    }

    #[inline(always)]
    unsafe fn fused(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        both!(_mm256_fmadd_ps, a, b, c)
    }

    #[inline(always)]
    unsafe fn fused_less(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        both!(_mm256_fmsub_ps, a, b, c)
    }
}
