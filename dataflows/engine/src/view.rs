//! All items as of an epoch's start, read by every worker in the read phase.

use eddyline_model::item::ItemRows;
use eddyline_schemas::id::{ItemRef, SHARDS};
use parking_lot::RwLockReadGuard;

use crate::state::Tables;
use crate::state::items::{ItemRow, ItemShard, item_ref};

/// Read guards of all item shards, and where each shard begins in the numbering of all items.
#[derive(Debug)]
pub struct ItemView<'a> {
    shards: Vec<RwLockReadGuard<'a, ItemShard>>,
    starts: Vec<u64>,
    dim: usize,
}

impl<'a> ItemView<'a> {
    /// Reads the items; no owner may be writing.
    #[must_use]
    pub fn new(tables: &'a Tables, dim: usize) -> Self {
        let shards: Vec<_> = tables.items.iter().map(|shard| shard.read()).collect();
        let mut starts = Vec::with_capacity(SHARDS + 1);
        starts.push(0);
        for shard in &shards {
            starts.push(starts[starts.len() - 1] + shard.rows.len() as u64);
        }
        Self { shards, starts, dim }
    }

    /// The row of an item; `None` for one younger than the epoch.
    #[must_use]
    pub fn row(&self, item: ItemRef) -> Option<&ItemRow> {
        self.shards[usize::from(item.shard())].rows.get(item.rank() as usize)
    }

    /// Place of an item among all items.
    #[must_use]
    pub fn place(&self, item: ItemRef) -> Option<usize> {
        self.row(item)?;
        Some(self.starts[usize::from(item.shard())] as usize + item.rank() as usize)
    }

    /// The shards in order, each with the place of its first item.
    pub fn shards(&self) -> impl Iterator<Item = (usize, &ItemShard)> {
        self.shards.iter().zip(&self.starts).map(|(shard, &start)| (start as usize, &**shard))
    }

    fn slice<'b>(&self, rows: &'b [f32], item: ItemRef) -> Option<&'b [f32]> {
        let at = item.rank() as usize * self.dim;
        rows.get(at..at + self.dim)
    }

    fn live_shard(&self, item: ItemRef) -> Option<&ItemShard> {
        let shard = &self.shards[usize::from(item.shard())];
        shard.live.get(item.rank() as usize).filter(|live| **live).map(|_| &**shard)
    }
}

impl ItemRows for ItemView<'_> {
    fn count(&self) -> u64 {
        self.starts[SHARDS]
    }

    fn nth(&self, k: u64) -> ItemRef {
        let shard = self.starts.partition_point(|&start| start <= k) - 1;
        item_ref(shard, (k - self.starts[shard]) as usize)
    }

    fn vector(&self, item: ItemRef) -> Option<&[f32]> {
        self.slice(&self.live_shard(item)?.vectors, item)
    }

    fn context(&self, item: ItemRef) -> Option<&[f32]> {
        self.slice(&self.live_shard(item)?.contexts, item)
    }
}
