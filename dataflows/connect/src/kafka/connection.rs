//! The way to the brokers: client settings, and the questions that belong to no partition's reader.

use std::time::{Duration, Instant};

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::TopicPartition;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset as Place, TopicPartitionList};

use super::address::KafkaAddress;
use super::context::Ears;
use super::native::{Description, describe_topics};
use crate::layout::TOPICS;
use crate::log::OpenError;

/// How old librdkafka's idea of topics and leaders may get.
const MOST_STALE: Duration = Duration::from_secs(5);

/// See the module doc.
pub(super) struct Connection {
    pub(super) address: KafkaAddress,
    pub(super) ears: Ears,
    /// Names in the order of [`TOPICS`].
    pub(super) names: Vec<String>,
    base: ClientConfig,
    /// Reads nothing; sees uncommitted records, so its ends are those of the partition itself.
    pub(super) probe: BaseConsumer<Ears>,
}

/// Which end of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    Start,
    End,
}

/// Offsets by partition, and the first error of a partition whose offset is not known.
pub(super) type Offsets = (Vec<(TopicPartition, Offset)>, Option<KafkaError>);

impl Connection {
    /// Makes the clients and waits until a broker answers.
    pub(super) fn open(address: KafkaAddress) -> Result<Self, OpenError> {
        let ears = Ears::default();
        let base = base_config(&address)?;
        let mut config = base.clone();
        config.set("isolation.level", "read_uncommitted");
        let probe =
            config.create_with_context(ears.clone()).map_err(|error| refused(&address, error))?;
        let names = TOPICS.map(|topic| address.topic(topic.name())).to_vec();
        let connection = Self { address, ears, names, base, probe };
        connection.await_broker()?;
        Ok(connection)
    }

    /// Settings of a producer that neither loses nor doubles nor reorders while it lives.
    pub(super) fn producer_config(&self, max_message_bytes: usize) -> ClientConfig {
        let mut config = self.base.clone();
        let patience = self.address.options.patience.as_millis().to_string();
        let settings = [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("compression.codec", "zstd"),
            ("compression.level", "1"),
            ("queue.buffering.max.messages", "500000"),
            ("queue.buffering.max.kbytes", "262144"),
            ("batch.num.messages", "10000"),
        ];
        for (key, value) in settings {
            config.set(key, value);
        }
        config.set("message.timeout.ms", patience);
        config.set("linger.ms", self.address.options.linger.as_millis().to_string());
        config.set("message.max.bytes", max_message_bytes.to_string());
        config
    }

    /// Settings of a consumer that never chooses an offset by itself.
    pub(super) fn consumer_config(&self) -> ClientConfig {
        let mut config = self.base.clone();
        let settings = [
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_committed"),
            ("enable.partition.eof", "false"),
            // One fetch for each broker is on its way: a seek, or a partition with room again, waits
            // for it. New records end it at once.
            ("fetch.wait.max.ms", "20"),
            ("fetch.error.backoff.ms", "50"),
            // The default of a second would make a reader that caught up with the prefetch wait.
            ("fetch.queue.backoff.ms", "2"),
            ("queued.min.messages", "20000"),
            ("queued.max.messages.kbytes", "16384"),
        ];
        for (key, value) in settings {
            config.set(key, value);
        }
        config.set("group.id", self.address.group());
        config
    }

    /// Settings of an admin client.
    pub(super) fn admin_config(&self) -> &ClientConfig {
        &self.base
    }

    /// The name of the topic of `partition`.
    pub(super) fn name(&self, partition: TopicPartition) -> &str {
        let at = TOPICS.iter().position(|topic| *topic == partition.topic);
        &self.names[at.expect("TOPICS has all topics")]
    }

    /// All topics, in the order of [`TOPICS`].
    pub(super) fn describe(
        &self,
        timeout: Duration,
    ) -> Result<Vec<Result<Description, RDKafkaErrorCode>>, KafkaError> {
        describe_topics(self.probe.client(), &self.names, timeout).map_err(KafkaError::AdminOp)
    }

    /// Has `client` ask anew what the topics are: what it remembers may be from before they were
    /// made. What it cannot learn shows when it is asked.
    pub(super) fn learn_topics(&self, client: &BaseConsumer<Ears>, timeout: Duration) {
        for name in &self.names {
            drop(client.fetch_metadata(Some(name), timeout));
        }
    }

    /// The edge of each of `partitions`, from `consumer`'s point of view, in one request for each
    /// broker.
    pub(super) fn offsets(
        &self,
        consumer: &BaseConsumer<Ears>,
        partitions: &[TopicPartition],
        edge: Edge,
        timeout: Duration,
    ) -> Result<Offsets, KafkaError> {
        // -2 and -1 as a timestamp mean the edges in Kafka's protocol, and here.
        let place = if edge == Edge::Start { Place::Beginning } else { Place::End };
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            let number = number(*partition);
            asked.add_partition_offset(self.name(*partition), number, place)?;
        }
        let answered = consumer.offsets_for_times(asked, timeout)?;
        let (mut found, mut failed) = (Vec::with_capacity(partitions.len()), None);
        for &partition in partitions {
            let element = answered.find_partition(self.name(partition), number(partition));
            match element.map(|element| (element.error(), element.offset())) {
                Some((Ok(()), Place::Offset(offset))) if offset >= 0 => {
                    found.push((partition, offset.cast_unsigned()));
                }
                Some((Err(error), _)) => failed = failed.or(Some(error)),
                _ => failed = failed.or(Some(KafkaError::NoMessageReceived)),
            }
        }
        Ok((found, failed))
    }

    /// `error`, with what was heard on the side.
    pub(super) fn explain(&self, error: &dyn std::fmt::Display) -> String {
        match self.ears.last() {
            Some(heard) => format!("{error}; last heard: {heard}"),
            None => error.to_string(),
        }
    }

    fn await_broker(&self) -> Result<(), OpenError> {
        const STEP: Duration = Duration::from_millis(500);
        let patience = self.address.options.open_timeout;
        let deadline = Instant::now() + patience;
        loop {
            let answer = self.probe.fetch_metadata(Some(&self.names[0]), STEP.min(patience));
            // Serves the callbacks that tell why.
            let _ = self.probe.poll(Duration::ZERO);
            let Err(error) = answer else { return Ok(()) };
            if let Some(reason) = self.ears.credentials() {
                return Err(OpenError::Credentials {
                    servers: self.address.servers.clone(),
                    reason,
                });
            }
            if Instant::now() >= deadline {
                let reason = self.ears.last().unwrap_or_else(|| error.to_string());
                let servers = self.address.servers.clone();
                return Err(OpenError::Unreachable { servers, waited: patience, reason });
            }
        }
    }
}

/// A partition's number as Kafka has it.
pub(super) fn number(partition: TopicPartition) -> i32 {
    i32::try_from(partition.partition).unwrap_or(i32::MAX)
}

/// What no setting can make right.
pub(super) fn refused(address: &KafkaAddress, error: KafkaError) -> OpenError {
    OpenError::Brokers {
        servers: address.servers.clone(),
        what: "make a client".to_owned(),
        source: error.into(),
    }
}

fn base_config(address: &KafkaAddress) -> Result<ClientConfig, OpenError> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &address.servers);
    config.set("client.id", "eddyline");
    config.set("socket.keepalive.enable", "true");
    // Come back soon after an outage; the default waits for up to ten seconds.
    config.set("reconnect.backoff.ms", "50");
    config.set("reconnect.backoff.max.ms", "1000");
    // New partitions and leaders are noticed at least as soon as we notice them.
    let refresh = address.options.watch.min(MOST_STALE).as_millis().to_string();
    config.set("topic.metadata.refresh.interval.ms", refresh);
    if address.servers.split(',').all(is_ipv4_loopback) {
        config.set("broker.address.family", "v4");
    }
    let security = &address.options.security;
    config.set("security.protocol", security.protocol.name());
    if security.is_sasl() {
        config.set("sasl.mechanism", security.mechanism.as_deref().unwrap_or("PLAIN"));
        config.set("sasl.username", security.user.as_deref().unwrap_or_default());
    }
    if let Some(file) = &security.password_file {
        let password = std::fs::read_to_string(file).map_err(|error| OpenError::Credentials {
            servers: address.servers.clone(),
            reason: format!("cannot read the password file {}: {error}", file.display()),
        })?;
        config.set("sasl.password", password.trim_end_matches(['\r', '\n']));
    }
    if let Some(file) = &security.ca_file {
        config.set("ssl.ca.location", file.display().to_string());
    }
    Ok(config)
}

fn is_ipv4_loopback(server: &str) -> bool {
    server.starts_with("127.") || server.starts_with("localhost:")
}
