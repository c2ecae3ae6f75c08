//! Two engines on one log: the one that fences last goes on, the other stops and says why, and no
//! record is lost or counted twice.

mod support {
    pub(crate) mod accepted;
    pub(crate) mod contents;
    pub(crate) mod pinned_log;
    pub(crate) mod rebind;
    pub(crate) mod running;
    pub(crate) mod shop;
}

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_dataflows::EngineError;
use eddyline_model::config::CoreConfig;
use eddyline_schemas::binding::Term;
use eddyline_schemas::codec::encode_binding;

use support::accepted::accepted_bindings;
use support::contents::binding_values;
use support::pinned_log::PinnedLog;
use support::rebind::rebind;
use support::running::{bind_all, refolded, started, wait_drained, wait_until};
use support::shop::Shop;

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core
}

#[test]
fn the_newer_engine_goes_on_and_the_older_one_says_that_it_is_fenced() {
    let mut shop = Shop::new(3);
    let pinned = PinnedLog::holding(&shop.records(900));
    let log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&pinned);
    let older = started(&core(), &log, 64, Box::new(|_| {}));
    wait_drained(&older);

    let newer = started(&core(), &log, 50, Box::new(|_| {}));
    wait_drained(&newer);
    assert_eq!(older.status().failure, None, "it has not tried to bind since");
    let fenced_at = older.status().committed_epoch;

    // A large batch at a time: both engines see enough to bind at once.
    for _ in 0..6 {
        shop.records(150).iter().for_each(|stored| pinned.store(stored));
        wait_drained(&newer);
    }
    wait_until(&older, "the end of the older engine", |older| older.status().failure.is_some());
    let failure = older.status().failure.expect("it was there a moment ago");
    assert!(failure.contains("another process writes bindings"), "{failure}");
    assert_eq!(older.status().committed_epoch, fenced_at, "it has handed out nothing since");
    assert!(matches!(older.state_digest(), Err(EngineError::Stopped(_))));
    assert!(matches!(older.shutdown(), Err(EngineError::Fenced(Term(2)))));

    let counts = newer.status().counts;
    let digest = newer.shutdown().expect("it is in force");
    let (again, epochs) = refolded(&core(), &log, 1, None).expect("folds");
    assert_eq!(again, digest);
    assert_eq!(counts.accepted, 900 + 6 * 150, "each record once");
    let bound = accepted_bindings(&*log);
    assert_eq!(epochs.len(), bound.len());
    let of_all = bound.iter().flat_map(|binding| &binding.ranges).map(|range| range.count);
    assert_eq!(of_all.sum::<u64>(), counts.accepted, "each record is bound once");
}

#[test]
fn engines_that_take_over_from_each_other_make_one_history() {
    let mut shop = Shop::new(4);
    let pinned = PinnedLog::holding(&shop.records(300));
    let log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&pinned);
    let mut running = started(&core(), &log, 40, Box::new(|_| {}));
    for _ in 0..4 {
        // The next engine starts in the middle of the backlog of the one before.
        shop.records(400).iter().for_each(|stored| pinned.store(stored));
        let next = started(&core(), &log, 40, Box::new(|_| {}));
        wait_drained(&next);
        drop(running);
        running = next;
    }
    let digest = running.shutdown().expect("it is in force");
    let (again, epochs) = refolded(&core(), &log, 2, None).expect("folds");
    assert_eq!(again, digest);
    let counts = epochs.last().expect("the stream has epochs").counts;
    assert_eq!(counts.accepted, 300 + 4 * 400, "each record once");
}

#[test]
fn void_bindings_change_nothing() {
    let log = PinnedLog::holding(&Shop::new(5).records(600));
    let as_log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&log);
    let digest = bind_all(&core(), &as_log, 64);
    // Retries of all that was ever written, and a binding of a writer that was never in force.
    rebind(&*log, binding_values(&*log));
    let mut zombie = accepted_bindings(&*log).pop().expect("the stream has epochs");
    zombie.epoch = zombie.epoch.next();
    zombie.writer.0[0] ^= 1;
    let zombie = eddyline_schemas::binding::BindingRecord::Binding(zombie);
    rebind(&*log, [encode_binding(&zombie).into()]);
    let (again, _) = refolded(&core(), &as_log, 2, None).expect("folds");
    assert_eq!(again, digest);
}

#[test]
fn an_engine_starts_behind_any_number_of_void_bindings() {
    let log = PinnedLog::holding(&Shop::new(5).records(300));
    let as_log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&log);
    let digest = bind_all(&core(), &as_log, 64);
    // More than any reader takes at once.
    let retry = binding_values(&*log).pop().expect("the stream has epochs");
    rebind(&*log, std::iter::repeat_n(retry, 20_000));
    assert_eq!(bind_all(&core(), &as_log, 64), digest);
    let (again, _) = refolded(&core(), &as_log, 1, None).expect("folds");
    assert_eq!(again, digest);
}
