//! The maths that learning and serving share: representation of a user, the
//! online learners, the experts' scores, their blend, and how quality is counted.
//!
//! Invariants of the whole crate:
//! - pure: no I/O, clock, thread or hidden randomness; times and seeds are arguments;
//! - the same bits on every CPU: sums run in a fixed order of 16 lanes ([`kernel`]),
//!   transcendentals are our own polynomials ([`math`]), draws are counted ([`philox`]);
//! - NaN and infinities are never stored: a step that would store one leaves the row as it was.
//!
//! Order of reading: [`item`], [`factors`], [`covisit`], [`popularity`], [`blend`], [`pool`], [`gate`], [`metrics`].

pub mod blend;
pub mod config;
pub mod covisit;
pub mod factors;
pub mod gate;
pub mod item;
pub mod kernel;
pub mod math;
pub mod metrics;
pub mod philox;
pub mod pool;
pub mod popularity;
