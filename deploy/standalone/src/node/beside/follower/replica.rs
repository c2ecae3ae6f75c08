//! Follows the deltas that a dataflow publishes of the lineage.

use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::deltas::DeltaReader;
use eddyline_serving::state::ServingState;

use super::{Surroundings, Told};
use crate::config::Config;
use crate::exit::Outcome;
use crate::node::bootstrap::Source;
use crate::node::bound::is_passing;

/// Longest wait for deltas.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Rest before the log, or a store, is asked again.
const RETRY: Duration = Duration::from_millis(200);

pub(super) fn run(told: &Arc<Told>, config: &Config, around: &Surroundings) -> Outcome {
    let open = || {
        let state = ServingState::new(config.serving.clone()).beside(around.store.clone());
        let (source, reader) = Source::open(config, &around.log, &state)?;
        Ok((Arc::new(state), source, reader))
    };
    let Some((state, source, reader)) = told.patiently(open)? else { return Ok(()) };
    let epoch = state.progress().epoch;
    let _reindexer = told.show(&state, epoch, &around.switch)?;
    let mut replica = Replica { told, state, source, reader };
    while !told.is_over() {
        match replica.step() {
            Ok(()) => {}
            Err(error) if is_passing(&error) => {
                tracing::warn!(error = format!("{error:#}"), "the log cannot be read now");
                std::thread::sleep(RETRY);
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(lineage = %told.lineage, error, "stays at the epoch that it has");
                told.fail(Some(error));
                replica.wait_for_snapshot();
            }
        }
    }
    Ok(())
}

struct Replica<'t> {
    told: &'t Told,
    state: Arc<ServingState>,
    source: Source,
    reader: DeltaReader,
}

impl Replica<'_> {
    fn step(&mut self) -> anyhow::Result<()> {
        if let Some(deltas) = self.reader.next_epoch(LOOK_EVERY)? {
            let epoch = deltas.epoch;
            self.state.apply(deltas)?;
            self.told.reach(epoch);
        }
        Ok(())
    }

    /// Returns with what to follow next, or at the end.
    fn wait_for_snapshot(&mut self) {
        while !self.told.is_over() {
            match self.source.resync(&self.state) {
                Ok(Some(reader)) => {
                    self.reader = reader;
                    self.told.reach(self.state.progress().epoch);
                    self.told.fail(None);
                    return;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "no snapshot to go on from");
                }
            }
            std::thread::sleep(RETRY);
        }
    }
}
