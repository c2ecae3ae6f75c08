//! Measures snapshots of about 1 GiB, to be run in release:
//! `cargo test --release -p eddyline-dataflows --test snapshot_bench -- --ignored --nocapture`.
//!
//! It prints the pause of the folding, what writing and reading take, and the time from a valid
//! snapshot to the first epoch committed after it. The bar is 10 s for all of a recovery; an object
//! store other than a local folder is named by `EDDYLINE_TEST_S3`.

mod support {
    pub(crate) mod position;
}

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline_connect::objects::{Access, open_objects};
use eddyline_dataflows::Folder;
use eddyline_dataflows::bound::{Bound, DecodedEvent, EpochInput, EventTimes, Header};
use eddyline_dataflows::snapshot::SnapshotStore;
use eddyline_model::config::CoreConfig;
use eddyline_schemas::decode::decode_record;
use eddyline_schemas::record::Record;
use eddyline_schemas::time::{HOUR_MS, TimestampMs};
use eddyline_schemas::topic::{Topic, TopicPartition};

use support::position::position_at;

const USERS: u64 = 1_200_000;
const ITEMS: u64 = 100_000;
const EVENTS: u64 = 1_800_000;
const EPOCH: u64 = 4_096;
const NOW: i64 = 1_772_366_400_000;

fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (n ^ (n >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 8
}

fn value(n: u64) -> (Topic, String) {
    if n < ITEMS {
        let (category, brand) = (n % 200, n % 500);
        let row = format!(
            "{{\"event_type\":\"item_upsert\",\"event_id\":\"c{n}\",\"item_id\":\"item-{n}\",\"item\":\
             {{\"title\":\"Item {n}\",\"category\":\"category-{category}\",\"brand\":\"brand-{brand}\",\
             \"price\":{}.5}}}}",
            n % 90
        );
        return (Topic::ItemEvents, row);
    }
    // Half of the events are of a tenth of the users.
    let user = if n.is_multiple_of(2) { mixed(n) % USERS } else { mixed(n) % (USERS / 10) };
    let kind = if n.is_multiple_of(3) { "click" } else { "view" };
    let item = mixed(n + 7) % ITEMS;
    let text = format!(
        "{{\"event_type\":\"{kind}\",\"event_id\":\"e{n}\",\"user_id\":\"user-{user}\",\
         \"session_id\":\"s{user}\",\"item_id\":\"item-{item}\",\"timestamp\":{}}}",
        NOW + (n / 20) as i64
    );
    (Topic::UserEvents, text)
}

fn epoch(number: u64) -> EpochInput {
    let decode = |seq: u64| {
        let n = number * EPOCH + seq;
        let (topic, text) = value(n);
        let at = TopicPartition { topic, partition: 0 };
        let append_time = TimestampMs(NOW);
        let value = Bytes::from(text);
        let record =
            Record { append_time, key: Bytes::new(), value, headers: Vec::new(), erased: None };
        let event = decode_record(at, n, &record).expect("a valid event");
        let event_time = event.timestamp.unwrap_or(append_time);
        let times = EventTimes { event_time, clock_hour: event_time.0.div_euclid(HOUR_MS) };
        Bound { seq: seq as u32, event: Arc::new(DecodedEvent::new(at, n, times, event)) }
    };
    let logical_time = TimestampMs(NOW + (number * EPOCH / 20) as i64);
    let header = Header { logical_time, accepted: EPOCH, late: 0, dead_letter: 0 };
    EpochInput { header, events: (0..EPOCH).map(decode).collect() }
}

#[expect(clippy::disallowed_methods, reason = "a measurement")]
fn now() -> Instant {
    Instant::now()
}

fn feed(folder: &mut Folder, epochs: std::ops::Range<u64>) {
    for number in epochs {
        folder.feed(epoch(number));
    }
}

fn said(what: &str, bytes: u64, took: Duration) {
    let megabytes = bytes as f64 / 1e6;
    println!("{what}: {:.2} s, {:.0} MB/s", took.as_secs_f64(), megabytes / took.as_secs_f64());
}

/// Resident memory of this process, in MB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.split_whitespace().next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1_000
}

#[test]
#[ignore = "takes a minute and 5 GB of memory"]
fn bench_snapshots_of_a_gibibyte() {
    let core = CoreConfig::default();
    let root = tempfile::tempdir().expect("a folder");
    let url = std::env::var("EDDYLINE_TEST_S3")
        .unwrap_or_else(|_| format!("file:{}", root.path().display()));
    let objects = open_objects(&url, Access::Write).expect("the store opens");
    let store = SnapshotStore::new(objects, &core);
    let mut folder = Folder::start(&core, 2, Box::new(|_| {})).expect("starts");
    let epochs = (EVENTS + ITEMS) / EPOCH;
    feed(&mut folder, 0..epochs);
    folder.wait();
    println!("state is there: {} MB resident", resident());

    let began = now();
    let export = folder.export();
    let (bytes, pause) = (export.bytes(), began.elapsed());
    said("pause (copy)", bytes, pause);
    println!(
        "{} MB of snapshot, {:.2} s of pause a GiB; {} MB resident",
        bytes / 1_000_000,
        pause.as_secs_f64() * (1_u64 << 30) as f64 / bytes as f64,
        resident()
    );
    let at = export.epoch();
    let began = now();
    let first = store.write(export, position_at(at)).expect("written");
    said("write", bytes, began.elapsed());
    println!("{first:?}; {} MB resident", resident());

    feed(&mut folder, epochs..epochs + 20);
    let second = folder.export();
    let at = second.epoch();
    let written = store.write(second, position_at(at)).expect("written");
    println!("20 epochs later: {} of {} MB anew", written.written_bytes >> 20, written.bytes >> 20);
    let want = folder.end();

    let began = now();
    let restored = store.newest_valid(core.lineage()).expect("read").expect("there");
    said("load", bytes, began.elapsed());
    let mut folder = Folder::start_from(&core, 2, restored, Box::new(|_| {})).expect("starts");
    let next = epochs + 20;
    folder.feed(epoch(next));
    folder.wait();
    println!(
        "recovery to the first epoch after it: {:.2} s; {} MB resident",
        began.elapsed().as_secs_f64(),
        resident()
    );
    drop(folder);
    assert_eq!(want.state_digest, written.state_digest);
}
