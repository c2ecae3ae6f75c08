//! The digest of a log's state, folded from epoch 0 under the recorded bindings.

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_dataflows::{Arrival, Refold, StateDigest, last_bound_epoch, refold};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::lineage::Epoch;

use crate::ReplayError;

/// Folds `log` with `workers` threads up to `until`, or to the last bound epoch. Equal to what the
/// live process held at that epoch, for any number of workers, when `core` is the same.
pub fn recompute(
    log: Arc<dyn EventLog>,
    core: &CoreConfig,
    workers: usize,
    until: Option<Epoch>,
) -> Result<StateDigest, ReplayError> {
    let last = last_bound_epoch(Arc::clone(&log))?;
    if let Some(asked) = until.filter(|asked| *asked > last) {
        return Err(ReplayError::NoSuchEpoch { asked, last });
    }
    let how = Refold { workers, until, arrival: Arrival::ByPartition };
    Ok(refold(core, log, how, Box::new(drop))?)
}
