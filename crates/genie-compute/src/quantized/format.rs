//! Quantized formats: how their blocks lie in a GGUF file, and how they lie
//! here.
//!
//! A file holds one row after the other. Here sixteen rows make a tile, and
//! inside of a tile four columns of eight rows make one vector of 32 bytes: a
//! product then needs four bytes of the input in every lane, gives one sum a
//! row in each lane, and no lane ever has to meet another.
//!
//! Block layouts: <https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h>.

use candle_core::quantized::GgmlDType;

/// Rows of a tile.
pub(super) const TILE: usize = 16;
/// Columns that share a vector.
pub(super) const GROUP: usize = 4;
/// Columns that a K format's block has, and that are worked on together.
pub(super) const PANEL: usize = 256;
/// Columns of a block of the older formats.
pub(super) const BLOCK: usize = 32;

/// The formats that have kernels here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Q4_0,
    Q4_1,
    Q5_0,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

impl Format {
    pub(super) const fn of(dtype: GgmlDType) -> Option<Self> {
        Some(match dtype {
            GgmlDType::Q4_0 => Self::Q4_0,
            GgmlDType::Q4_1 => Self::Q4_1,
            GgmlDType::Q5_0 => Self::Q5_0,
            GgmlDType::Q8_0 => Self::Q8_0,
            GgmlDType::Q4K => Self::Q4K,
            GgmlDType::Q5K => Self::Q5K,
            GgmlDType::Q6K => Self::Q6K,
            _ => return None,
        })
    }

    /// Columns of a block.
    pub(super) const fn columns(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q8_0 => BLOCK,
            Self::Q4K | Self::Q5K | Self::Q6K => PANEL,
        }
    }

    /// Bytes of a block of one row in a file.
    pub(super) const fn source_bytes(self) -> usize {
        match self {
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 4 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q8_0 => 2 + 32,
            Self::Q4K => 4 + 12 + 128,
            Self::Q5K => 4 + 12 + 32 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
        }
    }

    /// Where the parts of a block of a tile begin. Every block is a multiple
    /// of 32 bytes long.
    pub(super) const fn parts(self) -> Parts {
        let weights = TILE * self.columns();
        let (high, scales) = match self {
            Self::Q4_0 | Self::Q4_1 => (weights / 2, weights / 2),
            Self::Q8_0 => (weights, weights),
            Self::Q4K => (weights / 2, weights / 2),
            Self::Q5_0 | Self::Q5K => (weights / 2, weights / 2 + weights / 8),
            Self::Q6K => (weights / 2, weights / 2 + weights / 4),
        };
        // Whole numbers that scale 16 or 32 columns each.
        let (minima, d) = match self {
            Self::Q4K | Self::Q5K => (scales + 8 * TILE, scales + 16 * TILE),
            Self::Q6K => (scales, scales + 16 * TILE),
            _ => (scales, scales),
        };
        let end = match self {
            Self::Q4_1 | Self::Q4K | Self::Q5K => d + 4 * TILE,
            _ => d + 2 * TILE,
        };
        Parts {
            high,
            scales,
            minima,
            d,
            d_min: d + 2 * TILE,
            end,
        }
    }
}

/// Offsets in a block of a tile. What a format lacks is empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    /// The bits above the fourth.
    pub(super) high: usize,
    /// Whole numbers, 16 rows for each group of columns.
    pub(super) scales: usize,
    /// The same for what is subtracted.
    pub(super) minima: usize,
    /// Half precision, one a row: the scale of the whole block.
    pub(super) d: usize,
    /// Half precision, one a row: the scale of the minima, or the minimum.
    pub(super) d_min: usize,
    pub(super) end: usize,
}

/// A block of one row with each weight in a byte of its own.
struct Wide {
    weights: [u8; PANEL],
    scales: [u8; 16],
    minima: [u8; 16],
    d: [u8; 2],
    d_min: [u8; 2],
}

impl Wide {
    const fn new() -> Self {
        Self {
            weights: [0; PANEL],
            scales: [0; 16],
            minima: [0; 16],
            d: [0; 2],
            d_min: [0; 2],
        }
    }

    /// Reads a block of `format` as it lies in a file.
    fn read(&mut self, format: Format, block: &[u8]) {
        match format {
            Format::Q4_0 => {
                self.d = [block[0], block[1]];
                self.halves(&block[2..18]);
            }
            Format::Q4_1 => {
                self.d = [block[0], block[1]];
                self.d_min = [block[2], block[3]];
                self.halves(&block[4..20]);
            }
            Format::Q5_0 => {
                self.d = [block[0], block[1]];
                self.halves(&block[6..22]);
                let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
                for (index, weight) in self.weights[..BLOCK].iter_mut().enumerate() {
                    *weight |= ((high >> index & 1) as u8) << 4;
                }
            }
            Format::Q8_0 => {
                self.d = [block[0], block[1]];
                self.weights[..BLOCK].copy_from_slice(&block[2..34]);
            }
            Format::Q4K => {
                self.six_bit_scales(block);
                self.nibbles_of_64(&block[16..144]);
            }
            Format::Q5K => {
                self.six_bit_scales(block);
                self.nibbles_of_64(&block[48..176]);
                let high = &block[16..48];
                for (part, weights) in self.weights.chunks_exact_mut(32).enumerate() {
                    for (weight, bits) in weights.iter_mut().zip(high) {
                        *weight |= (bits >> part & 1) << 4;
                    }
                }
            }
            Format::Q6K => self.q6k(block),
        }
    }

    /// The first half of the weights in the low nibbles, the other one in the
    /// high nibbles.
    fn halves(&mut self, nibbles: &[u8]) {
        let (first, second) = self.weights.split_at_mut(16);
        for ((first, second), byte) in first.iter_mut().zip(second).zip(nibbles) {
            *first = byte & 15;
            *second = byte >> 4;
        }
    }

    fn nibbles_of_64(&mut self, nibbles: &[u8]) {
        for (weights, nibbles) in self
            .weights
            .chunks_exact_mut(64)
            .zip(nibbles.chunks_exact(32))
        {
            let (first, second) = weights.split_at_mut(32);
            for ((first, second), byte) in first.iter_mut().zip(second).zip(nibbles) {
                *first = byte & 15;
                *second = byte >> 4;
            }
        }
    }

    /// Both scales, and eight scales and minima of six bits in twelve bytes.
    fn six_bit_scales(&mut self, block: &[u8]) {
        self.d = [block[0], block[1]];
        self.d_min = [block[2], block[3]];
        let packed = &block[4..16];
        for index in 0..4 {
            self.scales[index] = packed[index] & 63;
            self.minima[index] = packed[index + 4] & 63;
            self.scales[index + 4] = packed[index + 8] & 15 | packed[index] >> 6 << 4;
            self.minima[index + 4] = packed[index + 8] >> 4 | packed[index + 4] >> 6 << 4;
        }
    }

    fn q6k(&mut self, block: &[u8]) {
        let (low, rest) = block.split_at(128);
        let (high, rest) = rest.split_at(64);
        self.scales.copy_from_slice(&rest[..16]);
        self.d = [rest[16], rest[17]];
        let halves = low.chunks_exact(64).zip(high.chunks_exact(32));
        for (weights, (low, high)) in self.weights.chunks_exact_mut(128).zip(halves) {
            for index in 0..32 {
                let (a, b, bits) = (low[index], low[index + 32], high[index]);
                weights[index] = a & 15 | (bits & 3) << 4;
                weights[index + 32] = b & 15 | (bits >> 2 & 3) << 4;
                weights[index + 64] = a >> 4 | (bits >> 4 & 3) << 4;
                weights[index + 96] = b >> 4 | (bits >> 6) << 4;
            }
        }
    }
}

/// Writes one block of up to sixteen rows as a block of a tile, which was all zeros. Rows that
/// are missing count as zeros, since their scales are.
pub(super) fn pack_block(format: Format, rows: &[&[u8]], packed: &mut [u8]) {
    let parts = format.parts();
    let subs = match format {
        Format::Q6K => 16,
        Format::Q4K | Format::Q5K => 8,
        _ => 0,
    };
    let mut wide = Wide::new();
    for (row, block) in rows.iter().enumerate() {
        wide.read(format, block);
        pack_weights(format, &wide.weights, row, packed);
        for sub in 0..subs {
            packed[parts.scales + sub * TILE + row] = wide.scales[sub];
            if parts.minima != parts.scales {
                packed[parts.minima + sub * TILE + row] = wide.minima[sub];
            }
        }
        packed[parts.d + 2 * row..][..2].copy_from_slice(&wide.d);
        if parts.end > parts.d_min {
            packed[parts.d_min + 2 * row..][..2].copy_from_slice(&wide.d_min);
        }
    }
}

/// Spreads the weights of one row over its lanes, four columns at a time.
fn pack_weights(format: Format, weights: &[u8; PANEL], row: usize, packed: &mut [u8]) {
    let (groups, _) = weights[..format.columns()].as_chunks::<GROUP>();
    let four = |group: &[u8; GROUP]| u32::from_le_bytes(*group);
    let mut write = |from: usize, vector: usize, value: u32| {
        let at = from + (vector * 2 + row / 8) * 32 + row % 8 * GROUP;
        packed[at..at + GROUP].copy_from_slice(&value.to_le_bytes());
    };
    if format == Format::Q8_0 {
        for (vector, group) in groups.iter().enumerate() {
            write(0, vector, four(group));
        }
        return;
    }
    for (vector, [even, odd]) in groups.as_chunks::<2>().0.iter().enumerate() {
        let low = 0x0f0f_0f0f;
        write(0, vector, four(even) & low | (four(odd) & low) << 4);
    }
    let high = format.parts().high;
    match format {
        Format::Q5_0 | Format::Q5K => {
            for (vector, groups) in groups.as_chunks::<8>().0.iter().enumerate() {
                let bits = groups.iter().enumerate().fold(0, |bits, (index, group)| {
                    bits | (four(group) >> 4 & 0x0101_0101) << index
                });
                write(high, vector, bits);
            }
        }
        Format::Q6K => {
            for (vector, groups) in groups.as_chunks::<4>().0.iter().enumerate() {
                let bits = groups.iter().enumerate().fold(0, |bits, (index, group)| {
                    bits | (four(group) >> 4 & 0x0303_0303) << (2 * index)
                });
                write(high, vector, bits);
            }
        }
        _ => {}
    }
}

/// The weight at `row` and `column` of a block of a tile, as the whole number
/// that is stored: unsigned, except for Q8_0.
pub(super) fn stored(format: Format, packed: &[u8], row: usize, column: usize) -> i32 {
    let (group, byte) = (column / GROUP, column % GROUP);
    let at = |vector: usize| (vector * 2 + row / 8) * 32 + row % 8 * GROUP + byte;
    if format == Format::Q8_0 {
        return i32::from(packed[at(group)].cast_signed());
    }
    let low = packed[at(group / 2)] >> (group % 2 * 4) & 15;
    let high = format.parts().high;
    let high = match format {
        Format::Q5_0 | Format::Q5K => packed[high + at(group / 8)] >> (group % 8) & 1,
        Format::Q6K => packed[high + at(group / 4)] >> (group % 4 * 2) & 3,
        _ => 0,
    };
    i32::from(low | high << 4)
}
