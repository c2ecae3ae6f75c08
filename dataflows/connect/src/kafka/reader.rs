//! Reading a partition: one consumer, each partition in a queue of its own, and where it stands.
//!
//! A read that goes on where the last one ended takes what was fetched ahead; any other one seeks.
//! Offsets may have gaps (a transaction leaves a marker), so the position is kept, never counted.
//! librdkafka holds fetched records back by itself when nobody takes them, per partition.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::TopicPartition;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};

use super::connection::{Connection, number};
use super::context::Ears;
use super::native;
use super::state::{Slot, State};
use super::watch::Watch;
use crate::log::{ReadBatch, ReadError, ReadLimit, check_offset, payload_bytes};

/// How long a record that is known to be there is waited for in one go.
const STEP: Duration = Duration::from_millis(20);
/// After how long it is asked whether an open transaction holds it back.
const DOUBT: Duration = Duration::from_millis(200);

/// Where reads of one partition stand.
#[derive(Default)]
pub(super) struct Reader {
    queue: Option<PartitionQueue<Ears>>,
    /// Next offset to give.
    position: Offset,
    /// Taken from the queue, and did not fit the last read.
    held: Option<(Offset, Record)>,
    /// Fetching stopped with an error: it must be started again.
    is_lost: bool,
}

impl Reader {
    /// The next record at or behind the position, if one comes within `wait`.
    fn next(&mut self, wait: Duration) -> Option<Result<(Offset, Record), KafkaError>> {
        if let Some(held) = self.held.take() {
            return Some(Ok(held));
        }
        loop {
            let message = match self.queue.as_ref()?.poll(wait)? {
                Ok(message) => message,
                Err(error) => return Some(Err(error)),
            };
            let offset = message.offset().cast_unsigned();
            if offset >= self.position {
                return Some(Ok((offset, record(&message))));
            }
        }
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let copy = |bytes: Option<&[u8]>| bytes.map_or_else(Bytes::new, Bytes::copy_from_slice);
    Record {
        append_time: TimestampMs(message.timestamp().to_millis().unwrap_or(0)),
        key: copy(message.key()),
        value: copy(message.payload()),
        headers: native::headers(message),
        erased: None,
    }
}

/// Collects a read up to its limit.
struct Filler {
    batch: ReadBatch,
    limit: ReadLimit,
    bytes: usize,
}

impl Filler {
    fn is_full(&self) -> bool {
        self.batch.records.len() >= self.limit.records
    }

    /// Takes the record, or gives it back when it does not fit.
    fn take(&mut self, offset: Offset, record: Record) -> Result<(), (Offset, Record)> {
        let bytes = payload_bytes(&record.key, &record.value, &record.headers);
        if self.bytes.saturating_add(bytes) > self.limit.bytes && !self.batch.records.is_empty() {
            return Err((offset, record));
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.batch.records.push((offset, record));
        self.batch.next = offset + 1;
        Ok(())
    }
}

/// All readers of a log. See the module doc.
pub(super) struct Readers {
    pub(super) connection: Arc<Connection>,
    pub(super) state: Arc<State>,
    pub(super) consumer: Arc<BaseConsumer<Ears>>,
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
        if from > slot.end() {
            self.watch.ask(&[partition]).map_err(|error| self.unavailable(partition, &error))?;
        }
        check_offset(partition, from, slot.start(), slot.end())?;
        let batch = ReadBatch { records: Vec::new(), next: from };
        let mut filler = Filler { batch, limit, bytes: 0 };
        if !filler.is_full() {
            let mut reader = slot.reader.lock();
            self.go_to(&mut reader, partition, from)?;
            self.fill(&mut reader, partition, &slot, &mut filler)?;
            reader.position = filler.batch.next;
        }
        let (next, is_empty) = (filler.batch.next, filler.batch.records.is_empty());
        if !is_empty {
            self.state.may_read(partition, next);
        }
        Ok(filler.batch)
    }

    fn fill(
        &self,
        reader: &mut Reader,
        partition: TopicPartition,
        slot: &Slot,
        filler: &mut Filler,
    ) -> Result<(), ReadError> {
        let (began, mut asked) = (Instant::now(), Instant::now());
        let mut wait = Duration::ZERO;
        let mut trouble = None;
        while !filler.is_full() {
            match reader.next(wait) {
                Some(Ok((offset, record))) => {
                    wait = Duration::ZERO;
                    if let Err(held) = filler.take(offset, record) {
                        reader.held = Some(held);
                        return Ok(());
                    }
                    continue;
                }
                Some(Err(error)) if is_fault(&error) => {
                    reader.is_lost = true;
                    // What lies before the fault is given first; the next read runs into it.
                    let is_first = filler.batch.records.is_empty();
                    return if is_first {
                        Err(self.fault(partition, filler, &error))
                    } else {
                        Ok(())
                    };
                }
                Some(Err(error)) => trouble = Some(error),
                None => {}
            }
            if !filler.batch.records.is_empty() || filler.batch.next >= slot.end() {
                return Ok(());
            }
            if let Some(next) = self.behind_markers(partition, filler.batch.next) {
                filler.batch.next = next;
                return Ok(());
            }
            self.may_wait_on(partition, began, trouble.take())?;
            if asked.elapsed() > DOUBT {
                asked = Instant::now();
                if self.watch.ask(&[partition]).is_ok() && slot.readable() <= filler.batch.next {
                    return Ok(()); // a transaction that is still open holds the rest back
                }
            }
            wait = STEP;
        }
        Ok(())
    }

    fn may_wait_on(
        &self,
        partition: TopicPartition,
        began: Instant,
        trouble: Option<KafkaError>,
    ) -> Result<(), ReadError> {
        if let Some(reason) = self.state.stopped() {
            return Err(ReadError::Stopped(reason.to_owned()));
        }
        if began.elapsed() < self.connection.address.options.patience {
            return Ok(());
        }
        Err(self.unavailable(partition, &trouble.unwrap_or(KafkaError::NoMessageReceived)))
    }

    /// Where the partition goes on when nothing but markers of transactions lies behind `next`.
    fn behind_markers(&self, partition: TopicPartition, next: Offset) -> Option<Offset> {
        let positions = self.consumer.position().ok()?;
        let name = self.connection.name(partition);
        let Place::Offset(at) = positions.find_partition(name, number(partition))?.offset() else {
            return None;
        };
        let at = u64::try_from(at).ok()?;
        (at > next).then_some(at)
    }

    /// Makes the next record that comes be the first at or behind `from`.
    fn go_to(
        &self,
        reader: &mut Reader,
        partition: TopicPartition,
        from: Offset,
    ) -> Result<(), ReadError> {
        if reader.queue.is_some() && reader.position == from && !reader.is_lost {
            return Ok(());
        }
        reader.held = None;
        let moved = if reader.queue.is_none() {
            self.start(reader, partition, from)
        } else if reader.is_lost || self.seek(partition, from).is_err() {
            self.restart(partition, from)
        } else {
            Ok(())
        };
        // Whatever failed, the position is certain again only after a fresh start.
        reader.is_lost = moved.is_err();
        reader.position = from;
        moved.map_err(|error| self.unavailable(partition, &error))
    }

    fn start(
        &self,
        reader: &mut Reader,
        partition: TopicPartition,
        from: Offset,
    ) -> Result<(), KafkaError> {
        let (name, number) = (self.connection.name(partition), number(partition));
        let queue = self.consumer.split_partition_queue(name, number);
        let mut queue =
            queue.ok_or(KafkaError::Subscription(format!("no queue for {partition}")))?;
        let state: Weak<State> = Arc::downgrade(&self.state);
        // Called on librdkafka's thread: it must be quick and must not call back.
        queue.set_nonempty_callback(move || {
            if let Some(state) = state.upgrade() {
                state.signal.raise();
            }
        });
        self.consumer.incremental_assign(&self.place(partition, Some(from))?)?;
        reader.queue = Some(queue);
        Ok(())
    }

    fn restart(&self, partition: TopicPartition, from: Offset) -> Result<(), KafkaError> {
        self.consumer.incremental_unassign(&self.place(partition, None)?)?;
        self.consumer.incremental_assign(&self.place(partition, Some(from))?)
    }

    fn seek(&self, partition: TopicPartition, from: Offset) -> Result<(), KafkaError> {
        let (name, number) = (self.connection.name(partition), number(partition));
        self.consumer.seek(name, number, Place::Offset(from.cast_signed()), Duration::from_secs(5))
    }

    fn place(
        &self,
        partition: TopicPartition,
        from: Option<Offset>,
    ) -> Result<TopicPartitionList, KafkaError> {
        let (name, number) = (self.connection.name(partition), number(partition));
        let mut list = TopicPartitionList::with_capacity(1);
        match from {
            Some(from) => {
                list.add_partition_offset(name, number, Place::Offset(from.cast_signed()))?;
            }
            None => drop(list.add_partition(name, number)),
        }
        Ok(list)
    }

    /// Fetching stopped: what is there now says why.
    fn fault(&self, partition: TopicPartition, filler: &Filler, error: &KafkaError) -> ReadError {
        let from = filler.batch.next;
        let Ok(edges) = self.watch.edges(partition) else {
            return self.unavailable(partition, error);
        };
        match check_offset(partition, from, edges.start, edges.end) {
            Err(missing) => missing,
            Ok(()) => self.unavailable(partition, error),
        }
    }

    fn unavailable(&self, partition: TopicPartition, error: &KafkaError) -> ReadError {
        ReadError::Unavailable { partition, source: self.connection.explain(error).into() }
    }
}

/// Whether the partition is no longer fetched after `error`; others pass by themselves.
fn is_fault(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::LogTruncation
        )
    )
}
