//! Where the log is read on, made up.

use std::collections::BTreeMap;

use eddyline_dataflows::snapshot::LogPosition;
use eddyline_schemas::binding::{BindingFold, FoldState, Term, WriterId};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Digest;
use eddyline_schemas::snapshot::PartitionPosition;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};

/// A position at `epoch`, as a driver would give it, of made-up partitions.
pub(crate) fn position_at(epoch: Epoch) -> LogPosition {
    let at = |topic, partition| TopicPartition { topic, partition };
    let bound = BTreeMap::from([
        (at(Topic::ItemEvents, 0), epoch.0 * 3),
        (at(Topic::UserEvents, 1), epoch.0 * 40),
    ]);
    let known = |of: &TopicPartition| PartitionPosition {
        topic_id: [of.partition as u8; 16],
        clock: (of.topic == Topic::UserEvents).then_some(TimestampMs(1_000 + epoch.0 as i64)),
    };
    let skipped = [(at(Topic::UserEvents, 1), epoch.0 * 40 + 7)];
    LogPosition {
        partitions: bound.keys().map(|of| (*of, known(of))).collect(),
        skipped: skipped.into_iter().collect(),
        next_binding: epoch.0 + 1,
        fold: BindingFold::from(FoldState {
            term: Term(3),
            writer: WriterId([9; 16]),
            epoch,
            chain: Digest::of(&epoch.0.to_le_bytes()),
            logical_time: TimestampMs(2_000),
            bound,
        }),
    }
}
