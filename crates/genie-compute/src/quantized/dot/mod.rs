//! The product of one tile with one instruction for four bytes: `vpdpbusd` of
//! VNNI and `sdot` of ARM multiply four bytes by four others and add them up
//! in 32 bits, where AVX2 takes three and has to mind 16 bits. NEON without
//! `sdot` takes four that need no care.
//!
//! A vector is four columns of sixteen rows, which is what a register of
//! AVX-512 holds; AVX-VNNI takes two registers, NEON four. The kernels are
//! the same, written for [`Lanes`]. Whole numbers are added up as in the other kernels
//! and floats in the order of the AVX2 one, so that both give the same bits.
//!
//! Weights without a sign are 8, 16, 32 or 128 larger than the ones that are
//! meant. What that adds to a product is known beforehand, and sums start
//! that much below zero.

mod kernel;
pub(super) mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(super) mod weights;
#[cfg(target_arch = "x86_64")]
pub(super) mod ymm;
#[cfg(target_arch = "x86_64")]
mod zmm;

use std::ops::Range;

use super::activations::Activations;
use super::format::{Format, PANEL, TILE};
use super::panel::Panel;
use super::pointers::Rows;
use kernel::meet;
use lanes::Lanes;
use weights::{Packed, Unpacked, Weights, format, parts};

/// Whether this processor has AVX-512 with VNNI.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni")
        && super::avx2::available()
}

/// Whether this processor has AVX-VNNI.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx() -> bool {
    is_x86_feature_detected!("avxvnni") && super::avx2::available()
}

/// A product with one format.
type Multiply = unsafe fn(&[u8], &Activations, Range<usize>, &mut [[f32; TILE]], &mut Panel);

macro_rules! kernels {
    ($name:ident, $lanes:ty, $features:literal, $of_format:ident) => {
        /// Adds to `sums`, sixteen for each of `rows` of `input`, the
        /// products with a tile. What `panel` held before does not matter.
        ///
        /// # Safety
        ///
        /// The processor must have the instructions.
        pub(super) unsafe fn $name(
            format: Format,
            tile: &[u8],
            input: &Activations,
            rows: Range<usize>,
            sums: &mut [[f32; TILE]],
            panel: &mut Panel,
        ) {
            const KERNELS: [Multiply; 7] = [
                $of_format::<0>,
                $of_format::<1>,
                $of_format::<2>,
                $of_format::<3>,
                $of_format::<4>,
                $of_format::<5>,
                $of_format::<6>,
            ];
            // SAFETY: promised by the caller.
            unsafe { KERNELS[number(format)](tile, input, rows, sums, panel) }
        }

        #[target_feature(enable = $features)]
        fn $of_format<const F: u8>(
            tile: &[u8],
            input: &Activations,
            rows: Range<usize>,
            sums: &mut [[f32; TILE]],
            panel: &mut Panel,
        ) {
            // SAFETY: this function has what the lanes need.
            unsafe { multiply::<$lanes, F>(tile, input, rows, sums, panel) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(
    multiply_avx512,
    zmm::Zmm,
    "avx512f,avx512bw,avx512vnni,avx2,fma,f16c",
    format_avx512
);
#[cfg(target_arch = "x86_64")]
kernels!(multiply_avx, ymm::Ymm, "avxvnni,avx2,fma,f16c", format_avx);
#[cfg(target_arch = "aarch64")]
kernels!(multiply_neon, neon::Neon<false>, "neon", format_neon);
#[cfg(target_arch = "aarch64")]
kernels!(
    multiply_neon_dot,
    neon::Neon<true>,
    "neon,dotprod",
    format_neon_dot
);

/// The inverse of [`format`].
pub(super) const fn number(format: Format) -> usize {
    match format {
        Format::Q4_0 => 0,
        Format::Q4_1 => 1,
        Format::Q5_0 => 2,
        Format::Q8_0 => 3,
        Format::Q4K => 4,
        Format::Q5K => 5,
        Format::Q6K => 6,
    }
}

/// # Safety
///
/// The processor must have what `L` needs.
#[inline(always)]
unsafe fn multiply<L: Lanes, const F: u8>(
    tile: &[u8],
    input: &Activations,
    rows: Range<usize>,
    sums: &mut [[f32; TILE]],
    panel: &mut Panel,
) {
    assert!(!rows.is_empty() && rows.len() == sums.len());
    let together = if L::EIGHT_ROWS { 8 } else { 4 };
    let bytes = PANEL / format::<F>().columns() * parts::<F>().end;
    for (index, blocks) in tile.chunks(bytes).enumerate() {
        let count = blocks.len() / parts::<F>().end;
        let input = Rows::of((input, index), count, rows.clone());
        // SAFETY: promised by the caller; `sweep` gets the blocks that the
        // weights come from.
        unsafe {
            if rows.len() <= together {
                let weights = Packed::<F>(blocks.as_ptr());
                sweep::<L, _, F>(weights, blocks, input, sums);
            } else {
                let weights = Unpacked::<F>::fill::<L>(panel, blocks);
                sweep::<L, _, F>(weights, blocks, input, sums);
            }
        }
    }
}

/// Meets the rows of `input`, as many at a time as fit in registers.
///
/// # Safety
///
/// `weights` must be those of `blocks`, `input` must have as many rows as
/// there are sums, and the processor must have what `L`
/// needs.
#[inline(always)]
unsafe fn sweep<L: Lanes, W: Weights<L>, const F: u8>(
    weights: W,
    blocks: &[u8],
    mut input: Rows,
    mut sums: &mut [[f32; TILE]],
) {
    let count = blocks.len() / parts::<F>().end;
    let blocks = (blocks.as_ptr(), count);
    macro_rules! rows {
        ($count:literal) => {
            while sums.len() >= $count {
                let (some, rest) = std::mem::take(&mut sums).split_at_mut($count);
                let some: &mut [_; $count] = some.try_into().expect("as many");
                // SAFETY: `Rows::of` checked all of them, and the caller
                // promises the weights.
                unsafe { meet::<L, W, F, $count>(weights, blocks, input, some) };
                input = input.skip($count);
                sums = rest;
            }
        };
    }
    if L::EIGHT_ROWS {
        rows!(8);
    }
    rows!(4);
    rows!(2);
    rows!(1);
}
