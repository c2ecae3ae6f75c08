//! Everything durable in Eddyline: events, ids, topics, records, bindings, lineages, deltas and
//! feature documents, with their codecs.
//!
//! What is here is right in its first version or never: hashes, digests and wire numbers are fixed
//! by golden files. The crate does no I/O and reads no clock.

pub mod binding;
pub mod codec;
pub mod decode;
pub mod delta;
pub mod event;
pub mod features;
pub mod id;
pub mod item;
pub mod lineage;
pub mod record;
pub mod snapshot;
pub mod stored;
pub mod time;
pub mod topic;
