//! What operators and crashes do to a log that is open: nothing acknowledged is lost in silence.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eddyline_connect::conformance::event_log::{NO_LIMIT, append_to, read_all, user_events};
use eddyline_connect::log::{AppendError, AppendVersion, EventLog, ReadError, ReadLimit};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::Topic;

use crate::support::{Namespace, broker, eventually, variable};

fn append(log: &dyn EventLog, value: &str) -> Result<Offset, AppendError> {
    log.append(vec![append_to(user_events(0), "", value)]).map(|offsets| offsets[0])
}

fn check_stopped(log: &dyn EventLog, says: &[&str]) {
    let mut text = String::new();
    eventually("the log stops", || {
        let error = log.read(user_events(0), 0, NO_LIMIT);
        text = error.map_or_else(|error| error.to_string(), |_| String::new());
        text.contains("stopped")
    });
    for part in says {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    let refused = append(log, "x").expect_err("nothing is written any more");
    assert!(matches!(refused, AppendError::Stopped(_)), "{refused}");
    log.wait(AppendVersion::default(), Duration::from_secs(30));
}

/// Two writers go on through kill -9 and a restart; what was acknowledged is where it was.
#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn a_killed_broker_loses_nothing_that_was_acknowledged() {
    let namespace = Namespace::new("killed");
    let log = namespace.open();
    let is_over = AtomicBool::new(false);
    let write = |writer: u32| {
        let mut acknowledged = BTreeMap::new();
        let mut batch = 0;
        while !is_over.load(Ordering::SeqCst) {
            let value = |n: u32| format!("{writer}-{batch}-{n}");
            let partition = |n: u32| user_events(n % 2);
            let appends = (0..20).map(|n| append_to(partition(n), "", &value(n))).collect();
            let offsets = log.append(appends).expect("an outage is ridden out");
            for (n, offset) in (0..20).zip(offsets) {
                let before = acknowledged.insert((partition(n), offset), value(n));
                assert_eq!(before, None, "an offset was given twice");
            }
            batch += 1;
        }
        acknowledged
    };
    let acknowledged: BTreeMap<_, _> = std::thread::scope(|scope| {
        let writers = [0, 1].map(|writer| scope.spawn(move || write(writer)));
        let ends = || [0, 1].map(|n| log.end_offset(user_events(n)).expect("it exists"));
        for _ in 0..2 {
            let before = ends();
            eventually("they write", || ends()[0] > before[0] + 200);
            broker("kill");
            std::thread::sleep(Duration::from_millis(200));
            broker("start");
        }
        let before = ends();
        eventually("they write again", || ends()[1] > before[1] + 200);
        is_over.store(true, Ordering::SeqCst);
        writers.into_iter().flat_map(|writer| writer.join().expect("it wrote")).collect()
    });
    for log in [log, namespace.open()] {
        let mut found = BTreeMap::new();
        for partition in [0, 1].map(user_events) {
            for (offset, record) in read_all(&log, partition) {
                let value = String::from_utf8(record.value.to_vec()).expect("text");
                found.insert((partition, offset), value);
            }
        }
        assert_eq!(found, acknowledged, "what is there is what was acknowledged");
    }
}

/// With less patience than the outage lasts, calls fail and say what is known; then they go again.
#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn an_outage_longer_than_the_patience_is_an_error_that_passes() {
    let namespace = Namespace::new("outage");
    let log = namespace.open_with("patience_ms=1500").expect("it opens");
    append(&log, "before").expect("appended");
    assert_eq!(read_all(&log, user_events(0)).len(), 1);
    broker("kill");
    let error = append(&log, "during").expect_err("nobody acknowledges");
    assert!(!error.is_certainly_not_written() && error.may_pass(), "{error}");
    let end = log.end_offset(user_events(0)).expect("still known");
    let idle = log.read(user_events(0), end, NO_LIMIT).expect("nothing new is no error");
    assert!(idle.records.is_empty());
    let error = log.read(user_events(0), 0, NO_LIMIT).expect_err("nobody answers");
    assert!(matches!(error, ReadError::Unavailable { .. }), "{error}");
    broker("start");
    eventually("appends go again", || append(&log, "after").is_ok());
    let values: Vec<_> = read_all(&log, user_events(0)).into_iter().map(|(_, r)| r.value).collect();
    assert!(values.first().is_some_and(|value| value == "before"), "{values:?}");
    assert!(values.last().is_some_and(|value| value == "after"), "{values:?}");
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn a_topic_that_was_made_again_stops_the_log() {
    let namespace = Namespace::new("recreated");
    let log = namespace.open_with("watch_ms=300").expect("it opens");
    for n in 0..5 {
        append(&log, &n.to_string()).expect("appended");
    }
    namespace.delete("user_events");
    std::thread::sleep(Duration::from_millis(100));
    let other = namespace.open();
    assert_ne!(other.topic_id(Topic::UserEvents), log.topic_id(Topic::UserEvents));
    check_stopped(&log, &["user_events", "made again", "0..5 of user_events/0"]);
    assert!(append(&other, "x").is_ok(), "the new log is one");
}

/// The watch is asleep: the acknowledgement itself gives it away.
#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn an_append_into_a_topic_that_was_made_again_is_no_success() {
    let namespace = Namespace::new("swapped");
    let log = namespace.open_with("watch_ms=3600000&patience_ms=20000").expect("it opens");
    for n in 0..5 {
        append(&log, &n.to_string()).expect("appended");
    }
    namespace.delete("user_events");
    std::thread::sleep(Duration::from_millis(100));
    drop(namespace.open());
    for n in 0..5 {
        if let Ok(offset) = append(&log, &format!("new-{n}")) {
            panic!("acknowledged at {offset} on another topic");
        }
    }
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn records_that_retention_took_are_named() {
    let namespace = Namespace::new("trimmed");
    let log = namespace.open_with("watch_ms=3600000").expect("it opens");
    let batch = (0..100).map(|n| append_to(user_events(0), "", &n.to_string()));
    log.append(batch.collect()).expect("appended");
    let ten = ReadLimit { records: 10, ..NO_LIMIT };
    assert_eq!(log.read(user_events(0), 0, ten).expect("there").next, 10);
    namespace.trim("user_events", 0, 50);
    for log in [log, namespace.open()] {
        let error = log.read(user_events(0), 3, ten).expect_err("it is gone");
        let ReadError::OutOfRange { missing, start, end, .. } = error else { panic!("{error}") };
        assert_eq!((missing, start, end), (3..50, 50, 100));
        let rest = log.read(user_events(0), 50, NO_LIMIT).expect("the rest is there");
        assert_eq!((rest.records.len(), rest.next), (50, 100));
        assert_eq!(log.start_offset(user_events(0)).ok(), Some(50));
    }
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn a_truncated_partition_stops_the_log() {
    let namespace = Namespace::new("truncated");
    let log = namespace.open();
    for n in 0..7 {
        append(&log, &n.to_string()).expect("appended");
    }
    broker("kill");
    let data = PathBuf::from(variable("EDDYLINE_TEST_KAFKA_FOLDER")).join("data");
    let folder = data.join(format!("{}-0", namespace.topic("user_events")));
    for entry in std::fs::read_dir(folder).expect("the partition's folder") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "log") {
            std::fs::write(path, []).expect("cut");
        }
    }
    broker("start");
    check_stopped(&log, &["0..7 of user_events/0"]);
    let again = namespace.open();
    let error = again.read(user_events(0), 7, NO_LIMIT).expect_err("what was bound is gone");
    assert!(error.to_string().contains("0..7 of user_events/0"), "{error}");
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn partitions_may_grow_while_the_log_is_open() {
    let namespace = Namespace::new("grown");
    let log = namespace.open_with("watch_ms=300").expect("it opens");
    assert_eq!(log.partitions(Topic::UserEvents), 4);
    namespace.grow("user_events", 6);
    eventually("it has six", || log.partitions(Topic::UserEvents) == 6);
    let offsets = log.append(vec![append_to(user_events(5), "", "new")]).expect("appended");
    assert_eq!(offsets, [0]);
    assert_eq!(read_all(&log, user_events(5)).len(), 1);
    assert_eq!(namespace.open().partitions(Topic::UserEvents), 6, "as many as there are");
    for (topic, has) in [("bindings", 1), ("deltas.v1", 4)] {
        let namespace = Namespace::new("fixed");
        let log = namespace.open_with("watch_ms=300").expect("it opens");
        namespace.grow(topic, has + 1);
        check_stopped(&log, &[topic, &format!("{has} partitions and has {}", has + 1)]);
        let error = namespace.open_with("").err().expect("it is not fit to be used");
        assert!(error.to_string().contains(&format!("must have at most {has}")), "{error}");
    }
}
