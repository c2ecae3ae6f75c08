//! Measurements, to be run in release: `cargo test --release -p eddyline-connect -- --ignored
//! bench --nocapture --test-threads 1`. They print and assert nothing about speed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline_connect::clock::SystemClock;
use eddyline_connect::conformance::event_log::user_events;
use eddyline_connect::embedded::EmbeddedLog;
use eddyline_connect::features::{EmbeddedFeatureStore, FeatureStore, FeatureWrite};
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{Append, AppendVersion, EventLog, ReadLimit};
use eddyline_connect::memory::MemoryLog;
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::{Digest, Offset};

const BATCH: u64 = 1_000;
const LIMIT: ReadLimit = ReadLimit { records: 1_024, bytes: 1 << 20 };

fn open(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::open(folder, LogLayout::default(), Arc::new(SystemClock)).expect("it opens")
}

/// About 300 bytes of JSON as a shop would send it.
fn event(n: u64) -> Append {
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (user, item) = (mixed >> 44, (mixed >> 20) & 0xffff);
    let value = format!(
        "{{\"event_id\":\"{mixed:016x}-{n:08x}\",\"event_type\":\"view\",\"user_id\":\"u{user}\",\
         \"session_id\":\"s{:012x}\",\"item_id\":\"sku-{item}\",\"timestamp\":\"2026-03-01T12:{:02}:\
         {:02}.{:03}Z\",\"context\":{{\"device\":\"mobile\",\"location\":\"DE\",\"referrer\":\
         \"https://shop.example/c/{}\"}},\"position\":{}}}",
        mixed >> 16,
        n / 60_000 % 60,
        n / 1_000 % 60,
        n % 1_000,
        mixed % 97,
        mixed % 31
    );
    let value = format!("{value:<300}");
    Append {
        partition: user_events((user % 4) as u32),
        key: format!("u{user}").into(),
        value: value.into(),
        headers: vec![("content-type".to_owned(), Bytes::from_static(b"application/json"))],
    }
}

fn batches(count: u64) -> Vec<Vec<Append>> {
    (0..count).map(|batch| (batch * BATCH..(batch + 1) * BATCH).map(event).collect()).collect()
}

fn proc_status(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

fn folder_mib(folder: &Path) -> u64 {
    fn blocks(folder: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| match entry.metadata() {
                Ok(meta) if meta.is_dir() => blocks(&entry.path()),
                Ok(meta) => meta.blocks(),
                Err(_) => 0,
            })
            .sum()
    }
    blocks(folder) * 512 / (1 << 20)
}

fn print_rate(what: &str, records: u64, took: Duration) {
    let rate = records as f64 / took.as_secs_f64();
    println!("{what}: {records} records in {took:.2?}, {rate:.0} records/s");
}

#[test]
#[ignore = "a measurement"]
fn bench_append_batches() {
    for threads in [1, 2, 4] {
        let folder = tempfile::tempdir().expect("a folder");
        let log = open(folder.path());
        let input: Vec<_> = (0..threads).map(|_| batches(2_000 / threads)).collect();
        let started = Instant::now();
        std::thread::scope(|scope| {
            for batches in input {
                let log = &log;
                scope.spawn(move || {
                    for batch in batches {
                        log.append(batch).expect("appended");
                    }
                });
            }
        });
        print_rate(&format!("batches of {BATCH}, {threads} threads"), 2_000_000, started.elapsed());
    }
}

#[test]
#[ignore = "a measurement"]
fn bench_append_single_records() {
    for threads in [1_u64, 4, 16, 64, 256] {
        let folder = tempfile::tempdir().expect("a folder");
        let log = open(folder.path());
        let each = 40_000 / threads.clamp(4, 64);
        let started = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let log = &log;
                scope.spawn(move || {
                    for n in 0..each {
                        log.append(vec![event(thread * each + n)]).expect("appended");
                    }
                });
            }
        });
        print_rate(&format!("single, {threads} threads"), threads * each, started.elapsed());
    }
}

fn read_through(log: &EmbeddedLog, mut from: [Offset; 4]) -> u64 {
    let mut records = 0;
    for (partition, from) in from.iter_mut().enumerate() {
        loop {
            let batch = log.read(user_events(partition as u32), *from, LIMIT).expect("in range");
            *from = batch.next;
            records += batch.records.len() as u64;
            if batch.records.is_empty() {
                break;
            }
        }
    }
    records
}

/// Ten times what memory keeps: memory, disk, opening again, reading from disk and from memory.
#[test]
#[ignore = "a measurement"]
fn bench_long_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(folder.path());
    let input = batches(500);
    let before = proc_status("VmRSS");
    let started = Instant::now();
    for _ in 0..20 {
        for batch in &input {
            log.append(batch.clone()).expect("appended");
        }
    }
    print_rate("long run, batches of 1000", 10_000_000, started.elapsed());
    let (rss, peak) = (proc_status("VmRSS") - before, proc_status("VmHWM") - before);
    println!("memory +{} MiB, at most +{} MiB", rss >> 10, peak >> 10);
    println!("raw {} MiB, on disk {} MiB", (10_000_000_u64 * 330) >> 20, folder_mib(folder.path()));
    let ends = [0, 1, 2, 3].map(|n| log.end_offset(user_events(n)).expect("it exists"));
    let started = Instant::now();
    let records: u64 = (0..20).map(|_| read_through(&log, ends.map(|end| end - 10_000))).sum();
    print_rate("read of the tail", records, started.elapsed());
    drop(log);
    let started = Instant::now();
    let log = open(folder.path());
    println!("opened again in {:.2?}", started.elapsed());
    let started = Instant::now();
    print_rate("read from disk", read_through(&log, [0; 4]), started.elapsed());
    println!("on disk {} MiB", folder_mib(folder.path()));
}

/// From just before an append to memory to the return of a wait in another thread.
#[test]
#[ignore = "a measurement"]
fn bench_wake_latency() {
    const ROUNDS: u64 = 2_000;
    let log = MemoryLog::new(LogLayout::default(), Arc::new(SystemClock));
    let (sender, receiver) = std::sync::mpsc::sync_channel::<Instant>(1);
    let mut latencies: Vec<Duration> = Vec::new();
    std::thread::scope(|scope| {
        let log = &log;
        scope.spawn(move || {
            for n in 0..ROUNDS {
                std::thread::sleep(Duration::from_micros(200));
                sender.send(Instant::now()).expect("the reader runs");
                log.append(vec![event(n)]).expect("appended");
            }
        });
        let mut seen = log.wait(AppendVersion::default(), Duration::ZERO);
        for _ in 0..ROUNDS {
            seen = log.wait(seen, Duration::from_secs(9));
            let woken = Instant::now();
            latencies.push(woken - receiver.recv().expect("sent before each append"));
        }
    });
    latencies.sort();
    let at = |share: f64| latencies[(ROUNDS as f64 * share) as usize];
    println!("append to wake-up: p50 {:?}, p99 {:?}", at(0.5), at(0.99));
}

#[test]
#[ignore = "a measurement"]
fn bench_bytes_per_user() {
    const USERS: u32 = 1_000_000;
    let store = EmbeddedFeatureStore::new();
    let lineage = Lineage::root(Digest::of(b"bench"));
    let before = proc_status("VmRSS");
    let started = Instant::now();
    for chunk in 0..USERS / 1_000 {
        let write = |n: u32| {
            let user = UserId::new(&format!("user-{n}")).expect("valid");
            FeatureWrite::Vector(user, Some(vec![0.25; 128].into()))
        };
        let writes: Vec<_> = (chunk * 1_000..(chunk + 1) * 1_000).map(write).collect();
        store.apply(lineage, Epoch(u64::from(chunk) + 1), &writes).expect("applied");
    }
    let took = started.elapsed();
    let resident = (proc_status("VmRSS") - before) * 1_024 / u64::from(USERS);
    let users = store.users().expect("memory counts");
    let said = store.approximate_bytes().expect("memory counts") / users;
    println!(
        "{USERS} users x 128 f32 in {took:.2?}: {resident} bytes resident per user, {said} said"
    );
}
