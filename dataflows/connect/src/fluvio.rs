//! The event log on Fluvio. In builds with the feature `fluvio`.
//!
//! # What it is
//! Each topic of the port is a Fluvio topic, `namespace-name`; partitions and offsets are Fluvio's.
//! A Fluvio record has a key and a value and nothing else, so the value is a frame with headers,
//! append time and a checksum (see `frame`): only eddyline writes these topics. At open all topics
//! are created or checked; see `topics` for the settings and the identity.
//!
//! # What it promises, and what not
//! An append returns when the partition's leader and its in-sync followers have written the records
//! to their files. **Fluvio never calls fsync**: with one replica, a power cut of its machine loses
//! what the operating system had not written yet, and a crash of the process alone does not. An SPU
//! that comes back with less than was acknowledged stops the log; one that only hides its newest
//! records, as it does after a crash, is read behind the end that it admits to. Offsets have no
//! gap, and reads refuse one. Records of an append become visible one by one, not as a whole. The
//! append time is the clock of the process that appends, for Fluvio takes the producer's word for
//! it: it may step back where another process appended before. See [`Guarantees`]. When an append
//! fails, some of it may be on the log: the caller sends the same again, and dedupe makes one
//! effect of it.
//!
//! Reads see what is committed, from the caller's own offsets. An outage is ridden out for
//! `patience_ms`; after that, calls fail and may be repeated. Records that are gone and topics that
//! were made again are errors, and stop the log where going on would go over a hole. Fluvio keeps
//! offsets of consumers only for its own streams, so progress is not shown to its tools.
//!
//! # Lives
//! One connection to the controller and one to each SPU, shared by all callers. One thread of our
//! own looks after the topics; Fluvio's client has its own.

mod address;
mod appender;
mod client;
mod frame;
mod reader;
mod state;
mod topics;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::clock::Clock;
use crate::layout::LogLayout;
use crate::log::{
    Append, AppendError, AppendVersion, BoxError, EventLog, Guarantees, OpenError, ReadBatch,
    ReadError, ReadLimit,
};

pub(crate) use address::FluvioAddress;
use appender::Appender;
use client::Client;
use reader::Readers;
use state::State;
use watch::{Keeper, Watch};

/// See the module doc.
pub struct FluvioLog {
    /// Ends first.
    _keeper: Keeper,
    appender: Appender,
    readers: Readers,
    state: Arc<State>,
}

impl FluvioLog {
    /// Opens the log that `url` names, `fluvio:` included.
    pub fn open_url(
        url: &str,
        layout: LogLayout,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let rest = url.strip_prefix("fluvio:").unwrap_or(url);
        let refused = |reason| OpenError::Url { url: url.to_owned(), reason };
        Self::open(FluvioAddress::parse(rest).map_err(refused)?, layout, clock)
    }

    /// Opens the log at `address`; `clock` stamps what is appended.
    pub(crate) fn open(
        address: FluvioAddress,
        layout: LogLayout,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let servers = address.controller.clone();
        let failed = |what: &str, source: BoxError| OpenError::Brokers {
            servers: servers.clone(),
            what: what.to_owned(),
            source,
        };
        let client = Arc::new(Client::new(address));
        let topics = topics::prepare(&client, layout)?;
        let state = Arc::new(State::new(topics.ids, topics.counts));
        let watch = Arc::new(Watch { client: Arc::clone(&client), state: Arc::clone(&state) });
        watch.ask_patiently().map_err(|error| failed("say where the log ends", error))?;
        let keeper = Keeper::start(Arc::clone(&watch));
        let keeper = keeper.map_err(|error| failed("be watched by a thread", error.into()))?;
        let appender = Appender { client: Arc::clone(&client), state: Arc::clone(&state), clock };
        let readers = Readers { client, state: Arc::clone(&state), watch };
        Ok(Self { _keeper: keeper, appender, readers, state })
    }
}

/// Deletes all topics at `address`; those that are missing already are no error.
pub(crate) fn delete(address: FluvioAddress) -> Result<(), OpenError> {
    topics::delete(&Client::new(address))
}

impl EventLog for FluvioLog {
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

    fn guarantees(&self) -> Guarantees {
        Guarantees { whole_batches: false, dense_offsets: true, rising_append_time: false }
    }
}
