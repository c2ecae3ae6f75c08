//! All state of one logical shard, on its way into a snapshot or out of one.

use std::collections::BTreeSet;
use std::sync::Arc;

use eddyline_model::gate::GateState;
use eddyline_schemas::record::{Digest, DigestBuilder};

use super::Tables;
use super::dedupe::DedupeShard;
use super::items::ItemShard;
use super::preferences::PreferenceShard;
use super::registry::Registry;
use super::section::{InvalidSection, Reader};
use super::users::UserShard;

/// See the module doc.
#[derive(Debug)]
pub(crate) struct ShardState {
    dedupe: DedupeShard,
    item_registry: Registry,
    items: ItemShard,
    users: UserShard,
    preferences: PreferenceShard,
}

impl ShardState {
    /// Reads a section. `names` holds the names of sections read before, to share them.
    pub(crate) fn import(
        section: &[u8],
        dim: usize,
        names: &mut BTreeSet<Arc<str>>,
    ) -> Result<Self, InvalidSection> {
        let mut from = Reader::new(section, names);
        let dedupe = DedupeShard::import(&mut from)?;
        let (items, item_registry) = ItemShard::import(&mut from, dim)?;
        let users = UserShard::import(&mut from, dim)?;
        let preferences = PreferenceShard::import(&mut from)?;
        from.end()?;
        Ok(Self { dedupe, item_registry, items, users, preferences })
    }

    /// The shard's digest, as [`Tables::digest`] would have it.
    pub(crate) fn digest(&self, dim: usize, rows: &mut Vec<u8>) -> Digest {
        rows.clear();
        self.dedupe.write_canonical(rows);
        self.items.write_canonical(dim, rows);
        self.users.write_canonical(dim, rows);
        self.preferences.write_canonical(rows);
        Digest::of(rows)
    }
}

impl Tables {
    /// Writes the section of a shard, while no epoch is in flight.
    pub(crate) fn export_shard(&self, shard: usize, out: &mut Vec<u8>) {
        self.dedupe[shard].lock().export(out);
        self.items[shard].read().export(out);
        self.users[shard].read().export(out);
        self.preferences[shard].lock().export(out);
    }

    /// Puts the items of a shard in place, which somebody else owns.
    pub(crate) fn set_items(&self, shard: usize, state: ShardState) {
        *self.items[shard].write() = state.items;
    }

    /// Forgets all of a shard but its items: somebody else owns it.
    pub(crate) fn clear_owned(&self, shard: usize) {
        *self.dedupe[shard].lock() = DedupeShard::default();
        *self.item_registry[shard].lock() = Registry::default();
        *self.users[shard].write() = UserShard::default();
        *self.preferences[shard].lock() = PreferenceShard::default();
    }

    /// Puts a shard in place, before any epoch.
    pub(crate) fn set_shard(&self, shard: usize, state: ShardState) {
        *self.dedupe[shard].lock() = state.dedupe;
        *self.item_registry[shard].lock() = state.item_registry;
        *self.items[shard].write() = state.items;
        *self.users[shard].write() = state.users;
        *self.preferences[shard].lock() = state.preferences;
    }
}

/// The digest of all tables from those of their shards, in order, and the gate.
pub(crate) fn tables_digest(shards: impl Iterator<Item = Digest>, gate: &GateState) -> Digest {
    let mut all = DigestBuilder::default();
    shards.for_each(|digest| all.update(&digest.0));
    let mut rows = Vec::new();
    gate.write_canonical(&mut rows);
    all.update(&rows);
    all.finish()
}
