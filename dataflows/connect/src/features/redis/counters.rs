//! What a store has done, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

/// Name and help of each counter, in the order of `Counters::values`.
pub const FEATURE_STORE_COUNTERS: [(&str, &str); 8] = [
    ("eddyline_feature_store_reads_total", "documents asked for"),
    ("eddyline_feature_store_read_failures_total", "reads that failed or took too long"),
    ("eddyline_feature_store_breaker_refusals_total", "reads not made: the breaker was open"),
    ("eddyline_feature_store_breaker_openings_total", "times that a breaker opened"),
    ("eddyline_feature_store_writes_total", "values written"),
    ("eddyline_feature_store_stale_writes_total", "slots of a write that were further already"),
    ("eddyline_feature_store_losses_total", "slots found to have lost data"),
    ("eddyline_feature_store_refilled_total", "slots refilled"),
];

/// See [`FEATURE_STORE_COUNTERS`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) reads: AtomicU64,
    pub(super) read_failures: AtomicU64,
    pub(super) breaker_refusals: AtomicU64,
    pub(super) breaker_openings: AtomicU64,
    pub(super) writes: AtomicU64,
    pub(super) stale_writes: AtomicU64,
    pub(super) losses: AtomicU64,
    pub(super) refilled: AtomicU64,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

impl Counters {
    pub(super) fn values(&self) -> [u64; 8] {
        [
            &self.reads,
            &self.read_failures,
            &self.breaker_refusals,
            &self.breaker_openings,
            &self.writes,
            &self.stale_writes,
            &self.losses,
            &self.refilled,
        ]
        .map(|counter| counter.load(Ordering::Relaxed))
    }
}
