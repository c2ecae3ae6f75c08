//! Folds the lineage here: into a state that answers, or onto the topic of deltas.

use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::deltas::{DeltaError, DeltaPublisher};
use eddyline_replay::following::{Follow, Take, follow};
use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::Epoch;
use eddyline_serving::state::ServingState;

use super::{Role, Surroundings, Told};
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome};
use crate::node::emission::may_pass;
use crate::node::publishing::open_publisher;
use crate::node::snapshots::{Kept, restore};

/// Rest before an epoch is published again.
const RETRY: Duration = Duration::from_millis(100);

pub(super) fn run(told: &Arc<Told>, config: &Config, around: &Surroundings) -> Outcome {
    let Some(kept) = told.patiently(|| Kept::open(config, &around.log))? else { return Ok(()) };
    let epoch = kept.from.as_ref().map_or(Epoch(0), |from| from.epoch());
    let (take, _reindexer) = match around.role {
        Role::Dataflow => {
            let mut publisher = open_publisher(&around.log, told.lineage)?;
            publisher.go_on_from(epoch);
            told.begin(epoch);
            (publishing(Arc::clone(told), publisher), None)
        }
        Role::Up | Role::Serve => {
            let state = ServingState::new(config.serving.clone()).beside(around.store.clone());
            let state = Arc::new(state);
            if let Some(from) = &kept.from {
                restore(&state, config, from)?;
            }
            let reindexer = told.show(&state, epoch, &around.switch)?;
            (answering(Arc::clone(told), state), Some(reindexer))
        }
    };
    let Kept { from, writer: snapshots, wish } = kept;
    let receipts = around.receipts.as_ref();
    if let (Some(receipts), Some(wish)) = (receipts, wish) {
        receipts.may_wish(told.lineage, wish);
    }
    let how = Follow { from, workers: config.dataflow.workers, snapshots };
    let followed = follow(&config.core, &around.log, how, take, &told.is_over);
    receipts.iter().for_each(|receipts| receipts.wishes_no_more(told.lineage));
    let digest = followed.or_stop(Exit::Failure, || "following it".into())?;
    let (epoch, digest) = (digest.epoch.0, digest.state_digest);
    tracing::info!(lineage = %told.lineage, epoch, state_digest = %digest, "a lineage is left");
    Ok(())
}

fn answering(told: Arc<Told>, state: Arc<ServingState>) -> Take {
    Box::new(move |deltas| {
        let epoch = deltas.epoch;
        state.apply(deltas)?;
        told.reach(epoch);
        Ok(())
    })
}

/// An epoch is on the topic whole before the next one is taken, and before any snapshot (I5).
fn publishing(told: Arc<Told>, mut publisher: DeltaPublisher) -> Take {
    Box::new(move |deltas| {
        publish(&told, &mut publisher, &deltas)?;
        told.reach(deltas.epoch);
        Ok(())
    })
}

/// Waits until the topic takes it, or the following is over.
fn publish(
    told: &Told,
    publisher: &mut DeltaPublisher,
    deltas: &EpochDeltas,
) -> Result<(), DeltaError> {
    while let Err(error) = publisher.publish(deltas) {
        if !may_pass(&error) || told.is_over() {
            return Err(error);
        }
        tracing::warn!(error = &error as &dyn std::error::Error, "will publish it again");
        std::thread::sleep(RETRY);
    }
    Ok(())
}
