//! Products of whole numbers of 16 bits: four rows times sixteen columns, two
//! steps at a time. Twice as many multiplications an instruction as single
//! precision has.

/// Columns of a panel.
pub(crate) const LANES: usize = 16;
/// Rows whose sums stay in registers.
pub(crate) const ROWS: usize = 4;

/// The numbers of two steps.
pub(crate) type Pair = [i16; 2];

/// Products of four rows with a panel: for each row and lane the sum over all
/// steps. The rows are as long as the panel, and no sum may leave 32 bits.
#[inline(always)]
pub(crate) fn product(panel: &[[Pair; LANES]], rows: [&[Pair]; ROWS]) -> [[i32; LANES]; ROWS] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has what the function needs.
        return unsafe { with_avx2(panel, rows) };
    }
    portable(panel, rows)
}

fn portable(panel: &[[Pair; LANES]], rows: [&[Pair]; ROWS]) -> [[i32; LANES]; ROWS] {
    let mut sums = [[0; LANES]; ROWS];
    for (sums, row) in sums.iter_mut().zip(rows) {
        for (step, x) in panel.iter().zip(row) {
            for (sum, y) in sums.iter_mut().zip(step) {
                *sum += i32::from(x[0]) * i32::from(y[0]) + i32::from(x[1]) * i32::from(y[1]);
            }
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn with_avx2(panel: &[[Pair; LANES]], [a, b, c, d]: [&[Pair]; ROWS]) -> [[i32; LANES]; ROWS] {
    use std::arch::x86_64::*;

    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for ((((step, a), b), c), d) in panel.iter().zip(a).zip(b).zip(c).zip(d) {
        let start = step.as_ptr().cast::<__m256i>();
        // SAFETY: 64 bytes lie there, and loads need no alignment.
        let step = unsafe { [_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))] };
        for (sums, x) in sums.iter_mut().zip([a, b, c, d]) {
            let x = i32::from(x[0]) & 0xffff | i32::from(x[1]) << 16;
            let x = _mm256_set1_epi32(x);
            sums[0] = _mm256_add_epi32(sums[0], _mm256_madd_epi16(step[0], x));
            sums[1] = _mm256_add_epi32(sums[1], _mm256_madd_epi16(step[1], x));
        }
    }
    let mut numbers = [[0; LANES]; ROWS];
    for (numbers, sums) in numbers.iter_mut().zip(sums) {
        let to = numbers.as_mut_ptr().cast::<__m256i>();
        // SAFETY: there is room for sixteen numbers, and stores need no
        // alignment.
        unsafe {
            _mm256_storeu_si256(to, sums[0]);
            _mm256_storeu_si256(to.add(1), sums[1]);
        }
    }
    numbers
}

/// 1.5 * 2^23: what leaves the nearest whole number in the low bits when it is
/// added.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// `x` rounded to the nearest whole number, for `x` within 16 bits.
#[inline(always)]
pub(crate) fn rounded(x: f32) -> i16 {
    (x + ROUND).to_bits() as u16 as i16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounding_is_to_the_nearest() {
        for (x, wanted) in [(0.4, 0), (-0.6, -1), (8191.0, 8191), (-2047.4, -2047)] {
            assert_eq!(rounded(x), wanted);
        }
    }

    proptest! {
        #[test]
        fn both_ways_agree(
            numbers in prop::collection::vec(prop_oneof![-8191_i16..=8191, Just(8191), Just(-8191)], 64),
            steps in 0_usize..16,
        ) {
            let mut numbers = numbers.into_iter().cycle();
            let mut pair = || [numbers.next().unwrap_or(1), numbers.next().unwrap_or(1)];
            let panel: Vec<[Pair; LANES]> =
                (0..steps).map(|_| std::array::from_fn(|_| pair())).collect();
            let rows: [Vec<Pair>; ROWS] =
                std::array::from_fn(|_| (0..steps).map(|_| pair()).collect());
            let rows = rows.each_ref().map(Vec::as_slice);
            prop_assert_eq!(product(&panel, rows), portable(&panel, rows));
        }
    }
}
