//! The product of one tile, one number at a time: the twin that the vector
//! kernels are tested against, and what runs where there is none.

use half::f16;

use super::activations::{Activations, Row};
use super::format::{BLOCK, Format, PANEL, TILE, stored};

/// Adds to `sums`, sixteen for each row of `input`, the products with a tile.
pub(super) fn multiply(
    format: Format,
    tile: &[u8],
    input: &Activations,
    rows: std::ops::Range<usize>,
    sums: &mut [[f32; TILE]],
) {
    let parts = format.parts();
    let mut weights = [[0i32; PANEL]; TILE];
    let per_panel = PANEL / format.columns();
    for (index, block) in tile.chunks_exact(parts.end).enumerate() {
        let (panel, index) = (index / per_panel, index % per_panel);
        for (row, weights) in weights.iter_mut().enumerate() {
            for (column, weight) in weights[..format.columns()].iter_mut().enumerate() {
                *weight = stored(format, block, row, column);
            }
        }
        for (row, sums) in rows.clone().zip(&mut *sums) {
            let input = input.row(row, panel);
            for ((lane, weights), sum) in weights.iter().enumerate().zip(sums) {
                *sum += if format.columns() == BLOCK {
                    block_of_32(format, block, lane, &weights[..BLOCK], input, index)
                } else {
                    block_of_256(format, block, lane, weights, input)
                };
            }
        }
    }
}

fn block_of_32(
    format: Format,
    block: &[u8],
    lane: usize,
    weights: &[i32],
    input: Row<'_>,
    index: usize,
) -> f32 {
    let parts = format.parts();
    let numbers = &input.numbers[index * BLOCK..][..BLOCK];
    let offset = offset(format) * i32::from(input.sums[index]);
    let scale = half(block, parts.d, lane) * input.scales[index];
    let product = (dot(weights, numbers) - offset) as f32 * scale;
    if format == Format::Q4_1 {
        product + half(block, parts.d_min, lane) * input.scaled_sums[index]
    } else {
        product
    }
}

fn block_of_256(
    format: Format,
    block: &[u8],
    lane: usize,
    weights: &[i32; PANEL],
    input: Row<'_>,
) -> f32 {
    let parts = format.parts();
    let width = input.numbers.len() / input.sums.len();
    let subs = PANEL / width;
    let numbers = input.numbers;
    let (mut scaled, mut minima) = (0, 0);
    for sub in 0..subs {
        let columns = sub * width..(sub + 1) * width;
        let byte = |part: usize| block[part + sub * TILE + lane];
        let (scale, minimum) = if format == Format::Q6K {
            let scale = i32::from(byte(parts.scales).cast_signed());
            (scale, 32 * scale)
        } else {
            (i32::from(byte(parts.scales)), i32::from(byte(parts.minima)))
        };
        scaled += scale * dot(&weights[columns.clone()], &numbers[columns]);
        minima += minimum * i32::from(input.sums[sub]);
    }
    let d = half(block, parts.d, lane);
    let product = if format == Format::Q6K {
        d * (scaled - minima) as f32
    } else {
        d * scaled as f32 - half(block, parts.d_min, lane) * minima as f32
    };
    input.scales[0] * product
}

/// What a stored weight is larger than the one that is meant.
pub(super) const fn offset(format: Format) -> i32 {
    match format {
        Format::Q4_0 => 8,
        Format::Q5_0 => 16,
        _ => 0,
    }
}

fn dot(weights: &[i32], numbers: &[i8]) -> i32 {
    let products = weights.iter().zip(numbers);
    products
        .map(|(weight, number)| weight * i32::from(*number))
        .sum()
}

fn half(block: &[u8], part: usize, lane: usize) -> f32 {
    let at = part + 2 * lane;
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// A weight of a tile as the number that it stands for.
pub(super) fn weight(format: Format, tile: &[u8], lane: usize, column: usize) -> f32 {
    let parts = format.parts();
    let (index, column) = (column / format.columns(), column % format.columns());
    let block = &tile[index * parts.end..][..parts.end];
    let d = half(block, parts.d, lane);
    let number = stored(format, block, lane, column);
    let byte = |part: usize, width: usize| block[part + column / width * TILE + lane];
    match format {
        Format::Q4_0 | Format::Q5_0 | Format::Q8_0 => d * (number - offset(format)) as f32,
        Format::Q4_1 => d * number as f32 + half(block, parts.d_min, lane),
        Format::Q4K | Format::Q5K => {
            d * f32::from(byte(parts.scales, 32)) * number as f32
                - half(block, parts.d_min, lane) * f32::from(byte(parts.minima, 32))
        }
        Format::Q6K => {
            let scale = byte(parts.scales, 16).cast_signed();
            d * f32::from(scale) * (number - 32) as f32
        }
    }
}
