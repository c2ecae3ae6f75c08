//! What becomes of a record before any fold sees it: decoded, refused, or late.
//!
//! A partition's clock is the greatest event time among its valid records so far, in offset order.
//! A record is late iff its event time is more than the allowance behind its own partition's
//! clock. Catalogue records have no event time: they move no clock and are never late. All of this
//! is a pure fold over one partition in offset order, so epochs do not matter to it.

use std::sync::Arc;

use eddyline_schemas::decode::{Refusal, RefusalKind, decode_record};
use eddyline_schemas::record::{Digest, Offset, Record};
use eddyline_schemas::time::{HOUR_MS, TimestampMs};
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::bound::{DecodedEvent, EventTimes};

/// A record, judged.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) offset: Offset,
    pub(crate) hash: Digest,
    pub(crate) verdict: Verdict,
    /// The partition's clock once the record is read.
    pub(crate) clock: TimestampMs,
}

#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Valid(Arc<DecodedEvent>),
    Late,
    DeadLetter(Box<Refusal>),
}

impl Judged {
    /// What the record says of logical time, if anything.
    pub(crate) fn event_time(&self) -> Option<TimestampMs> {
        match &self.verdict {
            Verdict::Valid(event) if event.at.topic != Topic::ItemEvents => Some(event.event_time),
            Verdict::Valid(_) | Verdict::Late | Verdict::DeadLetter(_) => None,
        }
    }
}

/// The fold over one partition.
#[derive(Clone, Debug)]
pub(crate) struct PartitionClock {
    at: TopicPartition,
    allowance_ms: i64,
    clock: TimestampMs,
}

impl PartitionClock {
    pub(crate) fn new(at: TopicPartition, allowance_ms: i64) -> Self {
        Self::at(at, allowance_ms, TimestampMs(i64::MIN))
    }

    /// Goes on from a clock; `i64::MIN` is none.
    pub(crate) fn at(at: TopicPartition, allowance_ms: i64, clock: TimestampMs) -> Self {
        Self { at, allowance_ms, clock }
    }

    /// The clock as of the last record judged.
    pub(crate) fn now(&self) -> TimestampMs {
        self.clock
    }

    /// Judges the next record of the partition. One that was erased is as if it had never been valid.
    pub(crate) fn judge(&mut self, offset: Offset, record: &Record) -> Judged {
        if record.erased.is_some() {
            return self.skip(offset, record, refused("erased on request"));
        }
        let verdict = match decode_record(self.at, offset, record) {
            Err(refusal) => Verdict::DeadLetter(Box::new(refusal)),
            Ok(event) => {
                let event_time = event.timestamp.unwrap_or(record.append_time);
                if self.is_late(event_time) {
                    Verdict::Late
                } else {
                    let clock_hour = self.advance(event_time, record.append_time);
                    let times = EventTimes { event_time, clock_hour };
                    Verdict::Valid(Arc::new(DecodedEvent::new(self.at, offset, times, event)))
                }
            }
        };
        Judged { offset, hash: record.hash(), verdict, clock: self.clock }
    }

    /// A record that is passed over: it moves nothing.
    pub(crate) fn skip(&self, offset: Offset, record: &Record, refusal: Refusal) -> Judged {
        let verdict = Verdict::DeadLetter(Box::new(refusal));
        Judged { offset, hash: record.hash(), verdict, clock: self.clock }
    }

    fn is_late(&self, event_time: TimestampMs) -> bool {
        let has_clock = self.at.topic != Topic::ItemEvents && self.clock.0 > i64::MIN;
        has_clock && event_time < self.clock.plus_ms(-self.allowance_ms)
    }

    /// Moves the clock; the hour by which dedupe remembers the record. Catalogue records go by
    /// append time, which the log never turns back.
    fn advance(&mut self, event_time: TimestampMs, append_time: TimestampMs) -> i64 {
        if self.at.topic == Topic::ItemEvents {
            return append_time.0.div_euclid(HOUR_MS);
        }
        self.clock = self.clock.max(event_time);
        self.clock.0.div_euclid(HOUR_MS)
    }
}

/// Why a record is passed over that nobody looks at.
pub(crate) fn refused(why: &str) -> Refusal {
    let (kind, pointer) = (RefusalKind::InvalidField, String::new());
    Refusal { kind, pointer, detail: why.to_owned(), event_id: None }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record(timestamp_s: i64, topic: Topic) -> Record {
        let value = match topic {
            Topic::ItemEvents => {
                r#"{"event_type":"item_upsert","item_id":"i","item":{}}"#.to_owned()
            }
            _ => format!(
                r#"{{"event_type":"view","user_id":"u","item_id":"i","timestamp":{timestamp_s}}}"#
            ),
        };
        Record {
            append_time: TimestampMs(2_000_000_000_000),
            key: Bytes::new(),
            value: Bytes::from(value),
            headers: Vec::new(),
            erased: None,
        }
    }

    #[test]
    fn late_is_behind_the_partitions_own_clock() {
        let at = TopicPartition { topic: Topic::UserEvents, partition: 0 };
        let mut clock = PartitionClock::new(at, 48 * HOUR_MS);
        let hour = 3_600;
        let mut check = |time, want: bool| {
            let judged = clock.judge(0, &record(time, Topic::UserEvents));
            assert_eq!(matches!(judged.verdict, Verdict::Valid(_)), want, "{judged:?}");
        };
        check(1_000_000, true);
        check(1_000_000 + 100 * hour, true);
        check(1_000_000 + 52 * hour, true);
        check(1_000_000 + 51 * hour, false);
        check(1_000_000 + 100 * hour, true);
    }

    #[test]
    fn an_undated_catalogue_in_front_makes_no_history_late() {
        let at = TopicPartition { topic: Topic::ItemEvents, partition: 0 };
        let mut clock = PartitionClock::new(at, 0);
        let judged = clock.judge(0, &record(0, Topic::ItemEvents));
        assert!(matches!(judged.verdict, Verdict::Valid(_)), "{judged:?}");
        assert_eq!(judged.event_time(), None);
        assert_eq!(judged.clock, TimestampMs(i64::MIN));
    }

    #[test]
    fn an_erased_record_is_a_dead_letter_with_its_old_hash_and_moves_nothing() {
        let at = TopicPartition { topic: Topic::UserEvents, partition: 0 };
        let mut clock = PartitionClock::new(at, 0);
        let was = record(5, Topic::UserEvents);
        let judged = clock.judge(0, &Record::erased(was.append_time, was.hash()));
        assert!(matches!(judged.verdict, Verdict::DeadLetter(_)));
        assert_eq!((judged.hash, judged.clock), (was.hash(), TimestampMs(i64::MIN)));
    }

    #[test]
    fn a_bad_record_is_a_dead_letter_and_moves_nothing() {
        let at = TopicPartition { topic: Topic::UserEvents, partition: 0 };
        let mut clock = PartitionClock::new(at, 0);
        let mut bad = record(5, Topic::UserEvents);
        bad.value = Bytes::from_static(b"{nonsense");
        let judged = clock.judge(0, &bad);
        assert!(matches!(judged.verdict, Verdict::DeadLetter(_)));
        assert_eq!(judged.clock, TimestampMs(i64::MIN));
    }
}
