//! The event log on Apache Kafka.
//!
//! # What it is
//! Each topic of the port is a Kafka topic, `namespace.name`; partitions and offsets are Kafka's.
//! The brokers stamp append time (`LogAppendTime`) and keep records until they are trimmed. At open
//! all topics are created or checked; see `topics` for the settings.
//!
//! # What it promises, and what not
//! An append returns when every record is acknowledged by all in-sync replicas. Its records become
//! visible one by one, not as a whole; offsets may have gaps (markers of others' transactions);
//! append time may step back when a partition's leader moves to a machine whose clock is behind. See
//! [`Guarantees`]. When an append fails, some of it may be on the log: the caller sends the same
//! again, and dedupe makes one effect of it. Nothing rests on the producer's idempotence.
//!
//! Reads are `read_committed` from the caller's own offsets; nothing is ever reset to an offset
//! that was not asked for. An outage is ridden out for `patience_ms`; after that, calls fail and
//! may be repeated. Records that are gone (retention, truncation) and topics that were made again
//! are errors that name the missing range, and stop the log where going on would go over a hole.
//!
//! # Lives
//! Three clients: a producer, a consumer whose partitions each have a queue, and a probe that asks
//! questions. One thread of our own looks after the topics; librdkafka has its own.

mod address;
mod appender;
mod connection;
mod context;
mod native;
mod reader;
mod state;
mod topics;
mod trim;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};

use crate::layout::LogLayout;
use crate::log::{
    Append, AppendError, AppendVersion, BoxError, EventLog, Guarantees, OpenError, ReadBatch,
    ReadError, ReadLimit,
};

pub(crate) use address::KafkaAddress;
use appender::Appender;
use connection::{Connection, number, refused};
use reader::Readers;
use state::State;
use watch::{Keeper, Watch};

/// See the module doc.
pub struct KafkaLog {
    /// Ends first.
    _keeper: Keeper,
    appender: Appender,
    readers: Readers,
    state: Arc<State>,
}

impl KafkaLog {
    /// Opens the log that `url` names, `kafka:` included.
    pub fn open_url(url: &str, layout: LogLayout) -> Result<Self, OpenError> {
        let rest = url.strip_prefix("kafka:").unwrap_or(url);
        let refused = |reason| OpenError::Url { url: url.to_owned(), reason };
        Self::open(KafkaAddress::parse(rest).map_err(refused)?, layout)
    }

    /// Opens the log at `address`.
    pub(crate) fn open(address: KafkaAddress, layout: LogLayout) -> Result<Self, OpenError> {
        let connection = Arc::new(Connection::open(address)?);
        let topics = topics::prepare(&connection, layout)?;
        let state = Arc::new(State::new(topics.ids, topics.counts));
        let consumer = connection.consumer_config().create_with_context(connection.ears.clone());
        let consumer = Arc::new(consumer.map_err(|error| refused(&connection.address, error))?);
        let watch = Arc::new(Watch {
            connection: Arc::clone(&connection),
            state: Arc::clone(&state),
            consumer: Arc::clone(&consumer),
        });
        let failed = |what: &str, source: BoxError| OpenError::Brokers {
            servers: connection.address.servers.clone(),
            what: what.to_owned(),
            source,
        };
        watch.ask_all().map_err(|(unknown, error)| {
            let of = unknown.map_or("the log", |partition| connection.name(partition));
            let waited = connection.address.options.open_timeout.as_millis();
            let what = format!(
                "say where {of} ends within {waited} ms: look at its topics with kafka-topics.sh \
                 --bootstrap-server {} --describe, or raise open_timeout_ms in log.url",
                connection.address.servers
            );
            failed(&what, connection.explain(&error).into())
        })?;
        let (to, of) = (Arc::clone(&connection), Arc::clone(&state));
        let appender = Appender::new(to, of, topics.max_message_bytes)?;
        let keeper = Keeper::start(Arc::clone(&watch));
        let keeper = keeper.map_err(|error| failed("be watched by a thread", error.into()))?;
        let readers = Readers { connection, state: Arc::clone(&state), consumer, watch };
        Ok(Self { _keeper: keeper, appender, readers, state })
    }
}

/// Deletes all topics at `address`; those that are missing already are no error.
pub(crate) fn delete(address: KafkaAddress) -> Result<(), OpenError> {
    topics::delete(&Connection::open(address)?)
}

impl EventLog for KafkaLog {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        self.appender.append(&batch)
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        self.readers.read(partition, from, limit)
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.state.slot(partition)?.start())
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.state.slot(partition)?.end())
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.state.partitions(topic)
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        self.state.id(topic)
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.state.signal.wait(seen, timeout)
    }

    fn trim(&self, partition: TopicPartition, before: Offset) -> Result<(), BoxError> {
        let connection = &self.readers.connection;
        trim::delete_records(connection, partition, before)
            .map_err(|error| connection.explain(&error))?;
        self.state.trim(partition, before);
        Ok(())
    }

    fn guarantees(&self) -> Guarantees {
        Guarantees { whole_batches: false, dense_offsets: false, rising_append_time: false }
    }

    fn commit_group(&self, progress: &[(TopicPartition, Offset)]) -> Result<(), BoxError> {
        let mut list = TopicPartitionList::with_capacity(progress.len());
        for &(partition, next) in progress {
            let name = self.readers.connection.name(partition);
            list.add_partition_offset(name, number(partition), Place::Offset(next.cast_signed()))?;
        }
        Ok(self.readers.consumer.commit(&list, CommitMode::Async)?)
    }
}
