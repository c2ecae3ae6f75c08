//! The log is trimmed behind the archive, where `archive.trim_log` says so.

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_connect::objects::{Access, ObjectStore};
use eddyline_dataflows::snapshot::SnapshotStore;
use eddyline_replay::trim::{Trimmer, behind_two_snapshots};
use eddyline_schemas::lineage::Lineage;

use super::snapshots::open_snapshots;
use crate::config::Config;
use crate::exit::Outcome;

/// Trims a log; see [`eddyline_replay::trim`].
pub(super) struct Trimming {
    trimmer: Trimmer,
    snapshots: SnapshotStore,
    lineage: Lineage,
}

impl Trimming {
    /// As `config` says; `None` keeps the log whole.
    pub(super) fn open(
        config: &Config,
        log: &Arc<dyn EventLog>,
        archive: &Arc<dyn ObjectStore>,
    ) -> Outcome<Option<Self>> {
        if !config.archive.trim_log {
            return Ok(None);
        }
        let snapshots = open_snapshots(config, Access::Read)?;
        let trimmer = Trimmer::new(Arc::clone(log), Arc::clone(archive));
        let lineage = config.core.lineage();
        Ok(snapshots.map(|snapshots| Self { trimmer, snapshots, lineage }))
    }

    /// Forgets what may be forgotten now. What goes wrong is told, and tried again the next time:
    /// the log keeps what it has.
    pub(super) fn run(&mut self) {
        let kept = match self.snapshots.kept(self.lineage) {
            Ok(kept) => kept,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the log is not trimmed: its snapshots cannot be listed");
                return;
            }
        };
        let Some(behind) = behind_two_snapshots(&[kept]) else { return };
        match self.trimmer.trim(&behind) {
            Ok(trimmed) => {
                for (partition, start) in trimmed {
                    tracing::info!(%partition, start, "the log was trimmed behind the archive");
                }
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "the log is not trimmed");
            }
        }
    }
}
