//! Folds a log again under the bindings it records, from nothing: recovery without a writer.

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_model::config::CoreConfig;
use eddyline_schemas::binding::Accepted;
use eddyline_schemas::lineage::Epoch;

use crate::bindings::{BindingReader, BoundReader, skips};
use crate::bound::EpochInput;
use crate::cluster::Workers;
use crate::committer::StateDigest;
use crate::error::EngineError;
use crate::flow::Arrival;
use crate::folder::{Folder, Sink};

/// How to fold again. None of it may change the result.
#[derive(Clone, Copy, Debug)]
pub struct Refold {
    /// Threads.
    pub workers: usize,
    /// Stop after this epoch; `None` goes on to the last one bound.
    pub until: Option<Epoch>,
    /// The order in which events arrive at the workers.
    pub arrival: Arrival,
}

/// The state after the last epoch folded. Epochs are those that the log records, never cut anew.
pub fn refold(
    core: &CoreConfig,
    log: Arc<dyn EventLog>,
    how: Refold,
    sink: Sink,
) -> Result<StateDigest, EngineError> {
    refold_on(core, log, (how.workers.into(), how), sink)
}

/// As [`refold`], on these workers instead, of several processes maybe.
pub fn refold_on(
    core: &CoreConfig,
    log: Arc<dyn EventLog>,
    (workers, how): (Workers, Refold),
    sink: Sink,
) -> Result<StateDigest, EngineError> {
    let mut folder = Folder::start(core, workers, sink)?;
    folder.set_arrival(how.arrival);
    for_each_bound(core, log, how.until, |_, input| {
        folder.feed(input);
    })?;
    Ok(folder.end())
}

/// Reads every epoch that the log's bindings make, up to `until`, and checks that the log still
/// holds what was bound.
pub fn for_each_bound(
    core: &CoreConfig,
    log: Arc<dyn EventLog>,
    until: Option<Epoch>,
    mut take: impl FnMut(Epoch, EpochInput),
) -> Result<(), EngineError> {
    let mut bindings = BindingReader::new(Arc::clone(&log));
    let mut bound = BoundReader::new(Arc::clone(&log), core.late_allowance_ms());
    let mut ahead = BindingReader::new(log);
    while !ahead.is_at_end()? {
        skips(&ahead.read()?).for_each(|(partition, offset)| bound.skip(partition, offset));
    }
    let mut is_over = until == Some(Epoch(0));
    while !is_over {
        let accepted = bindings.read()?;
        is_over = accepted.is_empty() && bindings.is_at_end()?;
        for one in accepted {
            match one {
                Accepted::Binding(binding) if !is_over => {
                    take(binding.epoch, bound.read_bound(&binding)?);
                    is_over = until == Some(binding.epoch);
                }
                Accepted::Control(control) => bound.control(&control)?,
                Accepted::Binding(_) | Accepted::Fence(_) => {}
            }
        }
    }
    Ok(())
}

/// The last epoch that the log's bindings make.
pub fn last_bound_epoch(log: Arc<dyn EventLog>) -> Result<Epoch, EngineError> {
    let mut bindings = BindingReader::new(log);
    while !bindings.is_at_end()? {
        bindings.read()?;
    }
    Ok(bindings.fold.epoch())
}
