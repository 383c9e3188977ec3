//! A look at a kernel before it is trusted. Few processors have VNNI or `dotprod` among
//! those that this was written and tested on, and an answer from a product
//! that is a little wrong looks like any other.

use super::activations::Activations;
use super::format::{Format, PANEL, TILE};
use super::{Kernel, Scratch};

const FORMATS: [Format; 7] = [
    Format::Q4_0,
    Format::Q4_1,
    Format::Q5_0,
    Format::Q8_0,
    Format::Q4K,
    Format::Q5K,
    Format::Q6K,
];

/// What others are held against.
#[cfg(target_arch = "x86_64")]
const REFERENCE: Kernel = Kernel::Avx2;
#[cfg(target_arch = "aarch64")]
const REFERENCE: Kernel = Kernel::Neon;

/// Numbers of rows that take every way through the kernels: few that meet
/// the tile itself, many that meet an unpacked panel.
const ROWS: [usize; 2] = [7, 15];

/// Whether a kernel, which this processor must have the instructions for,
/// gives the bits of the reference for made-up weights of each format.
pub(super) fn passes(kernel: &Kernel) -> bool {
    let wrong: Vec<_> = FORMATS
        .into_iter()
        .filter(|format| ROWS.iter().any(|rows| !agree(*kernel, *format, *rows)))
        .collect();
    if !wrong.is_empty() {
        tracing::error!(
            ?kernel,
            formats = ?wrong,
            "this processor gives other products than expected; a slower kernel is used"
        );
    }
    wrong.is_empty()
}

fn agree(kernel: Kernel, format: Format, rows: usize) -> bool {
    let tile = tile(format);
    let columns = tile.len() / format.parts().end * format.columns();
    let mut input = Activations::empty(columns, format);
    let mut bytes = bytes();
    let places = input.places(rows);
    for row in 0..rows {
        let x: Vec<f32> = (0..columns).map(|_| f32::from(bytes()) - 127.0).collect();
        // SAFETY: one row after the other. No job in a pool: the pool may be
        // set up later than this is asked for.
        unsafe { places.write_row(row, &x) };
    }
    let product = |kernel: Kernel| {
        let mut scratch = Scratch::new();
        scratch.sums.resize(rows, [0.0; TILE]);
        // SAFETY: the caller knows that the instructions are there.
        unsafe { kernel.multiply(format, &tile, &input, 0..rows, &mut scratch) };
        let bits = scratch.sums.into_iter().flatten().map(f32::to_bits);
        bits.collect::<Vec<_>>()
    };
    product(kernel) == product(REFERENCE)
}

/// A panel and a half of any weights, or two panels for blocks as long as
/// that.
fn tile(format: Format) -> Vec<u8> {
    let parts = format.parts();
    let columns = (PANEL + PANEL / 2).next_multiple_of(format.columns());
    let mut tile = vec![0; columns / format.columns() * parts.end];
    let mut bytes = bytes();
    for block in tile.chunks_exact_mut(parts.end) {
        block.fill_with(&mut bytes);
        for d in block[parts.d..].as_chunks_mut::<2>().0 {
            // Between 1/64 and 1/32, either sign.
            d[1] = d[1] & 0x83 | 0x24;
        }
    }
    tile
}

/// Bytes that look random and are always the same.
fn bytes() -> impl FnMut() -> u8 {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as u8
    }
}
