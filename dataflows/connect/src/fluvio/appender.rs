//! Appending: one request per SPU and round, acknowledged when the in-sync replicas have it.
//!
//! Nothing is repeated that may have been written: an SPU that was not reached, or says that it
//! does not lead the partition, is asked again within the patience; any other failure ends the
//! append. Whether its outcome is certain follows from what was sent by then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use fluvio::Isolation;
use fluvio::dataplane::link::ErrorCode;
use fluvio::dataplane::record::{Batch, RawRecords, Record, RecordData, RecordKey, RecordSet};
use fluvio_spu_schema::produce::{
    DefaultPartitionRequest, DefaultProduceRequest, DefaultTopicRequest, PartitionProduceResponse,
};

use super::client::{Client, Spu, Trouble, left};
use super::frame;
use super::state::State;
use crate::clock::Clock;
use crate::log::{Append, AppendError, BoxError, check_batch};

/// Bytes of records from which a batch is full.
const BATCH_BYTES: usize = 1 << 20;
/// Bytes of records from which a partition's share of a request is full.
const SHARE_BYTES: usize = 8 << 20;
/// Pause before an SPU is asked again.
const STEP: Duration = Duration::from_millis(50);

/// Some records of one partition, as they go into one request.
pub(super) struct Share {
    partition: TopicPartition,
    /// Places in the batch of the caller.
    places: Vec<usize>,
    batches: Vec<Batch<RawRecords>>,
    bytes: usize,
}

/// How an append stands.
struct Progress {
    offsets: Vec<Option<Offset>>,
    /// Whether anything is, or may be, written.
    is_begun: bool,
    /// In the order of each partition.
    waiting: VecDeque<Share>,
}

/// See the module doc.
pub(super) struct Appender {
    pub(super) client: Arc<Client>,
    pub(super) state: Arc<State>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Appender {
    /// As [`EventLog::append`](crate::log::EventLog::append).
    pub(super) fn append(&self, batch: &[Append]) -> Result<Vec<Offset>, AppendError> {
        if let Some(reason) = self.state.stopped() {
            return Err(AppendError::Stopped(reason.to_owned()));
        }
        check_batch(batch, &self.state.layout())?;
        let waiting = shares(batch, self.clock.as_ref()).map_err(AppendError::Unavailable)?;
        let offsets = vec![None; batch.len()];
        let mut progress = Progress { offsets, is_begun: false, waiting };
        let deadline = Instant::now() + self.client.address.options.patience;
        while !progress.waiting.is_empty() {
            let sent = self.round(&mut progress, deadline);
            if let Some(reason) = self.state.stopped() {
                return Err(AppendError::Unknown(reason.to_owned().into()));
            }
            sent.map_err(|failure| settle(failure, batch, progress.is_begun))?;
        }
        Ok(progress.offsets.into_iter().map(|offset| offset.expect("all have one")).collect())
    }

    /// Sends the first share of every partition; what another SPU must get waits on.
    fn round(&self, progress: &mut Progress, deadline: Instant) -> Result<(), Failure> {
        let mut by_leader: BTreeMap<Spu, Vec<Share>> = BTreeMap::new();
        let mut later: VecDeque<Share> = VecDeque::new();
        let mut seen = Vec::new();
        let mut held: Option<BoxError> = None;
        for share in std::mem::take(&mut progress.waiting) {
            let leader = self.client.leader(share.partition);
            match leader {
                Some(leader) if !seen.contains(&share.partition) => {
                    seen.push(share.partition);
                    by_leader.entry(leader).or_default().push(share);
                }
                Some(_) => later.push_back(share),
                None => {
                    held = Some(format!("{} has no leader", share.partition).into());
                    later.push_back(share);
                }
            }
        }
        for (leader, shares) in by_leader {
            let (back, reason) = self.send(leader, shares, progress, deadline)?;
            held = reason.or(held);
            back.into_iter().rev().for_each(|share| later.push_front(share));
        }
        progress.waiting = later;
        let Some(reason) = held else { return Ok(()) };
        if Instant::now() >= deadline {
            return Err(Failure::Passing(reason));
        }
        std::thread::sleep(STEP);
        // Who leads now; a controller that is away too is waited for.
        let _ = self.client.describe();
        Ok(())
    }

    /// Sends `shares` to `leader`; returns those that certainly were not written, and why.
    fn send(
        &self,
        leader: Spu,
        shares: Vec<Share>,
        progress: &mut Progress,
        deadline: Instant,
    ) -> Result<(Vec<Share>, Option<BoxError>), Failure> {
        let limit = left(deadline);
        let least: Vec<Offset> =
            shares.iter().map(|share| self.state.known_end(share.partition)).collect();
        let response = match self.client.ask(leader, self.request(&shares, limit), limit) {
            Ok(response) => response,
            Err(Trouble::NotSent(error)) => return Ok((shares, Some(error))),
            Err(error) => {
                progress.is_begun = true;
                return Err(Failure::Passing(error.into()));
            }
        };
        let (mut back, mut reason, mut failure) = (Vec::new(), None, None);
        for (share, least) in shares.into_iter().zip(least) {
            let name = self.client.name(share.partition.topic);
            let answer = response.find_partition_response(&name, share.partition.partition);
            match verdict(answer) {
                Verdict::Written(base) => {
                    progress.is_begun = true;
                    self.note(&share, base, least, &mut progress.offsets);
                }
                Verdict::Elsewhere(code) => {
                    reason = Some(format!("{}: {code}", share.partition).into());
                    back.push(share);
                }
                Verdict::TooLarge => failure = Some(Failure::TooLarge(share)),
                Verdict::Unknown(error) => {
                    progress.is_begun = true;
                    failure = Some(Failure::Passing(error));
                }
            }
        }
        failure.map_or(Ok((back, reason)), Err)
    }

    fn request(&self, shares: &[Share], limit: Duration) -> DefaultProduceRequest {
        let mut request = DefaultProduceRequest {
            isolation: Isolation::ReadCommitted,
            timeout: limit,
            ..Default::default()
        };
        for share in shares {
            let name = self.client.name(share.partition.topic);
            let records = RecordSet { batches: share.batches.clone() };
            let partition_index = share.partition.partition;
            let part = DefaultPartitionRequest { partition_index, records };
            match request.topics.iter_mut().find(|topic| topic.name == name) {
                Some(topic) => topic.partitions.push(part),
                None => {
                    let mut topic = DefaultTopicRequest { name, ..Default::default() };
                    topic.partitions.push(part);
                    request.topics.push(topic);
                }
            }
        }
        request
    }

    fn note(&self, share: &Share, base: Offset, least: Offset, offsets: &mut [Option<Offset>]) {
        let partition = share.partition;
        if base < least {
            self.state.stop(format!(
                "a record of {partition} got offset {base} where the log had reached {least}: \
                 offsets {base}..{least} are gone, the topic was truncated or made again"
            ));
        }
        for (place, offset) in share.places.iter().zip(base..) {
            offsets[*place] = Some(offset);
        }
        self.state.reach(partition, base + share.places.len() as Offset);
    }
}

/// Why an append ends.
enum Failure {
    /// A retry may help.
    Passing(BoxError),
    /// A record of this share is larger than what the SPU takes.
    TooLarge(Share),
}

fn settle(failure: Failure, batch: &[Append], is_begun: bool) -> AppendError {
    match failure {
        Failure::Passing(error) if is_begun => AppendError::Uncertain(error),
        Failure::Passing(error) => AppendError::Unavailable(error),
        Failure::TooLarge(_) if is_begun => {
            AppendError::Uncertain("a later record is larger than what the SPU takes".into())
        }
        Failure::TooLarge(share) => {
            let size = |place: &usize| batch[*place].payload_bytes();
            let index = share.places.into_iter().max_by_key(size).unwrap_or(0);
            let bytes = batch[index].payload_bytes();
            AppendError::TooLarge { index, bytes, most: bytes.saturating_sub(1) }
        }
    }
}

/// What an SPU says of a share.
#[derive(Debug)]
enum Verdict {
    Written(Offset),
    /// Certainly not written: ask who leads.
    Elsewhere(ErrorCode),
    /// Certainly not written.
    TooLarge,
    /// Maybe written.
    Unknown(BoxError),
}

fn verdict(answer: Option<&PartitionProduceResponse>) -> Verdict {
    let Some(answer) = answer else { return Verdict::Unknown("the SPU left it out".into()) };
    match (&answer.error_code, Offset::try_from(answer.base_offset)) {
        (ErrorCode::None, Ok(base)) => Verdict::Written(base),
        (ErrorCode::NotLeaderForPartition, _) => Verdict::Elsewhere(answer.error_code.clone()),
        (ErrorCode::MessageTooLarge, _) => Verdict::TooLarge,
        (code, _) => Verdict::Unknown(Trouble::Refused(code.clone()).into()),
    }
}

/// Cuts `batch` into shares, in the order of each partition, with one append time.
fn shares(batch: &[Append], clock: &dyn Clock) -> Result<VecDeque<Share>, BoxError> {
    let mut by_partition: BTreeMap<TopicPartition, Vec<usize>> = BTreeMap::new();
    for (place, append) in batch.iter().enumerate() {
        by_partition.entry(append.partition).or_default().push(place);
    }
    let now = clock.now();
    let mut shares = VecDeque::new();
    for (partition, places) in by_partition {
        let mut share = Share::new(partition);
        let (mut records, mut bytes) = (Vec::new(), 0);
        for place in places {
            let append = &batch[place];
            let value = RecordData::from(frame::encode(append, now));
            let size = value.len() + append.key.len();
            if bytes > 0 && bytes + size > BATCH_BYTES {
                share.add(std::mem::take(&mut records), std::mem::take(&mut bytes), now.0)?;
            }
            if share.bytes >= SHARE_BYTES {
                shares.push_back(std::mem::replace(&mut share, Share::new(partition)));
            }
            share.places.push(place);
            let key = (!append.key.is_empty()).then(|| RecordData::from(append.key.to_vec()));
            records.push(Record::new_key_value(RecordKey::from_option(key), value));
            bytes += size;
        }
        share.add(records, bytes, now.0)?;
        shares.push_back(share);
    }
    Ok(shares)
}

impl Share {
    fn new(partition: TopicPartition) -> Self {
        Self { partition, places: Vec::new(), batches: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, records: Vec<Record>, bytes: usize, now: i64) -> Result<(), BoxError> {
        let mut batch = Batch::from(records);
        batch.header.first_timestamp = now;
        batch.header.max_time_stamp = now;
        self.batches.push(batch.try_into()?);
        self.bytes += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eddyline_schemas::time::TimestampMs;
    use eddyline_schemas::topic::Topic;

    use super::*;
    use crate::clock::ManualClock;

    fn append(partition: u32, bytes: usize) -> Append {
        let partition = TopicPartition { topic: Topic::UserEvents, partition };
        let value = Bytes::from(vec![7; bytes]);
        Append { partition, key: Bytes::new(), value, headers: Vec::new() }
    }

    #[test]
    fn a_batch_is_cut_in_the_order_of_each_partition() {
        let mut batch = vec![append(1, 10), append(0, 700_000), append(1, 20), append(0, 700_000)];
        batch.extend((0..20).map(|_| append(0, 900_000)));
        let cut = shares(&batch, &ManualClock::new(TimestampMs(5))).expect("cut");
        for partition in 0..2 {
            let of = cut.iter().filter(|share| share.partition.partition == partition);
            let places: Vec<usize> = of.flat_map(|share| share.places.clone()).collect();
            let want = (0..batch.len()).filter(|at| batch[*at].partition.partition == partition);
            assert!(places.into_iter().eq(want));
        }
        for share in &cut {
            let records: usize = share.batches.iter().map(Batch::records_len).sum();
            assert_eq!(records, share.places.len(), "each place has its record");
            assert!(share.bytes < SHARE_BYTES + BATCH_BYTES);
            assert!(share.batches.iter().all(|batch| batch.records().0.len() <= BATCH_BYTES));
        }
        assert_eq!(cut.iter().filter(|share| share.partition.partition == 0).count(), 3);
    }

    #[test]
    fn only_what_certainly_was_not_written_counts_as_such() {
        let batch = [append(0, 1), append(0, 9), append(0, 2)];
        let answer = |error_code, base_offset| {
            let answer = PartitionProduceResponse { error_code, base_offset, ..Default::default() };
            verdict(Some(&answer))
        };
        assert!(matches!(answer(ErrorCode::None, 7), Verdict::Written(7)));
        assert!(matches!(answer(ErrorCode::None, -1), Verdict::Unknown(_)));
        let elsewhere = answer(ErrorCode::NotLeaderForPartition, 0);
        assert!(matches!(elsewhere, Verdict::Elsewhere(_)));
        assert!(matches!(answer(ErrorCode::MessageTooLarge, 0), Verdict::TooLarge));
        assert!(matches!(answer(ErrorCode::StorageError, 0), Verdict::Unknown(_)));
        assert!(matches!(verdict(None), Verdict::Unknown(_)));

        let passing = |is_begun| settle(Failure::Passing("x".into()), &batch, is_begun);
        assert!(matches!(passing(false), AppendError::Unavailable(_)));
        assert!(matches!(passing(true), AppendError::Uncertain(_)));
        let too_large = |is_begun| {
            let share = Share { places: vec![0, 1, 2], ..Share::new(batch[0].partition) };
            settle(Failure::TooLarge(share), &batch, is_begun)
        };
        assert!(matches!(too_large(false), AppendError::TooLarge { index: 1, bytes: 9, most: 8 }));
        assert!(matches!(too_large(true), AppendError::Uncertain(_)));
    }
}
