//! Snapshots of all state: taken between two epochs, written to an object store, read back on any
//! number of workers. The formats are in [`eddyline_schemas::snapshot`].
//!
//! ```text
//! snapshots/LINEAGE/parts/EPOCH-DIGEST        sections of some shards
//! snapshots/LINEAGE/manifests/EPOCH-DIGEST    written last; a snapshot is there once this is
//! ```
//!
//! * *When*: the driver asks its port ([`SnapshotWriter`]) between two epochs, and once more when it
//!   ends.
//! * *I5*: only once every delta up to the epoch is acknowledged. The driver sees to it; the store
//!   cannot know.
//! * *Position*: the fold of the bindings topic right after the epoch's binding was accepted, before
//!   whatever follows it; partition clocks as of the last *bound* record, not the last one read.
//! * *After it*: [`SnapshotStore::collect_garbage`]. It keeps the two newest; the log may be
//!   trimmed only behind the older of them ([`SnapshotStore::kept`]).
//! * *Recovery*: [`newest_on_log`], then an engine that starts from it. A snapshot ahead of the last
//!   accepted binding is a loud halt. `None`: fold the log from its start.
//!
//! Corrupt or missing parts make a snapshot invalid, and an older one is taken; a store that cannot
//! be reached never does, since the newer one may be quite well.

mod choose;
mod error;
mod export;
mod garbage;
mod load;
mod names;
mod parallel;
mod restored;
mod rows;
mod store;
mod writer;

pub use choose::{newest_on_log, newest_on_log_until};
pub use eddyline_schemas::snapshot::LogPosition;
pub use error::{InvalidSnapshot, SnapshotError};
pub use export::Export;
pub(crate) use export::sections_of;
pub use restored::Restored;
pub(crate) use restored::gate_from;
pub use store::{SnapshotStore, Written};
pub use writer::{SnapshotWish, SnapshotWriter};
