//! Incremental co-visitation: which items follow which, per source item, decayed and bounded.
//!
//! When a user takes item j, each of the user's last items i_k (k = 0 the newest) sends
//! (j, weight(k)) to the owner of i_k, which keeps its heaviest targets. Weights decay by event
//! time in forward form: they are kept in units of 2^(whole half-lives since the Unix epoch),
//! and a list is rescaled by an exact power of two when a later half-life begins.
//!
//! score(j) = Σ_k weight(k) · c(i_k→j) / total(i_k)^source_power, over (1 + popularity(j))^target_power.

use crate::item::ItemRef;
use crate::math::{exp2_f32, exp2_f64, log2_f32, power_of_two};

/// Shape of the co-visitation expert.
#[derive(Clone, Copy, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CovisitConfig {
    /// Targets kept per source item.
    pub capacity: usize,
    /// How many of the user's last items count, when learning and when scoring.
    pub window: usize,
    /// Weight of the k-th last item when learning: `1 / (1 + learn_slope·k)`.
    pub learn_slope: f32,
    /// Weight of the k-th last item when scoring: `1 / (1 + score_slope·k)`.
    pub score_slope: f32,
    /// Half-life of a pair, in event time.
    pub half_life_ms: i64,
    /// Power of the source's total that divides its pairs.
    pub source_power: f32,
    /// Power of the target's slow popularity that divides its score.
    pub target_power: f32,
}

impl Default for CovisitConfig {
    fn default() -> Self {
        Self {
            capacity: 64,
            window: 6,
            learn_slope: 0.5,
            score_slope: 2.0,
            half_life_ms: 90 * 86_400_000,
            source_power: 0.4,
            target_power: 0.15,
        }
    }
}

impl CovisitConfig {
    /// For evaluation: longer histories and longer lists. Every place of the window costs a list
    /// update and a delta an event, so the default is shorter.
    pub fn quality() -> Self {
        Self { capacity: 128, window: 20, ..Self::default() }
    }
}

/// One pair to be sent to the owner of its source.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pair {
    /// The earlier item, whose owner keeps the list.
    pub source: ItemRef,
    /// The item that followed.
    pub target: ItemRef,
    /// Weight at the moment of the event.
    pub weight: f32,
}

/// The pairs of one positive event, newest source first; `recent` is newest first.
pub fn pairs(
    config: &CovisitConfig,
    recent: &[ItemRef],
    target: ItemRef,
    weight: f32,
) -> impl Iterator<Item = Pair> {
    let slope = config.learn_slope;
    let places = recent.iter().take(config.window).enumerate();
    places.filter(move |&(_, &source)| source != target).map(move |(k, &source)| Pair {
        source,
        target,
        weight: weight * recency(slope, k),
    })
}

/// Weight of the k-th last item: a hyperbola falls steeply at first and keeps a long tail, which
/// suits short baskets and long histories alike better than any one geometric rate.
fn recency(slope: f32, k: usize) -> f32 {
    1.0 / (1.0 + slope * k as f32)
}

/// One target of a source.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Entry {
    /// The item that followed.
    pub target: ItemRef,
    /// Decayed weight in the list's unit.
    pub weight: f32,
}

/// The heaviest targets of one source item. The default is an empty list.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct CovisitList {
    entries: Vec<Entry>,
    /// All weight ever added, also of targets that were dropped, in the list's unit.
    total: f32,
    /// Whole half-lives since the Unix epoch: the unit is 2^exponent.
    exponent: i64,
}

impl CovisitList {
    /// Adds one pair; a full list gives up its lightest target (of equals the earliest kept).
    pub fn add(&mut self, config: &CovisitConfig, target: ItemRef, weight: f32, time_ms: i64) {
        if !weight.is_finite() || weight <= 0.0 {
            return;
        }
        let whole = time_ms.div_euclid(config.half_life_ms);
        self.advance(whole);
        let added = weight * self.growth(config, time_ms);
        self.total += added;
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.target == target) {
            entry.weight += added;
        } else if self.entries.len() < config.capacity {
            self.entries.push(Entry { target, weight: added });
        } else if let Some(lightest) = self.lightest() {
            self.entries[lightest] = Entry { target, weight: added };
        }
    }

    /// 2^((time - unit) / half-life).
    fn growth(&self, config: &CovisitConfig, time_ms: i64) -> f32 {
        let whole = time_ms.div_euclid(config.half_life_ms).saturating_sub(self.exponent);
        let part = time_ms.rem_euclid(config.half_life_ms) as f64 / config.half_life_ms as f64;
        exp2_f64(whole as f64 + part) as f32
    }

    /// Moves the unit to a later half-life; targets that fade to nothing leave.
    fn advance(&mut self, whole: i64) {
        if whole <= self.exponent {
            return;
        }
        let factor = power_of_two(self.exponent.saturating_sub(whole)) as f32;
        for entry in &mut self.entries {
            entry.weight *= factor;
        }
        self.entries.retain(|entry| entry.weight >= f32::MIN_POSITIVE);
        self.total *= factor;
        self.exponent = whole;
    }

    fn lightest(&self) -> Option<usize> {
        let mut best: Option<usize> = None;
        for (at, entry) in self.entries.iter().enumerate() {
            if best.is_none_or(|b| entry.weight < self.entries[b].weight) {
                best = Some(at);
            }
        }
        best
    }

    /// The targets in the order they were first kept, weights in the list's unit.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What a unit of entry weight is worth in a score at a moment, for a source at place `k`
    /// of the user's last items: recency, decay and the source's norm together.
    pub fn scale(&self, config: &CovisitConfig, k: usize, time_ms: i64) -> f32 {
        if self.total <= 0.0 {
            return 0.0;
        }
        // c·d / (T·d)^p = c·d^(1-p) / T^p, with d the decay from the list's unit to the moment.
        let elapsed = (time_ms as f64 / config.half_life_ms as f64 - self.exponent as f64) as f32;
        let log2 =
            -elapsed * (1.0 - config.source_power) - config.source_power * log2_f32(self.total);
        recency(config.score_slope, k) * exp2_f32(log2)
    }

    /// Appends the bits of the state, little-endian.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.exponent.to_le_bytes());
        out.extend_from_slice(&self.total.to_bits().to_le_bytes());
        for entry in &self.entries {
            out.extend_from_slice(&entry.target.0.to_le_bytes());
            out.extend_from_slice(&entry.weight.to_bits().to_le_bytes());
        }
    }

    /// The state as plain numbers besides [`CovisitList::entries`]: (total, exponent).
    pub fn parts(&self) -> (f32, i64) {
        (self.total, self.exponent)
    }

    /// The state from its plain numbers.
    pub fn from_parts(entries: Vec<Entry>, total: f32, exponent: i64) -> Self {
        Self { entries, total, exponent }
    }
}

/// Divides an accumulated score by the target's norm; `popularity` is the slow decayed count.
pub fn normalise(config: &CovisitConfig, sum: f32, popularity: f32) -> f32 {
    sum * exp2_f32(-config.target_power * log2_f32(1.0 + popularity))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "std is the oracle")]
mod tests {
    use std::collections::BTreeMap;

    use super::{CovisitConfig, CovisitList, normalise, pairs};
    use crate::item::ItemRef;

    const HOUR: i64 = 3_600_000;
    const NOW: i64 = 1_700_000_000_000;

    #[test]
    fn the_last_items_send_pairs_with_falling_weights() {
        let config = CovisitConfig { window: 2, learn_slope: 1.0, ..CovisitConfig::default() };
        let recent = [ItemRef(5), ItemRef(6), ItemRef(7)];
        let got: Vec<_> =
            pairs(&config, &recent, ItemRef(9), 2.0).map(|p| (p.source, p.weight)).collect();
        assert_eq!(got, [(ItemRef(5), 2.0), (ItemRef(6), 1.0)]);
        let same: Vec<_> =
            pairs(&config, &recent, ItemRef(5), 2.0).map(|p| (p.source, p.weight)).collect();
        assert_eq!(same, [(ItemRef(6), 1.0)], "an item does not follow itself and keeps its place");
    }

    /// (target, weight, time) of a made-up stream with a few late events.
    fn stream() -> Vec<(ItemRef, f32, i64)> {
        let late = |k: i64| if k % 11 == 0 { 40 * HOUR } else { 0 };
        (0..500)
            .map(|k| (ItemRef((k * k % 37) as u32), 1.0, NOW + k * 5 * HOUR - late(k)))
            .collect()
    }

    #[test]
    fn a_roomy_list_equals_direct_decay() {
        let config = CovisitConfig {
            half_life_ms: 24 * HOUR,
            source_power: 0.0,
            ..CovisitConfig::default()
        };
        let at = NOW + 2_600 * HOUR;
        let (mut list, mut direct) = (CovisitList::default(), BTreeMap::new());
        for (target, weight, time) in stream() {
            list.add(&config, target, weight, time);
            let decay = (-((at - time) as f64) / (24 * HOUR) as f64).exp2();
            *direct.entry(target).or_insert(0.0) += f64::from(weight) * decay;
        }
        assert_eq!(list.entries().len(), direct.len());
        for entry in list.entries() {
            let got = f64::from(entry.weight * list.scale(&config, 0, at));
            let want = direct[&entry.target];
            assert!((got - want).abs() < 1e-4 * want, "{:?}: {got} {want}", entry.target);
        }
    }

    #[test]
    fn a_full_list_keeps_its_heaviest_targets() {
        let config = CovisitConfig { capacity: 3, ..CovisitConfig::default() };
        let mut list = CovisitList::default();
        for (target, times) in [(1, 5), (2, 3), (3, 1), (4, 2)] {
            (0..times).for_each(|_| list.add(&config, ItemRef(target), 1.0, NOW));
        }
        let kept: Vec<u32> = list.entries().iter().map(|entry| entry.target.0).collect();
        assert_eq!(kept, [1, 2, 4]);
        let (total, exponent) = list.parts();
        assert!(CovisitList::from_parts(list.entries().to_vec(), total, exponent) == list);
    }

    #[test]
    fn faded_targets_leave_and_bad_weights_do_not_enter() {
        let config = CovisitConfig::default();
        let mut list = CovisitList::default();
        list.add(&config, ItemRef(1), 1.0, NOW);
        list.add(&config, ItemRef(2), f32::NAN, NOW);
        list.add(&config, ItemRef(2), -1.0, NOW);
        assert_eq!(list.entries().len(), 1);
        list.add(&config, ItemRef(3), 1.0, NOW + 200 * config.half_life_ms);
        assert_eq!(list.entries().len(), 1, "two hundred half-lives later nothing is left");
        assert!(list.scale(&config, 0, NOW).is_finite());
    }

    #[test]
    fn popular_targets_are_divided_down() {
        let config = CovisitConfig { target_power: 0.5, ..CovisitConfig::default() };
        assert!((normalise(&config, 1.0, 3.0) - 0.5).abs() < 1e-6);
        assert_eq!(normalise(&config, 0.0, 3.0), 0.0);
    }
}
