//! How far the log is bound, compared with what was derived from it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_connect::log::EventLog;
use eddyline_dataflows::BoundFollower;
use eddyline_schemas::lineage::Epoch;

use crate::exit::{Exit, OrStop, Outcome};

/// How late bindings that another process wrote may show.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Rest between two looks.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The last bound epoch, once it is at least `derived`, or cannot be. Another dataflow may be at
/// work, until it is deposed: its bindings may show a moment later than what came behind them.
pub(super) fn bound_epoch(log: &Arc<dyn EventLog>, derived: Epoch) -> Outcome<Epoch> {
    let mut bindings = BoundFollower::new(Arc::clone(log));
    let (bound, started) = (bindings.positions(), Instant::now());
    loop {
        bindings.read_on().or_stop(Exit::Failure, || "reading the bindings".into())?;
        if bound.epoch() >= derived || started.elapsed() >= PATIENCE {
            return Ok(bound.epoch());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}
