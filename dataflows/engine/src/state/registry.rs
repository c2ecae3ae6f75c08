//! Dense numbers for the items or the users of one logical shard.
//!
//! A shard numbers its ids by first (epoch, seq, line); a number is never used again.

use std::collections::HashMap;

use eddyline_schemas::id::{IdHash, ItemRef};

use super::hashing::IdBuildHasher;

/// Rank by id hash.
#[derive(Debug, Default)]
pub struct Registry {
    ranks: HashMap<IdHash, u32, IdBuildHasher>,
}

impl Registry {
    /// The rank of `id`, and whether it was given just now. `None` when the shard is full.
    pub fn rank(&mut self, id: IdHash) -> Option<(u32, bool)> {
        let next = self.ranks.len() as u32;
        if let Some(&rank) = self.ranks.get(&id) {
            return Some((rank, false));
        }
        if next >= ItemRef::MAX_PER_SHARD {
            return None;
        }
        self.ranks.insert(id, next);
        Some((next, true))
    }

    /// Ranks given in this order; `None` when an id comes twice.
    pub(crate) fn of(ids: impl ExactSizeIterator<Item = IdHash>) -> Option<Self> {
        let count = ids.len();
        let ranks: HashMap<_, _, _> = ids.zip(0..).collect();
        (ranks.len() == count).then_some(Self { ranks })
    }

    /// The rank of `id`, if it has one.
    #[must_use]
    pub fn get(&self, id: IdHash) -> Option<u32> {
        self.ranks.get(&id).copied()
    }
}
