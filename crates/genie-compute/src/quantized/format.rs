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
