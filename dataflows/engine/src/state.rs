//! The state of the folds, partitioned in [`SHARDS`] logical shards, never by worker.
//!
//! [`Tables`] is shared by all workers of a process. Who may touch what, and when:
//!
//! * a shard's dedupe, registry, users and preferences are touched by its owner's thread alone;
//! * item shards and the gate are *read* by every worker in the read phase of an epoch and
//!   *written* by their owners in its apply phase. Frontiers keep the phases apart: an owner writes
//!   epoch t once every worker has sent all of its epoch t, and nobody reads t + 1 before every
//!   owner is done with t. The locks are therefore never waited for; they keep the compiler's
//!   proof simple and cost a few nanoseconds;
//! * [`Tables::digest`] may be called only while no epoch is in flight.

pub mod canonical;
pub mod dedupe;
pub mod hashing;
pub mod items;
pub mod preferences;
pub mod registry;
pub mod reservoir;
pub(crate) mod section;
pub(crate) mod shard;
pub mod users;

use eddyline_model::config::CoreConfig;
use eddyline_model::gate::GateState;
use eddyline_schemas::id::SHARDS;
use eddyline_schemas::record::Digest;
use parking_lot::{Mutex, RwLock};

use dedupe::DedupeShard;
use items::ItemShard;
use preferences::PreferenceShard;
use registry::Registry;
use users::UserShard;

/// See the module doc. Every list has [`SHARDS`] entries.
#[derive(Debug)]
pub struct Tables {
    /// Event ids of the last hours.
    pub dedupe: Vec<Mutex<DedupeShard>>,
    /// Numbers of items.
    pub item_registry: Vec<Mutex<Registry>>,
    /// Items.
    pub items: Vec<RwLock<ItemShard>>,
    /// Users.
    pub users: Vec<RwLock<UserShard>>,
    /// What users prefer.
    pub preferences: Vec<Mutex<PreferenceShard>>,
    /// Which blend is trusted.
    pub gate: RwLock<GateState>,
}

impl Tables {
    /// Empty state.
    #[must_use]
    pub fn new(config: &CoreConfig) -> Self {
        fn shards<T: Default>() -> Vec<T> {
            (0..SHARDS).map(|_| T::default()).collect()
        }
        Self {
            dedupe: shards(),
            item_registry: shards(),
            items: shards(),
            users: shards(),
            preferences: shards(),
            gate: RwLock::new(GateState::new(&config.gate)),
        }
    }

    /// The digest of all state: BLAKE3 over each shard's digest in order, then the gate. A shard's
    /// digest is over its canonical rows in key order.
    #[must_use]
    pub fn digest(&self, config: &CoreConfig) -> Digest {
        self.digest_of((0..SHARDS).map(|shard| self.shard_digest(config, shard)))
    }

    /// The digest of one shard.
    pub(crate) fn shard_digest(&self, config: &CoreConfig, shard: usize) -> Digest {
        let dim = config.factors.dim;
        let mut rows = Vec::new();
        self.dedupe[shard].lock().write_canonical(&mut rows);
        self.items[shard].read().write_canonical(dim, &mut rows);
        self.users[shard].read().write_canonical(dim, &mut rows);
        self.preferences[shard].lock().write_canonical(&mut rows);
        Digest::of(&rows)
    }

    /// The digest of all state, given those of all shards in order.
    pub(crate) fn digest_of(&self, shards: impl IntoIterator<Item = Digest>) -> Digest {
        shard::tables_digest(shards.into_iter(), &self.gate.read())
    }
}
