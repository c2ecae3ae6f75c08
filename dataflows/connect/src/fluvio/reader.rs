//! Reading a partition: one fetch at an offset, and what it brought beyond the read.
//!
//! A fetch answers with the whole batch that holds the offset and as many behind it as fit. What a
//! read leaves over is kept for the next one; a read from elsewhere fetches anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::topic::TopicPartition;
use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::record::{Batch, RecordSet};
use fluvio_spu_schema::fetch::{
    DefaultFetchRequest, FetchPartition, FetchablePartitionResponse, FetchableTopic,
};

use super::client::{Client, Trouble, left};
use super::frame::{self, FrameError};
use super::state::State;
use super::watch::Watch;
use crate::log::{BoxError, ReadBatch, ReadError, ReadLimit, check_offset, payload_bytes};

/// Bytes of a usual fetch: more than a batch of ours.
pub(super) const FETCH_BYTES: usize = 2 << 20;
/// Most bytes of a fetch: more than the longest record.
const MOST_FETCH_BYTES: usize = 64 << 20;
/// Pause before a question is repeated.
const STEP: Duration = Duration::from_millis(50);

/// Records that were fetched and not read yet, without a gap.
#[derive(Default)]
pub(super) struct Ahead(VecDeque<(Offset, Record)>);

/// See the module doc.
pub(super) struct Readers {
    pub(super) client: Arc<Client>,
    pub(super) state: Arc<State>,
    pub(super) watch: Arc<Watch>,
}

impl Readers {
    /// As [`EventLog::read`](crate::log::EventLog::read).
    pub(super) fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        let slot = self.state.slot(partition)?;
        if from < slot.start() || from > slot.end() {
            let asked = self.watch.ask_one(partition);
            asked.map_err(|source| ReadError::Unavailable { partition, source })?;
            check_offset(partition, from, slot.start(), slot.end())?;
        }
        let mut ahead = slot.ahead.lock();
        if ahead.0.front().is_none_or(|(offset, _)| *offset != from) {
            ahead.0.clear();
        }
        let mut batch = ReadBatch { records: Vec::new(), next: from };
        let mut bytes = 0;
        while batch.records.len() < limit.records {
            if ahead.0.is_empty() {
                if batch.next >= slot.end() {
                    break;
                }
                ahead.0 = self.fetch(partition, batch.next)?;
            }
            let Some((_, record)) = ahead.0.front() else { break };
            bytes += payload_bytes(&record.key, &record.value, &record.headers);
            if bytes > limit.bytes && !batch.records.is_empty() {
                break;
            }
            batch.records.extend(ahead.0.pop_front());
            batch.next += 1;
        }
        Ok(batch)
    }

    /// At least the record at `from`, which is there; an outage is ridden out.
    fn fetch(
        &self,
        partition: TopicPartition,
        from: Offset,
    ) -> Result<VecDeque<(Offset, Record)>, ReadError> {
        let deadline = Instant::now() + self.client.address.options.patience;
        let mut most = FETCH_BYTES;
        loop {
            let source = match self.fetch_once(partition, from, most, deadline) {
                Ok(found) => match decode(partition, from, found)? {
                    records if !records.is_empty() => return Ok(records),
                    // The batch is longer than the fetch.
                    _ if most < MOST_FETCH_BYTES => {
                        most *= 2;
                        continue;
                    }
                    _ => format!("offset {from} does not come").into(),
                },
                Err(source) => source,
            };
            if let Some(reason) = self.state.stopped() {
                return Err(ReadError::Stopped(reason.to_owned()));
            }
            if Instant::now() >= deadline {
                return Err(ReadError::Unavailable { partition, source });
            }
            std::thread::sleep(STEP);
            // Who leads now, and whether the offset is still there.
            let _ = self.client.describe();
            if self.watch.ask_one(partition).is_ok() {
                let slot = self.state.slot(partition)?;
                check_offset(partition, from, slot.start(), slot.end())?;
            }
        }
    }

    fn fetch_once(
        &self,
        partition: TopicPartition,
        from: Offset,
        most: usize,
        deadline: Instant,
    ) -> Result<Found, BoxError> {
        let leader = self.client.leader(partition).ok_or("it has no leader")?;
        let name = self.client.name(partition.topic);
        let answer = self.client.ask(
            leader,
            request(&self.client, partition, from, most),
            left(deadline),
        )?;
        let found = answer.find_partition(&name, partition.partition);
        let found = found.ok_or("the SPU left it out")?;
        match found.error_code {
            ErrorCode::None => {
                let start = Offset::try_from(found.log_start_offset).unwrap_or(0);
                let high = Offset::try_from(found.high_watermark).unwrap_or(0);
                self.state.trim(partition, start);
                self.state.reach(partition, high);
                Ok(found)
            }
            code => Err(Trouble::Refused(code).into()),
        }
    }
}

type Found = FetchablePartitionResponse<RecordSet>;

/// Asks for the records of `partition` from `from` on.
pub(super) fn request(
    client: &Client,
    partition: TopicPartition,
    from: Offset,
    most: usize,
) -> DefaultFetchRequest {
    let max_bytes = i32::try_from(most).unwrap_or(i32::MAX);
    let part = FetchPartition {
        partition_index: partition.partition,
        fetch_offset: from.cast_signed(),
        max_bytes,
        ..Default::default()
    };
    let name = client.name(partition.topic);
    let mut topic = FetchableTopic { name, ..Default::default() };
    topic.fetch_partitions.push(part);
    DefaultFetchRequest {
        max_bytes,
        isolation_level: client.isolation(partition),
        topics: vec![topic],
        ..Default::default()
    }
}

/// The records from `from` on, each verified; a gap is an error.
fn decode(
    partition: TopicPartition,
    from: Offset,
    found: Found,
) -> Result<VecDeque<(Offset, Record)>, ReadError> {
    let corrupt = |offset: Offset, reason: String| ReadError::Corrupt {
        partition,
        offsets: offset..offset + 1,
        reason,
    };
    let mut records = VecDeque::new();
    let mut next = from;
    for batch in found.records.batches {
        let base = Offset::try_from(batch.base_offset);
        let base = base.map_err(|_| corrupt(next, "its batch has no offset".to_owned()))?;
        if batch.records_len() != batch.records().len() {
            return Err(corrupt(base, "its batch has not as many records as it says".to_owned()));
        }
        for (offset, record) in (base..).zip(own_records(batch)) {
            if offset < next {
                continue;
            }
            if offset > next {
                return Err(corrupt(next, format!("the next record is at {offset}")));
            }
            let record = record.map_err(|error| corrupt(offset, error.to_string()))?;
            records.push_back((offset, record));
            next += 1;
        }
    }
    Ok(records)
}

fn own_records(batch: Batch) -> impl Iterator<Item = Result<Record, FrameError>> {
    batch.own_records().into_iter().map(|record| {
        let bytes = |data: &[u8]| Bytes::copy_from_slice(data);
        let key = record.key().map_or_else(Bytes::new, |key| bytes(key.as_ref()));
        frame::decode(key, &bytes(record.value().as_ref()))
    })
}

#[cfg(test)]
mod tests {
    use eddyline_schemas::time::TimestampMs;
    use eddyline_schemas::topic::Topic;
    use fluvio::dataplane::record::Record as FluvioRecord;

    use super::*;
    use crate::log::Append;

    const PARTITION: TopicPartition = TopicPartition { topic: Topic::UserEvents, partition: 0 };

    fn batch(base: i64, values: &[&'static str]) -> Batch {
        let framed = |value: &&'static str| {
            let value = Bytes::from_static(value.as_bytes());
            let append =
                Append { partition: PARTITION, key: Bytes::new(), value, headers: Vec::new() };
            FluvioRecord::new(frame::encode(&append, TimestampMs(1)))
        };
        let records: Vec<FluvioRecord> = values.iter().map(framed).collect();
        let mut batch = Batch::from(records);
        batch.base_offset = base;
        batch
    }

    fn decoded(from: Offset, batches: Vec<Batch>) -> Result<Vec<(Offset, String)>, String> {
        let found = Found { records: RecordSet { batches }, ..Default::default() };
        let records = decode(PARTITION, from, found).map_err(|error| error.to_string())?;
        let text = |record: Record| String::from_utf8(record.value.to_vec()).expect("text");
        Ok(records.into_iter().map(|(offset, record)| (offset, text(record))).collect())
    }

    #[test]
    fn records_begin_at_the_offset_and_have_no_gap() {
        let two = || vec![batch(4, &["e", "f", "g"]), batch(7, &["h"])];
        let want = |from: usize| {
            let all = [(4, "e"), (5, "f"), (6, "g"), (7, "h")];
            Ok(all[from - 4..].iter().map(|(at, text)| (*at, (*text).to_owned())).collect())
        };
        assert_eq!(decoded(4, two()), want(4));
        assert_eq!(decoded(6, two()), want(6));
        assert_eq!(decoded(7, two()), want(7));
        assert_eq!(decoded(8, two()), Ok(Vec::new()));
        let gap = decoded(4, vec![batch(4, &["e"]), batch(6, &["g"])]).expect_err("5 is missing");
        assert!(gap.contains("5..6") && gap.contains("next record is at 6"), "{gap}");
        let gap = decoded(3, two()).expect_err("3 is missing");
        assert!(gap.contains("3..4"), "{gap}");
    }

    #[test]
    fn what_is_not_ours_is_named() {
        let foreign = Batch::from(vec![FluvioRecord::new("{\"user_id\":\"somebody\",\"more\":1}")]);
        let error = decoded(0, vec![foreign]).expect_err("no frame");
        assert!(error.contains("0..1") && error.contains("not written by eddyline"), "{error}");
        let mut short = batch(0, &["a", "b"]);
        short.header.last_offset_delta = 4;
        assert!(decoded(0, vec![short]).expect_err("short").contains("as many records"));
    }
}
