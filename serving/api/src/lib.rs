//! Eddyline's serving: state at one epoch, the recommender over it, and REST in front of both.
//!
//! [`state`] applies whole epochs of deltas under one guard and [`recommend`] answers under one
//! read guard, so that all scores, filters and features of an answer are of one epoch (I6). Both
//! are synchronous and know nothing of HTTP.

pub mod contract;
pub mod door;
pub mod http;
pub mod metrics;
pub mod recommend;
pub mod state;
pub mod switch;
