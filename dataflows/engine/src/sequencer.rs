//! Cuts epochs: which judged records are bound next, and in which order they count.
//!
//! Pure. Records are taken one by one from the partition whose clock is furthest behind, so that
//! a backlog is folded roughly in the order of event time; partitions without a clock (the
//! catalogue) come first. Within an epoch, `seq` is the rank by (topic name, partition, offset).

use std::collections::{BTreeMap, VecDeque};

use eddyline_schemas::binding::BoundRange;
use eddyline_schemas::record::{Offset, RangeDigest};
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::TopicPartition;

use crate::bound::{Bound, EpochInput, Header};
use crate::intake::{Judged, Verdict};

/// What is waiting to be bound in one partition.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// Identity of the topic.
    pub(crate) topic_id: [u8; 16],
    /// The next offset to bind.
    pub(crate) bound: Offset,
    /// Whether any binding has listed the partition.
    pub(crate) is_listed: bool,
    /// Clock of the last record taken.
    pub(crate) clock: TimestampMs,
    /// Judged records from `bound` on, each with the offset after it.
    pub(crate) records: VecDeque<Judged>,
}

/// An epoch to propose.
#[derive(Debug)]
pub(crate) struct Cut {
    pub(crate) ranges: Vec<BoundRange>,
    pub(crate) input: EpochInput,
}

/// Takes up to `limit` records; `None` when nothing waits.
pub(crate) fn cut(
    waiting: &mut BTreeMap<TopicPartition, Waiting>,
    limit: usize,
    logical_time: TimestampMs,
) -> Option<Cut> {
    let mut taken: BTreeMap<TopicPartition, Vec<Judged>> = BTreeMap::new();
    for _ in 0..limit {
        let behind = waiting
            .iter_mut()
            .filter(|(_, waiting)| !waiting.records.is_empty())
            .min_by_key(|(partition, waiting)| (waiting.clock, **partition));
        let Some((&partition, waiting)) = behind else { break };
        let judged = waiting.records.pop_front().expect("it was not empty");
        waiting.clock = judged.clock;
        taken.entry(partition).or_default().push(judged);
    }
    if taken.is_empty() {
        return None;
    }
    let ranges = ranges(waiting, &taken);
    let input = epoch_input(taken.into_values().flatten(), logical_time);
    Some(Cut { ranges, input })
}

fn ranges(
    waiting: &mut BTreeMap<TopicPartition, Waiting>,
    taken: &BTreeMap<TopicPartition, Vec<Judged>>,
) -> Vec<BoundRange> {
    let mut ranges = Vec::new();
    for (&partition, state) in waiting {
        let records = taken.get(&partition).map_or(&[][..], Vec::as_slice);
        if records.is_empty() && state.is_listed {
            continue;
        }
        let mut digest = RangeDigest::default();
        records.iter().for_each(|judged| digest.add(judged.offset, judged.hash));
        let start = state.bound;
        state.bound = records.last().map_or(start, |last| last.offset + 1);
        state.is_listed = true;
        ranges.push(BoundRange {
            partition,
            topic_id: state.topic_id,
            start,
            end: state.bound,
            count: digest.count(),
            digest: digest.finish(),
        });
    }
    ranges
}

/// Numbers judged records that come in the order of (topic name, partition, offset).
pub(crate) fn epoch_input(
    judged: impl IntoIterator<Item = Judged>,
    logical_time: TimestampMs,
) -> EpochInput {
    let mut header = Header { logical_time, ..Header::default() };
    let mut events = Vec::new();
    for (seq, judged) in judged.into_iter().enumerate() {
        header.accepted += 1;
        header.logical_time =
            judged.event_time().map_or(header.logical_time, |t| t.max(header.logical_time));
        match judged.verdict {
            Verdict::Valid(event) => events.push(Bound { seq: seq as u32, event }),
            Verdict::Late => header.late += 1,
            Verdict::DeadLetter(_) => header.dead_letter += 1,
        }
    }
    EpochInput { header, events }
}
