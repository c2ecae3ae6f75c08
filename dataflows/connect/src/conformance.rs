//! What every implementation of a port must do, as tests to be run against each of them.
//!
//! Each suite takes a function that makes a fresh, empty implementation and panics with a message
//! at the first thing that is wrong. Suites sleep nowhere and read no clock.

pub mod event_log;
pub mod feature_store;
pub mod object_store;
