//! Writes anew what a feature store misses, from state.
//!
//! The store says how far each shard is; state, cut by logical shard, passes the rows that changed
//! later; they are grouped by the store's shards and written in the order of their epochs. So a
//! refill is the same chain of writes as ever, later: it can be cut off and repeated anywhere.
//!
//! Memory is bounded: once `MAX_ROWS` rows are in hand, the pass gives up the upper half of its
//! shards, and a further pass walks for them.

use std::cell::Cell;
use std::collections::BTreeMap;

use eddyline_schemas::id::{SHARDS, UserId};
use eddyline_schemas::lineage::{Epoch, Lineage};

use super::{
    FeatureStore, FeatureStoreError, Placement, ShardRefill, StoreShard, UserRow, Watermarks,
};

/// Most rows that a pass collects before it writes.
const MAX_ROWS: usize = 100_000;

/// User rows as of one epoch: what the engine's state implements.
pub trait UserRows {
    /// Whose history.
    fn lineage(&self) -> Lineage;

    /// The epoch that the rows are of. Nothing of a later epoch may be in them, and nothing of it
    /// or before may be missing.
    fn epoch(&self) -> Epoch;

    /// The rows of logical shard `shard`, in any order, for which `wanted` says yes to user and
    /// epoch of the last change. An erased user's row is passed too, without values, for as long
    /// as its erasure may be newer than a watermark: else a store that lost the erasure would keep
    /// the user.
    fn rows<'a>(
        &'a self,
        shard: u8,
        wanted: &'a dyn Fn(&UserId, Epoch) -> bool,
    ) -> Box<dyn Iterator<Item = UserRow> + 'a>;
}

/// What a refill did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefillReport {
    /// Shards that were not at the epoch of the rows.
    pub shards: usize,
    /// Rows written anew.
    pub rows: usize,
    /// Walks over state.
    pub passes: usize,
}

/// Brings every shard of `store` to the epoch of `rows`. Right after a start, and whenever
/// [`FeatureStore::behind`] names a shard.
pub fn refill(
    store: &dyn FeatureStore,
    rows: &dyn UserRows,
) -> Result<RefillReport, FeatureStoreError> {
    refill_bounded(store, rows, MAX_ROWS)
}

fn refill_bounded(
    store: &dyn FeatureStore,
    rows: &dyn UserRows,
    max_rows: usize,
) -> Result<RefillReport, FeatureStoreError> {
    let marks = store.watermarks()?;
    if let Some(held) = marks.lineage()
        && held != rows.lineage()
    {
        return Err(FeatureStoreError::OtherLineage { held, offered: rows.lineage() });
    }
    let behind = marks.shards_behind(rows.epoch());
    let mut report = RefillReport { shards: behind.len(), ..RefillReport::default() };
    let mut left = behind.as_slice();
    while !left.is_empty() {
        let collected = Pass::new(&marks, left, max_rows).collect(rows);
        report.passes += 1;
        report.rows += collected.iter().map(|shard| shard.rows.len()).sum::<usize>();
        store.refill(rows.lineage(), rows.epoch(), &collected)?;
        left = &left[collected.len()..];
    }
    Ok(report)
}

/// One walk over state, for the first shards of those that are behind.
struct Pass<'a> {
    marks: &'a Watermarks,
    behind: &'a [StoreShard],
    /// How many of `behind` the pass still serves.
    serves: Cell<usize>,
    max_rows: usize,
}

impl<'a> Pass<'a> {
    fn new(marks: &'a Watermarks, behind: &'a [StoreShard], max_rows: usize) -> Self {
        Self { marks, behind, serves: Cell::new(behind.len()), max_rows }
    }

    fn last(&self) -> StoreShard {
        self.behind[self.serves.get() - 1]
    }

    fn wants(&self, user: &UserId, epoch: Epoch) -> bool {
        let shard = self.placement().shard(user);
        // Shards before the first were served by an earlier pass.
        let served = (self.behind[0]..=self.last()).contains(&shard);
        served && self.marks.of(shard) < Some(epoch)
    }

    fn placement(&self) -> Placement {
        self.marks.placement()
    }

    /// One entry for each shard that was served, also where no row is newer.
    fn collect(&self, rows: &dyn UserRows) -> Vec<ShardRefill> {
        let mut by_shard: BTreeMap<StoreShard, Vec<UserRow>> = BTreeMap::new();
        let mut held = 0;
        let wanted = |user: &UserId, epoch: Epoch| self.wants(user, epoch);
        for logical in 0..SHARDS {
            for row in rows.rows(logical as u8, &wanted) {
                let shard = self.placement().shard(&row.user);
                // An iterator may have asked before the pass gave the shard up.
                if shard > self.last() {
                    continue;
                }
                by_shard.entry(shard).or_default().push(row);
                held += 1;
                if held > self.max_rows && self.serves.get() > 1 {
                    self.serves.set(self.serves.get() / 2);
                    let dropped = by_shard.split_off(&StoreShard(self.last().0 + 1));
                    held -= dropped.values().map(Vec::len).sum::<usize>();
                }
            }
        }
        let served = self.behind[..self.serves.get()].iter();
        served.map(|shard| self.entry(*shard, by_shard.remove(shard))).collect()
    }

    fn entry(&self, shard: StoreShard, rows: Option<Vec<UserRow>>) -> ShardRefill {
        let mut rows = rows.unwrap_or_default();
        rows.sort_by(|a, b| (a.epoch, a.user.as_str()).cmp(&(b.epoch, b.user.as_str())));
        ShardRefill { shard, from: self.marks.of(shard), rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::EmbeddedFeatureStore;
    use eddyline_schemas::record::Digest;

    struct Rows(Vec<UserRow>);

    impl UserRows for Rows {
        fn lineage(&self) -> Lineage {
            Lineage::root(Digest::of(b"rows"))
        }

        fn epoch(&self) -> Epoch {
            Epoch(9)
        }

        fn rows<'a>(
            &'a self,
            shard: u8,
            wanted: &'a dyn Fn(&UserId, Epoch) -> bool,
        ) -> Box<dyn Iterator<Item = UserRow> + 'a> {
            let of_shard = self.0.iter().filter(move |row| row.user.hash().shard() == shard);
            Box::new(of_shard.filter(|row| wanted(&row.user, row.epoch)).cloned())
        }
    }

    #[test]
    fn many_passes_bring_what_one_brings() {
        let row = |n: u64| UserRow {
            user: UserId::new(&format!("u{n}")).expect("a valid id"),
            epoch: Epoch(1 + n % 9),
            features: None,
            preferences: None,
            vector: Some([n as f32].into()),
        };
        let rows = Rows((0..300).map(row).collect());
        for (max_rows, passes) in [(1_000, 1..=1), (50, 6..=40), (1, 40..=256)] {
            let store = EmbeddedFeatureStore::new();
            let report = refill_bounded(&store, &rows, max_rows).expect("memory does not fail");
            assert_eq!((report.shards, report.rows), (SHARDS, 300), "each row once");
            assert!(passes.contains(&report.passes), "{max_rows} rows a pass: {report:?}");
            for row in &rows.0 {
                let held = store.get(&row.user).expect("read").expect("held");
                assert_eq!((held.epoch, held.vector), (row.epoch, row.vector.clone()));
            }
        }
    }
}
