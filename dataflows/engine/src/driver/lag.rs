//! How far the inputs are folded, told to the log from time to time, for tools that watch lag.
//!
//! Truth is in the bindings: what is told here is never read back, a failure is logged and
//! forgotten, and nothing waits for it. Positions are told once their epoch is acknowledged.

use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::TopicPartition;

use super::Driver;
use super::rules::Rules;

/// Between two times of telling.
const EVERY_MS: i64 = 5_000;

/// See the module doc.
#[derive(Debug, Default)]
pub(super) struct Lag {
    /// When positions were noted last.
    noted_at: Option<TimestampMs>,
    /// Positions as of an epoch, to be told once it is acknowledged.
    noted: Option<(Epoch, Vec<(TopicPartition, Offset)>)>,
    /// The epoch that was noted last.
    newest: Epoch,
}

impl<R: Rules> Driver<R> {
    /// Tells what is due.
    pub(super) fn tell_progress(&mut self, now: TimestampMs) {
        let acknowledged = self.acknowledged();
        if let Some((_, progress)) = self.lag.noted.take_if(|(epoch, _)| *epoch <= acknowledged) {
            self.commit_group(&progress);
        }
        // A clock that was set back is no reason to wait.
        let is_due = self.lag.noted_at.is_none_or(|at| !(0..EVERY_MS).contains(&now.since(at)));
        let epoch = self.bindings.fold.epoch();
        if is_due && self.lag.noted.is_none() && epoch > self.lag.newest {
            self.lag.noted_at = Some(now);
            self.lag.newest = epoch;
            self.lag.noted = Some((epoch, self.positions()));
        }
    }

    /// Tells where everything stands that is bound; all of it is acknowledged.
    pub(super) fn tell_last_progress(&self) {
        self.commit_group(&self.positions());
    }

    fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        self.bindings.fold.bound().iter().map(|(&at, &next)| (at, next)).collect()
    }

    fn commit_group(&self, progress: &[(TopicPartition, Offset)]) {
        if let Err(error) = self.ports.log.commit_group(progress) {
            let error = &*error as &dyn std::error::Error;
            tracing::warn!(error, "tools that watch lag are not told");
        }
    }
}
