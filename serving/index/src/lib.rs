//! The live vectors of all items, and the structures that find the best of them for a query.
//!
//! *Vectors* and *structure* are apart: the [`store::VectorStore`] is overwritten in place and is
//! always of the newest epoch; a structure holds slots only and may be stale. A structure proposes,
//! the live rows score: every answer's scores are exact inner products of live rows, whatever
//! found them. A search by [`exact::ExactScan`] is exact; one by [`graph::GraphIndex`] may miss
//! items, and how many is measured against the scan.
//!
//! The crate does no I/O, reads no clock and starts no thread: who builds, when, and how much of a
//! core that may take is the caller's, by [`policy`] and the pauses of [`graph::build`].
//!
//! Order of reading: [`store`], [`search`], [`exact`], [`augment`], [`graph`], [`policy`].

pub mod augment;
pub mod exact;
pub mod graph;
pub mod policy;
pub mod search;
pub mod store;
