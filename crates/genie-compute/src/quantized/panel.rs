//! Where a tile's weights lie unpacked, in the first-level cache, while many
//! rows of input meet them.

use super::format::{BLOCK, GROUP, PANEL, TILE};

/// Groups of four columns in a panel.
pub(super) const GROUPS: usize = PANEL / GROUP;
/// Blocks of 32 columns in a panel.
pub(super) const BLOCKS: usize = PANEL / BLOCK;
/// Bytes of a vector: four columns of sixteen rows.
pub(super) const VECTOR: usize = TILE * GROUP;

/// A panel of a tile, one byte a weight. What a format lacks is not written
/// and not read.
#[repr(align(64))]
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "the scales of blocks are for AVX2")
)]
pub(super) struct Panel {
    pub(super) weights: [[u8; VECTOR]; GROUPS],
    /// For each group of columns and each row the scale.
    pub(super) scales: [[i32; TILE]; 16],
    /// For each two groups of columns and each row their minima, in 16 bits.
    pub(super) minima: [[i32; TILE]; 8],
    /// For each block and each row its scale.
    pub(super) d: [[f32; TILE]; BLOCKS],
    /// For each block and each row its minimum, or the scale of the minima.
    pub(super) d_min: [[f32; TILE]; BLOCKS],
}

impl Panel {
    pub(super) const fn new() -> Self {
        Self {
            weights: [[0; VECTOR]; GROUPS],
            scales: [[0; TILE]; 16],
            minima: [[0; TILE]; 8],
            d: [[0.0; TILE]; BLOCKS],
            d_min: [[0.0; TILE]; BLOCKS],
        }
    }
}
