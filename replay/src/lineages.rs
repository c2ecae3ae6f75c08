//! The registry of lineages: which histories of one log are kept side by side, and which of them
//! answers.
//!
//! A chain of records in an object store, `lineages/<20 digits>.json`, numbered from 1, each created
//! if absent and never changed ([`record`]). What is so is a pure fold over them ([`Lineages`]).
//! Whoever wants to change something decides on the fold of all records that there are, and writes
//! the next one; of two writers one loses, reads on and decides again ([`Registry`]).
//!
//! A lineage is registered with its whole `[core]` table, so that whoever can read the log can fold
//! it. Until one is activated, the one of the configuration answers.

mod error;
pub mod record;
mod registry;
mod state;

pub use error::LineagesError;
pub use record::{Action, Registered};
pub use registry::Registry;
pub use state::{CoreOfOtherVersion, Entry, Lineages, Refused};

/// Version of the records.
pub const VERSION: u64 = 1;
