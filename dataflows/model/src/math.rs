//! Transcendentals as our own polynomials: the same bits on every CPU and every libm.
//!
//! Error bounds (checked against std in the tests): `exp2` 3e-7 relative in f32 and 4e-15 in f64,
//! `log2` 4e-7 absolute-or-relative in f32 and 4e-15 in f64, `sigmoid` 4e-7 absolute, `exp_f32` 3e-6 relative within ±20.

/// log2(e).
pub const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln(2).
pub const LN_2: f32 = std::f32::consts::LN_2;

/// lnᵏ2 / k!: the Taylor coefficients of 2^f about 0, enough for |f| <= 1/2 in f64.
const EXP2_TAYLOR: [f64; 14] = exp2_taylor();

const fn exp2_taylor() -> [f64; 14] {
    let mut terms = [1.0; 14];
    let mut k = 1;
    while k < terms.len() {
        terms[k] = terms[k - 1] * std::f64::consts::LN_2 / k as f64;
        k += 1;
    }
    terms
}

/// 2^x, 0 below -1022, saturating at the largest finite power above 1023; NaN stays NaN.
pub fn exp2_f64(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x < -1022.0 {
        return 0.0;
    }
    let whole = x.min(1023.0).round();
    let part = x.min(1023.0) - whole;
    let mut sum = 0.0;
    for term in EXP2_TAYLOR.iter().rev() {
        sum = sum * part + term;
    }
    sum * power_of_two(whole as i64)
}

/// 2^k exactly, 0 below the normal range, saturating at 2^1023.
pub fn power_of_two(k: i64) -> f64 {
    if k < -1022 {
        return 0.0;
    }
    f64::from_bits(((k.min(1023) + 1023) as u64) << 52)
}

/// log2 of a positive normal number; -inf for 0 and for subnormals, NaN below 0.
pub fn log2_f64(x: f64) -> f64 {
    if x.is_nan() || x < 0.0 {
        return f64::NAN;
    }
    if x < f64::MIN_POSITIVE {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    // Split so that the mantissa lies around 1, where the series of atanh is short.
    const ROOT_HALF_BITS: u64 = 0x3FE6_A09E_667F_3BCD;
    let shifted = x.to_bits().wrapping_sub(ROOT_HALF_BITS);
    let exponent = (shifted as i64) >> 52;
    let mantissa = f64::from_bits(x.to_bits().wrapping_sub((exponent as u64) << 52));
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for k in (0..11).rev() {
        sum = sum * square + 1.0 / f64::from(2 * k + 1);
    }
    exponent as f64 + 2.0 * std::f64::consts::LOG2_E * s * sum
}

/// 2^x in f32, 0 below -126, saturating above 127; NaN stays NaN.
pub fn exp2_f32(x: f32) -> f32 {
    if x < -126.0 {
        return 0.0;
    }
    let clamped = x.min(127.0);
    // Adding and taking away 1.5·2²³ rounds to the nearest integer without a library call.
    const ROUNDER: f32 = 12_582_912.0;
    let whole = (clamped + ROUNDER) - ROUNDER;
    let part = clamped - whole;
    let mut sum = 0.0;
    for k in (0..8).rev() {
        sum = sum * part + EXP2_TAYLOR[k] as f32;
    }
    if x.is_nan() { x } else { sum * f32::from_bits(((whole as i32 + 127) as u32) << 23) }
}

/// log2 in f32; as [`log2_f64`] for what is not a positive normal number. Without branches, so that
/// a loop over a column vectorises.
pub fn log2_f32(x: f32) -> f32 {
    const ROOT_HALF_BITS: i32 = 0x3F35_04F3;
    let bits = x.to_bits() as i32;
    let exponent = bits.wrapping_sub(ROOT_HALF_BITS) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub(exponent << 23) as u32);
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series =
        1.0 + square * (1.0 / 3.0 + square * (0.2 + square * (1.0 / 7.0 + square * (1.0 / 9.0))));
    let normal = exponent as f32 + 2.0 * LOG2_E * s * series;
    let small = if x < 0.0 { f32::NAN } else { f32::NEG_INFINITY };
    let finite = if x >= f32::MIN_POSITIVE { normal } else { small };
    if x < f32::INFINITY { finite } else { x }
}

/// e^x in f32.
pub fn exp_f32(x: f32) -> f32 {
    exp2_f32(x * LOG2_E)
}

/// Natural logarithm in f32.
pub fn ln_f32(x: f32) -> f32 {
    log2_f32(x) * LN_2
}

/// 1 / (1 + e^-x), within (0, 1).
pub fn sigmoid_f32(x: f32) -> f32 {
    1.0 / (1.0 + exp_f32(-x))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "std is the oracle")]
mod tests {
    use super::{
        exp_f32, exp2_f32, exp2_f64, ln_f32, log2_f32, log2_f64, power_of_two, sigmoid_f32,
    };

    /// Evenly spaced points in `[from, to]`.
    fn points(from: f64, to: f64) -> impl Iterator<Item = f64> {
        (0..=20_000).map(move |k| from + (to - from) * f64::from(k) / 20_000.0)
    }

    #[test]
    fn powers_are_close_to_std() {
        for x in points(-1000.0, 1000.0).chain(points(-1.0, 1.0)) {
            assert!((exp2_f64(x) / x.exp2() - 1.0).abs() < 4e-15, "2^{x}");
        }
        for x in points(-125.0, 126.0).chain(points(-1.0, 1.0)) {
            let x = x as f32;
            assert!((f64::from(exp2_f32(x)) / f64::from(x).exp2() - 1.0).abs() < 3e-7, "2^{x}");
        }
        for x in points(-20.0, 20.0) {
            let want = f64::from(x as f32).exp();
            assert!((f64::from(exp_f32(x as f32)) / want - 1.0).abs() < 3e-6, "e^{x}");
        }
    }

    #[test]
    fn logarithms_are_close_to_std() {
        for x in points(-1000.0, 1000.0).map(f64::exp2).chain(points(0.5, 2.0)) {
            let (got, want) = (log2_f64(x), x.log2());
            assert!((got - want).abs() < 4e-15 * want.abs().max(1.0), "log2 {x}: {got} {want}");
        }
        for x in points(-125.0, 126.0).map(f64::exp2).chain(points(0.5, 2.0)) {
            let want = f64::from(x as f32).log2();
            let error = (f64::from(log2_f32(x as f32)) - want).abs();
            assert!(error < 4e-7 * want.abs().max(1.0), "log2 {x}: {error}");
        }
        assert!((ln_f32(10.0) - 10.0f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn sigmoid_is_close_to_std_and_never_breaks() {
        for x in points(-30.0, 30.0) {
            let want = 1.0 / (1.0 + (-x).exp());
            assert!((f64::from(sigmoid_f32(x as f32)) - want).abs() < 4e-7, "sigmoid {x}");
        }
        assert_eq!(sigmoid_f32(f32::INFINITY), 1.0);
        assert!(sigmoid_f32(f32::NEG_INFINITY) < 1e-37);
        assert!(sigmoid_f32(f32::NAN).is_nan());
    }

    #[test]
    fn edges_are_defined() {
        assert_eq!((exp2_f64(-2000.0), exp2_f32(-200.0)), (0.0, 0.0));
        assert!(exp2_f64(5000.0).is_finite() && exp2_f32(500.0).is_finite());
        assert!(exp2_f64(f64::NAN).is_nan() && exp2_f32(f32::NAN).is_nan());
        assert_eq!((log2_f64(0.0), log2_f32(0.0)), (f64::NEG_INFINITY, f32::NEG_INFINITY));
        assert!(log2_f64(-1.0).is_nan() && log2_f32(-1.0).is_nan() && log2_f32(f32::NAN).is_nan());
        assert_eq!(
            (log2_f64(f64::INFINITY), log2_f32(f32::INFINITY)),
            (f64::INFINITY, f32::INFINITY)
        );
        assert_eq!((power_of_two(-3), power_of_two(-2000), log2_f32(8.0)), (0.125, 0.0, 3.0));
    }
}
