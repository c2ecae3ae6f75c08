//! What serving holds of a state: the rows that all deltas up to its epoch have left behind.
//!
//! They are made by the functions that make the deltas, from the same tables. Shards come one
//! after the other and are copied one at a time; whoever has no other use for the state drains it.

use eddyline_connect::features::{UserRow, stored_preferences};
use eddyline_model::config::CoreConfig;
use eddyline_model::covisit::CovisitList;
use eddyline_schemas::delta::Delta;
use eddyline_schemas::id::{ItemRef, SHARDS};

use super::Restored;
use crate::graph::item_deltas::{gate_delta, item_delta, list, popularity};
use crate::state::Tables;
use crate::state::dedupe::DedupeShard;
use crate::state::items::{ItemShard, item_ref};
use crate::state::preferences::PreferenceShard;
use crate::state::users::UserShard;

impl Restored {
    /// The last delta of each item and of the gate: all of kind [`Delta::Item`] first. A context
    /// that nothing was learned of is not among them.
    pub fn deltas(&self, core: &CoreConfig) -> impl Iterator<Item = Delta> + use<'_> {
        deltas(&self.tables, core.factors.dim, false)
    }

    /// The row of each user, of those too that were erased.
    pub fn users<'a>(&'a self, core: &'a CoreConfig) -> impl Iterator<Item = UserRow> + 'a {
        (0..SHARDS).flat_map(|shard| users(&self.tables, core, shard))
    }

    /// Both, one after the other, each freeing what it has passed: the state is of no use afterwards.
    pub fn drain<'a>(
        &'a mut self,
        core: &'a CoreConfig,
    ) -> (impl Iterator<Item = Delta> + use<'a>, impl Iterator<Item = UserRow> + use<'a>) {
        let tables = &self.tables;
        tables.dedupe.iter().for_each(|shard| *shard.lock() = DedupeShard::default());
        let users = (0..SHARDS).flat_map(move |shard| {
            let rows = users(tables, core, shard);
            *tables.users[shard].write() = UserShard::default();
            *tables.preferences[shard].lock() = PreferenceShard::default();
            rows
        });
        (deltas(tables, core.factors.dim, true), users)
    }
}

fn deltas(tables: &Tables, dim: usize, drains: bool) -> impl Iterator<Item = Delta> + use<'_> {
    let items = (0..SHARDS).flat_map(|shard| items(&tables.items[shard].read(), shard));
    let numbers = (0..SHARDS).flat_map(move |shard| {
        let numbers = numbers(&tables.items[shard].read(), shard, dim);
        if drains {
            *tables.items[shard].write() = ItemShard::default();
        }
        numbers
    });
    let gate = std::iter::once_with(|| gate_delta(&tables.gate.read()));
    items.chain(numbers).chain(gate)
}

fn items(shard: &ItemShard, number: usize) -> Vec<Delta> {
    let rows = shard.rows.iter().enumerate();
    rows.map(|(rank, row)| item_delta(item_ref(number, rank), row)).collect()
}

fn numbers(shard: &ItemShard, number: usize, dim: usize) -> Vec<Delta> {
    let mut deltas = Vec::with_capacity(shard.rows.len() * 3);
    for (rank, row) in (0..).zip(&shard.rows) {
        let item = ItemRef::new(number as u8, rank);
        deltas.push(Delta::ItemVector { item, vector: shard.vector(rank, dim).into() });
        let context = shard.context(rank, dim);
        if context.iter().any(|number| number.to_bits() != 0) {
            deltas.push(Delta::ItemContext { item, context: context.into() });
        }
        if row.events > 0 {
            deltas.push(Delta::Popularity { item, popularity: popularity(row) });
        }
        if row.covisitation != CovisitList::default() {
            deltas.push(Delta::Covisitation { item, list: list(row).into() });
        }
    }
    deltas
}

fn users(tables: &Tables, core: &CoreConfig, shard: usize) -> Vec<UserRow> {
    let (users, preferences) = (tables.users[shard].read(), tables.preferences[shard].lock());
    let row = |(rank, user)| {
        let told = users.rows[rank as usize].told;
        let preferences = preferences.document(rank, core.users.preferences);
        UserRow {
            user,
            epoch: told.epoch,
            features: users.features(&core.users, rank),
            preferences: stored_preferences(preferences.into()),
            vector: users.vector(core.factors.dim, rank),
        }
    };
    (0_u32..).zip(users.ids.iter().cloned()).map(row).collect()
}
