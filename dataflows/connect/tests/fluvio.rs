//! The log on Fluvio. Ignored tests need a live cluster, named in `FLUVIO_ENDPOINT` (host and port
//! of its controller), and make topics in namespaces of their own there.
#![cfg(feature = "fluvio")]

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline_connect::clock::SystemClock;
use eddyline_connect::conformance;
use eddyline_connect::fluvio::FluvioLog;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{Append, AppendVersion, EventLog, OpenError, ReadError, ReadLimit};
use eddyline_schemas::topic::{Topic, TopicPartition};
use fluvio::metadata::topic::TopicSpec;
use fluvio::{FluvioAdmin, FluvioClusterConfig};
use fluvio_future::task::run_block_on;

const PATIENCE: Duration = Duration::from_secs(20);
static MADE: AtomicU32 = AtomicU32::new(0);

fn endpoint() -> String {
    std::env::var("FLUVIO_ENDPOINT").expect("FLUVIO_ENDPOINT names a cluster")
}

/// A prefix that nobody else uses.
fn namespace(test: &str) -> String {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    let number = MADE.fetch_add(1, Ordering::SeqCst);
    format!("{test}-{:x}-{number}", since.as_millis())
}

fn open(place: &str, query: &str) -> Result<FluvioLog, OpenError> {
    let url = format!("fluvio://{place}?{query}");
    FluvioLog::open_url(&url, LogLayout::default(), Arc::new(SystemClock))
}

fn open_live(namespace: &str) -> FluvioLog {
    open(&format!("{}/{namespace}", endpoint()), "watch_ms=200").expect("the cluster is there")
}

fn user_events(partition: u32) -> TopicPartition {
    TopicPartition { topic: Topic::UserEvents, partition }
}

fn append(value: &str) -> Append {
    let value = Bytes::copy_from_slice(value.as_bytes());
    Append { partition: user_events(0), key: Bytes::new(), value, headers: Vec::new() }
}

fn check_unreachable(place: &str) {
    let began = Instant::now();
    let error = open(place, "open_timeout_ms=300").map(|_| ()).expect_err("nobody answers");
    let text = error.to_string();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{text}");
    assert!(text.contains(place) && text.contains("start it, or correct log.url"), "{text}");
    assert!(began.elapsed() < PATIENCE, "it does not wait for ever");
}

#[test]
fn a_controller_that_is_not_there_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it has one");
    check_unreachable(&free.to_string());
}

#[test]
fn a_controller_that_is_silent_is_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    check_unreachable(&silent.local_addr().expect("it has one").to_string());
}

#[test]
#[ignore = "needs a cluster: FLUVIO_ENDPOINT"]
fn fluvio_log_conforms() {
    conformance::event_log::run(&|| Box::new(open_live(&namespace("conforms"))));
}

#[test]
#[ignore = "needs a cluster: FLUVIO_ENDPOINT"]
fn another_process_finds_the_same_log_and_is_woken() {
    let namespace = namespace("shared");
    let (writer, reader) = (open_live(&namespace), open_live(&namespace));
    for topic in [Topic::UserEvents, Topic::Bindings] {
        assert_eq!(writer.topic_id(topic), reader.topic_id(topic));
    }
    for n in 0..50 {
        let mut seen = reader.wait(AppendVersion::default(), Duration::ZERO);
        assert_eq!(writer.append(vec![append(&n.to_string())]).expect("appended"), [n]);
        let began = Instant::now();
        let limit = ReadLimit { records: 1, bytes: usize::MAX };
        while reader.read(user_events(0), n, limit).map_or(0, |read| read.records.len()) == 0 {
            seen = reader.wait(seen, PATIENCE);
            assert!(began.elapsed() < PATIENCE, "a wake-up was lost at {n}");
        }
    }
    drop((writer, reader));
    let again = open_live(&namespace);
    assert_eq!(again.end_offset(user_events(0)).ok(), Some(50));
}

#[test]
#[ignore = "needs a cluster: FLUVIO_ENDPOINT"]
fn missing_topics_are_named_with_the_command() {
    let namespace = namespace("missing");
    let place = format!("{}/{namespace}", endpoint());
    let error = open(&place, "create=false").map(|_| ()).expect_err("they are missing");
    let text = error.to_string();
    assert!(matches!(error, OpenError::Topics { .. }), "{text}");
    assert!(text.contains(&format!("fluvio topic create {namespace}-user-events")), "{text}");
}

#[test]
#[ignore = "needs a cluster: FLUVIO_ENDPOINT"]
fn a_topic_that_was_made_again_stops_the_log() {
    let namespace = namespace("again");
    let log = open_live(&namespace);
    let id = log.topic_id(Topic::UserEvents);
    log.append(vec![append("a")]).expect("appended");
    run_block_on(async {
        let config = FluvioClusterConfig::new(endpoint());
        let admin = FluvioAdmin::connect_with_config(&config).await.expect("connected");
        admin.delete::<TopicSpec>(format!("{namespace}-user-events")).await.expect("deleted");
    });
    let began = Instant::now();
    while !matches!(log.end_offset(user_events(0)), Err(ReadError::Stopped(_))) {
        assert!(began.elapsed() < PATIENCE, "nobody noticed");
        std::thread::sleep(Duration::from_millis(50));
    }
    log.append(vec![append("b")]).expect_err("it stopped");
    drop(log);
    assert_ne!(open_live(&namespace).topic_id(Topic::UserEvents), id);
}
