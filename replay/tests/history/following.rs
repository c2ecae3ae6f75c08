//! A lineage that is followed is what a fold from the start makes of the log, whenever the following
//! began, was left and went on. Oracle: the refold, and the digests that were recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eddyline_connect::log::{
    Append, AppendError, AppendVersion, EventLog, ReadBatch, ReadError, ReadLimit, with_sources,
};
use eddyline_connect::objects::{MemoryObjects, ObjectStore};
use eddyline_dataflows::snapshot::{SnapshotStore, SnapshotWriter, newest_on_log};
use eddyline_dataflows::{StateDigest, last_bound_epoch};
use eddyline_model::config::CoreConfig;
use eddyline_replay::ReplayError;
use eddyline_replay::following::{Follow, follow};
use eddyline_replay::recorded::Recorded;
use eddyline_replay::verify::{Verify, verify};
use eddyline_schemas::codec::encode_epoch_digest;
use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Digest, Offset};
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::Mutex;

use crate::support::live::core;
use crate::support::pinned_log::PinnedLog;
use crate::support::running::{bind_all, refolded};
use crate::support::shop::Shop;

const DIGESTS: TopicPartition = TopicPartition { topic: Topic::Digests, partition: 0 };

const PATIENCE: Duration = Duration::from_secs(60);

/// The configuration that is followed; the log is bound under [`core`].
fn other() -> CoreConfig {
    let mut other = core();
    other.factors.item_rate *= 2.0;
    other
}

/// A following on a thread.
struct Running {
    is_over: Arc<AtomicBool>,
    at: Arc<AtomicU64>,
    heard: Arc<Mutex<Vec<EpochDeltas>>>,
    thread: JoinHandle<Result<StateDigest, ReplayError>>,
}

impl Running {
    /// Goes on from the newest snapshot in `objects`, where new ones go every so many events.
    fn start(log: &Arc<dyn EventLog>, objects: &Arc<dyn ObjectStore>, every: u64) -> Self {
        let store = SnapshotStore::new(Arc::clone(objects), &other());
        let from = newest_on_log(&store, log, other().lineage()).expect("they are sound");
        let snapshots = SnapshotWriter::start(store, every, from.as_ref()).expect("a thread");
        let begun = from.as_ref().map_or(0, |from| from.epoch().0);
        let (is_over, at) = (Arc::<AtomicBool>::default(), Arc::new(AtomicU64::new(begun)));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (over, told, hears) = (Arc::clone(&is_over), Arc::clone(&at), Arc::clone(&heard));
        let log = Arc::clone(log);
        let thread = std::thread::spawn(move || {
            let take = Box::new(move |deltas: EpochDeltas| {
                told.store(deltas.epoch.0, Ordering::Release);
                hears.lock().push(deltas);
                Ok(())
            });
            let how = Follow { from, workers: 1, snapshots: Box::new(snapshots) };
            follow(&other(), &log, how, take, &over)
        });
        Self { is_over, at, heard, thread }
    }

    fn wait(&self, epoch: Epoch) {
        let until = Instant::now() + PATIENCE;
        while self.at.load(Ordering::Acquire) < epoch.0 && !self.thread.is_finished() {
            assert!(Instant::now() < until, "epoch {epoch} never came");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn end(self) -> (Result<StateDigest, ReplayError>, Vec<EpochDeltas>) {
        self.is_over.store(true, Ordering::Release);
        let ended = self.thread.join().expect("it does not panic");
        (ended, std::mem::take(&mut *self.heard.lock()))
    }
}

fn bound(log: &Arc<dyn EventLog>) -> Epoch {
    last_bound_epoch(Arc::clone(log)).expect("memory never fails")
}

/// How many epochs are as they were recorded, and how many were not recorded.
fn verified(core: &CoreConfig, log: &Arc<dyn EventLog>) -> (u64, u64) {
    let how = Verify { from: None, until: None, workers: 2.into() };
    let verified = verify(core, log, how, |_, _| {}).expect("it folds");
    assert_eq!(verified.mismatch, None);
    (verified.equal, verified.unrecorded)
}

#[test]
fn a_lineage_follows_the_log_as_it_grows_and_goes_on_where_it_was_left() {
    let mut shop = Shop::new(71);
    let pinned = PinnedLog::holding(&shop.records(400));
    let log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&pinned);
    let objects: Arc<dyn ObjectStore> = Arc::new(MemoryObjects::new());
    bind_all(&core(), &log, 50);
    let (mut heard, mut begun) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let running = Running::start(&log, &objects, 150);
        begun.push(running.at.load(Ordering::Acquire));
        running.wait(bound(&log));
        // While it is at the head.
        shop.records(200).iter().for_each(|stored| pinned.store(stored));
        bind_all(&core(), &log, 40);
        running.wait(bound(&log));
        let (digest, more) = running.end();
        heard.extend(more);
        let (want, deltas) = refolded(&other(), &log, 2, None).expect("it folds");
        assert_eq!(digest.expect("nothing is wrong"), want);
        assert_eq!(heard, deltas, "every epoch once, in order, as a fold from the start has it");
    }
    assert!(begun[0] == 0 && begun[1] > 0 && begun[2] > begun[1], "from snapshots: {begun:?}");
    let epochs = bound(&log).0;
    assert_eq!(verified(&other(), &log), (epochs, 0));
    assert_eq!(verified(&core(), &log), (epochs, 0), "the writer's is as it was");
}

#[test]
fn an_epoch_that_differs_from_what_was_recorded_ends_it_and_nobody_else() {
    let mut shop = Shop::new(72);
    let pinned = PinnedLog::holding(&shop.records(400));
    let log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&pinned);
    let objects: Arc<dyn ObjectStore> = Arc::new(MemoryObjects::new());
    bind_all(&core(), &log, 50);
    let running = Running::start(&log, &objects, 0);
    running.wait(bound(&log));
    running.end().0.expect("nothing is wrong");
    let recorded = Recorded::read(&*log, other().lineage()).expect("it can be read");
    let mut wrong = recorded.whole(&*log, Epoch(3)).expect("read").expect("it was recorded");
    wrong.delta_digest = Digest::of(b"something else");
    let value = encode_epoch_digest(&wrong).into();
    let append = Append { partition: DIGESTS, key: Default::default(), value, headers: Vec::new() };
    log.append(vec![append]).expect("memory never fails");

    let running = Running::start(&log, &objects, 0);
    running.wait(bound(&log));
    let (ended, heard) = running.end();
    let error = ended.expect_err("epoch 3 is another");
    let error = with_sources(&error);
    assert!(error.contains("epoch 3 of lineage"), "{error}");
    assert!(heard.iter().all(|deltas| deltas.epoch < Epoch(3)), "nothing of it was handed on");
    shop.records(100).iter().for_each(|stored| pinned.store(stored));
    bind_all(&core(), &log, 50);
    assert_eq!(verified(&core(), &log), (bound(&log).0, 0));
}

/// A log that is out of reach every third time that it is read.
struct Faltering {
    inner: Arc<dyn EventLog>,
    reads: AtomicU64,
}

impl EventLog for Faltering {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        self.inner.append(batch)
    }

    fn read(
        &self,
        partition: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        let is_reading = partition.topic != Topic::Digests;
        if is_reading && self.reads.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            return Err(ReadError::Unavailable { partition, source: "planted".into() });
        }
        self.inner.read(partition, from, limit)
    }

    fn start_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.inner.start_offset(partition)
    }

    fn end_offset(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        self.inner.end_offset(partition)
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
fn an_outage_amid_an_epoch_costs_nothing() {
    let inner: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(73).records(120));
    bind_all(&core(), &inner, 40);
    let reads = AtomicU64::new(0);
    let log: Arc<dyn EventLog> = Arc::new(Faltering { inner: Arc::clone(&inner), reads });
    let objects: Arc<dyn ObjectStore> = Arc::new(MemoryObjects::new());
    let running = Running::start(&log, &objects, 0);
    running.wait(bound(&inner));
    let (digest, heard) = running.end();
    let (want, deltas) = refolded(&other(), &inner, 1, None).expect("it folds");
    assert_eq!((digest.expect("outages pass"), heard), (want, deltas));
}
