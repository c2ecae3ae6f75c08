//! What a thread of the dataflow is at, so that a panic can be laid to the record that was folded.
//!
//! Two thread-local cells: the operator with its epoch, and the record. The loops over events set
//! the record, which costs a store each. A panic leaves them as they are, for whoever tells of it;
//! an operator that ends well clears them. What ends a process without a panic (SIGKILL, no memory
//! left) tells of nothing.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use eddyline_connect::panic_on;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;

/// Who can be at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reads records and judges them, before they are bound or when they are folded again.
    Intake,
    /// Drops what was seen before.
    Dedupe,
    /// Numbers items.
    Resolve,
    /// The read phase.
    Learn,
    /// The apply phase.
    Apply,
    /// Counts categories and brands.
    Preferences,
    /// None of these: between two of them.
    Between,
}

impl Stage {
    /// Those that fold records one by one, by name.
    pub const OF_RECORDS: &[&str] = &["intake", "dedupe", "resolve", "learn", "apply"];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Dedupe => "dedupe",
            Self::Resolve => "resolve",
            Self::Learn => "learn",
            Self::Apply => "apply",
            Self::Preferences => "preferences",
            Self::Between => "between",
        }
    }
}

/// A record of an input topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordAt {
    /// Where it lies.
    pub partition: TopicPartition,
    /// Where in its partition.
    pub offset: Offset,
}

impl fmt::Display for RecordAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {} of {}", self.offset, self.partition)
    }
}

/// What a thread is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtWork {
    /// Who.
    pub operator: Stage,
    /// In which epoch; `None` where that is not known, or there is none yet.
    pub epoch: Option<Epoch>,
    /// The record that is being folded, if it is one alone.
    pub record: Option<RecordAt>,
}

impl fmt::Display for AtWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = self.operator.name();
        match (self.record, self.epoch) {
            (Some(record), Some(epoch)) => write!(f, "{operator} folded {record} in epoch {epoch}"),
            (Some(record), None) => write!(f, "{operator} read {record}"),
            (None, Some(epoch)) => write!(f, "{operator} was at epoch {epoch}, at no one record"),
            (None, None) => {
                write!(f, "no one operator was at work, in epoch {} or before", newest_epoch())
            }
        }
    }
}

thread_local! {
    static PLACE: Cell<Option<(Stage, Option<Epoch>)>> = const { Cell::new(None) };
    static RECORD: Cell<Option<RecordAt>> = const { Cell::new(None) };
}

static NEWEST: AtomicU64 = AtomicU64::new(0);

/// What this thread is at; `None` on a thread that is not of the dataflow.
#[must_use]
pub fn at_work() -> Option<AtWork> {
    let (operator, epoch) = PLACE.get()?;
    Some(AtWork { operator, epoch, record: RECORD.get() })
}

/// The newest epoch that this process has begun to fold.
#[must_use]
pub fn newest_epoch() -> Epoch {
    Epoch(NEWEST.load(Ordering::Relaxed))
}

/// This thread is of the dataflow from now on.
pub(crate) fn thread_begins() {
    PLACE.set(Some((Stage::Between, None)));
}

/// Does `work` as `operator`. A panic leaves behind what it was at.
pub(crate) fn within<T>(operator: Stage, epoch: Option<Epoch>, work: impl FnOnce() -> T) -> T {
    if let Some(epoch) = epoch {
        NEWEST.fetch_max(epoch.0, Ordering::Relaxed);
    }
    let before = PLACE.replace(Some((operator, epoch)));
    let done = work();
    no_record();
    PLACE.set(before);
    done
}

/// The next thing that is folded is this record.
#[inline]
pub(crate) fn on_record(record: RecordAt) {
    RECORD.set(Some(record));
    if panic_on::is_armed()
        && let Some((operator, _)) = PLACE.get()
    {
        panic_on::reach(operator.name(), record.partition, record.offset);
    }
}

/// What comes next is about no one record.
#[inline]
pub(crate) fn no_record() {
    RECORD.set(None);
}

#[cfg(test)]
mod tests {
    use eddyline_schemas::topic::Topic;

    use super::*;

    const RECORD_17: RecordAt = RecordAt {
        partition: TopicPartition { topic: Topic::UserEvents, partition: 0 },
        offset: 17,
    };

    #[test]
    fn a_panic_leaves_behind_what_was_folded_and_a_good_end_does_not() {
        let told = std::thread::spawn(|| {
            assert_eq!(at_work(), None);
            thread_begins();
            within(Stage::Dedupe, Some(Epoch(3)), || on_record(RECORD_17));
            let idle = at_work().map(|at| (at.operator, at.epoch, at.record));
            assert_eq!(idle, Some((Stage::Between, None, None)));
            let fall = || {
                within(Stage::Learn, Some(Epoch(3)), || {
                    on_record(RECORD_17);
                    panic!("as a bug would");
                })
            };
            assert!(std::panic::catch_unwind(fall).is_err());
            at_work().expect("it is of the dataflow").to_string()
        });
        let told = told.join().expect("all of it held");
        assert_eq!(told, "learn folded offset 17 of user_events/0 in epoch 3");
    }
}
