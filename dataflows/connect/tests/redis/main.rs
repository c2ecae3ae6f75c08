//! The feature store in real Redis servers: conformance, faults, random histories.
//!
//! Everything here is ignored unless asked for, since it needs `redis-server`; the conformance
//! suite runs on the servers that `EDDYLINE_TEST_REDIS` and `EDDYLINE_TEST_REDIS_CLUSTER` name,
//! the other tests start their own.

mod faults;
mod history;
mod interleaved;
mod opening;
mod server;
mod speed;
mod suite;
