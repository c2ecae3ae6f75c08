//! An engine whose ports fail: it goes on when that may help, and stops with the place named when
//! it cannot.

mod support {
    pub(crate) mod pinned_log;
    pub(crate) mod running;
    pub(crate) mod shop;
}

use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::clock::ManualClock;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{
    Append, AppendError, AppendVersion, BoxError, EventLog, ReadBatch, ReadError, ReadLimit,
};
use eddyline_connect::sim::{Budget, Dice, Injector, SimDisk, SimLog};
use eddyline_dataflows::{
    Committed, EmitError, EngineConfig, EngineOutputs, EpochLimits, NoSnapshots, Output, Outputs,
    skip_record, start_with,
};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Record;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};

use support::pinned_log::{PinnedLog, Stored};
use support::running::{bind_all, refolded, started, wait_drained, wait_until};
use support::shop::Shop;

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core
}

/// A log that holds `records`, and a handle on it that fails `faults` times.
fn failing(records: &[Stored], faults: u64) -> (Arc<dyn EventLog>, Arc<dyn EventLog>) {
    let clock = Arc::new(ManualClock::new(TimestampMs(0)));
    let disk = SimDisk::new(LogLayout::default(), Arc::<ManualClock>::clone(&clock), 1);
    for stored in records {
        clock.set(stored.record.append_time);
        let Record { key, value, headers, .. } = stored.record.clone();
        disk.append(vec![Append { partition: stored.at, key, value, headers }]);
    }
    let disk = Arc::new(disk);
    let injector = Injector::new(Dice::new(7), Arc::new(Budget::new(0, faults)), 3);
    let failing = SimLog::new(Arc::clone(&disk), Arc::new(injector));
    let sound = SimLog::new(disk, Arc::new(Injector::harmless()));
    (Arc::new(failing), Arc::new(sound))
}

#[test]
fn what_may_pass_is_tried_again() {
    let records = Shop::new(11).records(400);
    let (failing, sound) = failing(&records, 40);
    let digest = bind_all(&core(), &failing, 64);
    let (again, epochs) = refolded(&core(), &sound, 1, None).expect("folds");
    assert_eq!(again, digest);
    assert_eq!(epochs.last().expect("there are epochs").counts.accepted, 400, "each record once");
}

/// A receiver that says that it is at an epoch, and takes nothing.
struct Ahead(Epoch);

impl Outputs for Ahead {
    fn newest(&mut self, _: Lineage) -> Result<Epoch, BoxError> {
        Ok(self.0)
    }

    fn emit(&mut self, _: Box<Committed>) -> Result<(), EmitError> {
        Err(EmitError::Refused("it takes nothing".into()))
    }

    fn acknowledged(&self) -> Epoch {
        Epoch(0)
    }
}

#[test]
fn a_receiver_ahead_of_the_bindings_stops_the_engine() {
    let log: Arc<dyn EventLog> = PinnedLog::holding(&[]);
    let epoch = EpochLimits { events: 8, wait: Duration::from_millis(2), backlog_events: 8 };
    let config = EngineConfig { core: core(), workers: 1.into(), epoch };
    let outputs = EngineOutputs {
        output: Output::Port(Box::new(Ahead(Epoch(9)))),
        snapshots: Box::new(NoSnapshots),
        from: None,
    };
    let engine = start_with(config, log, outputs).expect("starts");
    wait_until(&engine, "a failure", |engine| engine.status().failure.is_some());
    let failure = engine.status().failure.expect("it was there a moment ago");
    assert!(
        failure.contains("is at epoch 9, but the bindings on the log end at epoch 0"),
        "{failure}"
    );
    assert!(!engine.status().is_recovered);
}

#[test]
fn a_record_that_is_passed_over_is_a_dead_letter_in_every_fold() {
    let records = Shop::new(12).records(500);
    let log: Arc<dyn EventLog> = PinnedLog::holding(&records);
    let before = bind_all(&core(), &log, 64);
    let (_, epochs) = refolded(&core(), &log, 1, None).expect("folds");
    let with = epochs.last().expect("there are epochs").counts;

    // One of the first records of the catalogue: valid, and bound in the first epochs.
    let at = records.iter().find(|stored| stored.at.topic == Topic::ItemEvents).expect("a row").at;
    let running = started(&core(), &log, 64, Box::new(|_| {}));
    wait_drained(&running);
    skip_record(&log, at, 3).expect("nobody else claims anything");
    skip_record(&log, at, 3).expect("twice is as good as once");

    let (again, epochs) = refolded(&core(), &log, 2, None).expect("folds");
    let without = epochs.last().expect("there are epochs").counts;
    assert_eq!(without.dead_letter, with.dead_letter + 1);
    assert_eq!(without.accepted, with.accepted);
    assert_ne!(again.state_digest, before.state_digest);
    assert!(without.is_conserved());

    // Whoever was running cannot bind any more; whoever starts folds without the record.
    drop(running);
    assert_eq!(bind_all(&core(), &log, 64), again);
    let bindings = TopicPartition { topic: Topic::Bindings, partition: 0 };
    let end = log.end_offset(bindings).expect("memory can be read");
    skip_record(&log, at, 3).expect("known");
    assert_eq!(log.end_offset(bindings).expect("memory can be read"), end, "nothing to say");
}

/// A log that says of one partition what is not so.
struct Lying {
    inner: Arc<PinnedLog>,
    about: TopicPartition,
    start: Option<u64>,
    end: Option<u64>,
}

impl EventLog for Lying {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<u64>, AppendError> {
        self.inner.append(batch)
    }

    fn read(
        &self,
        at: TopicPartition,
        from: u64,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        self.inner.read(at, from, limit)
    }

    fn start_offset(&self, at: TopicPartition) -> Result<u64, ReadError> {
        let said = self.start.filter(|_| at == self.about);
        said.map_or_else(|| self.inner.start_offset(at), Ok)
    }

    fn end_offset(&self, at: TopicPartition) -> Result<u64, ReadError> {
        let said = self.end.filter(|_| at == self.about);
        said.map_or_else(|| self.inner.end_offset(at), Ok)
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.inner.partitions(topic)
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        self.inner.topic_id(topic)
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.inner.wait(seen, timeout)
    }
}

#[test]
fn a_range_that_is_missing_is_named_before_anything_is_claimed() {
    let records = Shop::new(13).records(300);
    let inner = PinnedLog::holding(&records);
    let as_log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&inner);
    bind_all(&core(), &as_log, 64);
    let about = records[0].at;
    let end = inner.end_offset(about).expect("memory can be read");
    let bindings = TopicPartition { topic: Topic::Bindings, partition: 0 };
    let claimed = inner.end_offset(bindings).expect("memory can be read");
    let check = |start, said_end, want: String| {
        let log = Lying { inner: Arc::clone(&inner), about, start, end: said_end };
        let engine = started(&core(), &(Arc::new(log) as Arc<dyn EventLog>), 64, Box::new(|_| {}));
        wait_until(&engine, "a failure", |engine| engine.status().failure.is_some());
        let failure = engine.status().failure.expect("it was there a moment ago");
        assert!(failure.contains(&want), "{failure}");
        assert_eq!(inner.end_offset(bindings).expect("memory"), claimed, "it claims nothing");
    };
    check(
        None,
        Some(end - 2),
        format!("offsets {}..{end} of {about} were bound and are gone", end - 2),
    );
    check(
        Some(end + 5),
        Some(end + 9),
        format!("offsets {end}..{} of {about} were never bound", end + 5),
    );
}
