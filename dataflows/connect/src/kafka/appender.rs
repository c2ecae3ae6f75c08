//! Appending: an idempotent producer, and a count of what is not acknowledged yet.
//!
//! The producer keeps each partition in order and repeats what a broker did not answer, without
//! doubling it. What is not acknowledged within the patience has an unknown outcome: it may be on
//! the log. A producer that is broken for good is replaced; the log goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use parking_lot::{Condvar, Mutex, RwLock};
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer,
};

use super::connection::{Connection, number, refused};
use super::context::Ears;
use super::state::State;
use crate::log::{Append, AppendError, OpenError, check_batch};

/// Room for what a batch adds to a record.
const OVERHEAD_BYTES: usize = 1_024;
/// The same for each header.
const HEADER_BYTES: usize = 16;
/// How long a full queue is waited for in one go.
const STEP: Duration = Duration::from_millis(1);

/// A batch on its way.
struct Pending {
    progress: Mutex<Progress>,
    done: Condvar,
}

struct Progress {
    offsets: Vec<Option<Offset>>,
    waiting: usize,
    failure: Option<KafkaError>,
}

impl Pending {
    fn new(records: usize) -> Self {
        let progress = Progress { offsets: vec![None; records], waiting: records, failure: None };
        Self { progress: Mutex::new(progress), done: Condvar::new() }
    }

    fn settle(&self, records: usize, settle: impl FnOnce(&mut Progress)) {
        let mut progress = self.progress.lock();
        settle(&mut progress);
        progress.waiting -= records;
        if progress.waiting == 0 {
            self.done.notify_all();
        }
    }
}

/// A record on its way.
struct Delivery {
    batch: Arc<Pending>,
    place: usize,
    partition: TopicPartition,
    /// The partition's end, as far as was known when the record was sent: it cannot lie before.
    least: Offset,
}

/// Hears of acknowledgements.
struct Deliveries {
    ears: Ears,
    state: Arc<State>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.ears.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.ears.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Delivery>;

    fn delivery(&self, result: &DeliveryResult<'_>, delivery: Box<Delivery>) {
        let Delivery { batch, place, partition, least } = *delivery;
        batch.settle(1, |progress| match result {
            Ok(message) => {
                let offset = message.offset().cast_unsigned();
                if offset < least {
                    self.state.stop(format!(
                        "a record of {partition} got offset {offset} where the log had reached \
                         {least}: offsets {offset}..{least} are gone, the topic was truncated or \
                         made again"
                    ));
                }
                progress.offsets[place] = Some(offset);
            }
            Err((error, _)) => progress.failure = Some(error.clone()),
        });
    }
}

/// See the module doc.
pub(super) struct Appender {
    connection: Arc<Connection>,
    state: Arc<State>,
    config: ClientConfig,
    max_record_bytes: usize,
    producer: RwLock<Arc<ThreadedProducer<Deliveries>>>,
}

impl Appender {
    /// Makes the producer.
    pub(super) fn new(
        connection: Arc<Connection>,
        state: Arc<State>,
        max_message_bytes: usize,
    ) -> Result<Self, OpenError> {
        let config = connection.producer_config(max_message_bytes);
        let producer = produce_with(&config, &connection, &state)
            .map_err(|error| refused(&connection.address, error))?;
        let max_record_bytes = max_message_bytes.saturating_sub(OVERHEAD_BYTES);
        let producer = RwLock::new(Arc::new(producer));
        Ok(Self { connection, state, config, max_record_bytes, producer })
    }

    /// As [`EventLog::append`](crate::log::EventLog::append).
    pub(super) fn append(&self, batch: &[Append]) -> Result<Vec<Offset>, AppendError> {
        self.check(batch)?;
        let producer = Arc::clone(&self.producer.read());
        let pending = Arc::new(Pending::new(batch.len()));
        let deadline = Instant::now() + self.connection.address.options.patience;
        for (place, append) in batch.iter().enumerate() {
            if let Err(error) = self.send(&producer, append, (&pending, place), deadline) {
                if place == 0 {
                    return Err(AppendError::Unavailable(self.connection.explain(&error).into()));
                }
                pending.settle(batch.len() - place, |progress| progress.failure = Some(error));
                break;
            }
        }
        self.outcome(batch, &pending, &producer)
    }

    /// Refuses what certainly cannot be written.
    fn check(&self, batch: &[Append]) -> Result<(), AppendError> {
        if let Some(reason) = self.state.stopped() {
            return Err(AppendError::Stopped(reason.to_owned()));
        }
        check_batch(batch, &self.state.layout())?;
        let most = self.max_record_bytes;
        for (index, append) in batch.iter().enumerate() {
            let bytes = append.payload_bytes();
            if bytes + append.headers.len() * HEADER_BYTES > most {
                return Err(AppendError::TooLarge { index, bytes, most });
            }
        }
        Ok(())
    }

    /// Puts one record in the producer's queue, waiting while that is full.
    fn send(
        &self,
        producer: &ThreadedProducer<Deliveries>,
        append: &Append,
        (batch, place): (&Arc<Pending>, usize),
        deadline: Instant,
    ) -> Result<(), KafkaError> {
        let partition = append.partition;
        let least = self.state.slot(partition).map_or(0, |slot| slot.least_end());
        let delivery = Delivery { batch: Arc::clone(batch), place, partition, least };
        let mut record =
            BaseRecord::with_opaque_to(self.connection.name(partition), Box::new(delivery))
                .partition(number(partition))
                .payload(&append.value[..]);
        if !append.key.is_empty() {
            record = record.key(&append.key[..]);
        }
        if !append.headers.is_empty() {
            record = record.headers(headers(append));
        }
        loop {
            let Err((error, refused)) = producer.send(record) else { return Ok(()) };
            let is_over = Instant::now() >= deadline || self.state.stopped().is_some();
            if is_over || !passes(&error) {
                return Err(error);
            }
            record = refused;
            std::thread::sleep(STEP);
        }
    }

    /// Waits for all acknowledgements; each record gets one, or a failure, within the patience.
    fn outcome(
        &self,
        batch: &[Append],
        pending: &Pending,
        producer: &Arc<ThreadedProducer<Deliveries>>,
    ) -> Result<Vec<Offset>, AppendError> {
        let mut progress = pending.progress.lock();
        pending.done.wait_while(&mut progress, |progress| progress.waiting > 0);
        let offsets: Vec<Option<Offset>> = std::mem::take(&mut progress.offsets);
        let failure = progress.failure.take();
        drop(progress);
        self.note_ends(batch, &offsets);
        if let Some(reason) = self.state.stopped() {
            return Err(AppendError::Unknown(reason.to_owned().into()));
        }
        if let Some(error) = failure {
            self.replace_if_broken(producer);
            return Err(AppendError::Uncertain(self.connection.explain(&error).into()));
        }
        Ok(offsets.into_iter().map(|offset| offset.expect("all were acknowledged")).collect())
    }

    fn note_ends(&self, batch: &[Append], offsets: &[Option<Offset>]) {
        let mut last: Option<(TopicPartition, Offset)> = None;
        for (append, offset) in batch.iter().zip(offsets) {
            let Some(offset) = *offset else { continue };
            match last {
                Some((partition, end)) if partition == append.partition => {
                    last = Some((partition, end.max(offset + 1)));
                }
                Some((partition, end)) => {
                    self.state.acknowledge(partition, end);
                    last = Some((append.partition, offset + 1));
                }
                None => last = Some((append.partition, offset + 1)),
            }
        }
        if let Some((partition, end)) = last {
            self.state.acknowledge(partition, end);
        }
    }

    /// An idempotent producer that lost track of its sequence never sends again.
    fn replace_if_broken(&self, producer: &Arc<ThreadedProducer<Deliveries>>) {
        if producer.client().fatal_error().is_none() {
            return;
        }
        let mut current = self.producer.write();
        if Arc::ptr_eq(&current, producer)
            && let Ok(fresh) = produce_with(&self.config, &self.connection, &self.state)
        {
            *current = Arc::new(fresh);
        }
    }
}

fn produce_with(
    config: &ClientConfig,
    connection: &Connection,
    state: &Arc<State>,
) -> Result<ThreadedProducer<Deliveries>, KafkaError> {
    let deliveries = Deliveries { ears: connection.ears.clone(), state: Arc::clone(state) };
    config.create_with_context(deliveries)
}

fn headers(append: &Append) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(append.headers.len());
    append.headers.iter().fold(empty, |headers, (name, value)| {
        headers.insert(Header { key: name, value: Some(&value[..]) })
    })
}

/// Whether sending may succeed a moment later: room in the queue, news of a new partition.
fn passes(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::QueueFull | RDKafkaErrorCode::UnknownPartition))
}
