//! Where rows of input lie, for loops that should do nothing but multiply:
//! checked once for all rows that meet a panel.

use std::ops::Range;

use super::activations::{Activations, has_starts};
use super::dot::weights::format;
use super::format::{Format, GROUP, PANEL};

/// Rows of input, the part of each that meets a panel. Pointers are those of
/// the first row.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    /// Four bytes for each group of columns.
    numbers: *const i8,
    width: usize,
    /// One for each block.
    pub(super) scales: *const f32,
    /// One for each block of Q4_0, Q5_0 and Q8_0. See [`Activations`].
    pub(super) offsets: *const i32,
    /// One for each block, for Q4_1.
    pub(super) scaled_sums: *const f32,
    /// Blocks of a whole row.
    blocks: usize,
    /// One for each 16 columns of Q6_K and each 32 of other formats.
    sums: *const i16,
    /// One for each sum, for formats that have them. See [`Activations`].
    starts: *const i32,
    /// Sums of a whole row.
    sum_stride: usize,
}

impl Rows {
    /// The given rows, with the panel of that index. Checks that each has as
    /// much as `blocks` blocks need.
    #[inline(always)]
    pub(super) fn of(
        (input, index): (&Activations, usize),
        blocks: usize,
        Range { start, end }: Range<usize>,
    ) -> Self {
        let format = input.format;
        let (first, last) = (input.row(start, index), input.row(end - 1, index));
        let columns = blocks * format.columns();
        let sums = columns / input.sum_columns();
        // Rows lie at equal distances, so that those between are there too.
        for row in [first, last] {
            assert!(row.numbers.len() == columns);
            assert!(row.scales.len() >= blocks && row.sums.len() >= sums);
            assert!(format != Format::Q4_1 || row.scaled_sums.len() >= blocks);
            assert!(!has_starts(format) || row.starts.len() >= sums);
            let offsets = matches!(format, Format::Q4_0 | Format::Q5_0 | Format::Q8_0);
            assert!(!offsets || row.offsets.len() >= blocks);
        }
        Self {
            numbers: first.numbers.as_ptr(),
            width: first.numbers.len(),
            scales: first.scales.as_ptr(),
            offsets: first.offsets.as_ptr(),
            scaled_sums: first.scaled_sums.as_ptr(),
            blocks: input.columns / format.columns(),
            sums: first.sums.as_ptr(),
            starts: first.starts.as_ptr(),
            sum_stride: input.columns / input.sum_columns(),
        }
    }

    /// The rows behind the first `count`; none of them may be read where
    /// there are none.
    #[inline(always)]
    pub(super) const fn skip(self, count: usize) -> Self {
        Self {
            numbers: self.numbers.wrapping_add(count * self.width),
            scales: self.scales.wrapping_add(count * self.blocks),
            offsets: self.offsets.wrapping_add(count * self.blocks),
            scaled_sums: self.scaled_sums.wrapping_add(count * self.blocks),
            sums: self.sums.wrapping_add(count * self.sum_stride),
            starts: self.starts.wrapping_add(count * self.sum_stride),
            ..self
        }
    }

    /// Four numbers of a row. `COLUMNS` are those of a block: a row of a K
    /// format has a known length.
    ///
    /// # Safety
    ///
    /// There must be such a row with such a group.
    #[inline(always)]
    pub(super) unsafe fn four<const COLUMNS: usize>(self, row: usize, group: usize) -> i32 {
        let width = match COLUMNS {
            PANEL => PANEL,
            _ => self.width,
        };
        // SAFETY: promised by the caller.
        unsafe {
            let at = self.numbers.add(row * width).cast::<i32>();
            at.add(group).read_unaligned()
        }
    }

    /// Where a group of columns of a row begins, for a format `F`.
    ///
    /// # Safety
    ///
    /// There must be such a row with such a group.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "the AVX2 kernel asks for it")
    )]
    #[inline(always)]
    pub(super) unsafe fn at<const F: u8>(self, row: usize, group: usize) -> *const i8 {
        let width = match const { format::<F>().columns() } {
            PANEL => PANEL,
            _ => self.width,
        };
        // SAFETY: promised by the caller.
        unsafe { self.numbers.add(row * width + group * GROUP) }
    }

    /// The number of a block of a row.
    ///
    /// # Safety
    ///
    /// `of` must be a pointer of this with one number a block, and there must
    /// be such a row with such a block.
    #[inline(always)]
    pub(super) unsafe fn of_block<T: Copy>(self, of: *const T, row: usize, block: usize) -> T {
        // SAFETY: promised by the caller.
        unsafe { *of.add(row * self.blocks + block) }
    }

    /// Two sums of a row that follow each other.
    ///
    /// # Safety
    ///
    /// There must be such a row with such a pair.
    #[inline(always)]
    pub(super) unsafe fn two_sums(self, row: usize, pair: usize) -> i32 {
        // SAFETY: promised by the caller.
        unsafe {
            let sums = self.sums.add(row * self.sum_stride).cast::<i32>();
            sums.add(pair).read_unaligned()
        }
    }

    /// Where the products of the columns of a sum begin.
    ///
    /// # Safety
    ///
    /// There must be such a row with such a sum.
    #[cfg_attr(
        not(target_arch = "x86_64"),
        expect(dead_code, reason = "the AVX2 kernel asks for it")
    )]
    #[inline(always)]
    pub(super) unsafe fn start(self, row: usize, sum: usize) -> i32 {
        // SAFETY: promised by the caller.
        unsafe { *self.starts.add(row * self.sum_stride + sum) }
    }
}
