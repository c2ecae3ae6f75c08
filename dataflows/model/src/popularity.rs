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
        if mantissa.is_finite() && mantissa > 0.0 {
            Self { mantissa, exponent }
        } else {
            Self::default()
        }
    }
}

/// The two half-lives of an item's popularity.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
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

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "std is the oracle")]
mod tests {
    use super::{Decayed, Popularity, PopularityConfig};

    const HOUR: i64 = 3_600_000;
    const NOW: i64 = 1_700_000_000_000;

    fn direct(events: &[(f64, i64)], at: i64, half_life: i64) -> f64 {
        let decay = |time: i64| (-((at - time) as f64) / half_life as f64).exp2();
        events.iter().map(|&(weight, time)| weight * decay(time)).sum()
    }

    #[test]
    fn forward_form_equals_direct_decay_in_any_order() {
        let mut events: Vec<(f64, i64)> =
            (0..200).map(|k| (1.0 + (k % 3) as f64, NOW + (k * 7_919 % 400) * HOUR)).collect();
        let mut keys = Vec::new();
        for _ in 0..2 {
            let mut count = Decayed::default();
            events.iter().for_each(|&(weight, time)| count.add(weight, time, 24 * HOUR));
            for at in [NOW, NOW + 400 * HOUR, NOW + 9_000 * HOUR] {
                let (got, want) = (count.value_at(at, 24 * HOUR), direct(&events, at, 24 * HOUR));
                assert!((got / want - 1.0).abs() < 1e-12, "{got} {want}");
            }
            keys.push(count.order_key());
            events.sort_by_key(|&(_, time)| time);
        }
        assert!((keys[0] - keys[1]).abs() < 1e-9, "late events count as if they had been in time");
    }

    #[test]
    fn order_does_not_depend_on_the_moment() {
        let (mut old, mut new) = (Decayed::default(), Decayed::default());
        (0..8).for_each(|_| old.add(1.0, NOW, 24 * HOUR));
        (0..3).for_each(|_| new.add(1.0, NOW + 48 * HOUR, 24 * HOUR));
        assert!(new.order_key() > old.order_key());
        for at in [NOW, NOW + 100 * HOUR] {
            assert!(new.value_at(at, 24 * HOUR) > old.value_at(at, 24 * HOUR));
        }
        assert_eq!(Decayed::default().order_key(), f64::NEG_INFINITY);
    }

    #[test]
    fn bad_input_leaves_the_count_as_it_was() {
        let mut count = Decayed::default();
        count.add(2.0, NOW, HOUR);
        let before = count;
        for (weight, half_life) in [(f64::NAN, HOUR), (-1.0, HOUR), (f64::INFINITY, HOUR), (1.0, 0)]
        {
            count.add(weight, NOW, half_life);
        }
        assert_eq!(count, before);
        let (mantissa, exponent) = count.parts();
        assert_eq!(Decayed::from_parts(mantissa, exponent), count);
        assert_eq!(Decayed::from_parts(f64::NAN, 3), Decayed::default());
    }

    #[test]
    fn the_short_count_forgets_first() {
        let config = PopularityConfig::default();
        let mut item = Popularity::default();
        item.add(&config, 1.0, NOW);
        let (short, long) = item.values_at(&config, NOW + 72 * HOUR);
        assert!((short - 0.125).abs() < 1e-6 && long > 0.9, "{short} {long}");
        let mut bytes = Vec::new();
        item.write_canonical(&mut bytes);
        assert_eq!(bytes.len(), 32);
    }
}
