//! A copy of all state at the end of an epoch, shard by shard, in the bytes that will be written.
//!
//! Making it is all that folding has to wait for, so it does nothing that can be done later:
//! hashing and checking happen when it is written.

use eddyline_model::config::CoreConfig;
use eddyline_model::gate::GateState;
use eddyline_schemas::delta::PipelineCounts;
use eddyline_schemas::id::SHARDS;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::snapshot::SnapshotGate;

use super::parallel;
use crate::committer::Committer;
use crate::state::Tables;

/// See the module doc.
#[derive(Debug)]
pub struct Export {
    pub(super) committer: Committer,
    pub(super) core_config: Digest,
    pub(super) gate: SnapshotGate,
    /// Sections by shard.
    pub(super) sections: Vec<Vec<u8>>,
}

impl Export {
    pub(crate) fn new(
        core: &CoreConfig,
        committer: Committer,
        sections: Vec<Vec<u8>>,
        gate: &GateState,
    ) -> Self {
        let (gains, examples) = gate.parts();
        Self {
            committer,
            core_config: core.hash(),
            gate: SnapshotGate { gains: gains.to_vec(), examples: examples.to_vec() },
            sections,
        }
    }

    /// As of the end of which epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.committer.epoch()
    }

    /// Whose history.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        self.committer.lineage()
    }

    /// Sums up to the epoch.
    #[must_use]
    pub fn counts(&self) -> PipelineCounts {
        self.committer.counts()
    }

    /// The section of each shard: equal state gives equal sections.
    #[must_use]
    pub fn sections(&self) -> &[Vec<u8>] {
        &self.sections
    }

    /// Bytes of all sections.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sections.iter().map(|section| section.len() as u64).sum()
    }
}

/// The section of each shard of a process that holds them all; nothing may be in flight.
pub(crate) fn sections_of(tables: &Tables) -> Vec<Vec<u8>> {
    let export = |size: &mut usize, shard| {
        // Shards are of about one size: the last one says how much room the next will need.
        let mut section = Vec::with_capacity(*size + *size / 8);
        tables.export_shard(shard, &mut section);
        *size = section.len();
        Ok::<_, std::convert::Infallible>(section)
    };
    let Ok(sections) = parallel::each(SHARDS, export);
    sections
}
