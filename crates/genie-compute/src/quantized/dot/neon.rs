//! Sixteen lanes in four registers of sixteen bytes: what every 64-bit ARM
//! processor has, and its instruction for products of four bytes (`sdot`)
//! where that is present.

use std::arch::aarch64::*;
use std::arch::asm;

use super::super::format::TILE;
use super::lanes::Lanes;

/// Needs NEON; with `DOT` also the `dotprod` extension.
#[derive(Clone, Copy)]
pub(in super::super) struct Neon<const DOT: bool>;

/// The same for all four quarters.
macro_rules! quarters {
    (|$index:ident| $code:expr) => {
        std::array::from_fn(|$index| unsafe { $code })
    };
}

// SAFETY, for every block below: the features and the bytes behind pointers
// are promised by the caller, and no load or store needs alignment.
#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all, stated above"
)]
impl<const DOT: bool> Lanes for Neon<DOT> {
    type Whole = [int32x4_t; 4];
    type Floats = [float32x4_t; 4];
    const EIGHT_ROWS: bool = false;
    const SIGNED: bool = true;

    #[inline(always)]
    unsafe fn fetch(at: *const u8) {
        unsafe {
            asm!("prfm pldl1keep, [{}]", in(reg) at, options(readonly, nostack, preserves_flags));
        }
    }

    #[inline(always)]
    unsafe fn load(from: *const u8) -> Self::Whole {
        quarters!(|i| vreinterpretq_s32_u8(vld1q_u8(from.add(16 * i))))
    }

    #[inline(always)]
    unsafe fn store(to: *mut u8, x: Self::Whole) {
        for (i, x) in x.into_iter().enumerate() {
            unsafe { vst1q_u8(to.add(16 * i), vreinterpretq_u8_s32(x)) };
        }
    }

    #[inline(always)]
    unsafe fn widen(from: *const u8) -> Self::Whole {
        unsafe {
            let x = vld1q_u8(from);
            let (low, high) = (vmovl_u8(vget_low_u8(x)), vmovl_u8(vget_high_u8(x)));
            [
                vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))),
                vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(low))),
                vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
                vreinterpretq_s32_u32(vmovl_u16(vget_high_u16(high))),
            ]
        }
    }

    #[inline(always)]
    unsafe fn widen_signed(from: *const u8) -> Self::Whole {
        unsafe {
            let x = vreinterpretq_s8_u8(vld1q_u8(from));
            let (low, high) = (vmovl_s8(vget_low_s8(x)), vmovl_s8(vget_high_s8(x)));
            [
                vmovl_s16(vget_low_s16(low)),
                vmovl_s16(vget_high_s16(low)),
                vmovl_s16(vget_low_s16(high)),
                vmovl_s16(vget_high_s16(high)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self::Whole {
        [unsafe { vdupq_n_s32(x) }; 4]
    }

    #[inline(always)]
    unsafe fn dot(sum: Self::Whole, weights: Self::Whole, input: Self::Whole) -> Self::Whole {
        quarters!(|i| dot::<DOT>(sum[i], weights[i], input[i]))
    }

    #[inline(always)]
    unsafe fn dot_pairs(sum: Self::Whole, a: Self::Whole, b: Self::Whole) -> Self::Whole {
        quarters!(|i| {
            let (a, b) = (vreinterpretq_s16_s32(a[i]), vreinterpretq_s16_s32(b[i]));
            let low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
            vaddq_s32(sum[i], vpaddq_s32(low, vmull_high_s16(a, b)))
        })
    }

    #[inline(always)]
    unsafe fn add(a: Self::Whole, b: Self::Whole) -> Self::Whole {
        quarters!(|i| vaddq_s32(a[i], b[i]))
    }

    #[inline(always)]
    unsafe fn subtract(a: Self::Whole, b: Self::Whole) -> Self::Whole {
        quarters!(|i| vsubq_s32(a[i], b[i]))
    }

    #[inline(always)]
    unsafe fn multiply(a: Self::Whole, b: Self::Whole) -> Self::Whole {
        quarters!(|i| vmulq_s32(a[i], b[i]))
    }

    #[inline(always)]
    unsafe fn and(a: Self::Whole, b: Self::Whole) -> Self::Whole {
        quarters!(|i| vandq_s32(a[i], b[i]))
    }

    #[inline(always)]
    unsafe fn or(a: Self::Whole, b: Self::Whole) -> Self::Whole {
        quarters!(|i| vorrq_s32(a[i], b[i]))
    }

    #[inline(always)]
    unsafe fn xor(a: Self::Whole, b: Self::Whole) -> Self::Whole {
        quarters!(|i| veorq_s32(a[i], b[i]))
    }

    #[inline(always)]
    unsafe fn shift_left(x: Self::Whole, bits: i32) -> Self::Whole {
        quarters!(|i| vshlq_s32(x[i], vdupq_n_s32(bits)))
    }

    #[inline(always)]
    unsafe fn shift_right(x: Self::Whole, bits: i32) -> Self::Whole {
        // A shift by less than nothing goes to the right.
        quarters!(|i| {
            let x = vreinterpretq_u32_s32(x[i]);
            vreinterpretq_s32_u32(vshlq_u32(x, vdupq_n_s32(-bits)))
        })
    }

    #[inline(always)]
    unsafe fn floats(x: Self::Whole) -> Self::Floats {
        quarters!(|i| vcvtq_f32_s32(x[i]))
    }

    #[inline(always)]
    unsafe fn halves(from: *const u8) -> Self::Floats {
        quarters!(|i| widen_halves(vld1_u8(from.add(8 * i))))
    }

    #[inline(always)]
    unsafe fn splat_float(x: f32) -> Self::Floats {
        [unsafe { vdupq_n_f32(x) }; 4]
    }

    #[inline(always)]
    unsafe fn load_floats(from: *const [f32; TILE]) -> Self::Floats {
        let from: *const f32 = from.cast();
        quarters!(|i| vld1q_f32(from.add(4 * i)))
    }

    #[inline(always)]
    unsafe fn store_floats(to: *mut [f32; TILE], x: Self::Floats) {
        let to: *mut f32 = to.cast();
        for (i, x) in x.into_iter().enumerate() {
            unsafe { vst1q_f32(to.add(4 * i), x) };
        }
    }

    #[inline(always)]
    unsafe fn add_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        quarters!(|i| vaddq_f32(a[i], b[i]))
    }

    #[inline(always)]
    unsafe fn multiply_floats(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        quarters!(|i| vmulq_f32(a[i], b[i]))
    }

    #[inline(always)]
    unsafe fn fused(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        quarters!(|i| vfmaq_f32(c[i], a[i], b[i]))
    }

    #[inline(always)]
    unsafe fn fused_less(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        quarters!(|i| vfmaq_f32(vnegq_f32(c[i]), a[i], b[i]))
    }
}

/// `sum` and, in every lane, four products of signed bytes.
///
/// # Safety
///
/// The processor must have NEON, and `dotprod` with `DOT`.
#[inline(always)]
unsafe fn dot<const DOT: bool>(
    mut sum: int32x4_t,
    weights: int32x4_t,
    input: int32x4_t,
) -> int32x4_t {
    // SAFETY: promised by the caller.
    unsafe {
        if DOT {
            // The function for it is not stable yet.
            asm!(
                ".arch_extension dotprod",
                "sdot {sum:v}.4s, {weights:v}.16b, {input:v}.16b",
                sum = inout(vreg) sum,
                weights = in(vreg) weights,
                input = in(vreg) input,
                options(pure, nomem, nostack, preserves_flags),
            );
            return sum;
        }
        let (weights, input) = (vreinterpretq_s8_s32(weights), vreinterpretq_s8_s32(input));
        let low = vmull_s8(vget_low_s8(weights), vget_low_s8(input));
        let high = vmull_high_s8(weights, input);
        // Two products are 32,512 at most: input is never -128.
        vpadalq_s16(sum, vpaddq_s16(low, high))
    }
}

/// Four numbers of half precision as single precision.
///
/// # Safety
///
/// The processor must have NEON.
#[inline(always)]
unsafe fn widen_halves(halves: uint8x8_t) -> float32x4_t {
    let floats;
    // SAFETY: promised by the caller. The function for it is not stable yet.
    unsafe {
        asm!(
            "fcvtl {floats:v}.4s, {halves:v}.4h",
            floats = out(vreg) floats,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    floats
}
