//! What a store's process knows of the watermark of each slot.
//!
//! `known` is what the server said last, `required` what it must be at: the last epoch that it
//! acknowledged, or that could not be written. A slot with `known` < `required` is behind.

use std::sync::atomic::{AtomicU64, Ordering};

use eddyline_schemas::lineage::Epoch;

use crate::features::StoreShard;
use crate::features::shards::REDIS_SLOTS;

/// See the module doc. An epoch is kept as its number plus one, none as 0.
pub(super) struct Marks {
    known: Vec<AtomicU64>,
    required: Vec<AtomicU64>,
}

fn pack(epoch: Option<Epoch>) -> u64 {
    epoch.map_or(0, |epoch| epoch.0 + 1)
}

fn unpack(packed: u64) -> Option<Epoch> {
    packed.checked_sub(1).map(Epoch)
}

impl Marks {
    pub(super) fn new() -> Self {
        let empty = || (0..REDIS_SLOTS).map(|_| AtomicU64::new(0)).collect();
        Self { known: empty(), required: empty() }
    }

    pub(super) fn known(&self, shard: StoreShard) -> Option<Epoch> {
        unpack(self.known[usize::from(shard.0)].load(Ordering::Acquire))
    }

    pub(super) fn required(&self, shard: StoreShard) -> Option<Epoch> {
        unpack(self.required[usize::from(shard.0)].load(Ordering::Acquire))
    }

    /// The server said that the slot is at `epoch`; true if that is less than required.
    pub(super) fn observe(&self, shard: StoreShard, epoch: Option<Epoch>) -> bool {
        self.known[usize::from(shard.0)].store(pack(epoch), Ordering::Release);
        let before = self.required[usize::from(shard.0)].fetch_max(pack(epoch), Ordering::AcqRel);
        pack(epoch) < before
    }

    /// The slot must come to `epoch`.
    pub(super) fn require(&self, shard: StoreShard, epoch: Epoch) {
        self.required[usize::from(shard.0)].fetch_max(pack(Some(epoch)), Ordering::AcqRel);
    }

    pub(super) fn is_behind(&self, shard: StoreShard) -> bool {
        self.known(shard) < self.required(shard)
    }

    pub(super) fn behind(&self) -> Vec<StoreShard> {
        (0..REDIS_SLOTS as u16).map(StoreShard).filter(|shard| self.is_behind(*shard)).collect()
    }
}
