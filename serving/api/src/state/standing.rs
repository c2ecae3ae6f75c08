//! Bounded lists of the most popular items, kept in order as counts grow.
//!
//! Decayed counts are in forward form, so their order never depends on the moment of asking and
//! an item's key only rises. A list therefore stays exact although it forgets what fell off its
//! end: nothing that fell off can be above its last entry without rising past it first. Only
//! deletion makes room that the list cannot fill from what it knows; it then asks for a refill.

use std::collections::BTreeSet;

use eddyline_index::store::Slot;

/// A key that orders items by popularity at any moment: log2 of a decayed count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OrderKey(pub f64);

impl OrderKey {
    /// Of an item nobody touched: below all others and in no list.
    pub const NONE: Self = Self(f64::NEG_INFINITY);

    fn is_listed(self) -> bool {
        self.0 > f64::NEG_INFINITY
    }
}

/// Greatest key first, of equal keys the lower slot, which is the older item.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    key: OrderKey,
    slot: Slot,
}

impl Eq for Entry {}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.key.0.total_cmp(&self.key.0).then(self.slot.cmp(&other.slot))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The greatest [`CAPACITY`] items of one count. `Default` is the empty list.
#[derive(Clone, Debug, Default)]
pub struct TopList {
    entries: BTreeSet<Entry>,
    /// Before every item that is not listed: what comes before it may be listed.
    outside: Option<Entry>,
}

/// Items of one list.
pub const CAPACITY: usize = 256;
/// So many of the greatest are always listed, whatever was deleted: who takes no more gets the
/// same from a state that saw the deletions and from one that was restored behind them.
pub const ALWAYS: usize = 192;

impl TopList {
    /// Moves `slot` from its `old` key to its `new` one.
    pub fn update(&mut self, slot: Slot, old: OrderKey, new: OrderKey) {
        let was = Entry { key: old, slot };
        if self.entries.last().is_some_and(|last| was <= *last) {
            self.entries.remove(&was);
        }
        if !new.is_listed() {
            return;
        }
        let entry = Entry { key: new, slot };
        if self.outside.is_some_and(|outside| outside < entry) {
            return;
        }
        self.entries.insert(entry);
        if self.entries.len() > CAPACITY {
            self.outside = self.entries.pop_last();
        }
    }

    /// Whether deletions have left the list so short that items outside should be looked for.
    #[must_use]
    pub fn needs_refill(&self) -> bool {
        self.outside.is_some() && self.entries.len() < ALWAYS
    }

    /// Makes the list anew from all items that belong to it.
    pub fn refill(&mut self, items: impl Iterator<Item = (Slot, OrderKey)>) {
        *self = Self::default();
        for (slot, key) in items {
            self.update(slot, OrderKey::NONE, key);
        }
    }

    /// Slots, the most popular first.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.entries.iter().map(|entry| entry.slot)
    }
}

/// The lists of both half-lives.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// Trending.
    pub short: TopList,
    /// Popular.
    pub long: TopList,
}

/// The keys of one item in both lists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StandingKeys {
    /// Trending.
    pub short: OrderKey,
    /// Popular.
    pub long: OrderKey,
}

impl StandingKeys {
    /// In no list.
    pub const NONE: Self = Self { short: OrderKey::NONE, long: OrderKey::NONE };
}

impl Standing {
    /// Moves `slot` from its old keys to its new ones.
    pub fn update(&mut self, slot: Slot, old: StandingKeys, new: StandingKeys) {
        self.short.update(slot, old.short, new.short);
        self.long.update(slot, old.long, new.long);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    fn oracle(keys: &[f64], take: usize) -> Vec<Slot> {
        let mut all: Vec<usize> =
            (0..keys.len()).filter(|&k| keys[k] > f64::NEG_INFINITY).collect();
        all.sort_by(|&a, &b| keys[b].total_cmp(&keys[a]).then(a.cmp(&b)));
        all.iter().take(take).map(|&k| Slot(k as u32)).collect()
    }

    fn steps() -> impl Strategy<Value = Vec<(usize, u8)>> {
        proptest::collection::vec((0usize..600, any::<u8>()), 0..3_000)
    }

    proptest! {
        /// Whatever rises, the list is the top of a full sort; after deletions at least its kept
        /// part is, and a refill makes it whole.
        #[test]
        fn the_list_is_the_top_of_a_full_sort(steps in steps(), deleted in 0usize..200) {
            let mut keys = vec![f64::NEG_INFINITY; 600];
            let mut list = TopList::default();
            for (at, rise) in steps {
                let old = keys[at];
                let new = if old.is_finite() { old + f64::from(rise) } else { f64::from(rise) };
                list.update(Slot(at as u32), OrderKey(old), OrderKey(new));
                keys[at] = new;
            }
            prop_assert_eq!(list.slots().collect::<Vec<_>>(), oracle(&keys, CAPACITY));
            for (at, key) in keys.iter_mut().enumerate().take(deleted) {
                list.update(Slot(at as u32), OrderKey(*key), OrderKey::NONE);
                *key = f64::NEG_INFINITY;
            }
            let kept = list.slots().count();
            prop_assert_eq!(list.slots().collect::<Vec<_>>(), oracle(&keys, kept));
            if list.needs_refill() {
                list.refill(keys.iter().enumerate().map(|(k, key)| (Slot(k as u32), OrderKey(*key))));
                prop_assert_eq!(list.slots().collect::<Vec<_>>(), oracle(&keys, CAPACITY));
            }
        }
    }
}
