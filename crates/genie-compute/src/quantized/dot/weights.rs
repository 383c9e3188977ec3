//! Where a product gets its weights from: a panel that was unpacked for many
//! rows of input, or the tile itself when there are few.

use super::super::format::{Format, GROUP, PANEL, Parts, TILE};
use super::super::panel::Panel;
pub(super) use super::super::panel::VECTOR;
use super::lanes::Lanes;

/// A format as a number, which a generic parameter can be.
pub(in super::super) const fn format<const F: u8>() -> Format {
    match F {
        0 => Format::Q4_0,
        1 => Format::Q4_1,
        2 => Format::Q5_0,
        3 => Format::Q8_0,
        4 => Format::Q4K,
        5 => Format::Q5K,
        _ => Format::Q6K,
    }
}

/// Offsets in a block of a tile.
pub(in super::super) const fn parts<const F: u8>() -> Parts {
    format::<F>().parts()
}

/// Groups of four columns that a block has.
pub(in super::super) const fn groups<const F: u8>() -> usize {
    format::<F>().columns() / GROUP
}

/// Groups of columns that share a scale of whole numbers.
pub(in super::super) const fn groups_a_scale<const F: u8>() -> usize {
    match format::<F>() {
        Format::Q6K => 4,
        _ => 8,
    }
}

/// How many panels ahead of the product memory is asked for.
const PANELS_AHEAD: usize = 2;
/// Bytes of a line of the cache.
const LINE: usize = 64;

/// Asks for the memory of a block that comes later: the share of it that
/// falls to one of the scales of this one. A block is read at three or four
/// places at once, which the processor takes for as many short streams: what
/// fetches ahead by itself begins anew with every block, and too late.
///
/// # Safety
///
/// The processor must have what `L` needs.
#[inline(always)]
pub(in super::super) unsafe fn fetch_ahead<L: Lanes, const F: u8>(block: *const u8, scale: usize) {
    let (part, panel) = const {
        let scales = groups::<F>() / groups_a_scale::<F>();
        let end = parts::<F>().end;
        (end / scales, PANEL / format::<F>().columns() * end)
    };
    for line in 0..part.div_ceil(LINE) {
        let at = block.wrapping_add(PANELS_AHEAD * panel + scale * part + line * LINE);
        // SAFETY: promised by the caller.
        unsafe { L::fetch(at) };
    }
}

/// Runs a block eight times with a constant, which a loop would not have.
macro_rules! eight_times {
    ($step:ident, $body:block) => {
        eight_times!(@ $step, $body, 0, 1, 2, 3, 4, 5, 6, 7);
    };
    (@ $step:ident, $body:block, $($number:literal),*) => {
        $({
            const $step: usize = $number;
            $body
        })*
    };
}
pub(in super::super) use eight_times;

/// The weights of up to 256 columns.
///
/// # Safety
///
/// There must be as many groups and scales as are asked for, and the
/// processor must have what `L` needs.
pub(in super::super) trait Weights<L: Lanes>: Copy {
    /// Sees to it that a later block is in the cache in time: called once for
    /// each scale.
    unsafe fn prepare(self, block: usize, scale: usize);
    /// Four columns of sixteen rows, without a sign. `block` and `scale`
    /// count from the start; the group is the one `STEP` behind the first of
    /// that scale.
    unsafe fn group<const STEP: usize>(self, block: usize, scale: usize) -> L::Whole;
    /// What a group of columns is multiplied by.
    unsafe fn scale(self, scale: usize) -> L::Whole;
    /// What is subtracted for two groups of columns, as pairs of 16 bits.
    unsafe fn minima(self, pair: usize) -> L::Whole;
}

/// Blocks of a tile as they lie in memory.
#[derive(Clone, Copy)]
pub(in super::super) struct Packed<const F: u8>(pub(in super::super) *const u8);

impl<L: Lanes, const F: u8> Weights<L> for Packed<F> {
    #[inline(always)]
    unsafe fn prepare(self, block: usize, scale: usize) {
        let block = self.0.wrapping_add(block * parts::<F>().end);
        // SAFETY: promised by the caller.
        unsafe { fetch_ahead::<L, F>(block, scale) };
    }

    #[inline(always)]
    unsafe fn group<const STEP: usize>(self, block: usize, scale: usize) -> L::Whole {
        let parts = const { parts::<F>() };
        let group = scale * groups_a_scale::<F>() + STEP;
        // SAFETY: there is such a block with such a group.
        unsafe {
            let block = self.0.add(block * parts.end);
            if matches!(format::<F>(), Format::Q8_0) {
                let signed = L::load(block.add(group * VECTOR));
                if L::SIGNED {
                    return signed;
                }
                // 128 more than it is, so that there is no sign.
                return L::xor(signed, L::splat(i32::from_ne_bytes([0x80; 4])));
            }
            let low = L::splat(0x0f0f_0f0f);
            let two = L::load(block.add(group / 2 * VECTOR));
            let four_bits = if STEP.is_multiple_of(2) {
                L::and(two, low)
            } else {
                L::and(L::shift_right(two, 4), low)
            };
            let high = block.add(parts.high);
            match format::<F>() {
                Format::Q5_0 | Format::Q5K => {
                    let bits = L::load(high.add(group / 8 * VECTOR));
                    // From place `STEP` to the fifth.
                    let place = const { STEP as i32 - 4 };
                    let bits = if place < 0 {
                        L::shift_left(bits, -place)
                    } else {
                        L::shift_right(bits, place)
                    };
                    L::or(four_bits, L::and(bits, L::splat(0x1010_1010)))
                }
                Format::Q6K => {
                    let bits = L::load(high.add(group / 4 * VECTOR));
                    let place = const { 2 * (STEP as i32 % 4) - 4 };
                    let bits = if place < 0 {
                        L::shift_left(bits, -place)
                    } else {
                        L::shift_right(bits, place)
                    };
                    L::or(four_bits, L::and(bits, L::splat(0x3030_3030)))
                }
                _ => four_bits,
            }
        }
    }

    #[inline(always)]
    unsafe fn scale(self, scale: usize) -> L::Whole {
        // SAFETY: sixteen bytes for each scale.
        unsafe {
            let at = self.0.add(parts::<F>().scales + scale * TILE);
            match format::<F>() {
                Format::Q6K => L::widen_signed(at),
                _ => L::widen(at),
            }
        }
    }

    #[inline(always)]
    unsafe fn minima(self, pair: usize) -> L::Whole {
        // SAFETY: sixteen bytes for each of two.
        unsafe {
            let at = self.0.add(parts::<F>().minima + 2 * pair * TILE);
            let (first, second) = match format::<F>() {
                // Weights are stored 32 larger than they are.
                Format::Q6K => (
                    L::shift_left(L::widen_signed(at), 5),
                    L::shift_left(L::widen_signed(at.add(TILE)), 5),
                ),
                _ => (L::widen(at), L::widen(at.add(TILE))),
            };
            L::or(L::and(first, L::splat(0xffff)), L::shift_left(second, 16))
        }
    }
}

/// A panel with each weight in a byte.
#[derive(Clone, Copy)]
pub(super) struct Unpacked<'a, const F: u8>(&'a Panel);

impl<'a, const F: u8> Unpacked<'a, F> {
    /// Unpacks `blocks` of a tile into `panel`.
    ///
    /// # Safety
    ///
    /// The processor must have what `L` needs.
    #[inline(always)]
    pub(super) unsafe fn fill<L: Lanes>(panel: &'a mut Panel, blocks: &[u8]) -> Self {
        let count = blocks.len() / parts::<F>().end;
        let scales = groups::<F>() / groups_a_scale::<F>();
        assert!(count * groups::<F>() <= PANEL / GROUP);
        let packed = Packed::<F>(blocks.as_ptr());
        let weights: *mut u8 = panel.weights.as_mut_ptr().cast();
        for block in 0..count {
            for scale in 0..scales {
                // SAFETY: promised by the caller.
                unsafe { Weights::<L>::prepare(packed, block, scale) };
                eight_times!(STEP, {
                    if STEP < groups_a_scale::<F>() {
                        let group = block * groups::<F>() + scale * groups_a_scale::<F>() + STEP;
                        // SAFETY: the panel has room for that many groups, and
                        // there are as many in the blocks.
                        unsafe {
                            let vector = Weights::<L>::group::<STEP>(packed, block, scale);
                            L::store(weights.add(group * VECTOR), vector);
                        }
                    }
                });
            }
        }
        if format::<F>().columns() == PANEL {
            let to: *mut u8 = panel.scales.as_mut_ptr().cast();
            for scale in 0..scales {
                // SAFETY: sixteen scales at most, as many as there is room for.
                unsafe { L::store(to.add(scale * VECTOR), Weights::<L>::scale(packed, scale)) };
            }
            let to: *mut u8 = panel.minima.as_mut_ptr().cast();
            for pair in 0..scales / 2 {
                // SAFETY: half as many pairs.
                unsafe { L::store(to.add(pair * VECTOR), Weights::<L>::minima(packed, pair)) };
            }
        }
        Self(panel)
    }
}

impl<L: Lanes, const F: u8> Weights<L> for Unpacked<'_, F> {
    #[inline(always)]
    unsafe fn prepare(self, _: usize, _: usize) {}

    #[inline(always)]
    unsafe fn group<const STEP: usize>(self, block: usize, scale: usize) -> L::Whole {
        let group = block * groups::<F>() + scale * groups_a_scale::<F>() + STEP;
        let from: *const u8 = self.0.weights.as_ptr().cast();
        // SAFETY: there is such a group.
        unsafe { L::load(from.add(group * VECTOR)) }
    }

    #[inline(always)]
    unsafe fn scale(self, scale: usize) -> L::Whole {
        let from: *const u8 = self.0.scales.as_ptr().cast();
        // SAFETY: there is such a scale.
        unsafe { L::load(from.add(scale * VECTOR)) }
    }

    #[inline(always)]
    unsafe fn minima(self, pair: usize) -> L::Whole {
        let from: *const u8 = self.0.minima.as_ptr().cast();
        // SAFETY: there is such a pair.
        unsafe { L::load(from.add(pair * VECTOR)) }
    }
}
