//! Exponentially decayed counts in forward form (Cormode et al., *Forward decay*, ICDE 2009).
//!
//! An event of weight w at time t adds w·2^(t/h), counted from the Unix epoch; the decayed count
//! at a moment is the sum times 2^(-moment/h). So the order between items never depends on the
//! moment of asking, late events need no special case, and nothing is rescaled as time passes.
//! Times are milliseconds. The sum is kept as mantissa · 2^exponent, since 2^(t/h) exceeds any float.

use crate::math::{exp2_f64, log2_f64, power_of_two};

/// One decayed count. The default value is an empty count.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Decayed {
    /// Sum of weights in units of 2^exponent.
    mantissa: f64,
    /// Whole half-lives since the Unix epoch of the newest event.
    exponent: i64,
}

impl Decayed {
    /// Adds an event; a weight that is not finite and positive, or a half-life below 1 ms, is ignored.
    pub fn add(&mut self, weight: f64, time_ms: i64, half_life_ms: i64) {
        if !weight.is_finite() || weight <= 0.0 || half_life_ms < 1 {
            return;
        }
        let whole = time_ms.div_euclid(half_life_ms);
        let part = time_ms.rem_euclid(half_life_ms) as f64 / half_life_ms as f64;
        let added = weight * exp2_f64(part);
        if self.mantissa == 0.0 || whole > self.exponent {
            self.mantissa *= power_of_two(self.exponent.saturating_sub(whole));
            self.exponent = whole;
        }
        let sum = self.mantissa + added * power_of_two(whole.saturating_sub(self.exponent));
        if sum.is_finite() {
            self.mantissa = sum;
        }
    }

    /// The decayed count at a moment.
    pub fn value_at(&self, time_ms: i64, half_life_ms: i64) -> f64 {
        if self.mantissa == 0.0 {
            return 0.0;
        }
        let whole = time_ms.div_euclid(half_life_ms);
        let part = time_ms.rem_euclid(half_life_ms) as f64 / half_life_ms as f64;
        self.mantissa * exp2_f64(self.exponent.saturating_sub(whole) as f64 - part)
    }

    /// A key that orders items by decayed count at any moment; `-inf` when empty.
    /// Equal to log2 of the count at the Unix epoch.
    pub fn order_key(&self) -> f64 {
        log2_f64(self.mantissa) + self.exponent as f64
    }

    /// Appends the bits of the state, little-endian.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.mantissa.to_bits().to_le_bytes());
        out.extend_from_slice(&self.exponent.to_le_bytes());
    }

    /// The state as plain numbers, for a snapshot.
    pub fn parts(&self) -> (f64, i64) {
        (self.mantissa, self.exponent)
    }

    /// The state from what [`Decayed::parts`] gave; a broken mantissa becomes an empty count.
    pub fn from_parts(mantissa: f64, exponent: i64) -> Self {
        if mantissa.is_finite() && mantissa > 0.0 { Self { mantissa, exponent } } else { Self::default() }
    }
}

/// The two half-lives of an item's popularity.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PopularityConfig {
    /// Half-life of the fast count.
    pub short_half_life_ms: i64,
    /// Half-life of the slow count.
    pub long_half_life_ms: i64,
}

const DAY_MS: i64 = 86_400_000;

impl Default for PopularityConfig {
    fn default() -> Self {
        Self { short_half_life_ms: DAY_MS, long_half_life_ms: 30 * DAY_MS }
    }
}

/// Popularity of one item at both half-lives.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Popularity {
    /// The fast count.
    pub short: Decayed,
    /// The slow count.
    pub long: Decayed,
}

impl Popularity {
    /// Counts one positive event.
    pub fn add(&mut self, config: &PopularityConfig, weight: f64, time_ms: i64) {
        self.short.add(weight, time_ms, config.short_half_life_ms);
        self.long.add(weight, time_ms, config.long_half_life_ms);
    }

    /// Both counts at a moment: (short, long).
    pub fn values_at(&self, config: &PopularityConfig, time_ms: i64) -> (f32, f32) {
        let short = self.short.value_at(time_ms, config.short_half_life_ms);
        (short as f32, self.long.value_at(time_ms, config.long_half_life_ms) as f32)
    }

    /// Appends the bits of the state, little-endian.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        self.short.write_canonical(out);
        self.long.write_canonical(out);
    }
}
