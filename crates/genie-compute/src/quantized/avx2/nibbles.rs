//! Q4_0, the format with most to do in encoders: on pointers that are checked
//! once a panel, so that nothing but the products is in the loops.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::activations::{Activations, View};
use super::super::format::{BLOCK, TILE};
use super::vectors::in_register;
use super::{HALVES, Panel};

/// Rows of input that meet the weights together.
const ROWS: usize = 4;
/// Groups of four columns in a block.
const STEPS: usize = BLOCK / super::GROUP;

/// What of a row of input meets a panel.
#[derive(Clone, Copy)]
struct Pointers {
    numbers: *const i8,
    scales: *const f32,
    starts: *const i32,
}

/// Adds to `sums` the products of a panel, the one with that `index` in its
/// tile, and some rows of input.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn meet(
    panel: &Panel,
    index: usize,
    input: &Activations,
    rows: Range<usize>,
    sums: &mut [[f32; TILE]],
) {
    let view = input.view(index);
    let View {
        numbers,
        width,
        scales,
        starts,
        stride,
    } = view;
    let blocks = width / BLOCK;
    assert!(rows.len() == sums.len() && blocks <= panel.d.len());
    assert!(rows.end * width <= numbers.len());
    let last = rows.end.saturating_sub(1) * stride + blocks;
    assert!(last <= scales.len() && last <= starts.len());
    let mut row = rows.start;
    let mut pointers = || {
        let at = row;
        row += 1;
        // SAFETY: the row is one of `rows`, whose ends were checked above.
        unsafe {
            Pointers {
                numbers: numbers.as_ptr().add(at * width),
                scales: scales.as_ptr().add(at * stride),
                starts: starts.as_ptr().add(at * stride),
            }
        }
    };
    let (chunks, rest) = sums.as_chunks_mut::<ROWS>();
    // SAFETY: every row has that many blocks, and so has the panel.
    unsafe {
        for sums in chunks {
            let rows = std::array::from_fn(|_| pointers());
            add_products::<ROWS>(panel, blocks, rows, sums);
        }
        let (pairs, rest) = rest.as_chunks_mut::<2>();
        for sums in pairs {
            add_products(panel, blocks, [pointers(), pointers()], sums);
        }
        for sums in rest {
            add_products(panel, blocks, [pointers()], std::array::from_mut(sums));
        }
    }
}

/// # Safety
///
/// The panel and each of `rows` must have that many blocks.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn add_products<const N: usize>(
    panel: &Panel,
    blocks: usize,
    rows: [Pointers; N],
    sums: &mut [[f32; TILE]; N],
) {
    let ones = _mm256_set1_epi16(1);
    let weights = panel.weights.as_ptr().cast::<__m256i>();
    let d = panel.d.as_ptr().cast::<f32>();
    let mut floats = [[_mm256_setzero_ps(); HALVES]; N];
    for block in 0..blocks {
        let mut products = [[_mm256_setzero_si256(); HALVES]; N];
        for (products, row) in products.iter_mut().zip(rows) {
            // SAFETY: promised by the caller.
            let start = unsafe { *row.starts.add(block) };
            *products = [_mm256_set1_epi32(start); HALVES];
        }
        for step in 0..STEPS {
            let group = block * STEPS + step;
            // SAFETY: promised by the caller, and loads need no alignment.
            let weights = unsafe {
                let at = weights.add(group * HALVES);
                [_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1))]
            };
            for (products, row) in products.iter_mut().zip(rows) {
                // SAFETY: as above.
                let four = unsafe { row.numbers.cast::<i32>().add(group).read_unaligned() };
                let four = _mm256_set1_epi32(four);
                for (product, weights) in products.iter_mut().zip(weights) {
                    let sum = _mm256_add_epi16(*product, _mm256_maddubs_epi16(weights, four));
                    *product = in_register(sum);
                }
            }
        }
        // SAFETY: as above.
        let d = unsafe {
            let at = d.add(block * TILE);
            [_mm256_loadu_ps(at), _mm256_loadu_ps(at.add(8))]
        };
        for ((floats, products), row) in floats.iter_mut().zip(products).zip(rows) {
            // SAFETY: as above.
            let scale = _mm256_set1_ps(unsafe { *row.scales.add(block) });
            for ((floats, product), d) in floats.iter_mut().zip(products).zip(d) {
                let whole = _mm256_cvtepi32_ps(_mm256_madd_epi16(product, ones));
                *floats = _mm256_fmadd_ps(whole, _mm256_mul_ps(d, scale), *floats);
            }
        }
    }
    super::add_all(floats, sums);
}
