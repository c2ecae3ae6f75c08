//! The digest of a state that lies in several processes.
//!
//! Each process digests the shards whose users it keeps; that is the shard's digest in one process
//! too. Beside it goes the digest of the item side, which must be the same everywhere.

use eddyline_model::config::CoreConfig;
use eddyline_schemas::id::SHARDS;
use eddyline_schemas::record::{Digest, DigestBuilder};

use crate::state::Tables;
use crate::wire::wire_struct;

/// What one process says of its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Digests of the shards that the process owns, in order.
    pub(super) shards: Vec<(u32, Digest)>,
    /// Digest of all items and the gate.
    pub(super) replica: Digest,
}

wire_struct!(Part { shards, replica });

/// How shards are spread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    pub(super) index: usize,
    pub(super) processes: usize,
    pub(super) workers: usize,
}

impl Spread {
    /// The shards that the process owns, in order.
    pub(super) fn owned(self) -> impl Iterator<Item = usize> {
        (0..SHARDS).filter(move |&shard| self.owns(shard))
    }

    pub(super) fn owns(&self, shard: usize) -> bool {
        shard % (self.processes * self.workers) / self.workers == self.index
    }
}

impl Part {
    /// What this process says; nothing may be in flight.
    pub(super) fn of(config: &CoreConfig, tables: &Tables, spread: Spread) -> Self {
        let digest = |shard| (shard as u32, tables.shard_digest(config, shard));
        Self { shards: spread.owned().map(digest).collect(), replica: replica(config, tables) }
    }
}

/// The digest of all items and the gate.
pub(super) fn replica(config: &CoreConfig, tables: &Tables) -> Digest {
    let mut replica = DigestBuilder::default();
    let mut rows = Vec::new();
    for shard in &tables.items {
        rows.clear();
        shard.read().write_canonical(config.factors.dim, &mut rows);
        replica.update(&Digest::of(&rows).0);
    }
    rows.clear();
    tables.gate.read().write_canonical(&mut rows);
    replica.update(&rows);
    replica.finish()
}

/// The digests of all shards, out of what all processes say; else what is wrong.
pub(super) fn whole(parts: &[Part]) -> Result<Vec<Digest>, String> {
    if let Some(index) = parts.iter().position(|part| part.replica != parts[0].replica) {
        return Err(format!("the items of process {index} are not those of process 0"));
    }
    let mut shards: Vec<(u32, Digest)> =
        parts.iter().flat_map(|part| part.shards.iter().copied()).collect();
    shards.sort_unstable_by_key(|(shard, _)| *shard);
    if !shards.iter().map(|(shard, _)| *shard as usize).eq(0..SHARDS) {
        return Err(format!("{} digests for {SHARDS} shards", shards.len()));
    }
    Ok(shards.into_iter().map(|(_, digest)| digest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(processes: usize, workers: usize) -> Vec<Part> {
        let part = |index| {
            let spread = Spread { index, processes, workers };
            let owned = (0..SHARDS as u32).filter(|&shard| spread.owns(shard as usize));
            let digest = |shard: u32| (shard, Digest::of(&shard.to_le_bytes()));
            Part { shards: owned.map(digest).collect(), replica: Digest::default() }
        };
        (0..processes).map(part).collect()
    }

    #[test]
    fn parts_make_the_whole_however_they_are_spread() {
        let one = whole(&parts(1, 1)).expect("one process has it all");
        for (processes, workers) in [(2, 1), (2, 2), (3, 1), (3, 5)] {
            assert_eq!(whole(&parts(processes, workers)), Ok(one.clone()));
        }
    }

    #[test]
    fn a_missing_part_or_another_replica_is_told() {
        let mut two = parts(2, 1);
        two[1].replica = Digest::of(b"other items");
        assert!(whole(&two).expect_err("replicas differ").contains("process 1"));
        assert!(whole(&parts(2, 1)[..1]).expect_err("half of it").contains("128 digests"));
    }
}
