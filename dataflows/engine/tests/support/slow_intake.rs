//! The oracle of intake: every bound record, judged once, by the obvious and slow version of each
//! rule. It knows the bindings and the records; it knows nothing of the engine.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::decode::decode_record;
use eddyline_schemas::delta::PipelineCounts;
use eddyline_schemas::event::Event;
use eddyline_schemas::id::IdHash;
use eddyline_schemas::record::{KeyHasher, Record};
use eddyline_schemas::time::{HOUR_MS, TimestampMs};
use eddyline_schemas::topic::{Topic, TopicPartition};

use super::accepted::accepted_bindings;

/// An event that is neither refused nor late nor a duplicate.
#[derive(Clone, Debug)]
pub(crate) struct Fresh {
    pub(crate) at: TopicPartition,
    pub(crate) time: TimestampMs,
    pub(crate) event: Event,
}

/// One epoch as bound, its fresh events in the order in which they count.
#[derive(Clone, Debug)]
pub(crate) struct SlowEpoch {
    pub(crate) logical_time: TimestampMs,
    pub(crate) fresh: Vec<Fresh>,
    /// Sums since the first epoch.
    pub(crate) counts: PipelineCounts,
}

/// Judges every bound record.
pub(crate) fn slow_epochs(log: &dyn EventLog, core: &CoreConfig) -> Vec<SlowEpoch> {
    let mut intake = SlowIntake { core: core.clone(), ..SlowIntake::default() };
    let mut logical_time = TimestampMs(0);
    let mut epochs = Vec::new();
    for binding in accepted_bindings(log) {
        let mut fresh = Vec::new();
        for range in &binding.ranges {
            let limit =
                ReadLimit { records: (range.end - range.start) as usize, bytes: usize::MAX };
            let batch = log.read(range.partition, range.start, limit).expect("bound, so readable");
            assert_eq!(batch.next, range.end, "every bound record is there");
            for (offset, record) in batch.records {
                let valid_time = intake.judge((range.partition, offset), &record, &mut fresh);
                logical_time = valid_time.map_or(logical_time, |time| time.max(logical_time));
            }
        }
        assert_eq!(binding.logical_time, logical_time, "epoch {}", binding.epoch);
        epochs.push(SlowEpoch { logical_time, fresh, counts: intake.counts });
    }
    epochs
}

#[derive(Default)]
struct SlowIntake {
    core: CoreConfig,
    clocks: BTreeMap<TopicPartition, TimestampMs>,
    known: Vec<(IdHash, TopicPartition, i64)>,
    runs: BTreeSet<(u8, TopicPartition, i64)>,
    counts: PipelineCounts,
}

impl SlowIntake {
    /// Counts a record once; its event time if that enters logical time.
    fn judge(
        &mut self,
        (at, offset): (TopicPartition, u64),
        record: &Record,
        fresh: &mut Vec<Fresh>,
    ) -> Option<TimestampMs> {
        self.counts.accepted += 1;
        let Ok(event) = decode_record(at, offset, record) else {
            self.counts.dead_letter += 1;
            return None;
        };
        let time = event.timestamp.unwrap_or(record.append_time);
        let is_catalogue = at.topic == Topic::ItemEvents;
        let clock = self.clocks.get(&at).copied().unwrap_or(time);
        if !is_catalogue && time.0 < clock.0 - self.core.late_allowance_ms() {
            self.counts.late += 1;
            return None;
        }
        let clock = clock.max(time);
        self.clocks.insert(at, clock);
        let hour = if is_catalogue { record.append_time } else { clock }.0.div_euclid(HOUR_MS);
        if self.is_known(at, hour, event.event_id.as_str()) {
            self.counts.duplicate += 1;
        } else {
            self.counts.applied += 1;
            fresh.push(Fresh { at, time, event });
        }
        (!is_catalogue).then_some(time)
    }

    /// Remembers an id. Ids of a shard are forgotten by whole hours, when an hour begins.
    fn is_known(&mut self, at: TopicPartition, hour: i64, id: &str) -> bool {
        let mut hasher = KeyHasher::default();
        hasher.update(at.topic.name().as_bytes());
        hasher.update(&[0]);
        hasher.update(id.as_bytes());
        let hash = hasher.finish();
        if self.known.iter().any(|known| known.0 == hash) {
            return true;
        }
        self.known.push((hash, at, hour));
        if self.runs.insert((hash.shard(), at, hour)) {
            let first = hour - i64::from(self.core.dedupe.horizon_hours);
            let is_old = |of: &(IdHash, TopicPartition, i64)| {
                of.0.shard() == hash.shard() && of.1 == at && of.2 < first
            };
            self.known.retain(|known| !is_old(known));
        }
        false
    }
}
