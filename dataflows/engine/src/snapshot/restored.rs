//! State read back from a snapshot, ready to be folded on.

use eddyline_model::config::CoreConfig;
use eddyline_model::gate::{BUCKETS, GateState};
use eddyline_schemas::delta::PipelineCounts;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::snapshot::{LogPosition, SnapshotGate, SnapshotManifest};
use eddyline_schemas::time::TimestampMs;

use super::Export;
use super::SnapshotError;
use super::load::tables_from;
use crate::committer::{Committer, StateDigest};
use crate::state::Tables;

/// See the module doc.
#[derive(Debug)]
pub struct Restored {
    pub(super) tables: Tables,
    pub(super) manifest: SnapshotManifest,
}

impl Restored {
    /// State straight from an export, without any store between: a hand-over within a process.
    pub fn from_export(
        core: &CoreConfig,
        export: &Export,
        position: LogPosition,
    ) -> Result<Self, SnapshotError> {
        let manifest =
            SnapshotManifest { parts: Vec::new(), ..export.manifest(position, Digest::default()) };
        let unreadable = |shard, source| SnapshotError::Unreadable { shard, source };
        let tables = tables_from(core, |shard| Ok(export.sections[shard].as_slice()), unreadable)?;
        let gate = gate_from(core, &export.gate);
        *tables.gate.write() = gate.ok_or(SnapshotError::Gate(export.gate.gains.len()))?;
        Ok(Self { tables, manifest })
    }

    /// As of the end of which epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.manifest.epoch
    }

    /// Whose history.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        self.manifest.lineage
    }

    /// The chain over all deltas up to the epoch.
    #[must_use]
    pub fn delta_digest(&self) -> Digest {
        self.manifest.delta_digest
    }

    /// Logical time of the epoch.
    #[must_use]
    pub fn logical_time(&self) -> TimestampMs {
        self.manifest.logical_time
    }

    /// Where the log is read on.
    #[must_use]
    pub fn position(&self) -> &LogPosition {
        &self.manifest.position
    }

    /// Sums up to the epoch.
    #[must_use]
    pub fn counts(&self) -> PipelineCounts {
        self.manifest.counts
    }

    /// The digest of the state, taken anew.
    #[must_use]
    pub fn digest(&self, core: &CoreConfig) -> StateDigest {
        Committer::resume(&self.manifest).digest_of(self.tables.digest(core))
    }

    pub(crate) fn into_parts(
        self,
        core: &CoreConfig,
    ) -> Result<(Tables, Committer), SnapshotError> {
        let (held, wanted) = (self.manifest.core_config, core.hash());
        if held != wanted {
            return Err(SnapshotError::OtherCore { held, wanted });
        }
        Ok((self.tables, Committer::resume(&self.manifest)))
    }
}

/// The gate of a snapshot; `None` when it does not fit the configuration.
pub(crate) fn gate_from(core: &CoreConfig, gate: &SnapshotGate) -> Option<GateState> {
    let examples: [f64; BUCKETS] = gate.examples.as_slice().try_into().ok()?;
    GateState::from_parts(&core.gate, gate.gains.clone(), examples)
}
