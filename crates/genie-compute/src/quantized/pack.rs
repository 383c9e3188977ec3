//! From the rows of a file to tiles.
//!
//! Four columns at a time: a file has the four or more bits of neighbouring
//! columns in neighbouring bytes, and so has a tile, so that a word of 32 bits
//! is moved as a whole. What is slow is then the memory.

use super::format::{Format, GROUP, TILE};

/// Bytes that hold four columns of sixteen rows.
const VECTOR: usize = TILE * GROUP;
/// Words of the weights of a block at most.
const WORDS: usize = 64;
const LOW: u32 = 0x0f0f_0f0f;

/// Reorders up to sixteen rows of a file, each `row_bytes` long, into a tile
/// of zeros. Rows that are missing count as zeros, since their scales are.
pub(super) fn pack_tile(format: Format, row_bytes: usize, rows: &[u8], tile: &mut [u8]) {
    let (from, to) = (format.source_bytes(), format.parts().end);
    for (row, blocks) in rows.chunks_exact(row_bytes).take(TILE).enumerate() {
        let blocks = blocks.chunks_exact(from);
        for (block, packed) in blocks.zip(tile.chunks_exact_mut(to)) {
            pack_row(format, block, row, packed);
        }
    }
}

/// Writes one block of a row into its lanes of a block of a tile.
fn pack_row(format: Format, block: &[u8], row: usize, packed: &mut [u8]) {
    let parts = format.parts();
    let mut words = [0; WORDS];
    let mut scale = |d: &[u8], at: usize| packed[at + 2 * row..][..2].copy_from_slice(d);
    match format {
        Format::Q4_0 => {
            scale(&block[..2], parts.d);
            nibbles(&block[2..18], &mut words[..4]);
            spread(&words[..4], row, packed);
        }
        Format::Q4_1 => {
            scale(&block[..2], parts.d);
            scale(&block[2..4], parts.d_min);
            nibbles(&block[4..20], &mut words[..4]);
            spread(&words[..4], row, packed);
        }
        Format::Q5_0 => {
            scale(&block[..2], parts.d);
            nibbles(&block[6..22], &mut words[..4]);
            spread(&words[..4], row, packed);
            let high = fifths(word(&block[2..6], 0));
            spread(&[high], row, &mut packed[parts.high..]);
        }
        Format::Q8_0 => {
            scale(&block[..2], parts.d);
            for (index, to) in words[..8].iter_mut().enumerate() {
                *to = word(&block[2..34], index);
            }
            spread(&words[..8], row, packed);
        }
        Format::Q4K | Format::Q5K => {
            scale(&block[..2], parts.d);
            scale(&block[2..4], parts.d_min);
            let (scales, minima) = six_bits(&block[4..16]);
            lanes(&scales, row, &mut packed[parts.scales..parts.minima]);
            lanes(&minima, row, &mut packed[parts.minima..parts.d]);
            let weights = block.len() - 128;
            let of_64 = block[weights..].as_chunks::<32>().0;
            for (bytes, words) in of_64.iter().zip(words.as_chunks_mut::<8>().0) {
                nibbles(bytes, words);
            }
            spread(&words[..32], row, packed);
            if format == Format::Q5K {
                let high: [u32; 8] = std::array::from_fn(|part| {
                    (0..8).fold(0, |bits, index| {
                        let four = word(&block[16..48], index) >> part;
                        bits | (four & 0x0101_0101) << index
                    })
                });
                spread(&high, row, &mut packed[parts.high..]);
            }
        }
        Format::Q6K => {
            scale(&block[208..210], parts.d);
            lanes(&block[192..208], row, &mut packed[parts.scales..parts.d]);
            let of_128 = block[..128].as_chunks::<64>().0;
            for (bytes, words) in of_128.iter().zip(words.as_chunks_mut::<16>().0) {
                let (low, high) = words.split_at_mut(8);
                for (bytes, index) in bytes.as_chunks::<32>().0.iter().zip([0, 4]) {
                    let mut both = [0; 8];
                    nibbles(bytes, &mut both);
                    low[index..index + 4].copy_from_slice(&both[..4]);
                    high[index..index + 4].copy_from_slice(&both[4..]);
                }
            }
            spread(&words[..32], row, packed);
            let of_128 = block[128..192].as_chunks::<32>().0;
            for (bytes, words) in of_128.iter().zip(words.as_chunks_mut::<8>().0) {
                for (index, to) in words.iter_mut().enumerate() {
                    // Two bits for each of four parts of 32 columns, of which
                    // a vector has sixteen.
                    let (part, half) = (index / 2, index % 2);
                    *to = (0..4).fold(0, |bits, group| {
                        let four = word(bytes, 4 * half + group) >> (2 * part);
                        bits | (four & 0x0303_0303) << (2 * group)
                    });
                }
            }
            spread(&words[..16], row, &mut packed[parts.high..]);
        }
    }
}

#[inline(always)]
fn word(bytes: &[u8], index: usize) -> u32 {
    u32::from_le_bytes(bytes.as_chunks::<GROUP>().0[index])
}

/// Nibbles whose low ones are the first half of the columns and whose high
/// ones the second half, as words with eight columns each: four in the low
/// nibbles, the next four in the high ones.
#[inline(always)]
fn nibbles(bytes: &[u8], words: &mut [u32]) {
    let (first, second) = words.split_at_mut(words.len() / 2);
    let pairs = bytes.as_chunks::<8>().0;
    for ((pair, first), second) in pairs.iter().zip(first).zip(second) {
        let (a, b) = (word(pair, 0), word(pair, 1));
        *first = a & LOW | (b & LOW) << 4;
        *second = a >> 4 & LOW | b & !LOW;
    }
}

/// Bit `4 * group + column` of 32 becomes bit `group` of byte `column`.
fn fifths(bits: u32) -> u32 {
    (0..8).fold(0, |word, group| {
        // Bit `column` moves to the lowest of byte `column`: the products of
        // the four bits and the four shifts share no other bit of the mask.
        let four = (bits >> (4 * group) & 0xf).wrapping_mul(0x0020_4081) & 0x0101_0101;
        word | four << group
    })
}

/// Eight scales and eight minima of six bits in twelve bytes.
fn six_bits(packed: &[u8]) -> ([u8; 8], [u8; 8]) {
    let [a, b, c] = std::array::from_fn(|index| word(packed, index));
    let low = 0x3f3f_3f3f;
    let top = 0x3030_3030;
    let both = |first: u32, second: u32| (u64::from(first) | u64::from(second) << 32).to_le_bytes();
    (
        both(a & low, c & LOW | a >> 2 & top),
        both(b & low, c >> 4 & LOW | b >> 2 & top),
    )
}

/// One byte of a row in each sixteen bytes.
fn lanes(bytes: &[u8], row: usize, packed: &mut [u8]) {
    for (byte, lanes) in bytes.iter().zip(packed.as_chunks_mut::<TILE>().0) {
        lanes[row] = *byte;
    }
}

/// One word of a row in each vector.
fn spread(words: &[u32], row: usize, packed: &mut [u8]) {
    for (word, vector) in words.iter().zip(packed.as_chunks_mut::<VECTOR>().0) {
        vector.as_chunks_mut::<GROUP>().0[row] = word.to_le_bytes();
    }
}
