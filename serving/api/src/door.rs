//! The way in: from a producer's bytes to durable records on the log.
//!
//! The door decodes and validates with the one validator of the schemas, encodes what is valid as
//! protobuf, chooses topic and partition, and appends. *Accepted* means that the log has it
//! durably. What an event means is none of its business, and it holds nothing back: an event is
//! either on the log or named in `errors`.
//!
//! Requests of the HTTP layer go through a bounded queue to appender threads that serve many of
//! them with one append ([`Door::submit`]); in-process producers append on their own thread
//! ([`Door::submit_blocking`]).

mod answer;
mod freshness;
mod queue;
mod random;
mod recent;
mod token;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use eddyline_connect::clock::Clock;
use eddyline_connect::log::{Append, AppendError, EventLog};
use eddyline_schemas::codec::encode_event;
use eddyline_schemas::decode::{BodyKind, RequestRefusal, decode_request};
use eddyline_schemas::event::Event;
use eddyline_schemas::record::{CONTENT_TYPE, Offset, PROTOBUF};
use eddyline_schemas::topic::{TopicPartition, partition_for};

pub use answer::{DoorAnswer, EventError};
pub use freshness::{FreshnessProbe, Sample};
pub use token::{ConsistencyToken, InvalidToken};

use queue::{AppendQueue, Refused};
use random::RandomIds;
use recent::RecentIds;

/// Bounds of the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorLimits {
    /// Threads that append to the log.
    pub appenders: usize,
    /// Most requests that wait for an appender.
    pub max_queued_requests: usize,
    /// Most bytes of records that wait for an appender.
    pub max_queued_bytes: usize,
    /// Event ids remembered for the advisory `duplicates`.
    pub recent_ids: usize,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            appenders: 2,
            max_queued_requests: 1_024,
            max_queued_bytes: 64 << 20,
            recent_ids: 64 << 10,
        }
    }
}

/// Why a request has no answer. What the caller may do next differs.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DoorError {
    /// No event could be read: send another body.
    #[error(transparent)]
    Refused(#[from] RequestRefusal),
    /// The queue is full, certainly nothing was written: send the same again later.
    #[error("too many events wait for the log")]
    Overloaded,
    /// Shutting down, certainly nothing was written: send the same elsewhere or later.
    #[error("the door is closed")]
    Closed,
    /// Certainly nothing was written.
    #[error("the log did not take the events")]
    NotWritten(#[source] Arc<AppendError>),
    /// Maybe written: send the same again, with the same event ids.
    #[error("whether the log took the events is unknown")]
    Unknown(#[source] Option<Arc<AppendError>>),
}

/// What the validator let through of one request, ready to be appended.
#[derive(Debug, Default)]
pub struct Admitted {
    batch: Vec<Append>,
    id_keys: Vec<u64>,
    errors: Vec<EventError>,
}

impl Admitted {
    /// Events that were let through.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// What was refused, in the order of the request.
    #[must_use]
    pub fn errors(&self) -> &[EventError] {
        &self.errors
    }

    /// Lets the caller say places in the words of its own request.
    pub fn map_pointers(&mut self, mut map: impl FnMut(&str) -> String) {
        self.errors.iter_mut().for_each(|error| error.pointer = map(&error.pointer));
    }

    /// Whether none was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }
}

/// The way in; see the module doc. One per process, shared.
pub struct Door {
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    queue: AppendQueue,
    recent: RecentIds,
    random: RandomIds,
    freshness: FreshnessProbe,
}

impl Door {
    /// Opens the door to `log` and starts its appender threads.
    pub fn new(
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        limits: DoorLimits,
    ) -> io::Result<Self> {
        let queue = AppendQueue::start(
            &log,
            limits.appenders,
            limits.max_queued_requests,
            limits.max_queued_bytes,
        )?;
        let recent = RecentIds::new(limits.recent_ids);
        let random = RandomIds::new(clock.now().0);
        Ok(Self { log, clock, queue, recent, random, freshness: FreshnessProbe::default() })
    }

    /// Decodes and validates a body; takes about a microsecond for each event.
    pub fn admit(&self, body: &[u8], kind: BodyKind) -> Result<Admitted, DoorError> {
        let decoded = decode_request(body, kind, self.clock.now(), &mut || self.random.draw())?;
        let mut admitted = Admitted::default();
        for (index, event) in decoded.into_iter().enumerate() {
            match event {
                Ok(event) => self.admit_event(&mut admitted, &event),
                Err(refusal) => admitted.errors.push(EventError::of(index, refusal)),
            }
        }
        if !admitted.errors.is_empty() && answer::is_single_event(body, kind) {
            admitted.errors.iter_mut().for_each(EventError::point_at_body);
        }
        Ok(admitted)
    }

    fn admit_event(&self, admitted: &mut Admitted, event: &Event) {
        admitted.id_keys.push(self.recent.key(event));
        admitted.batch.push(self.record_of(event));
    }

    fn record_of(&self, event: &Event) -> Append {
        let topic = event.event_type.topic();
        let key = event.key().as_bytes();
        let partition = partition_for(key, self.log.partitions(topic));
        Append {
            partition: TopicPartition { topic, partition },
            key: Bytes::copy_from_slice(key),
            value: encode_event(event),
            headers: vec![(CONTENT_TYPE.to_owned(), Bytes::from_static(PROTOBUF))],
        }
    }

    /// Appends what was admitted, by way of the queue; returns when it is durable. Dropping the
    /// future does not take the events back.
    pub async fn append(&self, admitted: Admitted) -> Result<DoorAnswer, DoorError> {
        let Admitted { batch, id_keys, errors } = admitted;
        if batch.is_empty() {
            return Ok(DoorAnswer::new(Vec::new(), 0, errors));
        }
        let partitions: Vec<TopicPartition> = batch.iter().map(|append| append.partition).collect();
        let reply = self.queue.offer(batch).map_err(|refused| match refused {
            Refused::Full => DoorError::Overloaded,
            Refused::Closed => DoorError::Closed,
        })?;
        let appended = reply.await.map_err(|_| DoorError::Unknown(None))?.map_err(not_appended)?;
        Ok(self.answer(partitions, appended, &id_keys, errors))
    }

    /// [`Self::admit`], then [`Self::append`]. Large bodies are better admitted off the runtime.
    pub async fn submit(&self, body: &[u8], kind: BodyKind) -> Result<DoorAnswer, DoorError> {
        let admitted = self.admit(body, kind)?;
        self.append(admitted).await
    }

    /// Appends events that are valid already, on the caller's thread; blocks until durable.
    pub fn submit_blocking(&self, events: &[Event]) -> Result<DoorAnswer, DoorError> {
        let mut admitted = Admitted::default();
        events.iter().for_each(|event| self.admit_event(&mut admitted, event));
        self.append_blocking(admitted)
    }

    /// Decodes, validates and appends a body on the caller's thread; blocks until durable.
    pub fn submit_body_blocking(
        &self,
        body: &[u8],
        kind: BodyKind,
    ) -> Result<DoorAnswer, DoorError> {
        let admitted = self.admit(body, kind)?;
        self.append_blocking(admitted)
    }

    fn append_blocking(&self, admitted: Admitted) -> Result<DoorAnswer, DoorError> {
        if !self.queue.is_open() {
            return Err(DoorError::Closed);
        }
        let Admitted { batch, id_keys, errors } = admitted;
        let partitions: Vec<TopicPartition> = batch.iter().map(|append| append.partition).collect();
        let appended = self.log.append(batch).map_err(|error| not_appended(Arc::new(error)))?;
        Ok(self.answer(partitions, appended, &id_keys, errors))
    }

    fn answer(
        &self,
        partitions: Vec<TopicPartition>,
        offsets: Vec<Offset>,
        id_keys: &[u64],
        errors: Vec<EventError>,
    ) -> DoorAnswer {
        debug_assert_eq!(partitions.len(), offsets.len(), "each record got an offset");
        let positions: Vec<(TopicPartition, Offset)> =
            partitions.into_iter().zip(offsets).collect();
        if let Some((partition, offset)) = positions.last() {
            self.freshness.offer(*partition, *offset, Instant::now());
        }
        DoorAnswer::new(positions, self.recent.note(id_keys), errors)
    }

    /// A sample of what was accepted of late, to time how soon answers reflect it.
    #[must_use]
    pub fn freshness(&self) -> &FreshnessProbe {
        &self.freshness
    }

    /// Whether events are taken.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.queue.is_open()
    }

    /// Takes nothing more in and returns when all that was taken in is answered. Blocks.
    pub fn close(&self) {
        self.queue.close();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}

fn not_appended(error: Arc<AppendError>) -> DoorError {
    if error.is_certainly_not_written() {
        DoorError::NotWritten(error)
    } else {
        DoorError::Unknown(Some(error))
    }
}
