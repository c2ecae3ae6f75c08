//! What opens, and what is refused with one clear error.

use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{Append, EventLog, OpenError};
use eddyline_connect::url::open_log;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::support::{Namespace, variable};

/// As the adapter makes topics itself.
const RIGHT: [(&str, &str); 5] = [
    ("cleanup.policy", "delete"),
    ("message.timestamp.type", "LogAppendTime"),
    ("unclean.leader.election.enable", "false"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
];

fn check_refused(opened: Result<impl Sized, OpenError>, says: &[&str]) -> String {
    let Err(error) = opened else { panic!("it opened, and should say {says:?}") };
    let text = error.to_string();
    for part in says {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    text
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn a_log_is_the_same_when_opened_again() {
    let namespace = Namespace::new("again");
    let first = namespace.open();
    let ids = [Topic::UserEvents, Topic::Bindings].map(|topic| first.topic_id(topic));
    drop(first);
    let again = namespace.open_with("create=false").expect("it was created");
    assert_eq!([Topic::UserEvents, Topic::Bindings].map(|topic| again.topic_id(topic)), ids);
    let layout = LogLayout::default();
    let by_url = open_log(&namespace.url("watch_ms=100"), layout).expect("the same");
    assert_eq!(by_url.topic_id(Topic::UserEvents), ids[0]);
    let more = LogLayout::new(6, 2, 1).expect("valid");
    let refused = open_log(&namespace.url(""), more).map(|_| ());
    check_refused(refused, &["has 4 partitions, must have at least 6", "--partitions 6"]);
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn many_open_a_new_namespace_at_once() {
    for _ in 0..5 {
        let namespace = Namespace::new("race");
        let open = || namespace.open().topic_id(Topic::Deltas);
        let ids: Vec<[u8; 16]> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
            all.into_iter().map(|one| one.join().expect("it opens")).collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "they opened the same topics: {ids:?}");
    }
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn every_partition_of_the_deltas_can_be_used() {
    let layout = LogLayout::default().with_deltas(6).expect("valid");
    let log = open_log(&Namespace::new("six").url(""), layout).expect("the broker is there");
    let partition = TopicPartition { topic: Topic::Deltas, partition: 5 };
    let (key, value) = (Bytes::from_static(b"k"), Bytes::from_static(b"v"));
    let append = Append { partition, key, value, headers: Vec::new() };
    assert_eq!(log.append(vec![append]).expect("the partition is there"), [0]);
    assert_eq!(log.end_offset(partition).expect("it is known"), 1);
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn wrong_settings_are_reported_all_at_once() {
    let namespace = Namespace::new("settings");
    namespace.create("user_events", 2, &[("cleanup.policy", "compact"), ("retention.ms", "1000")]);
    namespace.create("feedback", 3, &RIGHT);
    namespace.create("bindings", 2, &RIGHT);
    let topic = |name: &str| namespace.topic(name);
    let text = check_refused(
        namespace.open_with("create=false"),
        &[
            &format!("{}: has 2 partitions, must have at least 4", topic("user_events")),
            &format!("{}: cleanup.policy is compact, must be delete", topic("user_events")),
            &format!("{}: retention.ms is 1000, must be -1", topic("user_events")),
            "message.timestamp.type is CreateTime, must be LogAppendTime",
            &format!("{}: has 2 partitions, must have at most 1", topic("bindings")),
            &format!("{}: is missing, and create=false", topic("item_events")),
            "kafka-configs.sh --bootstrap-server 127.0.0.1:",
            "--add-config cleanup.policy=delete,message.timestamp.type=LogAppendTime",
            "kafka-topics.sh --bootstrap-server",
        ],
    );
    assert!(!text.contains(&topic("feedback")), "it is right: {text}");
    let text = check_refused(
        namespace.open_with("min_insync_replicas=2"),
        &["min.insync.replicas is 1, must be at least 2"],
    );
    assert!(!text.contains("missing"), "it was created: {text}");
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn nobody_there_is_said_in_time() {
    let began = Instant::now();
    let opened = open_log("kafka://127.0.0.1:1/x?open_timeout_ms=1500", LogLayout::default());
    check_refused(opened.map(|_| ()), &["127.0.0.1:1", "Connection refused", "log.url"]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn credentials_are_checked_and_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    let open = |password: &str| {
        std::fs::write(&file, format!("{password}\n")).expect("written");
        let namespace = Namespace::new("sasl");
        let url = format!(
            "kafka://{}/{}?security=sasl_plaintext&user=eddyline&password_file={}",
            variable("EDDYLINE_TEST_KAFKA_SASL"),
            namespace.0,
            file.display()
        );
        open_log(&url, LogLayout::default()).map(|_| ())
    };
    open("correct horse").expect("the right password");
    let began = Instant::now();
    let text = check_refused(open("battery staple"), &["refuse the credentials", "password_file"]);
    assert!(!text.contains("battery"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    std::fs::remove_file(&file).expect("it was there");
    let sasl = variable("EDDYLINE_TEST_KAFKA_SASL");
    let url = format!("kafka://{sasl}/x?security=sasl_plaintext&user=u&password_file=nowhere");
    let opened = open_log(&url, LogLayout::default()).map(|_| ());
    check_refused(opened, &["cannot read the password file nowhere"]);
    let plain = open_log(&format!("kafka://{sasl}/x?open_timeout_ms=2000"), LogLayout::default());
    check_refused(plain.map(|_| ()), &[&sasl, "no broker"]);
}
