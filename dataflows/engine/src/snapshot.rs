//! Snapshots of all state: taken between two epochs, written to an object store, read back on any
//! number of workers. The formats are in [`eddyline_schemas::snapshot`].
//!
//! ```text
//! snapshots/LINEAGE/parts/EPOCH-DIGEST        sections of some shards
//! snapshots/LINEAGE/manifests/EPOCH-DIGEST    written last; a snapshot is there once this is
//! ```
//!
//! How it is used, by whoever drives a [`Folder`](crate::Folder):
//!
//! * *When*: every so many epochs and on a clean shutdown. At epoch e stop feeding,
//!   [`Folder::export`](crate::Folder::export), then go on feeding: only the copy has to be waited
//!   for. Write it elsewhere ([`SnapshotStore::write`] takes as long as the store does), one at a
//!   time.
//! * *I5*: call [`SnapshotStore::write`] only once every delta up to e is acknowledged. The store
//!   cannot know.
//! * *Position*: the fold of the bindings topic right after the binding of e was accepted, before
//!   whatever follows it; partition clocks as of the last *bound* record, not the last one read.
//! * *After it*: [`SnapshotStore::collect_garbage`]. It keeps the two newest; the log may be
//!   trimmed only behind the older of them ([`SnapshotStore::kept`]).
//! * *Recovery*: fence, [`SnapshotStore::newest_valid`], [`Folder::start_from`](crate::Folder),
//!   then the bindings from [`LogPosition::next_binding`] on. A snapshot ahead of the last accepted
//!   binding is a loud halt. `None` means that there is no snapshot: fold the log from its start.
//!
//! Corrupt or missing parts make a snapshot invalid, and an older one is taken; a store that cannot
//! be reached never does, since the newer one may be quite well.

mod error;
mod export;
mod garbage;
mod load;
mod names;
mod parallel;
mod restored;
mod rows;
mod store;

pub use eddyline_schemas::snapshot::LogPosition;
pub use error::{InvalidSnapshot, SnapshotError};
pub use export::Export;
pub use restored::Restored;
pub use store::{SnapshotStore, Written};
