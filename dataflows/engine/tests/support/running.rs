//! Runs the real engine and the real refold, and waits for what they say; never for the clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use eddyline_connect::log::EventLog;
use eddyline_dataflows::{
    Arrival, Engine, EngineConfig, EngineError, EpochLimits, Refold, StateDigest, refold, start,
};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::Epoch;

/// Turns of waiting before a test says that the engine hangs. Each is at most [`TURN`].
const TURNS: usize = 6_000;
const TURN: Duration = Duration::from_millis(10);

/// Waits until `is_so`, looking again whenever an epoch commits.
pub(crate) fn wait_until(engine: &Engine, what: &str, is_so: impl Fn(&Engine) -> bool) {
    for _ in 0..TURNS {
        if is_so(engine) {
            return;
        }
        let _ = engine.wait_committed(engine.status().committed_epoch.next(), TURN);
    }
    panic!("{what} never happened: {:?}", engine.status());
}

/// Waits until all that lies on the log is committed.
pub(crate) fn wait_drained(engine: &Engine) {
    wait_until(engine, "an empty backlog", |engine| {
        let status = engine.status();
        assert_eq!(status.failure, None);
        let is_bound = status.is_recovered && status.lag_records == 0;
        is_bound && status.committed_epoch == status.bound_epoch
    });
}

/// Starts an engine that cuts epochs of `events`.
pub(crate) fn started(
    core: &CoreConfig,
    log: &Arc<dyn EventLog>,
    events: usize,
    sink: eddyline_dataflows::Sink,
) -> Engine {
    let epoch = EpochLimits { events, wait: Duration::from_millis(2), backlog_events: events };
    let config = EngineConfig { core: core.clone(), workers: 2.into(), epoch };
    start(config, Arc::clone(log), sink).expect("the configuration is right")
}

/// Binds and folds everything that lies on the log.
pub(crate) fn bind_all(core: &CoreConfig, log: &Arc<dyn EventLog>, events: usize) -> StateDigest {
    let engine = started(core, log, events, Box::new(|_| {}));
    wait_drained(&engine);
    engine.shutdown().expect("nothing was wrong")
}

/// The deltas of every epoch, folded again.
pub(crate) fn refolded(
    core: &CoreConfig,
    log: &Arc<dyn EventLog>,
    workers: usize,
    until: Option<Epoch>,
) -> Result<(StateDigest, Vec<EpochDeltas>), EngineError> {
    let epochs = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&epochs);
    let keep = move |committed: eddyline_dataflows::Committed| {
        seen.lock().expect("no test panics while it holds the epochs").push(committed.deltas);
    };
    let how = Refold { workers, until, arrival: Arrival::ByPartition };
    let digest = refold(core, Arc::clone(log), how, Box::new(keep))?;
    let epochs = std::mem::take(&mut *epochs.lock().expect("the fold is over"));
    for epoch in &epochs {
        let is_strictly_sorted = epoch.deltas.is_sorted_by(|a, b| a.cmp_key(b).is_lt());
        assert!(is_strictly_sorted, "epoch {} has each key once, in order", epoch.epoch);
    }
    Ok((digest, epochs))
}
