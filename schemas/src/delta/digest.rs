//! What a live dataflow records of each epoch, so that a replay can be held against it: the topic
//! `digests`.
//!
//! The *delta digest* is the chain of [`super::placement::chain_after`] and proves everything. The
//! *shard digests* say where to look when it differs: of each logical shard that an epoch changed,
//! the low 32 bits of the wrapping sum of XXH3-64 over its canonical rows. A sum, so that rows can
//! come in any order; 32 bits, since they name a place and prove nothing.

use xxhash_rust::xxh3::xxh3_64;

use super::placement::{chain_head, hash_rows};
use super::{Delta, EpochDeltas, PipelineCounts};
use crate::lineage::{Epoch, Lineage};
use crate::record::Digest;
use crate::time::TimestampMs;

/// What one epoch has made of one history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochDigest {
    /// Whose history.
    pub lineage: Lineage,
    /// Which epoch.
    pub epoch: Epoch,
    /// Its logical time.
    pub logical_time: TimestampMs,
    /// The chain over all deltas up to and with this epoch.
    pub delta_digest: Digest,
    /// Rows that the epoch changed.
    pub deltas: u64,
    /// Sums since epoch 0.
    pub counts: PipelineCounts,
    /// Of each logical shard that the epoch changed, ascending.
    pub shards: Vec<(u8, u32)>,
}

impl EpochDigest {
    /// What `deltas` are to be recorded as, given the digests of its shards.
    #[must_use]
    pub fn of(deltas: &EpochDeltas, shards: Vec<(u8, u32)>) -> Self {
        Self {
            lineage: deltas.lineage,
            epoch: deltas.epoch,
            logical_time: deltas.logical_time,
            delta_digest: deltas.chain,
            deltas: deltas.deltas.len() as u64,
            counts: deltas.counts,
            shards,
        }
    }

    /// The logical shards that this and `other` made something else of, ascending.
    #[must_use]
    pub fn differing_shards(&self, other: &Self) -> Vec<u8> {
        let find = |of: &Self, shard: u8| {
            of.shards
                .binary_search_by_key(&shard, |(known, _)| *known)
                .ok()
                .map(|at| of.shards[at].1)
        };
        (0..=u8::MAX).filter(|shard| find(self, *shard) != find(other, *shard)).collect()
    }
}

/// The chain hash of an epoch, as [`super::placement::chain_after`] gives it, and the digests of
/// its shards: both in one pass over the canonical rows.
#[must_use]
pub fn chain_and_shards(
    previous: Digest,
    epoch: Epoch,
    logical_time: TimestampMs,
    deltas: &[Delta],
) -> (Digest, Vec<(u8, u32)>) {
    let mut hasher = chain_head(previous, epoch, logical_time);
    let mut sums = [None::<u64>; 256];
    hash_rows(&mut hasher, deltas.iter(), |delta, row| {
        let sum = sums[usize::from(delta.shard())].get_or_insert(0);
        *sum = sum.wrapping_add(xxh3_64(row));
    });
    let changed = (0..=u8::MAX).zip(sums);
    let shards = changed.filter_map(|(shard, sum)| Some((shard, sum? as u32))).collect();
    (hasher.finish(), shards)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::placement::chain_after;
    use super::*;
    use crate::id::ItemRef;

    fn vector(item: u32, first: f32) -> Delta {
        Delta::ItemVector { item: ItemRef(item), vector: Arc::from([first, 1.0]) }
    }

    fn of(deltas: &[Delta]) -> (Digest, Vec<(u8, u32)>) {
        chain_and_shards(Digest([7; 32]), Epoch(9), TimestampMs(5), deltas)
    }

    #[test]
    fn the_chain_is_that_of_the_deltas() {
        let many: Vec<Delta> = (0..9_000).map(|item| vector(item << 18, item as f32)).collect();
        let want = chain_after(Digest([7; 32]), Epoch(9), TimestampMs(5), &many);
        assert_eq!(of(&many).0, want);
        assert!(of(&[]).1.is_empty());
    }

    #[test]
    fn the_shards_that_differ_are_named() {
        let recorded = |deltas: &[Delta]| {
            let (delta_digest, shards) = of(deltas);
            EpochDigest {
                lineage: Lineage(Digest::default()),
                epoch: Epoch(9),
                logical_time: TimestampMs(5),
                delta_digest,
                deltas: deltas.len() as u64,
                counts: PipelineCounts::default(),
                shards,
            }
        };
        let (in_2, in_9, in_77) = (0x0200_0001, 0x0900_0000, 0x4d00_0003);
        let live = recorded(&[vector(in_2, 0.5), vector(in_9, 1.5), vector(in_77, 2.5)]);
        assert_eq!(live.shards.iter().map(|(shard, _)| *shard).collect::<Vec<_>>(), [2, 9, 77]);
        assert!(live.differing_shards(&live).is_empty());
        let other = recorded(&[vector(in_2, 0.5), vector(in_9, 1.25), vector(0x0a00_0000, 2.5)]);
        assert_eq!(live.differing_shards(&other), [9, 10, 77]);
        assert_eq!(other.differing_shards(&live), [9, 10, 77]);
    }
}
