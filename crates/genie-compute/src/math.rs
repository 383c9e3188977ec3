//! Elementary functions in a form that the compiler turns into vector code.
//!
//! candle calls the C library's scalar functions for each element, which costs
//! as much as the matrix products of a small model.

/// `a * b + c` in one instruction where the processor level of the build has
/// it. Elsewhere `mul_add` would call a slow exact routine.
#[inline(always)]
#[must_use]
pub fn fused(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        a.mul_add(b, c)
    } else {
        a * b + c
    }
}

/// The exponential function, off by less than two units in the last place
/// from -87 to 88 and clamped outside.
///
/// Splits `x` into `n ln 2 + r` with `|r| <= ln 2 / 2` and takes the Taylor
/// polynomial of degree 7 in `r`, then adds `n` to the exponent bits.
#[inline(always)]
#[must_use]
pub fn exp(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 88.0);
    let n = fused(x, std::f32::consts::LOG2_E, ROUND) - ROUND;
    let r = fused(n, -LN_2_LOW, fused(n, -LN_2_HIGH, x));
    let mut p = 1.0 / 5040.0;
    for c in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        p = fused(p, r, c);
    }
    // `n` is a whole number from -126 to 127, so the exponent stays normal.
    f32::from_bits(((n as i32 + 127) as u32) << 23) * p
}

/// Two to the power of `x`, off by four millionths of itself, for `x` from
/// -120 to 120: fine enough for what is rounded to thirteen bits afterwards,
/// in half the steps of [`exp`].
///
/// The whole number next to `x` goes to the exponent bits; the rest, half at
/// most, into the polynomial of degree 4 that interpolates at the Chebyshev
/// points.
#[inline(always)]
#[must_use]
pub(crate) fn coarse_exp2(x: f32) -> f32 {
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer, which
    // then is in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let whole = x + ROUND;
    let rest = x - (whole - ROUND);
    let mut p = 0.009_676_037;
    for c in [0.055_922_035, 0.240_221_07, 0.693_121, 1.0] {
        p = fused(p, rest, c);
    }
    f32::from_bits(p.to_bits().wrapping_add(whole.to_bits() << 23))
}

/// From here on the normal distribution function is 0 or 1 for [`gelu`].
const REACH: f32 = 5.2;

/// `gelu(x) / x - 0.5` over `x`, for `x` up to [`REACH`], as a polynomial of
/// `2 (x / REACH)^2 - 1`, the highest power first: what interpolates
/// `erf(x / sqrt(2)) / (2 x)` at the Chebyshev points.
const NORMAL: [f32; 15] = [
    0.000_242_603_13,
    -0.000_582_433_83,
    0.000_470_087_72,
    -0.000_918_086_97,
    0.002_828_264_1,
    -0.005_136_607,
    0.007_906_474,
    -0.012_315_595,
    0.018_166_883,
    -0.024_773_363,
    0.031_957_38,
    -0.039_924_297,
    0.050_026_383,
    -0.067_743_84,
    0.135_949_97,
];

/// The exact GELU, `x` times the normal distribution function of `x`, off by
/// less than 2e-6 from -20 to 10.
///
/// One polynomial, neither a division nor an exponential function: it is
/// computed for every number of a feed-forward block.
#[inline(always)]
#[must_use]
pub fn gelu(x: f32) -> f32 {
    let near = x.clamp(-REACH, REACH);
    let s = fused(near * near, 2.0 / (REACH * REACH), -1.0);
    let mut p = 0.0;
    for c in NORMAL {
        p = fused(p, s, c);
    }
    // Below the reach nothing is left, whatever `x` is multiplied by.
    let x = if x < -REACH { -REACH } else { x };
    x * fused(near, p, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_has_its_known_values() {
        // From tables of the normal distribution: x * Phi(x).
        for (x, wanted) in [
            (-3.0, -0.004_049_7),
            (-1.0, -0.158_655_25),
            (0.0, 0.0),
            (0.5, 0.345_731_23),
            (1.0, 0.841_344_7),
            (3.0, 2.995_950_3),
            (10.0, 10.0),
            (-20.0, 0.0),
        ] {
            let found = gelu(x);
            assert!((found - wanted).abs() < 2e-6, "{found} {wanted}");
        }
    }

    #[test]
    fn gelu_is_close_everywhere() {
        // Simpson's rule over the density of the normal distribution.
        let step = 0.001_f64;
        let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let (mut t, mut normal) = (-12.0_f64, 0.0);
        while t < 10.0 {
            let wanted = t * normal;
            let found = f64::from(gelu(t as f32));
            assert!((found - wanted).abs() < 2e-6, "{t}: {found} {wanted}");
            normal += step / 6.0 * (density(t) + 4.0 * density(t + step / 2.0) + density(t + step));
            t += step;
        }
    }

    #[test]
    fn the_coarse_power_is_close() {
        for i in -12_000..12_000 {
            let x = i as f32 / 100.0;
            let wanted = f64::from(x).exp2();
            let apart = (f64::from(coarse_exp2(x)) / wanted - 1.0).abs();
            assert!(apart < 4e-6, "{x}: {apart}");
        }
    }
}
