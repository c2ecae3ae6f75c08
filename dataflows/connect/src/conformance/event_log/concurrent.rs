//! Many appenders at once: nothing is lost, doubled, reordered or seen in part.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use eddyline_schemas::record::Offset;

use super::{MakeLog, append_to, bindings, read_all, user_events};
use crate::log::EventLog;

const THREADS: usize = 6;
const BATCHES: usize = 40;
const PER_BATCH: usize = 5;

pub(super) fn run(make: MakeLog<'_>) {
    appenders_share_the_log(make);
    if make().guarantees().whole_batches {
        batches_are_seen_whole(make);
    }
}

fn appenders_share_the_log(make: MakeLog<'_>) {
    let log = make();
    let acknowledged: Vec<BTreeMap<(u32, Offset), String>> = std::thread::scope(|scope| {
        let start = |thread| {
            let log = &*log;
            scope.spawn(move || append_batches(log, thread))
        };
        let appenders: Vec<_> = (0..THREADS).map(start).collect();
        appenders.into_iter().map(|appender| appender.join().expect("it appends")).collect()
    });
    let mut wanted = BTreeMap::new();
    for (place, value) in acknowledged.into_iter().flatten() {
        assert_eq!(wanted.insert(place, value), None, "offset {place:?} was given twice");
    }
    assert_eq!(wanted.len(), THREADS * BATCHES * PER_BATCH);
    let mut found = BTreeMap::new();
    for partition in 0..2 {
        for (at, (offset, record)) in read_all(&*log, user_events(partition)).iter().enumerate() {
            assert_eq!(*offset, at as Offset, "no gap");
            let value = String::from_utf8(record.value.to_vec()).expect("text");
            found.insert((partition, *offset), value);
        }
    }
    assert_eq!(found, wanted, "what is there is what was acknowledged, where it was");
}

/// What one thread appended, by partition and offset; its own records must keep their order.
fn append_batches(log: &dyn EventLog, thread: usize) -> BTreeMap<(u32, Offset), String> {
    let mut acknowledged = BTreeMap::new();
    let mut last: [Option<Offset>; 2] = [None; 2];
    for batch in 0..BATCHES {
        let value = |n: usize| format!("{thread}-{batch}-{n}");
        let partition = |n: usize| ((thread + batch + n) % 2) as u32;
        let appends = (0..PER_BATCH).map(|n| append_to(user_events(partition(n)), "", &value(n)));
        let offsets = log.append(appends.collect()).expect("appended");
        for (n, offset) in offsets.into_iter().enumerate() {
            let last = &mut last[partition(n) as usize];
            assert!(last.is_none_or(|last| last < offset), "a thread's records keep their order");
            *last = Some(offset);
            acknowledged.insert((partition(n), offset), value(n));
        }
    }
    acknowledged
}

/// Each batch has one record for either partition, so neither may ever be seen ahead.
fn batches_are_seen_whole(make: MakeLog<'_>) {
    let log = make();
    let (a, b) = (user_events(0), bindings());
    let is_over = AtomicBool::new(false);
    let end = |partition| log.end_offset(partition).expect("it exists");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                let batch = vec![append_to(a, "", "x"), append_to(b, "", "x")];
                log.append(batch).expect("appended");
            }
            is_over.store(true, Ordering::SeqCst);
        });
        while !is_over.load(Ordering::SeqCst) {
            let (first, second) = (end(a), end(b));
            assert!(second >= first, "{a} at {first}, then {b} at {second}");
            let (first, second) = (end(b), end(a));
            assert!(second >= first, "{b} at {first}, then {a} at {second}");
        }
    });
    assert_eq!((end(a), end(b)), (100, 100));
}
