//! An engine whose topic of deltas stands still, fails for a while, or refuses for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline_connect::clock::SystemClock;
use eddyline_connect::deltas::{DeltaReader, Position};
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{
    Append, AppendError, AppendVersion, EventLog, ReadBatch, ReadError, ReadLimit,
};
use eddyline_connect::memory::MemoryLog;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use eddyline_serving::http::Operations;

use super::super::Publishing;
use crate::config::Config;
use crate::config::layers::Layers;

const PATIENCE: Duration = Duration::from_secs(120);

/// What the topic of deltas does with an append; all else goes to a log in memory.
const TAKES: u8 = 0;
const STANDS_STILL: u8 = 1;
const FAILS: u8 = 2;
const REFUSES: u8 = 3;

struct Gate {
    log: MemoryLog,
    mood: AtomicU8,
}

impl Gate {
    fn new(mood: u8) -> Arc<Self> {
        let log = MemoryLog::new(LogLayout::default(), Arc::new(SystemClock));
        Arc::new(Self { log, mood: mood.into() })
    }

    fn set(&self, mood: u8) {
        self.mood.store(mood, Ordering::Release);
    }

    /// Events that make at least `epochs` epochs.
    fn feed(&self, first: u32, epochs: u32) {
        for number in first..first + epochs {
            let value = format!(
                r#"{{"event_id":"e{number}","event_type":"view","user_id":"u{}","item_id":"i1","timestamp":{}}}"#,
                number % 5,
                1_700_000_000_000_u64 + u64::from(number)
            );
            let partition = TopicPartition { topic: Topic::UserEvents, partition: 0 };
            let (key, value) = (Bytes::from_static(b"u"), Bytes::from(value));
            self.log
                .append(vec![Append { partition, key, value, headers: Vec::new() }])
                .expect("a log in memory");
            std::thread::sleep(Duration::from_millis(15));
        }
    }
}

impl EventLog for Gate {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        if batch.iter().any(|append| append.partition.topic == Topic::Deltas) {
            while self.mood.load(Ordering::Acquire) == STANDS_STILL {
                std::thread::sleep(Duration::from_millis(1));
            }
            match self.mood.load(Ordering::Acquire) {
                FAILS => return Err(AppendError::Uncertain("no broker answers".into())),
                REFUSES => return Err(AppendError::Stopped("the topic was made again".into())),
                _ => {}
            }
        }
        self.log.append(batch)
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        self.log.read(partition, from, limit)
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.log.start_offset(partition)
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.log.end_offset(partition)
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.log.partitions(topic)
    }

    fn topic_id(&self, topic: Topic) -> [u8; 16] {
        self.log.topic_id(topic)
    }

    fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        self.log.wait(seen, timeout)
    }
}

fn config() -> Config {
    let mut layers = Layers::default();
    layers.add_flag("core.factors.dim", "16", "--set");
    // The log of a test is gone when it ends: so must be what was derived from it.
    layers.add_flag("log.url", "memory:", "--set");
    layers.finish().check().expect("the defaults hold together")
}

fn publishing(log: &Arc<Gate>) -> Publishing {
    Publishing::open(&config(), Arc::clone(log) as _).expect("the log is new")
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Epochs that the topic has whole, in order.
fn published(log: &Arc<Gate>) -> Epoch {
    let lineage = config().core.lineage();
    let mut reader = DeltaReader::open(Arc::clone(log) as _, lineage, Position::default())
        .expect("the topic can be read");
    while reader.poll().expect("no gap").is_some() {}
    reader.at().epoch
}

#[test]
fn an_epoch_is_committed_when_the_topic_has_it_and_binding_does_not_wait_for_that() {
    let log = Gate::new(STANDS_STILL);
    let flow = publishing(&log);
    log.feed(0, 6);
    wait("several epochs are bound", || flow.status().bound_epoch >= Epoch(3));
    assert_eq!(flow.status().committed_epoch, Epoch(0), "the topic has acknowledged nothing");
    assert_eq!(flow.pipeline().committed_epoch, Epoch(0));
    log.feed(6, 20);
    let bound = flow.status().bound_epoch;
    assert!(bound <= Epoch(9), "{bound} epochs are bound, and at most 8 are in flight");

    log.set(TAKES);
    wait("all is committed", || {
        let at = flow.status();
        at.lag_records == 0 && at.committed_epoch == at.bound_epoch
    });
    assert_eq!(published(&log), flow.status().committed_epoch);
    let digest = flow.close().expect("it ends well");
    assert_eq!(published(&log), digest.epoch);
}

#[test]
fn what_the_topic_did_not_take_is_published_again_in_order() {
    let log = Gate::new(TAKES);
    let flow = publishing(&log);
    for round in 0..4 {
        log.set(FAILS);
        log.feed(round * 8, 8);
        assert_eq!(flow.failure(), None);
        log.set(TAKES);
        wait("all is committed", || {
            let at = flow.status();
            at.lag_records == 0 && at.committed_epoch == at.bound_epoch
        });
    }
    assert_eq!(flow.status().counts.applied, 32);
    let digest = flow.close().expect("it ends well");
    assert_eq!(published(&log), digest.epoch);
}

#[test]
fn a_topic_that_refuses_ends_the_engine_and_a_close_does_not_wait_for_one_that_fails() {
    let log = Gate::new(REFUSES);
    let flow = publishing(&log);
    log.feed(0, 1);
    wait("a failure", || flow.failure().is_some());
    let failure = flow.failure().expect("it was there a moment ago");
    assert!(failure.contains("the topic was made again"), "{failure}");
    assert!(!flow.readiness()[0].ready);
    assert!(flow.close().is_err());
    assert_eq!(published(&log), Epoch(0));

    let log = Gate::new(FAILS);
    let flow = publishing(&log);
    log.feed(0, 12);
    // The second one is bound and not taken: the engine waits, and must not wait for ever.
    wait("two epochs are bound", || flow.status().bound_epoch >= Epoch(2));
    let error = flow.close().expect_err("not all is published");
    let text = eddyline_connect::log::with_sources(&error);
    assert!(text.contains("no broker answers"), "{text}");
}
