//! Turns what the workers say of an epoch into its deltas: sorted, chained, summed.

use std::sync::Arc;

use eddyline_schemas::delta::digest::{EpochDigest, chain_and_shards};
use eddyline_schemas::delta::{EpochDeltas, PipelineCounts};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::{Digest, DigestBuilder};
use eddyline_schemas::snapshot::SnapshotManifest;
use eddyline_schemas::time::TimestampMs;

use crate::graph::Commit;
use crate::known::KnownDigests;
use crate::rank::RankedEvent;

/// A committed epoch.
#[derive(Debug)]
pub struct Committed {
    /// What it changed.
    pub deltas: EpochDeltas,
    /// What is recorded of it.
    pub digest: EpochDigest,
    /// Events that were tested before they were learned, in the order of `seq`.
    pub ranked: Vec<RankedEvent>,
}

/// All state at an epoch, in one hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StateDigest {
    /// Whose history.
    pub lineage: Lineage,
    /// As of the end of which epoch.
    pub epoch: Epoch,
    /// BLAKE3 of canonical state: without lineage, term, writer, worker or path.
    pub state_digest: Digest,
    /// The chain over all deltas up to the epoch.
    pub delta_digest: Digest,
}

/// Sums over all epochs so far.
#[derive(Clone, Debug)]
pub(crate) struct Committer {
    lineage: Lineage,
    epoch: Epoch,
    logical_time: TimestampMs,
    chain: Digest,
    counts: PipelineCounts,
    known: Option<Arc<KnownDigests>>,
}

impl Committer {
    pub(crate) fn new(lineage: Lineage) -> Self {
        Self {
            known: None,
            lineage,
            epoch: Epoch(0),
            logical_time: TimestampMs(0),
            chain: Digest::default(),
            counts: PipelineCounts::default(),
        }
    }

    /// As this, held against what was recorded.
    pub(crate) fn against(self, known: Option<Arc<KnownDigests>>) -> Self {
        Self { known, ..self }
    }

    /// Commits the next epoch. Of one whose deltas are not made, the digest is the recorded one and
    /// says nothing of rows and shards.
    pub(crate) fn commit(&mut self, commit: Commit) -> Committed {
        let Commit { epoch, header, duplicates, mut deltas, mut ranked } = commit;
        deltas.sort_unstable_by(eddyline_schemas::delta::Delta::cmp_key);
        ranked.sort_by_key(|event| event.seq);
        self.epoch = Epoch(epoch);
        self.logical_time = self.logical_time.max(header.logical_time);
        self.counts.accepted += header.accepted;
        self.counts.late += header.late;
        self.counts.dead_letter += header.dead_letter;
        self.counts.duplicate += duplicates;
        self.counts.applied += header.accepted - header.late - header.dead_letter - duplicates;
        let recorded = self.known.as_ref().and_then(|known| known.instead(self.epoch));
        let (chain, shards) = match recorded {
            Some(recorded) => (recorded, Vec::new()),
            None => chain_and_shards(self.chain, self.epoch, self.logical_time, &deltas),
        };
        self.chain = chain;
        let deltas = EpochDeltas {
            lineage: self.lineage,
            epoch: self.epoch,
            logical_time: self.logical_time,
            deltas,
            chain: self.chain,
            counts: self.counts,
        };
        let digest = EpochDigest::of(&deltas, shards);
        self.known.iter().for_each(|known| known.compare(&digest));
        Committed { digest, deltas, ranked }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn counts(&self) -> PipelineCounts {
        self.counts
    }

    /// Goes on after a snapshot.
    pub(crate) fn resume(manifest: &SnapshotManifest) -> Self {
        Self {
            known: None,
            lineage: manifest.lineage,
            epoch: manifest.epoch,
            logical_time: manifest.logical_time,
            chain: manifest.delta_digest,
            counts: manifest.counts,
        }
    }

    pub(crate) fn lineage(&self) -> Lineage {
        self.lineage
    }

    pub(crate) fn logical_time(&self) -> TimestampMs {
        self.logical_time
    }

    pub(crate) fn chain(&self) -> Digest {
        self.chain
    }

    /// The digest of all state, given that of the tables; call it only while no epoch is in flight.
    pub(crate) fn digest_of(&self, tables: Digest) -> StateDigest {
        let mut all = DigestBuilder::default();
        all.update(&tables.0);
        all.update(&self.epoch.0.to_le_bytes());
        all.update(&self.logical_time.0.to_le_bytes());
        let counts = self.counts;
        let sums =
            [counts.accepted, counts.applied, counts.duplicate, counts.late, counts.dead_letter];
        sums.iter().for_each(|sum| all.update(&sum.to_le_bytes()));
        StateDigest {
            lineage: self.lineage,
            epoch: self.epoch,
            state_digest: all.finish(),
            delta_digest: self.chain,
        }
    }
}
