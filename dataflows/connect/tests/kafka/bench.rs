//! Measurements: they print, and assert nothing about speed. Run them in release.

use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline_connect::conformance::event_log::user_events;
use eddyline_connect::kafka::KafkaLog;
use eddyline_connect::log::{Append, AppendVersion, EventLog, ReadLimit};

use crate::support::Namespace;

const BATCH: u64 = 1_000;
const LIMIT: ReadLimit = ReadLimit { records: 4_096, bytes: 8 << 20 };

/// About 300 bytes that do not compress well.
fn event(n: u64) -> Append {
    let mut mixed = n;
    let mut draw = || {
        mixed =
            mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        mixed
    };
    let value: String = (0..18).map(|_| format!("{:016x}", draw())).collect();
    Append {
        partition: user_events((n % 4) as u32),
        key: format!("u{}", draw() >> 44).into(),
        value: value.into(),
        headers: vec![("content-type".to_owned(), Bytes::from_static(b"application/json"))],
    }
}

fn rate(what: &str, records: u64, took: Duration) {
    let rate = records as f64 / took.as_secs_f64();
    println!("{what}: {records} records in {took:.2?}, {rate:.0} records/s");
}

fn percentiles(what: &str, mut latencies: Vec<Duration>) {
    latencies.sort();
    let at = |share: f64| latencies[(latencies.len() as f64 * share) as usize];
    println!("{what}: p50 {:?}, p99 {:?}", at(0.5), at(0.99));
}

#[test]
#[ignore = "needs a broker: EDDYLINE_TEST_KAFKA"]
fn bench_kafka() {
    for linger in ["0", "1"] {
        println!("linger_ms={linger}");
        let namespace = Namespace::new("bench");
        let log = namespace.open_with(&format!("linger_ms={linger}")).expect("it opens");
        for threads in [1, 4] {
            append_batches(&log, threads);
        }
        let latencies = (0..2_000).map(|n| {
            let began = Instant::now();
            log.append(vec![event(n)]).expect("appended");
            began.elapsed()
        });
        percentiles("append one", latencies.collect());
        read_through(&log);
        wake(&namespace);
    }
}

fn append_batches(log: &KafkaLog, threads: u64) {
    let batches = |thread: u64| -> Vec<Vec<Append>> {
        let first = thread * 100 * BATCH;
        let one = |batch: u64| (0..BATCH).map(|n| event(first + batch * BATCH + n)).collect();
        (0..100).map(one).collect()
    };
    let batches: Vec<_> = (0..threads).map(batches).collect();
    let began = Instant::now();
    std::thread::scope(|scope| {
        for mine in batches {
            scope.spawn(move || {
                for batch in mine {
                    log.append(batch).expect("appended");
                }
            });
        }
    });
    let what = format!("append batches of {BATCH}, {threads} threads");
    rate(&what, threads * 100 * BATCH, began.elapsed());
}

fn read_through(log: &KafkaLog) {
    let began = Instant::now();
    let mut records = 0;
    for partition in 0..4 {
        let end = log.end_offset(user_events(partition)).expect("it exists");
        let mut next = 0;
        while next < end {
            let batch = log.read(user_events(partition), next, LIMIT).expect("in range");
            next = batch.next;
            records += batch.records.len() as u64;
        }
    }
    rate("read from the start", records, began.elapsed());
}

/// From before an append by one handle to the read of it by another.
fn wake(namespace: &Namespace) {
    let (reader, writer) = (namespace.open(), namespace.open());
    let end = reader.end_offset(user_events(1)).expect("it exists");
    let mut next = end;
    let mut read = |seen: AppendVersion| {
        let mut seen = seen;
        loop {
            let batch = reader.read(user_events(1), next, LIMIT).expect("in range");
            if !batch.records.is_empty() {
                next = batch.next;
                return;
            }
            seen = reader.wait(seen, Duration::from_secs(9));
        }
    };
    let mut latencies = Vec::new();
    for n in 0..1_000 {
        let seen = reader.wait(AppendVersion::default(), Duration::ZERO);
        let append = Append { partition: user_events(1), ..event(n) };
        let began = Instant::now();
        writer.append(vec![append]).expect("appended");
        read(seen);
        latencies.push(began.elapsed());
    }
    percentiles("append to read by another handle", latencies);
}
