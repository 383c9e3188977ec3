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

/// The Gauss error function by formula 7.1.26 of Abramowitz and Stegun,
/// Handbook of Mathematical Functions: off by at most 1.5e-7.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let t = 1.0 / fused(x.abs(), 0.327_591_1, 1.0);
    let mut p = 1.061_405_4;
    for c in [-1.453_152, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        p = fused(p, t, c);
    }
    let y = fused(-p * t, exp(-x * x), 1.0);
    y.copysign(x)
}

/// The exact GELU, `x` times the normal distribution function of `x`, off by
/// less than 2e-6.
#[inline(always)]
#[must_use]
pub fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
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
}
