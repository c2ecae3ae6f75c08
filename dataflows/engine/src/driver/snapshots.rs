//! Where snapshots go: a port of the driver. The driver decides when one is valid (I5).

use eddyline_connect::log::BoxError;
use eddyline_schemas::binding::BindingFold;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Offset;

use crate::folder::Folder;

/// Everything as of the end of an epoch, with nothing in flight and every delta acknowledged.
pub struct SnapshotPoint<'a> {
    /// The epoch.
    pub epoch: Epoch,
    /// The fold of the bindings: its last epoch is this one.
    pub fold: &'a BindingFold,
    /// Where to read the bindings topic next.
    pub bindings_next: Offset,
    /// The state.
    pub folder: &'a Folder,
}

/// Writes snapshots. See the module doc.
pub trait Snapshots: Send {
    /// Epochs between two snapshots; 0 writes none.
    fn interval(&self) -> u64;

    /// The epoch of the newest valid snapshot of `lineage`: it must not be ahead of what is bound.
    fn newest(&mut self, lineage: Lineage) -> Result<Epoch, BoxError>;

    /// Writes one, its manifest last. An error is tried again.
    fn write(&mut self, point: &SnapshotPoint<'_>) -> Result<(), BoxError>;
}

/// Writes none: the log is folded from its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSnapshots;

impl Snapshots for NoSnapshots {
    fn interval(&self) -> u64 {
        0
    }

    fn newest(&mut self, _: Lineage) -> Result<Epoch, BoxError> {
        Ok(Epoch(0))
    }

    fn write(&mut self, _: &SnapshotPoint<'_>) -> Result<(), BoxError> {
        Ok(())
    }
}
