//! I2: same log + same bindings ⇒ same state and same deltas, for any number of workers, any
//! order of arrival, and live as well as folded again.

mod support {
    pub(crate) mod pinned_log;
    pub(crate) mod shop;
}

use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::log::EventLog;
use eddyline_dataflows::{Arrival, EngineConfig, EpochLimits, Refold, StateDigest, refold, start};
use eddyline_model::config::CoreConfig;

use support::pinned_log::PinnedLog;
use support::shop::Shop;

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core.factors.replays = 2;
    core.quality.sample_one_in = 3;
    // Bounds that these streams reach: what is given up must not depend on workers either.
    core.users.seen = 30;
    core.users.reservoir = 8;
    core.covisitation.capacity = 16;
    core.dedupe.max_ids = 256 * 6;
    core
}

fn config(workers: usize, events: usize) -> EngineConfig {
    let epoch = EpochLimits { events, wait: Duration::from_millis(2), backlog_events: events };
    EngineConfig { core: core(), workers: workers.into(), epoch }
}

/// Runs the live engine over the log until everything is committed.
fn live(log: &Arc<dyn EventLog>, workers: usize, epoch_events: usize) -> StateDigest {
    let engine =
        start(config(workers, epoch_events), Arc::clone(log), Box::new(|_| {})).expect("starts");
    loop {
        let status = engine.status();
        assert_eq!(status.failure, None);
        if status.is_recovered && status.lag_records == 0 {
            break;
        }
        // Returns early with the next epoch; a recovery that changes nothing just takes its time.
        let _ = engine.wait_committed(status.committed_epoch.next(), Duration::from_millis(20));
    }
    engine.shutdown().expect("stops")
}

fn again(log: &Arc<dyn EventLog>, workers: usize, arrival: Arrival) -> StateDigest {
    let how = Refold { workers, until: None, arrival };
    refold(
        &core(),
        Arc::clone(log),
        how,
        Box::new(|committed| {
            assert!(committed.deltas.counts.is_conserved(), "I10 at {}", committed.deltas.epoch);
            assert!(
                committed.deltas.deltas.is_sorted_by(|a, b| a.cmp_key(b).is_lt()),
                "each key once, in order"
            );
        }),
    )
    .expect("folds")
}

#[test]
fn digests_do_not_depend_on_workers_or_arrival() {
    let log: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(7).records(3_000));
    let lived = live(&log, 2, 200);
    assert!(lived.epoch.0 >= 15, "{lived:?}");
    for workers in [1, 2, 3, 4] {
        assert_eq!(again(&log, workers, Arrival::ByPartition), lived, "{workers} workers");
        assert_eq!(
            again(&log, workers, Arrival::Shuffled(5)),
            lived,
            "{workers} workers, shuffled"
        );
    }
}

#[test]
fn a_restart_goes_on_where_the_bindings_end() {
    let mut shop = Shop::new(1);
    let pinned = PinnedLog::holding(&shop.records(800));
    let log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&pinned);
    let first = live(&log, 1, 100);
    shop.records(700).iter().for_each(|stored| pinned.store(stored));
    let second = live(&log, 2, 64);
    assert!(second.epoch > first.epoch);
    assert_eq!(again(&log, 1, Arrival::ByPartition), second);
}

#[test]
fn other_epochs_are_another_history() {
    let cut = |events| {
        let log: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(3).records(500));
        live(&log, 1, events).state_digest
    };
    assert_ne!(cut(50), cut(500), "a digest that never changes proves nothing");
}
