//! Generic stages of a recommendation pipeline and the executor that runs them.
//!
//! A signature grants rights: a [`stage::Source`] can only add, a [`stage::Hydrator`] only edit, a
//! [`stage::Filter`] only drop, a [`stage::Scorer`] only score, and the [`stage::Selector`] alone
//! orders (I7). The [`executor`] alone knows of deadlines, times and counts; it names what it
//! skipped, so that nothing degrades in silence (I8).
//!
//! The crate knows nothing of users, items, HTTP or clocks: elapsed time is an argument.
//! Synchronous, no I/O, and deterministic for a deadline that is not reached.

pub mod account;
pub mod executor;
pub mod stage;
