//! `prequential-v1`: for each event in order, ask for the top 10, note the rank of the item that
//! was taken, then learn the event. Through the same dataflow as live.
//!
//! Candidates are all items that exist by then (the whole catalogue is upserted first) but those
//! that the user has taken; ties go to the older item; a score that is not a number is a miss.
//! The first 10 % warm up, the next 20 % are for tuning, the rest is reported.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use eddyline_dataflows::bound::{Bound, DecodedEvent, EpochInput, EventTimes, Header};
use eddyline_dataflows::rank::RankedEvent;
use eddyline_dataflows::{Committed, Folder};
use eddyline_model::config::CoreConfig;
use eddyline_model::metrics::RankMetrics;
use eddyline_schemas::event::Event;
use eddyline_schemas::record::DigestBuilder;
use eddyline_schemas::time::{HOUR_MS, TimestampMs};
use eddyline_schemas::topic::TopicPartition;

use crate::ReplayError;
use crate::report::{ModelReport, Report};

/// Share of the stream that is not reported, in percent.
const UNREPORTED_PERCENT: usize = 30;

/// Catalogue rows of an epoch.
const CATALOGUE_EPOCH: usize = 1_024;

/// What to evaluate, and how.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Name of the stream, for the report.
    pub dataset: String,
    /// Hyper-parameters; every event is tested, whatever `quality.sample_one_in` says.
    pub core: CoreConfig,
    /// Threads; the result is the same for any number.
    pub workers: usize,
    /// Events of an epoch.
    pub epoch_events: usize,
    /// Catalogue upserts, in front.
    pub catalogue: Vec<Event>,
    /// Positive events, each (user, item) once, ascending by timestamp.
    pub events: Vec<Event>,
}

/// Runs the protocol. `progress` is told the number of events committed so far.
pub fn evaluate(
    evaluation: Evaluation,
    mut progress: impl FnMut(u64) + Send + 'static,
) -> Result<Report, ReplayError> {
    let started = Instant::now();
    let Evaluation { dataset, mut core, workers, epoch_events, catalogue, events } = evaluation;
    core.quality.sample_one_in = 1;
    let total = events.len();
    let epoch_events = epoch_events.max(1);
    let catalogue_epochs = catalogue.len().div_ceil(CATALOGUE_EPOCH) as u64;
    let tally = Arc::new(Mutex::new(Tally::new(total * UNREPORTED_PERCENT / 100)));
    let into = Arc::clone(&tally);
    let sink = move |committed: Committed| {
        let epoch = committed.deltas.epoch.0.saturating_sub(catalogue_epochs + 1);
        let first = usize::try_from(epoch).unwrap_or(usize::MAX).saturating_mul(epoch_events);
        let mut tally = into.lock().expect("only this closure locks it while it runs");
        committed
            .ranked
            .iter()
            .for_each(|ranked| tally.observe(first + ranked.seq as usize, ranked));
        progress((first + epoch_events).min(total) as u64);
    };
    let mut folder = Folder::start(&core, workers, Box::new(sink))?;
    let mut items = 0;
    for epoch in epochs(catalogue, CATALOGUE_EPOCH)? {
        items += epoch.events.len();
        folder.feed(epoch);
    }
    for epoch in epochs(events, epoch_events)? {
        folder.feed(epoch);
    }
    let state_digest = folder.end().state_digest;
    let tally = tally.lock().expect("the sink is gone");
    let seconds = started.elapsed().as_secs_f64();
    Ok(tally.report(Finished { dataset, epoch_events, total, items, seconds, state_digest }))
}

/// Groups events into epochs; their times are their timestamps, which must not descend.
fn epochs(events: Vec<Event>, per_epoch: usize) -> Result<Vec<EpochInput>, ReplayError> {
    let mut logical_time = TimestampMs(0);
    let mut epochs = Vec::new();
    let mut epoch = EpochInput::default();
    for (index, event) in events.into_iter().enumerate() {
        let time = event.timestamp.unwrap_or(logical_time);
        if time < logical_time {
            return Err(ReplayError::Event { index, reason: "is older than the one before it" });
        }
        logical_time = time;
        let at = TopicPartition { topic: event.event_type.topic(), partition: 0 };
        let times = EventTimes { event_time: time, clock_hour: time.0.div_euclid(HOUR_MS) };
        let event = Arc::new(DecodedEvent::new(at, index as u64, times, event));
        epoch.events.push(Bound { seq: epoch.events.len() as u32, event });
        let accepted = epoch.events.len() as u64;
        epoch.header = Header { logical_time, accepted, ..Header::default() };
        if epoch.events.len() == per_epoch {
            epochs.push(std::mem::take(&mut epoch));
        }
    }
    if !epoch.events.is_empty() {
        epochs.push(epoch);
    }
    Ok(epochs)
}

/// Sums over the stream.
struct Tally {
    unreported: usize,
    all: [RankMetrics; 4],
    warm: [RankMetrics; 4],
    new_items: u64,
    ranks: DigestBuilder,
}

struct Finished {
    dataset: String,
    epoch_events: usize,
    total: usize,
    items: usize,
    seconds: f64,
    state_digest: eddyline_schemas::record::Digest,
}

impl Tally {
    fn new(unreported: usize) -> Self {
        let none = || std::array::from_fn(|_| RankMetrics::default());
        Self {
            unreported,
            all: none(),
            warm: none(),
            new_items: 0,
            ranks: DigestBuilder::default(),
        }
    }

    fn observe(&mut self, index: usize, event: &RankedEvent) {
        self.ranks.update(&(index as u64).to_le_bytes());
        for rank in event.ranks {
            self.ranks.update(&rank.map_or(u64::MAX, |rank| rank).to_le_bytes());
        }
        if index < self.unreported {
            return;
        }
        self.new_items += u64::from(event.is_new_item);
        for model in 0..event.ranks.len() {
            self.all[model].observe(event.ranks[model]);
            self.all[model].show(&event.top[model]);
            if event.is_warm {
                self.warm[model].observe(event.ranks[model]);
            }
        }
    }

    fn report(&self, finished: Finished) -> Report {
        let items = finished.items.max(1) as u64;
        let model = |at: usize| ModelReport {
            hr_at_10: self.all[at].hit_rate(),
            ndcg_at_10: self.all[at].ndcg(),
            mrr_at_10: self.all[at].mrr(),
            coverage_at_10: self.all[at].coverage(items),
            warm_hr_at_10: self.warm[at].hit_rate(),
        };
        let scored = self.all[0].events();
        Report {
            dataset: finished.dataset,
            epoch_events: finished.epoch_events as u64,
            events: finished.total as u64,
            scored,
            whole: model(0),
            new_item_share: self.new_items as f64 / scored.max(1) as f64,
            rank_digest: self.ranks.finish(),
            events_per_second: finished.total as f64 / finished.seconds.max(1e-9),
            factors: model(1),
            covisitation: model(2),
            popularity: model(3),
            state_digest: finished.state_digest,
        }
    }
}
