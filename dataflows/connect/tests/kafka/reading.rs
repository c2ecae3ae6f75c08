//! Reads at any place, over gaps, of anybody's records.

use std::time::{Duration, Instant};

use eddyline_connect::conformance::event_log::{NO_LIMIT, append_to, read_all, user_events};
use eddyline_connect::kafka::KafkaLog;
use eddyline_connect::log::{AppendVersion, EventLog, ReadLimit};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::support::{Namespace, client, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

fn append_numbers(log: &KafkaLog, numbers: std::ops::Range<u64>) {
    let batch = numbers.map(|n| append_to(user_events(0), "k", &n.to_string()));
    log.append(batch.collect()).expect("appended");
}

fn read_numbers(log: &KafkaLog, from: u64, records: usize) -> Vec<(u64, String)> {
    let limit = ReadLimit { records, ..NO_LIMIT };
    let read = log.read(user_events(0), from, limit).expect("in range");
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("text");
    read.records.iter().map(|(offset, record)| (*offset, text(&record.value))).collect()
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn reads_jump_anywhere() {
    let log = Namespace::new("jump").open();
    append_numbers(&log, 0..5_000);
    let mut place: u64 = 7;
    for _ in 0..200 {
        place =
            place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let from = (place >> 33) % 5_000;
        let read = read_numbers(&log, from, 3);
        let want: Vec<_> = (from..from + read.len() as u64).map(|n| (n, n.to_string())).collect();
        assert!(!read.is_empty() && read == want, "{from}: {read:?}");
    }
}

/// Somebody else's transactions leave markers, aborted records, and records that wait.
#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn transactions_leave_gaps_and_no_ghosts() {
    let namespace = Namespace::new("gaps");
    let log = namespace.open();
    let topic = namespace.topic("user_events");
    let mut config = client();
    config.set("transactional.id", &namespace.0);
    let other: ThreadedProducer<DefaultProducerContext> = config.create().expect("a client");
    other.init_transactions(PATIENCE).expect("the broker has transactions");
    let send = |value: &str| {
        let record = BaseRecord::<(), str>::to(&topic).partition(0).payload(value);
        other.send(record).map_err(|(error, _)| error).expect("queued");
        other.flush(PATIENCE).expect("sent");
    };
    let await_end = |want| {
        let is_there = || log.end_offset(user_events(0)).is_ok_and(|end| end == want);
        eventually(&format!("the end is {want}"), is_there);
    };
    append_numbers(&log, 0..1);
    other.begin_transaction().expect("begun");
    send("committed");
    other.commit_transaction(PATIENCE).expect("committed");
    await_end(3); // behind the marker, which comes a moment later
    other.begin_transaction().expect("begun");
    send("aborted");
    other.abort_transaction(PATIENCE).expect("aborted");
    await_end(5);
    append_numbers(&log, 1..2);
    other.begin_transaction().expect("begun");
    send("last");
    other.commit_transaction(PATIENCE).expect("committed");
    await_end(8);
    let own = |n: u64| (if n == 0 { 0 } else { 5 }, n.to_string());
    let committed = |offset: u64, text: &str| (offset, text.to_owned());
    let mut read = Vec::new();
    let mut next = 0;
    while next < 8 {
        let batch = log.read(user_events(0), next, NO_LIMIT).expect("in range");
        assert!(batch.next > next, "the reader gets on, from {next}");
        next = batch.next;
        read.extend(batch.records);
    }
    assert_eq!(next, 8, "behind the last marker");
    let read: Vec<_> = read
        .into_iter()
        .map(|(offset, record)| (offset, String::from_utf8_lossy(&record.value).into_owned()))
        .collect();
    assert_eq!(read, [own(0), committed(1, "committed"), own(1), committed(6, "last")]);
    // A transaction that stays open holds back what lies behind it, and nobody waits for it.
    other.begin_transaction().expect("begun");
    send("open");
    append_numbers(&log, 2..3); // at 9
    let began = Instant::now();
    let held = log.read(user_events(0), 8, NO_LIMIT).expect("in range");
    assert_eq!((held.records.len(), held.next), (0, 8));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    other.commit_transaction(PATIENCE).expect("committed");
    eventually("both come", || read_numbers(&log, 8, 9).len() == 2);
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn anything_that_others_write_is_read() {
    let namespace = Namespace::new("others");
    let log = namespace.open();
    let topic = namespace.topic("user_events");
    let other: ThreadedProducer<DefaultProducerContext> = client().create().expect("a client");
    let null = Header { key: "null", value: None::<&[u8]> };
    let headers = OwnedHeaders::new().insert(null).insert(Header { key: "a", value: Some("b") });
    let record = BaseRecord::<(), [u8]>::to(&topic).partition(0).headers(headers);
    other.send(record).map_err(|(error, _)| error).expect("queued");
    other.flush(PATIENCE).expect("sent");
    eventually("it is there", || log.end_offset(user_events(0)).is_ok_and(|end| end == 1));
    let (_, record) = &read_all(&log, user_events(0))[0];
    assert!(record.key.is_empty() && record.value.is_empty());
    let headers: Vec<_> = record.headers.iter().map(|(k, v)| (k.as_str(), &v[..])).collect();
    assert_eq!(headers, [("null", &b""[..]), ("a", b"b")]);
    assert!(record.append_time.0 > 1_700_000_000_000, "the broker stamps");
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn appends_of_another_process_wake_a_reader() {
    let namespace = Namespace::new("wake");
    let (reader, writer) = (namespace.open(), namespace.open());
    assert_eq!(read_numbers(&reader, 0, 1), []);
    for n in 0..50 {
        let seen = reader.wait(AppendVersion::default(), Duration::ZERO);
        append_numbers(&writer, n..n + 1);
        let mut seen = seen;
        let began = Instant::now();
        while read_numbers(&reader, n, 1).is_empty() {
            seen = reader.wait(seen, PATIENCE);
            assert!(began.elapsed() < PATIENCE, "a wake-up was lost at {n}");
        }
    }
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn progress_is_shown_to_lag_tools() {
    let namespace = Namespace::new("lag");
    let log = namespace.open();
    append_numbers(&log, 0..10);
    log.commit_group(&[(user_events(0), 7)]).expect("taken");
    let mut config = client();
    config.set("group.id", namespace.topic("eddyline"));
    let tool: BaseConsumer = config.create().expect("a client");
    eventually("the group is at 7", || {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&namespace.topic("user_events"), 0);
        let found = tool.committed_offsets(asked, PATIENCE).expect("answered");
        found.elements()[0].offset().to_raw() == Some(7)
    });
}
