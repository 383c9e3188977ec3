//! The inner loop of attention: four rows times sixteen columns.

/// Columns of a panel: two vectors of eight floats.
pub(crate) const LANES: usize = 16;
/// Rows whose sums stay in registers.
pub(crate) const ROWS: usize = 4;

/// Products of four rows with a panel, `[steps, LANES]`: for each row and
/// lane the sum over all steps. The rows are as long as the panel.
pub(crate) fn product(panel: &[[f32; LANES]], rows: [&[f32]; ROWS]) -> [[f32; LANES]; ROWS] {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has what the function needs.
        return unsafe { with_avx2(panel, rows) };
    }
    portable(panel, rows)
}

fn portable(panel: &[[f32; LANES]], rows: [&[f32]; ROWS]) -> [[f32; LANES]; ROWS] {
    let mut sums = [[0.0; LANES]; ROWS];
    for (sums, row) in sums.iter_mut().zip(rows) {
        for (step, x) in panel.iter().zip(row) {
            for (sum, y) in sums.iter_mut().zip(step) {
                *sum += x * y;
            }
        }
    }
    sums
}

/// Written out, since the compiler leaves the loops of [`portable`] scalar
/// once they are inlined.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2(panel: &[[f32; LANES]], [a, b, c, d]: [&[f32]; ROWS]) -> [[f32; LANES]; ROWS] {
    use std::arch::x86_64::*;

    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    for ((((step, a), b), c), d) in panel.iter().zip(a).zip(b).zip(c).zip(d) {
        // SAFETY: sixteen floats lie there, and loads need no alignment.
        let step = unsafe {
            [
                _mm256_loadu_ps(step.as_ptr()),
                _mm256_loadu_ps(step.as_ptr().add(8)),
            ]
        };
        for (sums, x) in sums.iter_mut().zip([a, b, c, d]) {
            let x = _mm256_set1_ps(*x);
            sums[0] = _mm256_fmadd_ps(x, step[0], sums[0]);
            sums[1] = _mm256_fmadd_ps(x, step[1], sums[1]);
        }
    }
    let mut floats = [[0.0; LANES]; ROWS];
    for (floats, sums) in floats.iter_mut().zip(sums) {
        // SAFETY: there is room for sixteen floats, and stores need no
        // alignment.
        unsafe {
            _mm256_storeu_ps(floats.as_mut_ptr(), sums[0]);
            _mm256_storeu_ps(floats.as_mut_ptr().add(8), sums[1]);
        }
    }
    floats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_agree() {
        let number = |i: usize| ((i * 37 % 101) as f32 - 50.0) / 25.0;
        for steps in [0, 1, 7, 64, 128] {
            let panel: Vec<[f32; LANES]> = (0..steps)
                .map(|step| std::array::from_fn(|lane| number(step * LANES + lane)))
                .collect();
            let rows: [Vec<f32>; ROWS] =
                std::array::from_fn(|row| (0..steps).map(|step| number(step * 3 + row)).collect());
            let rows = rows.each_ref().map(Vec::as_slice);
            let (found, wanted) = (product(&panel, rows), portable(&panel, rows));
            for (found, wanted) in found.as_flattened().iter().zip(wanted.as_flattened()) {
                assert!((found - wanted).abs() < 1e-3, "{steps}: {found} {wanted}");
            }
        }
    }
}
