//! Where snapshots go: a port of the driver. The driver decides when one is valid (I5), the port
//! when one is worth it.

use eddyline_connect::log::BoxError;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::snapshot::LogPosition;

use crate::folder::Folder;

/// Everything as of the end of an epoch, with nothing in flight and every delta acknowledged.
pub struct SnapshotPoint<'a> {
    /// Where the log is read on; its fold ends with the epoch.
    pub position: LogPosition,
    /// The state.
    pub folder: &'a Folder,
}

/// How far a driver has fed its folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fed {
    /// The epoch.
    pub epoch: Epoch,
    /// Records bound up to it.
    pub records: u64,
}

/// Writes snapshots. See the module doc.
pub trait Snapshots: Send {
    /// Whether a snapshot as of `fed` is due and can be taken on. Asked often.
    fn is_due(&mut self, fed: Fed) -> bool;

    /// Copies the state, which folding waits for, and writes it, maybe later. An error is tried
    /// again.
    fn write(&mut self, point: &SnapshotPoint<'_>) -> Result<(), BoxError>;

    /// The epoch of the newest one that is durable, of those that this port knows of.
    fn written(&self) -> Epoch;

    /// The driver ends at `fed`: whether a last one is worth it. Waits for one that is on its way.
    fn is_due_at_end(&mut self, fed: Fed) -> bool;

    /// Waits until what was given is durable, or has failed.
    fn finish(&mut self) -> Result<(), BoxError>;
}

/// Writes none: the log is folded from its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSnapshots;

impl Snapshots for NoSnapshots {
    fn is_due(&mut self, _: Fed) -> bool {
        false
    }

    fn write(&mut self, _: &SnapshotPoint<'_>) -> Result<(), BoxError> {
        Ok(())
    }

    fn written(&self) -> Epoch {
        Epoch(0)
    }

    fn is_due_at_end(&mut self, _: Fed) -> bool {
        false
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}
