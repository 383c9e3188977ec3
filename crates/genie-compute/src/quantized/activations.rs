//! The input of a product, rounded to eight bits.
//!
//! The rounding is that of llama.cpp, so that the same file gives the same
//! whole numbers there and here: one scale for each 32 columns (Q8_0, Q8_1)
//! or for each 256 (Q8_K).

use half::f16;

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::format::{BLOCK, Format, PANEL};
use super::portable::offset;
use crate::team::share;

/// Rows that one job rounds.
const ROWS_A_JOB: usize = 16;

/// Rows of eight-bit numbers with their scales and sums.
#[derive(Debug)]
pub(super) struct Activations {
    pub(super) format: Format,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// `[panels, rows, columns of the panel]`: what meets a panel of weights
    /// lies in one piece.
    numbers: Vec<i8>,
    /// `[rows, blocks]`: what a number of a block has to be multiplied by.
    scales: Vec<f32>,
    /// `[rows, sums_per_row]`: sums of the numbers of each 16 or 32 columns.
    sums: Vec<i16>,
    /// `[rows, sums_per_row]`, for formats that have them: where sums of
    /// products begin in the AVX2 kernel, so that weights count as smaller
    /// than they are stored. See [`start`] and [`shortfall`].
    starts: Vec<i32>,
    /// `[rows, blocks]`, for Q4_0, Q5_0 and Q8_0: what has to be added to a
    /// product where weights have no sign. See [`excess`].
    offsets: Vec<i32>,
    /// `[rows, blocks]`: the sums in single precision, scaled, for Q4_1.
    scaled_sums: Vec<f32>,
}

/// What a weight is larger than the one that is meant once it has no sign.
const fn excess(format: Format) -> i32 {
    match format {
        Format::Q8_0 => 128,
        _ => offset(format),
    }
}

/// What a weight counts smaller than it is stored while 16 bits have to hold
/// its products.
const fn shortfall(format: Format) -> i32 {
    match format {
        Format::Q4_0 => 8,
        Format::Q5_0 | Format::Q5K => 16,
        Format::Q6K => 32,
        _ => 0,
    }
}

/// Whether sums of products begin below zero.
pub(super) const fn has_starts(format: Format) -> bool {
    shortfall(format) > 0
}

impl Activations {
    /// Rounds `x`, rows of `columns` each, for a product with `format`.
    pub(super) fn new(x: &[f32], columns: usize, format: Format) -> Self {
        let mut this = Self::empty(columns, format);
        this.fill(x);
        this
    }

    /// No rows yet.
    pub(super) const fn empty(columns: usize, format: Format) -> Self {
        Self {
            format,
            rows: 0,
            columns,
            numbers: Vec::new(),
            scales: Vec::new(),
            sums: Vec::new(),
            starts: Vec::new(),
            offsets: Vec::new(),
            scaled_sums: Vec::new(),
        }
    }

    /// Rounds other rows, in the memory of those before.
    pub(super) fn fill(&mut self, x: &[f32]) {
        let columns = self.columns;
        let places = self.places(x.len() / columns);
        if places.rows == 1 {
            // SAFETY: the only writer.
            unsafe { places.write_row(0, x) };
            return;
        }
        let rows = places.rows;
        share(rows.div_ceil(ROWS_A_JOB), |job| {
            for row in job * ROWS_A_JOB..rows.min((job + 1) * ROWS_A_JOB) {
                // SAFETY: every row is written once.
                unsafe { places.write_row(row, &x[row * columns..][..columns]) };
            }
        });
    }

    /// Makes room for that many rows, which are to be written one by one.
    pub(super) fn places(&mut self, rows: usize) -> Places<'_> {
        let count = rows * self.columns;
        let blocks = count / self.format.columns();
        self.rows = rows;
        self.numbers.resize(count, 0);
        self.scales.resize(blocks, 0.0);
        self.sums.resize(count / self.sum_columns(), 0);
        if has_starts(self.format) {
            self.starts.resize(self.sums.len(), 0);
        }
        if excess(self.format) > 0 {
            self.offsets.resize(blocks, 0);
        }
        if self.format == Format::Q4_1 {
            self.scaled_sums.resize(blocks, 0.0);
        }
        Places {
            format: self.format,
            rows,
            columns: self.columns,
            sum_columns: self.sum_columns(),
            numbers: self.numbers.as_mut_ptr(),
            scales: self.scales.as_mut_ptr(),
            sums: self.sums.as_mut_ptr(),
            starts: self.starts.as_mut_ptr(),
            offsets: self.offsets.as_mut_ptr(),
            scaled_sums: self.scaled_sums.as_mut_ptr(),
            lifetime: std::marker::PhantomData,
        }
    }

    /// Columns that a sum stands for.
    pub(super) const fn sum_columns(&self) -> usize {
        match self.format {
            Format::Q6K => 16,
            _ => BLOCK,
        }
    }

    /// What of a row meets the given panel.
    #[inline(always)]
    pub(super) fn row(&self, row: usize, panel: usize) -> Row<'_> {
        let first = panel * PANEL;
        let width = PANEL.min(self.columns - first);
        // Both are powers of two, which the compiler can't know.
        let part = |per: usize| {
            let shift = per.trailing_zeros();
            let start = (row * self.columns + first) >> shift;
            start..start + (width >> shift)
        };
        Row {
            numbers: &self.numbers[first * self.rows + row * width..][..width],
            scales: &self.scales[part(self.format.columns())],
            sums: &self.sums[part(self.sum_columns())],
            starts: match shortfall(self.format) {
                0 => &[],
                _ => &self.starts[part(self.sum_columns())],
            },
            offsets: match excess(self.format) {
                0 => &[],
                _ => &self.offsets[part(BLOCK)],
            },
            scaled_sums: match self.format {
                Format::Q4_1 => &self.scaled_sums[part(BLOCK)],
                _ => &[],
            },
        }
    }
}

/// The memory of [`Activations`], to be written by several threads.
pub(super) struct Places<'a> {
    format: Format,
    rows: usize,
    columns: usize,
    sum_columns: usize,
    numbers: *mut i8,
    scales: *mut f32,
    sums: *mut i16,
    starts: *mut i32,
    offsets: *mut i32,
    scaled_sums: *mut f32,
    lifetime: std::marker::PhantomData<&'a mut Activations>,
}

// SAFETY: whoever writes promises that nobody else writes the same.
unsafe impl Sync for Places<'_> {}

impl Places<'_> {
    /// Rounds a whole row.
    ///
    /// # Safety
    ///
    /// Nobody else may write this row meanwhile.
    pub(super) unsafe fn write_row(&self, row: usize, x: &[f32]) {
        assert!(row < self.rows && x.len() == self.columns);
        if self.format.columns() == BLOCK {
            for (index, x) in x.as_chunks::<BLOCK>().0.iter().enumerate() {
                // SAFETY: promised by the caller.
                unsafe { self.write_block(row, index * BLOCK, x) };
            }
            return;
        }
        for (index, x) in x.chunks_exact(PANEL).enumerate() {
            // SAFETY: promised by the caller.
            unsafe { self.write_panel(row, index * PANEL, x) };
        }
    }

    /// Rounds 256 columns of a row, for a K format.
    ///
    /// # Safety
    ///
    /// Nobody else may write them meanwhile.
    pub(super) unsafe fn write_panel(&self, row: usize, column: usize, x: &[f32]) {
        assert!(row < self.rows && column + PANEL <= self.columns && x.len() == PANEL);
        let index = column / PANEL;
        let at = index * PANEL * self.rows + row * PANEL;
        // SAFETY: there is such a row with such a panel, and nobody else
        // writes it.
        let numbers = unsafe { std::slice::from_raw_parts_mut(self.numbers.add(at), PANEL) };
        let scale = round_panel(x, numbers);
        // SAFETY: as above; there is one of it for a panel.
        unsafe { *self.scales.add(row * (self.columns / PANEL) + index) = scale };
        let at = (row * self.columns + index * PANEL) / self.sum_columns;
        for (index, numbers) in numbers.chunks_exact(self.sum_columns).enumerate() {
            let sum = numbers.iter().map(|number| i16::from(*number)).sum();
            // SAFETY: as above.
            unsafe { *self.sums.add(at + index) = sum };
            if has_starts(self.format) {
                let start = start(sums_by_twos(numbers), shortfall(self.format));
                // SAFETY: as above.
                unsafe { *self.starts.add(at + index) = start };
            }
        }
    }

    /// Rounds 32 columns of a row, for a format with such blocks.
    ///
    /// # Safety
    ///
    /// Nobody else may write them meanwhile.
    pub(super) unsafe fn write_block(&self, row: usize, column: usize, x: &[f32; BLOCK]) {
        assert!(row < self.rows && column + BLOCK <= self.columns);
        let panel = column - column % PANEL;
        let width = PANEL.min(self.columns - panel);
        let at = panel * self.rows + row * width + column - panel;
        let mut numbers = [0; BLOCK];
        let rounded = round_block(x, &mut numbers);
        // SAFETY: row and column are inside, so that the block is, and nobody
        // else writes it.
        unsafe {
            std::ptr::copy_nonoverlapping(numbers.as_ptr(), self.numbers.add(at), BLOCK);
            self.finish_block((row * self.columns + column) / BLOCK, rounded);
        }
    }

    /// The scales of 32 columns are kept in half precision, and so are the
    /// scaled sums.
    ///
    /// # Safety
    ///
    /// There must be such a block, and nobody else may write it meanwhile.
    unsafe fn finish_block(&self, at: usize, rounded: Rounded) {
        let half = |number: f32| f16::from_f32(number).to_f32();
        // SAFETY: promised by the caller.
        unsafe {
            *self.scales.add(at) = half(rounded.scale);
            *self.sums.add(at) = rounded.sum();
            if excess(self.format) > 0 {
                *self.offsets.add(at) = -excess(self.format) * i32::from(rounded.sum());
            }
            if has_starts(self.format) {
                *self.starts.add(at) = start(rounded.halves, shortfall(self.format));
            }
            if self.format == Format::Q4_1 {
                let sum = f32::from(rounded.sum());
                *self.scaled_sums.add(at) = half(rounded.scale * sum);
            }
        }
    }
}

/// What a block of 32 numbers was divided by, and its sums.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rounded {
    pub(super) scale: f32,
    /// The sums of columns 0, 1, 4, 5, 8, … and of columns 2, 3, 6, 7, 10, …
    pub(super) halves: [i16; 2],
}

impl Rounded {
    fn sum(self) -> i16 {
        self.halves[0] + self.halves[1]
    }
}

/// Both sums times what weights are stored too large, negative, for the two
/// numbers of 16 bits that a lane of the AVX2 kernels adds up: the first
/// meets the columns of the first sum, the second the others. Products of
/// such weights may not fit in 16 bits on the way, but they do in the end,
/// and 16 bits wrap around.
fn start(halves: [i16; 2], excess: i32) -> i32 {
    let [first, second] = halves.map(|half| i32::from(half) * -excess);
    first & 0xffff | second << 16
}

/// The sums of columns 0, 1, 4, 5, 8, … and of columns 2, 3, 6, 7, 10, …
fn sums_by_twos(numbers: &[i8]) -> [i16; 2] {
    let mut halves = [0; 2];
    for (index, pair) in numbers.as_chunks::<2>().0.iter().enumerate() {
        halves[index % 2] += i16::from(pair[0]) + i16::from(pair[1]);
    }
    halves
}

/// A panel of one row of [`Activations`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) numbers: &'a [i8],
    pub(super) scales: &'a [f32],
    pub(super) sums: &'a [i16],
    pub(super) starts: &'a [i32],
    pub(super) offsets: &'a [i32],
    pub(super) scaled_sums: &'a [f32],
}

/// Adding and subtracting 1.5 * 2^23 rounds to the nearest whole number, ties
/// to even, and leaves it in the low bits.
const ROUND: f32 = 12_582_912.0;

fn rounded(x: f32) -> i32 {
    (x + ROUND).to_bits().cast_signed() - ROUND.to_bits().cast_signed()
}

/// The largest absolute value, in lanes that become vectors.
fn largest(x: &[f32]) -> f32 {
    let mut lanes = [0f32; 16];
    for chunk in x.chunks_exact(16) {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            let x = x.abs();
            *lane = if x > *lane { x } else { *lane };
        }
    }
    lanes.into_iter().fold(0.0, f32::max)
}

/// The smallest number and the largest, or zero where that lies beyond.
fn ends(x: &[f32]) -> (f32, f32) {
    let (mut lows, mut highs) = ([0f32; 16], [0f32; 16]);
    for chunk in x.chunks_exact(16) {
        for ((low, high), x) in lows.iter_mut().zip(&mut highs).zip(chunk) {
            *low = if *x < *low { *x } else { *low };
            *high = if *x > *high { *x } else { *high };
        }
    }
    (
        lows.into_iter().fold(0.0, f32::min),
        highs.into_iter().fold(0.0, f32::max),
    )
}

/// 32 columns, symmetric: the largest becomes 127.
pub(super) fn round_block(x: &[f32; BLOCK], numbers: &mut [i8; BLOCK]) -> Rounded {
    #[cfg(target_arch = "x86_64")]
    if avx2::available() {
        // SAFETY: it is available.
        return unsafe { avx2::round_block(x, numbers) };
    }
    round_block_portable(x, numbers)
}

pub(super) fn round_block_portable(x: &[f32; BLOCK], numbers: &mut [i8; BLOCK]) -> Rounded {
    let most = largest(x);
    let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
    for (number, x) in numbers.iter_mut().zip(x) {
        *number = rounded(x * inverse) as i8;
    }
    Rounded {
        scale: most / 127.0,
        halves: sums_by_twos(numbers),
    }
}

/// 256 columns: the number furthest from zero, whatever its sign, becomes
/// -127.
fn round_panel(x: &[f32], numbers: &mut [i8]) -> f32 {
    let (low, high) = ends(x);
    let most = high.max(-low);
    if most == 0.0 || !most.is_finite() {
        numbers.fill(0);
        return 0.0;
    }
    let furthest = if -low < high {
        high
    } else if -low > high {
        low
    } else {
        x.iter().copied().find(|x| x.abs() == most).unwrap_or(most)
    };
    let inverse = -127.0 / furthest;
    for (number, x) in numbers.iter_mut().zip(x) {
        *number = rounded(x * inverse).min(127) as i8;
    }
    1.0 / inverse
}
