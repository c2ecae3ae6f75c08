//! Ports of Eddyline to the outside world, and their implementations.
//!
//! Four small traits: [`EventLog`](log::EventLog), the durable, ordered input;
//! [`FeatureStore`](features::FeatureStore), the user documents that serving reads;
//! [`ObjectStore`](objects::ObjectStore), where snapshots and the archive lie;
//! [`Clock`](clock::Clock), the only way to learn the wall clock. Each has one conformance suite
//! ([`conformance`]) that every implementation passes. Which implementation runs is chosen by a
//! URL ([`url`]).
//!
//! The crate moves bytes; what they mean is none of its business. It knows no event type, no
//! model and no HTTP.

pub mod clock;
pub mod conformance;
pub mod crash;
pub mod deltas;
pub mod embedded;
pub mod features;
#[cfg(feature = "fluvio")]
pub mod fluvio;
pub mod kafka;
mod known;
pub mod layout;
pub mod log;
pub mod memory;
pub mod objects;
pub mod panic_on;
pub mod random;
pub mod sim;
pub mod url;
