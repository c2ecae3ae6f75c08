//! Quality over recorded history: every event that live would have tested is ranked before it is
//! learned, under any configuration, and two configurations are compared event by event.
//!
//! Epochs are those that were recorded. What is tested is chosen by the configuration
//! (`core.quality.sample_one_in`); since the gate learns from what is tested, another share is
//! another lineage too. Nothing is kept of the state.

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_dataflows::{Arrival, Committed, Refold, StateDigest, refold};
use eddyline_model::config::CoreConfig;
use eddyline_model::metrics::{RankMetrics, TOP, discounted_gain};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::time::{DAY_MS, TimestampMs};
use parking_lot::Mutex;

use crate::ReplayError;

/// Which part of history is reported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reported {
    /// The last epoch; `None` goes on to the end.
    pub until: Option<Epoch>,
    /// Only so many days of logical time before the last epoch.
    pub last_days: Option<u32>,
}

/// A tested event: its epoch and its rank there.
type Place = (Epoch, u32);

/// Ranks of the true item, by model, in the order of [`eddyline_dataflows::rank::MODELS`].
type Ranks = [Option<u64>; 4];

/// What one configuration makes of history.
#[derive(Clone, Debug)]
pub struct Tested {
    /// Lineage, digests and last epoch.
    pub state: StateDigest,
    /// Every reported event.
    pub events: BTreeMap<Place, Ranks>,
}

/// The mean of a paired difference, and how sure it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Difference {
    /// The other one's mean less the original's.
    pub mean: f64,
    /// Standard error of that mean.
    pub standard_error: f64,
}

/// Two configurations over the same events.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Paired {
    /// Events that both tested.
    pub events: u64,
    /// Of HR@10.
    pub hr_at_10: Difference,
    /// Of precision@10: of ten items one is relevant at most, so it is a tenth of HR@10.
    pub precision_at_10: Difference,
    /// Of recall@10: there is one relevant item, so it is HR@10.
    pub recall_at_10: Difference,
    /// Of NDCG@10.
    pub ndcg_at_10: Difference,
    /// Of MRR@10.
    pub mrr_at_10: Difference,
}

/// Folds `log` under `core` from its start and keeps the ranks of what is tested. `told` hears of
/// every epoch.
pub fn test(
    core: &CoreConfig,
    log: &Arc<dyn EventLog>,
    workers: usize,
    reported: Reported,
    mut told: impl FnMut(Epoch) + Send + 'static,
) -> Result<Tested, ReplayError> {
    let kept: Arc<Mutex<Vec<(TimestampMs, Place, Ranks)>>> = Arc::default();
    let into = Arc::clone(&kept);
    let sink = move |committed: Committed| {
        let (epoch, time) = (committed.deltas.epoch, committed.deltas.logical_time);
        let rows = committed.ranked.iter().map(|event| (time, (epoch, event.seq), event.ranks));
        into.lock().extend(rows);
        told(epoch);
    };
    let how = Refold { workers, until: reported.until, arrival: Arrival::ByPartition };
    let state = refold(core, Arc::clone(log), how, Box::new(sink))?;
    let rows = std::mem::take(&mut *kept.lock());
    let end = rows.last().map_or(0, |(time, ..)| time.0);
    let from = reported.last_days.map_or(i64::MIN, |days| end - i64::from(days) * DAY_MS);
    let events = rows.into_iter().filter(|(time, ..)| time.0 > from);
    Ok(Tested { state, events: events.map(|(_, place, ranks)| (place, ranks)).collect() })
}

impl Tested {
    /// Quality of one of the models.
    #[must_use]
    pub fn metrics(&self, model: usize) -> RankMetrics {
        let mut metrics = RankMetrics::default();
        self.events.values().for_each(|ranks| metrics.observe(ranks[model]));
        metrics
    }

    /// How `other` differs over the events that both tested, of the blend that is served.
    #[must_use]
    pub fn compared_with(&self, other: &Self) -> Paired {
        let pair = |(place, ours): (&Place, &Ranks)| Some((ours[0], other.events.get(place)?[0]));
        let pairs: Vec<_> = self.events.iter().filter_map(pair).collect();
        let of = |value: fn(Option<u64>) -> f64| {
            difference(pairs.iter().map(|(ours, theirs)| value(*theirs) - value(*ours)))
        };
        Paired {
            events: pairs.len() as u64,
            hr_at_10: of(hit),
            precision_at_10: of(|rank| hit(rank) / TOP as f64),
            recall_at_10: of(hit),
            ndcg_at_10: of(discounted_gain),
            mrr_at_10: of(reciprocal),
        }
    }
}

fn hit(rank: Option<u64>) -> f64 {
    f64::from(u8::from(rank.is_some_and(|rank| rank < TOP as u64)))
}

fn reciprocal(rank: Option<u64>) -> f64 {
    rank.filter(|rank| *rank < TOP as u64).map_or(0.0, |rank| 1.0 / (rank + 1) as f64)
}

/// Mean and its standard error; zero where there are too few to know.
fn difference(values: impl Iterator<Item = f64> + Clone) -> Difference {
    let count = values.clone().count() as f64;
    if count < 1.0 {
        return Difference::default();
    }
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean) * (value - mean)).sum();
    let standard_error = if count > 1.0 { (squares / (count - 1.0) / count).sqrt() } else { 0.0 };
    Difference { mean, standard_error }
}

#[cfg(test)]
mod tests {
    use eddyline_schemas::lineage::Lineage;
    use eddyline_schemas::record::Digest;

    use super::*;

    fn tested(ranks: &[Option<u64>]) -> Tested {
        let state = StateDigest {
            lineage: Lineage(Digest::default()),
            epoch: Epoch(1),
            state_digest: Digest::default(),
            delta_digest: Digest::default(),
        };
        let events = (0..).zip(ranks).map(|(seq, rank)| ((Epoch(1), seq), [*rank; 4])).collect();
        Tested { state, events }
    }

    #[test]
    fn differences_are_paired() {
        let ours = tested(&[Some(0), Some(20), None, Some(3), Some(0)]);
        let theirs = tested(&[Some(0), Some(1), Some(4), Some(9)]);
        let paired = ours.compared_with(&theirs);
        assert_eq!(paired.events, 4, "what only one tested says nothing");
        let Difference { mean, standard_error } = paired.hr_at_10;
        // 0, 1, 1, 0
        assert!((mean - 0.5).abs() < 1e-12);
        assert!((standard_error - (1.0_f64 / 3.0 / 4.0).sqrt()).abs() < 1e-12);
        let want = ((0.5) + (0.2) + (0.1 - 0.25)) / 4.0;
        assert!((paired.mrr_at_10.mean - want).abs() < 1e-12);
        assert_eq!(ours.compared_with(&tested(&[])).hr_at_10, Difference::default());
    }
}
