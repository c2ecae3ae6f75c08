//! What the engine does when the log is not what it was: it stops and names the place. Neither
//! the refold nor a live engine may go on with other state.

mod support {
    pub(crate) mod accepted;
    pub(crate) mod contents;
    pub(crate) mod pinned_log;
    pub(crate) mod rebind;
    pub(crate) mod running;
    pub(crate) mod shop;
}

use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::clock::ManualClock;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{Append, EventLog};
use eddyline_connect::memory::MemoryLog;
use eddyline_dataflows::EngineError;
use eddyline_model::config::CoreConfig;
use eddyline_schemas::binding::{BindingFold, BindingRecord, BoundRange};
use eddyline_schemas::codec::{decode_binding, encode_binding};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::time::TimestampMs;

use support::accepted::accepted_bindings;
use support::contents::{BINDINGS, binding_values};
use support::pinned_log::{PinnedLog, Stored};
use support::rebind::rebind;
use support::running::{bind_all, refolded, started, wait_until};
use support::shop::Shop;

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core
}

/// A stream and the bindings under which it was folded once.
#[derive(Clone)]
struct Bound {
    records: Vec<Stored>,
    bindings: Vec<Bytes>,
}

impl Bound {
    fn new() -> Self {
        let records = Shop::new(6).records(700);
        let log: Arc<dyn EventLog> = PinnedLog::holding(&records);
        bind_all(&core(), &log, 64);
        Self { records, bindings: binding_values(&*log) }
    }

    fn log(&self) -> Arc<PinnedLog> {
        let log = PinnedLog::holding(&self.records);
        rebind(&*log, self.bindings.iter().cloned());
        log
    }

    /// Which binding covers the n-th record of the stream.
    fn range_of(&self, n: usize) -> (Epoch, BoundRange) {
        let at = self.records[n].at;
        let offset = self.records[..n].iter().filter(|stored| stored.at == at).count() as Offset;
        for binding in accepted_bindings(&*self.log()) {
            let covers = |range: &&BoundRange| {
                range.partition == at && (range.start..range.end).contains(&offset)
            };
            if let Some(range) = binding.ranges.iter().find(covers) {
                return (binding.epoch, range.clone());
            }
        }
        panic!("record {n} is not bound");
    }
}

/// The refold's error, which a live engine must report too, and bind nothing.
fn refusal(log: Arc<PinnedLog>) -> EngineError {
    let log: Arc<dyn EventLog> = log;
    let error = refolded(&core(), &log, 2, None).expect_err("the log is not what was bound");
    let before = log.end_offset(BINDINGS).expect("memory can be read");
    let engine = started(&core(), &log, 64, Box::new(|_| {}));
    wait_until(&engine, "a failure", |engine| engine.status().failure.is_some());
    let failure = engine.status().failure.expect("it was there a moment ago");
    assert!(failure.starts_with(&error.to_string()), "{failure:?} is not {error}");
    assert!(!engine.status().is_recovered);
    assert!(engine.shutdown().is_err());
    assert_eq!(log.end_offset(BINDINGS).expect("memory can be read"), before, "it bound nothing");
    error
}

#[test]
fn an_unchanged_copy_folds() {
    let bound = Bound::new();
    let log: Arc<dyn EventLog> = bound.log();
    refolded(&core(), &log, 2, None).expect("nothing is wrong");
}

#[test]
fn changed_records_are_named() {
    let bound = Bound::new();
    type Change = (&'static str, fn(&mut Stored));
    let changes: [Change; 5] = [
        ("value", |stored| stored.record.value = Bytes::from_static(b"{}")),
        ("key", |stored| stored.record.key = Bytes::from_static(b"other")),
        ("append time", |stored| stored.record.append_time.0 += 1),
        ("header", |stored| stored.record.headers.push(("x".into(), Bytes::new()))),
        ("headers", |stored| stored.record.headers.clear()),
    ];
    for (what, change) in changes {
        let is_changed = |n: &usize| {
            let mut stored = bound.records[*n].clone();
            change(&mut stored);
            stored.record != bound.records[*n].record
        };
        let n = (350..700).find(is_changed).expect("the change changes something");
        let mut changed = bound.clone();
        change(&mut changed.records[n]);
        let (want_epoch, want) = bound.range_of(n);
        match refusal(changed.log()) {
            EngineError::BoundRecordsChanged { epoch, partition, range } => {
                assert_eq!((epoch, partition), (want_epoch, want.partition), "{what}");
                assert_eq!(range, want.start..want.end, "{what}");
            }
            other => panic!("{what}: {other}"),
        }
    }
}

#[test]
fn a_lost_end_is_named() {
    let bound = Bound::new();
    let last = bound.records.last().expect("the stream has records").at;
    let (want_epoch, want) = bound.range_of(bound.records.len() - 1);
    let mut cut = bound.clone();
    cut.records.pop();
    match refusal(cut.log()) {
        EngineError::BoundRecordsChanged { epoch, partition, range } => {
            assert_eq!((epoch, partition, range), (want_epoch, last, want.start..want.end));
        }
        other => panic!("{other}"),
    }
    cut.records.retain(|stored| stored.at != last);
    match refusal(cut.log()) {
        EngineError::BoundRecordsChanged { partition, range, .. } => {
            assert_eq!((partition, range.start), (last, 0), "the first range that is gone");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_topic_that_was_made_anew_is_named() {
    let bound = Bound::new();
    let clock = Arc::new(ManualClock::default());
    let log = MemoryLog::new(LogLayout::default(), Arc::<ManualClock>::clone(&clock));
    let append = |at, record: Record| {
        clock.set(record.append_time);
        let Record { key, value, headers, .. } = record;
        log.append(vec![Append { partition: at, key, value, headers }]).expect("memory");
    };
    bound.records.iter().for_each(|stored| append(stored.at, stored.record.clone()));
    for value in bound.bindings {
        let (append_time, key) = (TimestampMs(0), Bytes::new());
        append(BINDINGS, Record { append_time, key, value, headers: Vec::new(), erased: None });
    }
    let log: Arc<dyn EventLog> = Arc::new(log);
    let error = refolded(&core(), &log, 1, None).expect_err("the topics are others");
    assert!(matches!(error, EngineError::TopicRecreated { epoch: Epoch(1), .. }), "{error}");
}

#[test]
fn garbage_among_the_bindings_is_named() {
    for garbage in [&b"garbage"[..], b"", &[0x0a, 0xff]] {
        let mut bound = Bound::new();
        let at = bound.bindings.len() / 2;
        bound.bindings.insert(at, Bytes::copy_from_slice(garbage));
        match refusal(bound.log()) {
            EngineError::InvalidBinding { offset, .. } => assert_eq!(offset, at as Offset),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn a_binding_that_does_not_continue_its_partition_is_named() {
    let mut bound = Bound::new();
    let mut fold = BindingFold::default();
    for value in &bound.bindings {
        let record = decode_binding(value).expect("a writer wrote it");
        let _ = fold.step(record, value).expect("no range breaks");
    }
    let mut binding = accepted_bindings(&*bound.log()).pop().expect("the stream has epochs");
    binding.epoch = fold.epoch().next();
    binding.prev_hash = fold.chain();
    let broken = binding.ranges[0].partition;
    bound.bindings.push(encode_binding(&BindingRecord::Binding(binding)).into());
    match refusal(bound.log()) {
        EngineError::BrokenRange(range) => {
            assert_eq!((range.epoch, range.partition), (fold.epoch().next(), broken));
        }
        other => panic!("{other}"),
    }
}
