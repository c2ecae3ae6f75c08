//! Category and brand preferences of the users of one logical shard, and the window behind them.
//!
//! The *window* remembers which user touched which item in which hour of event time, and takes
//! each touch back once logical time has left it behind. The *counts* are what the join of those
//! touches with the catalogue says now; differential corrects them when an item changes category.

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_schemas::features::UserPreferences;
use eddyline_schemas::id::ItemRef;
use eddyline_schemas::time::{HOUR_MS, TimestampMs};

use super::canonical;
use super::section::{self, InvalidSection, Reader};

/// What a preference is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub enum Facet {
    /// A category of the item.
    Category,
    /// The item's brand.
    Brand,
}

/// A touch of an item by a user of this shard, by the user's rank.
pub type Touch = (ItemRef, u32);

/// See the module doc.
#[derive(Debug, Default)]
pub struct PreferenceShard {
    window: BTreeMap<i64, BTreeMap<Touch, i64>>,
    /// By the user's rank, in the order of facets. Few a user, so a sorted list is the fastest map.
    counts: Vec<Vec<FacetCount>>,
}

type FacetCount = ((Facet, Arc<str>), i64);

impl PreferenceShard {
    /// Counts a touch; false when its hour has already left the window.
    pub fn touch(&mut self, touch: Touch, time: TimestampMs, edge: WindowEdge) -> bool {
        let hour = time.0.div_euclid(HOUR_MS);
        if edge.has_left(hour) {
            return false;
        }
        *self.window.entry(hour).or_default().entry(touch).or_default() += 1;
        true
    }

    /// Takes back the hours that have left the window.
    pub fn expire(&mut self, edge: WindowEdge) -> Vec<(Touch, i64)> {
        let mut left = Vec::new();
        while let Some(entry) = self.window.first_entry() {
            if !edge.has_left(*entry.key()) {
                break;
            }
            left.extend(entry.remove().into_iter().map(|(touch, count)| (touch, -count)));
        }
        left
    }

    /// Takes back every touch of a user.
    pub fn forget(&mut self, user: u32) -> Vec<(Touch, i64)> {
        let mut left = Vec::new();
        for touches in self.window.values_mut() {
            let of_user: Vec<Touch> = touches.keys().copied().filter(|t| t.1 == user).collect();
            for touch in of_user {
                left.extend(touches.remove(&touch).map(|count| (touch, -count)));
            }
        }
        left
    }

    /// Adds to a count; zero counts are dropped.
    pub fn count(&mut self, user: u32, facet: &(Facet, Arc<str>), change: i64) {
        let user = user as usize;
        if self.counts.len() <= user {
            self.counts.resize_with(user + 1, Vec::new);
        }
        let counts = &mut self.counts[user];
        match counts.binary_search_by(|(known, _)| known.cmp(facet)) {
            Ok(at) => {
                counts[at].1 += change;
                if counts[at].1 == 0 {
                    counts.remove(at);
                }
            }
            Err(_) if change == 0 => {}
            Err(at) => counts.insert(at, (facet.clone(), change)),
        }
    }

    /// The document of a user, each list at most `bound` long.
    #[must_use]
    pub fn document(&self, user: u32, bound: usize) -> UserPreferences {
        let counts = self.counts.get(user as usize).map_or(&[][..], Vec::as_slice);
        let (categories, brands) =
            counts.split_at(counts.partition_point(|((facet, _), _)| *facet < Facet::Brand));
        UserPreferences { categories: greatest(categories, bound), brands: greatest(brands, bound) }
    }

    /// Every touch in the window, summed over its hours: what the join holds of this shard.
    pub(crate) fn touches(&self) -> BTreeMap<Touch, i64> {
        let mut sums = BTreeMap::new();
        for (touch, count) in self.window.values().flatten() {
            *sums.entry(*touch).or_default() += count;
        }
        sums
    }

    /// Writes the shard's part of a section.
    pub(crate) fn export(&self, out: &mut Vec<u8>) {
        section::count(out, self.window.len());
        for (hour, touches) in &self.window {
            out.extend_from_slice(&hour.to_le_bytes());
            section::count(out, touches.len());
            for ((item, user), count) in touches {
                out.extend_from_slice(&item.0.to_le_bytes());
                out.extend_from_slice(&user.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
            }
        }
        section::count(out, self.counts.iter().filter(|counts| !counts.is_empty()).count());
        for (user, counts) in (0_u32..).zip(&self.counts).filter(|(_, c)| !c.is_empty()) {
            out.extend_from_slice(&user.to_le_bytes());
            section::count(out, counts.len());
            for ((facet, name), count) in counts {
                out.push(*facet as u8);
                section::text(out, name);
                out.extend_from_slice(&count.to_le_bytes());
            }
        }
    }

    /// Reads what [`Self::export`] wrote.
    pub(crate) fn import(from: &mut Reader<'_, '_>) -> Result<Self, InvalidSection> {
        from.part = "preferences";
        let touch = |from: &mut Reader<'_, '_>| {
            let touch = (from.item()?, from.u32()?);
            Ok((touch, from.i64()?))
        };
        let window = from.list(12, |from| Ok((from.i64()?, from.list(16, touch)?)))?;
        let count = |from: &mut Reader<'_, '_>| {
            let facet = if from.flag()? { Facet::Brand } else { Facet::Category };
            Ok(((facet, from.name()?), from.i64()?))
        };
        let mut shard = Self { window, counts: Vec::new() };
        for _ in 0..from.count(8)? {
            let user = from.u32()?;
            let counts: Vec<FacetCount> = from.list(13, count)?;
            let is_next = user as usize >= shard.counts.len() && user < ItemRef::MAX_PER_SHARD;
            if !is_next || !counts.is_sorted_by(|a, b| a.0 < b.0) {
                return Err(from.invalid());
            }
            shard.counts.resize_with(user as usize, Vec::new);
            shard.counts.push(counts);
        }
        Ok(shard)
    }

    /// Rows in key order.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        for (hour, touches) in &self.window {
            out.extend_from_slice(&hour.to_le_bytes());
            for ((item, user), count) in touches {
                out.extend_from_slice(&item.0.to_le_bytes());
                out.extend_from_slice(&user.to_le_bytes());
                out.extend_from_slice(&count.to_le_bytes());
            }
        }
        for (user, counts) in (0u32..).zip(&self.counts) {
            if counts.is_empty() {
                continue;
            }
            out.extend_from_slice(&user.to_le_bytes());
            for ((facet, name), count) in counts {
                out.push(*facet as u8);
                canonical::texts(out, [&**name]);
                out.extend_from_slice(&count.to_le_bytes());
            }
        }
    }
}

/// The `bound` greatest counts of one facet, the smaller name first among equals.
fn greatest(counts: &[FacetCount], bound: usize) -> Vec<(Arc<str>, i64)> {
    let mut order: Vec<&FacetCount> = counts.iter().collect();
    let by_count = |a: &&FacetCount, b: &&FacetCount| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0));
    if order.len() > bound && bound > 0 {
        order.select_nth_unstable_by(bound - 1, by_count);
    }
    order.truncate(bound);
    order.sort_unstable_by(by_count);
    order.into_iter().map(|((_, name), count)| (Arc::clone(name), *count)).collect()
}

/// Where the window ends, as of an epoch.
#[derive(Clone, Copy, Debug)]
pub struct WindowEdge {
    first_hour: i64,
}

impl WindowEdge {
    /// Hours that ended more than `window_ms` before `logical_time` have left.
    #[must_use]
    pub fn new(logical_time: TimestampMs, window_ms: i64) -> Self {
        Self { first_hour: (logical_time.0 - window_ms).div_euclid(HOUR_MS) }
    }

    fn has_left(self, hour: i64) -> bool {
        hour < self.first_hour
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(n: i64) -> TimestampMs {
        TimestampMs(n * HOUR_MS)
    }

    #[test]
    fn a_touch_is_taken_back_once() {
        let mut shard = PreferenceShard::default();
        let touch = (ItemRef(7), 3);
        assert!(shard.touch(touch, hours(10), WindowEdge::new(hours(10), 2 * HOUR_MS)));
        assert!(shard.touch(touch, hours(10), WindowEdge::new(hours(12), 2 * HOUR_MS)));
        assert!(!shard.touch(touch, hours(10), WindowEdge::new(hours(13), 2 * HOUR_MS)));
        assert_eq!(shard.expire(WindowEdge::new(hours(12), 2 * HOUR_MS)), []);
        assert_eq!(shard.expire(WindowEdge::new(hours(13), 2 * HOUR_MS)), [(touch, -2)]);
        assert_eq!(shard.expire(WindowEdge::new(hours(99), 2 * HOUR_MS)), []);
    }

    #[test]
    fn documents_list_the_greatest_first_and_drop_zeroes() {
        let mut shard = PreferenceShard::default();
        for (name, change) in [("a", 1), ("b", 3), ("c", 3), ("a", -1)] {
            shard.count(1, &(Facet::Category, Arc::from(name)), change);
        }
        let names: Vec<_> =
            shard.document(1, 9).categories.iter().map(|c| c.0.to_string()).collect();
        assert_eq!(names, ["b", "c"]);
        shard.count(1, &(Facet::Category, Arc::from("b")), -3);
        shard.count(1, &(Facet::Category, Arc::from("c")), -3);
        assert_eq!(shard.document(1, 9).categories, []);
        let mut rows = Vec::new();
        shard.write_canonical(&mut rows);
        assert!(rows.is_empty(), "a user without counts has no row");
    }
}
