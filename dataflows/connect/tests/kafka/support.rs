//! A namespace of its own on the broker under test, and what operators and other clients do to it.

use std::future::Future;
use std::pin::pin;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use eddyline_connect::kafka::KafkaLog;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::OpenError;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

static MADE: AtomicU32 = AtomicU32::new(0);

/// A variable that `.ci/kafka.py test` sets.
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set, see .ci/kafka.py"))
}

/// Bootstrap servers of the broker under test.
pub(crate) fn servers() -> String {
    variable("EDDYLINE_TEST_KAFKA")
}

/// A prefix that nobody else uses.
pub(crate) struct Namespace(pub(crate) String);

impl Namespace {
    pub(crate) fn new(test: &str) -> Self {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        let number = MADE.fetch_add(1, Ordering::SeqCst);
        Self(format!("{test}-{}-{}-{number}", std::process::id(), since.as_millis()))
    }

    pub(crate) fn url(&self, query: &str) -> String {
        format!("kafka://{}/{}?{query}", servers(), self.0)
    }

    pub(crate) fn open(&self) -> KafkaLog {
        self.open_with("").expect("the broker is there")
    }

    pub(crate) fn open_with(&self, query: &str) -> Result<KafkaLog, OpenError> {
        KafkaLog::open_url(&self.url(query), LogLayout::default())
    }

    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.0)
    }

    /// Makes a topic as somebody else would.
    pub(crate) fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let topic = self.topic(name);
        let mut new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
        new.config = settings.to_vec();
        let made = block_on(admin().create_topics([&new], &options())).expect("it is asked");
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }

    /// Deletes a topic.
    pub(crate) fn delete(&self, name: &str) {
        let topic = self.topic(name);
        let gone = block_on(admin().delete_topics(&[&topic], &options())).expect("it is asked");
        assert!(gone.iter().all(Result::is_ok), "{gone:?}");
    }

    /// Deletes the records before `offset`, as retention does.
    pub(crate) fn trim(&self, name: &str, partition: i32, offset: i64) {
        let mut before = TopicPartitionList::new();
        let topic = self.topic(name);
        let place = Offset::Offset(offset);
        before.add_partition_offset(&topic, partition, place).expect("a valid place");
        block_on(admin().delete_records(&before, &options())).expect("it is asked");
    }

    /// Adds partitions.
    pub(crate) fn grow(&self, name: &str, partitions: usize) {
        let topic = self.topic(name);
        let more = NewPartitions::new(&topic, partitions);
        let made = block_on(admin().create_partitions([&more], &options())).expect("it is asked");
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }
}

/// Tells the script that runs the broker to `kill` or `start` it.
pub(crate) fn broker(verb: &str) {
    let cache = variable("EDDYLINE_TEST_KAFKA_CACHE");
    let folder = variable("EDDYLINE_TEST_KAFKA_FOLDER");
    let done = Command::new("python3")
        .args([&variable("EDDYLINE_TEST_KAFKA_SCRIPT"), "--cache", &cache, verb, &folder])
        .status()
        .expect("python3 is there");
    assert!(done.success(), "{verb}: {done}");
}

/// Waits for what must come.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", servers()).set("broker.address.family", "v4");
    config
}

fn admin() -> AdminClient<DefaultClientContext> {
    client().create().expect("a client needs no broker")
}

fn options() -> AdminOptions {
    let patience = Some(Duration::from_secs(30));
    AdminOptions::new().request_timeout(patience).operation_timeout(patience)
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}
