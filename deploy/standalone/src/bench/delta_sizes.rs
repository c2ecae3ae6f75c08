//! How large the deltas of an event are on the topic, by kind, and what runs save over one record
//! for each row. `cargo test -p eddyline --bin eddyline delta_sizes -- --ignored --nocapture`

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_connect::clock::SystemClock;
use eddyline_connect::deltas::{DeltaReader, Position, batch_of};
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::EventLog;
use eddyline_connect::memory::MemoryLog;
use eddyline_schemas::codec::encode_partition;
use eddyline_schemas::decode::BodyKind;
use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::topic::Topic;
use eddyline_serving::door::{Door, DoorLimits};
use eddyline_serving::http::Operations;

use super::stream::{Bodies, Stream, StreamShape};
use crate::config::Config;
use crate::config::layers::Layers;
use crate::node::Publishing;
use crate::source::wall_clock;

const EVENTS: u64 = 30_000;
const SHAPE: StreamShape =
    StreamShape { users: 1_000_000, items: 20_000, user_skew: 1.0, item_skew: 1.0, seed: 1 };

fn config() -> Config {
    let mut layers = Layers::default();
    layers.add_flag("dataflow.backlog_epoch_events", "1024", "--set");
    layers.finish().check().expect("the defaults hold together")
}

/// Rows and bytes.
#[derive(Default)]
struct Sum {
    rows: usize,
    records: usize,
    bytes: usize,
    alone: usize,
}

#[test]
#[ignore = "measures sizes: 30,000 events of the benchmark's stream"]
fn delta_sizes() {
    let log: Arc<dyn EventLog> =
        Arc::new(MemoryLog::new(LogLayout::default(), Arc::new(SystemClock)));
    let door = Door::new(Arc::clone(&log), Arc::new(SystemClock), DoorLimits::default());
    let door = door.expect("a thread can be started");
    let submit = |mut bodies: Bodies| {
        let mut body = Vec::new();
        while bodies.read(&mut body).expect("a temporary file can be read") {
            door.submit_body_blocking(&body, BodyKind::Json).expect("the door is open");
        }
    };
    submit(Bodies::catalogue(&SHAPE).expect("a temporary file can be made"));
    let dataflow = Publishing::open(&config(), Arc::clone(&log)).expect("an empty log");
    let wait = |records: u64| {
        let started = Instant::now();
        while dataflow.pipeline().counts.accepted < records || dataflow.pipeline().lag > 0 {
            assert!(started.elapsed() < Duration::from_secs(600), "it stopped");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait(SHAPE.items as u64);
    let behind = dataflow.pipeline().bound_epoch;
    let mut stream = Stream::new(&SHAPE);
    submit(Bodies::events(&mut stream, EVENTS, wall_clock()).expect("a file can be made"));
    wait(SHAPE.items as u64 + EVENTS);
    dataflow.close().expect("it ends well");
    let lineage = config().core.lineage();
    let mut reader = DeltaReader::open(Arc::clone(&log), lineage, Position::default())
        .expect("the log can be read");
    let (mut sums, mut epochs) = (BTreeMap::new(), 0);
    while let Some(epoch) = reader.poll().expect("nothing is wrong") {
        if epoch.epoch > behind {
            epochs += 1;
            add(&mut sums, &epoch, log.partitions(Topic::Deltas));
        }
    }
    show(&sums, epochs);
}

fn add(sums: &mut BTreeMap<String, Sum>, epoch: &EpochDeltas, partitions: u32) {
    for append in batch_of(epoch, partitions) {
        let key = String::from_utf8_lossy(&append.key);
        let kind = key.split('/').next().unwrap_or_default();
        let sum = sums.entry(kind.to_owned()).or_default();
        sum.records += 1;
        sum.bytes += append.payload_bytes();
    }
    for delta in &epoch.deltas {
        let alone = encode_partition(epoch, (1, partitions), &[delta]);
        let sum = sums.entry(delta.kind_name().to_owned()).or_default();
        sum.rows += 1;
        sum.alone += alone[0].key.len() + alone[0].value.len();
    }
}

fn show(sums: &BTreeMap<String, Sum>, epochs: usize) {
    println!("{EVENTS} events, {epochs} epochs");
    let per_event = |number: usize| number as f64 / EVENTS as f64;
    for (kind, sum) in sums {
        println!(
            "{kind:17} {:8.3} rows {:8.4} records {:8.1} bytes an event; one by one {:8.1} bytes",
            per_event(sum.rows),
            per_event(sum.records),
            per_event(sum.bytes),
            per_event(sum.alone)
        );
    }
    let total = |of: fn(&Sum) -> usize| per_event(sums.values().map(of).sum());
    println!(
        "all: {:.2} rows, {:.3} records, {:.0} bytes an event; one by one {:.0} bytes and closes",
        total(|sum| sum.rows),
        total(|sum| sum.records),
        total(|sum| sum.bytes),
        total(|sum| sum.alone)
    );
}
