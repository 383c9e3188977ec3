//! Where the AVX2 kernel gets weights from: a panel that was unpacked for
//! many rows of input, or the tile itself where there are few.

use std::arch::x86_64::*;

use super::super::dot::lanes::Lanes;
use super::super::dot::weights::{
    Packed, Weights, eight_times, fetch_ahead, format, groups, groups_a_scale, parts,
};
use super::super::dot::ymm::Ymm;
use super::super::format::Format;
use super::super::panel::{Panel, VECTOR};
use super::HALVES;

/// A vector of whole numbers for each half of a tile.
pub(super) type Whole = [__m256i; HALVES];
/// A vector of floats for each half of a tile.
pub(super) type Floats = [__m256; HALVES];

/// The weights of up to 256 columns of a tile.
///
/// # Safety
///
/// There must be as many groups, scales and blocks as are asked for, and the
/// processor must have AVX2, FMA and F16C.
pub(super) trait Source: Copy {
    /// Four columns: the group `STEP` behind the first of that block and
    /// scale. Without a sign, except for Q8_0.
    unsafe fn group<const STEP: usize>(self, block: usize, scale: usize) -> Whole;
    /// Sees to it that a later block is in the cache in time.
    fn prepare(self, block: usize);
    /// Where the groups of that block and scale lie in a row, a byte a weight.
    fn unpacked(self, block: usize, scale: usize) -> Option<*const u8>;
    /// What a group of columns is multiplied by, twice in 16 bits.
    unsafe fn scale(self, scale: usize) -> Whole;
    /// Sixteen times the scales of two groups of columns, in 16 bits.
    unsafe fn sixteen_scales(self, pair: usize) -> Whole;
    /// What is subtracted for two groups of columns, in 16 bits.
    unsafe fn minima(self, pair: usize) -> Whole;
    /// The scales of a block.
    unsafe fn d(self, block: usize) -> Floats;
    /// The minima of a block, or their scales.
    unsafe fn d_min(self, block: usize) -> Floats;
}

/// Blocks of a tile as they lie in memory.
#[derive(Clone, Copy)]
pub(super) struct Tile<const F: u8>(pub(super) *const u8);

// SAFETY, for every block below: what the trait asks for is promised by the
// caller; it is what the functions of `Ymm` and `Packed` want.
#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all, stated above"
)]
impl<const F: u8> Source for Tile<F> {
    #[inline(always)]
    unsafe fn group<const STEP: usize>(self, block: usize, scale: usize) -> Whole {
        unsafe {
            if matches!(format::<F>(), Format::Q8_0) {
                return Ymm::load(self.0.add(block * parts::<F>().end + STEP * VECTOR));
            }
            Weights::<Ymm>::group::<STEP>(Packed::<F>(self.0), block, scale)
        }
    }

    #[inline(always)]
    fn prepare(self, block: usize) {
        // SAFETY: needs nothing but AVX2.
        unsafe { fetch_ahead::<Ymm, F>(self.0.wrapping_add(block * parts::<F>().end), 0) };
    }

    #[inline(always)]
    fn unpacked(self, _: usize, _: usize) -> Option<*const u8> {
        None
    }

    #[inline(always)]
    unsafe fn scale(self, scale: usize) -> Whole {
        unsafe {
            let scale = Weights::<Ymm>::scale(Packed::<F>(self.0), scale);
            pairs(scale, scale)
        }
    }

    #[inline(always)]
    unsafe fn sixteen_scales(self, pair: usize) -> Whole {
        let scale = |index| unsafe {
            let scale = Weights::<Ymm>::scale(Packed::<F>(self.0), index);
            Ymm::shift_left(scale, 4)
        };
        pairs(scale(2 * pair), scale(2 * pair + 1))
    }

    #[inline(always)]
    unsafe fn minima(self, pair: usize) -> Whole {
        unsafe { Weights::<Ymm>::minima(Packed::<F>(self.0), pair) }
    }

    #[inline(always)]
    unsafe fn d(self, block: usize) -> Floats {
        unsafe { Ymm::halves(self.0.add(block * parts::<F>().end + parts::<F>().d)) }
    }

    #[inline(always)]
    unsafe fn d_min(self, block: usize) -> Floats {
        unsafe { Ymm::halves(self.0.add(block * parts::<F>().end + parts::<F>().d_min)) }
    }
}

/// Two numbers of 16 bits in each lane of 32.
#[inline(always)]
fn pairs(first: Whole, second: Whole) -> Whole {
    // SAFETY: only called where there is AVX2.
    unsafe {
        let low = Ymm::and(first, Ymm::splat(0xffff));
        Ymm::or(low, Ymm::shift_left(second, 16))
    }
}

/// A panel with each weight in a byte.
#[derive(Clone, Copy)]
pub(super) struct Unpacked<'a, const F: u8>(&'a Panel);

impl<'a, const F: u8> Unpacked<'a, F> {
    /// Unpacks `count` blocks.
    ///
    /// # Safety
    ///
    /// There must be as many, no more than fit in a panel, and the processor
    /// must have AVX2, FMA and F16C.
    #[inline(always)]
    pub(super) unsafe fn fill(panel: &'a mut Panel, tile: Tile<F>, count: usize) -> Self {
        let scales = groups::<F>() / groups_a_scale::<F>();
        let has_scales = matches!(format::<F>(), Format::Q4K | Format::Q5K | Format::Q6K);
        let has_minima = matches!(format::<F>(), Format::Q4_1 | Format::Q4K | Format::Q5K);
        // SAFETY: promised by the caller; the panel has room for 256 columns.
        unsafe {
            let weights: *mut u8 = panel.weights.as_mut_ptr().cast();
            for block in 0..count {
                for scale in 0..scales {
                    fetch_ahead::<Ymm, F>(tile.0.add(block * parts::<F>().end), scale);
                    let first = block * groups::<F>() + scale * groups_a_scale::<F>();
                    eight_times!(STEP, {
                        if STEP < groups_a_scale::<F>() {
                            let vector = tile.group::<STEP>(block, scale);
                            Ymm::store(weights.add((first + STEP) * VECTOR), vector);
                        }
                    });
                }
                Ymm::store_floats(&raw mut panel.d[block], tile.d(block));
                if has_minima {
                    Ymm::store_floats(&raw mut panel.d_min[block], tile.d_min(block));
                }
            }
            if has_scales {
                for scale in 0..scales {
                    Ymm::store(panel.scales[scale].as_mut_ptr().cast(), tile.scale(scale));
                }
                for pair in 0..scales / 2 {
                    if has_minima {
                        Ymm::store(panel.minima[pair].as_mut_ptr().cast(), tile.minima(pair));
                    }
                    if matches!(format::<F>(), Format::Q5K) {
                        let to = panel.scales[scales + pair].as_mut_ptr().cast();
                        Ymm::store(to, tile.sixteen_scales(pair));
                    }
                }
            }
        }
        Self(panel)
    }
}

// SAFETY, for every block below: the panel was filled with what the caller
// asks for, and has room for all groups and scales there may be.
#[expect(
    clippy::undocumented_unsafe_blocks,
    reason = "one reason for all, stated above"
)]
impl<const F: u8> Source for Unpacked<'_, F> {
    #[inline(always)]
    unsafe fn group<const STEP: usize>(self, block: usize, scale: usize) -> Whole {
        let group = block * groups::<F>() + scale * groups_a_scale::<F>() + STEP;
        unsafe { Ymm::load(self.0.weights.as_ptr().add(group).cast()) }
    }

    #[inline(always)]
    fn prepare(self, _: usize) {}

    #[inline(always)]
    fn unpacked(self, block: usize, scale: usize) -> Option<*const u8> {
        let group = block * groups::<F>() + scale * groups_a_scale::<F>();
        Some(self.0.weights.as_ptr().wrapping_add(group).cast())
    }

    #[inline(always)]
    unsafe fn scale(self, scale: usize) -> Whole {
        unsafe { Ymm::load(self.0.scales.as_ptr().add(scale).cast()) }
    }

    #[inline(always)]
    unsafe fn sixteen_scales(self, pair: usize) -> Whole {
        let scales = groups::<F>() / groups_a_scale::<F>();
        unsafe { Ymm::load(self.0.scales.as_ptr().add(scales + pair).cast()) }
    }

    #[inline(always)]
    unsafe fn minima(self, pair: usize) -> Whole {
        unsafe { Ymm::load(self.0.minima.as_ptr().add(pair).cast()) }
    }

    #[inline(always)]
    unsafe fn d(self, block: usize) -> Floats {
        unsafe { Ymm::load_floats(self.0.d.as_ptr().add(block)) }
    }

    #[inline(always)]
    unsafe fn d_min(self, block: usize) -> Floats {
        unsafe { Ymm::load_floats(self.0.d_min.as_ptr().add(block)) }
    }
}
