//! An engine that goes on from a snapshot comes to the very state of one that folds all again,
//! emits the very same deltas, and refuses a snapshot that its log cannot go on from.

mod support {
    pub(crate) mod pinned_log;
    pub(crate) mod running;
    pub(crate) mod shop;
}

use std::sync::{Arc, Mutex};
use std::time::Duration;

use eddyline_connect::log::{EventLog, with_sources};
use eddyline_connect::objects::{MemoryObjects, ObjectStore};
use eddyline_dataflows::snapshot::{
    Restored, SnapshotStore, SnapshotWriter, newest_on_log, newest_on_log_until,
};
use eddyline_dataflows::{
    Engine, EngineConfig, EngineError, EngineOutputs, EpochLimits, Output, Replay, StateDigest,
    replay, skip_record, start_with,
};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::topic::{Topic, TopicPartition};

use support::pinned_log::{PinnedLog, Stored};
use support::running::{bind_all, refolded, wait_drained, wait_until};
use support::shop::Shop;

const EVERY: u64 = 150;

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core
}

fn lineage() -> Lineage {
    core().lineage()
}

/// One log with its snapshots, and the lives of an engine on it.
struct Setup {
    log: Arc<PinnedLog>,
    store: SnapshotStore,
    epochs: Arc<Mutex<Vec<EpochDeltas>>>,
}

impl Setup {
    fn new(records: &[Stored]) -> Self {
        let objects: Arc<dyn ObjectStore> = Arc::new(MemoryObjects::new());
        let store = SnapshotStore::new(objects, &core());
        Self { log: PinnedLog::holding(records), store, epochs: Arc::default() }
    }

    fn log(&self) -> Arc<dyn EventLog> {
        Arc::<PinnedLog>::clone(&self.log)
    }

    fn newest(&self) -> Result<Option<Restored>, EngineError> {
        newest_on_log(&self.store, &self.log(), lineage())
    }

    fn newest_epoch(&self) -> Option<u64> {
        self.newest().expect("it fits").map(|restored| restored.epoch().0)
    }

    /// An engine as production starts it; `every` 0 writes no snapshot.
    fn engine(&self, workers: usize, every: u64) -> Result<Engine, EngineError> {
        let from = self.newest()?;
        let seen = Arc::clone(&self.epochs);
        let sink = move |committed: eddyline_dataflows::Committed| {
            seen.lock().expect("no test panics while it holds the epochs").push(committed.deltas);
        };
        let writer = SnapshotWriter::start(self.store.clone(), every, from.as_ref());
        let outputs = EngineOutputs {
            output: Output::Sink(Box::new(sink)),
            snapshots: Box::new(writer.expect("a thread")),
            from,
        };
        let epoch = EpochLimits { events: 40, wait: Duration::from_millis(2), backlog_events: 40 };
        let config = EngineConfig { core: core(), workers: workers.into(), epoch };
        start_with(config, self.log(), outputs)
    }

    /// Folds what there is, and ends in an orderly way.
    fn live(&self, workers: usize, every: u64) -> StateDigest {
        let engine = self.engine(workers, every).expect("it starts");
        wait_drained(&engine);
        engine.shutdown().expect("nothing was wrong")
    }

    /// What has been emitted since the last call.
    fn emitted(&self) -> Vec<EpochDeltas> {
        std::mem::take(&mut self.epochs.lock().expect("no test panics while it holds the epochs"))
    }
}

#[test]
fn every_life_goes_on_where_the_last_one_ended() {
    let mut shop = Shop::new(21);
    let setup = Setup::new(&shop.records(600));
    let mut emitted = Vec::new();
    for workers in [2, 1, 3, 2] {
        let began = setup.newest_epoch().unwrap_or(0);
        let digest = setup.live(workers, EVERY);
        let life = setup.emitted();
        assert_eq!(life.first().map(|epoch| epoch.epoch.0), Some(began + 1), "no epoch twice");
        emitted.extend(life);
        assert_eq!(setup.newest_epoch(), Some(digest.epoch.0), "a last one at the end");
        let (again, epochs) = refolded(&core(), &setup.log(), 1, None).expect("folds");
        assert_eq!(again, digest);
        assert_eq!(epochs, emitted, "the same deltas, chain and sums as from the start");
        shop.records(400).iter().for_each(|stored| setup.log.store(stored));
    }
    let kept = setup.store.kept(lineage()).expect("read");
    assert_eq!(kept.len(), 2, "older ones are collected");
}

#[test]
fn a_crash_between_snapshots_repeats_what_was_emitted() {
    let mut shop = Shop::new(22);
    let setup = Setup::new(&shop.records(500));
    let engine = setup.engine(2, EVERY).expect("it starts");
    wait_until(&engine, "a snapshot", |engine| engine.status().snapshot_epoch > Epoch(0));
    wait_drained(&engine);
    let until = engine.status().snapshot_epoch;
    let digest = engine.state_digest().expect("it lives");
    let first = setup.emitted();
    // It is never told to stop, so it writes no last snapshot: all it leaves is what a crash would.
    std::mem::forget(engine);
    assert!(until < digest.epoch, "something is left to fold again");
    let successor = setup.engine(1, 0).expect("it starts");
    let status = successor.status();
    assert_eq!(status.committed_epoch.0.min(until.0), until.0, "what it starts from is committed");
    wait_drained(&successor);
    assert_eq!(successor.state_digest().expect("it lives"), digest);
    let again = setup.emitted();
    assert_eq!(again, first[until.0 as usize..], "the same epochs, bit for bit");
    let bound = successor.status().bound_epoch;
    let early = TopicPartition { topic: Topic::ItemEvents, partition: 0 };
    let covered = successor.epoch_of(early, 0).expect("an offset from before is bound");
    assert!(covered <= bound, "{covered} {bound}");
}

#[test]
fn a_snapshot_that_holds_what_is_to_be_passed_over_is_not_used() {
    let mut shop = Shop::new(23);
    let setup = Setup::new(&shop.records(300));
    let before = setup.live(2, EVERY);
    let log = setup.log();
    let at = TopicPartition { topic: Topic::UserEvents, partition: 1 };
    skip_record(&log, at, 2).expect("nobody else claims anything");
    // The catalogue was bound first: the older snapshot has no visitor's record yet.
    let older = setup.newest_epoch().expect("the older one holds nothing of it");
    assert!(older < before.epoch.0, "{older}");
    let after = setup.live(1, EVERY);
    assert_ne!(after, before);
    assert_eq!(refolded(&core(), &log, 2, None).expect("folds").0, after);
    let first = TopicPartition { topic: Topic::ItemEvents, partition: 0 };
    skip_record(&log, first, 2).expect("nobody else claims anything");
    assert_eq!(setup.newest_epoch(), None, "every snapshot has folded it");
    let after = setup.live(3, EVERY);
    assert_eq!(refolded(&core(), &log, 2, None).expect("folds").0, after);
    // One that lies ahead of all snapshots is no reason to refuse them.
    let end = log.end_offset(at).expect("there is the partition");
    skip_record(&log, at, end).expect("nobody else claims anything");
    shop.records(200).iter().for_each(|stored| setup.log.store(stored));
    assert_eq!(setup.newest_epoch(), Some(after.epoch.0));
    let last = setup.live(2, EVERY);
    assert_eq!(refolded(&core(), &log, 1, None).expect("folds").0, last);
}

/// The message of an engine that does not start.
fn refused(setup: &Setup) -> String {
    with_sources(&setup.engine(1, EVERY).err().expect("it is refused"))
}

#[test]
fn a_log_that_lost_its_end_is_refused() {
    let records = Shop::new(24).records(300);
    let mut setup = Setup::new(&records);
    setup.live(2, EVERY);
    setup.log = PinnedLog::holding(&records[..100]);
    let text = refused(&setup);
    assert!(text.contains("a snapshot is at epoch"), "{text}");
    assert!(text.contains("bindings on the log end at epoch 0"), "{text}");
}

#[test]
fn a_snapshot_of_another_log_is_refused() {
    let records = Shop::new(25).records(300);
    let mut setup = Setup::new(&records);
    setup.live(2, EVERY);
    // The same records bound by somebody else, and more of them.
    setup.log = PinnedLog::holding(&Shop::new(25).records(900));
    bind_all(&core(), &setup.log(), 40);
    let text = refused(&setup);
    assert!(text.contains("was made of another log"), "{text}");
}

#[test]
fn a_replay_goes_on_from_its_own_snapshots_and_live_goes_on_from_a_replay() {
    let mut shop = Shop::new(26);
    let setup = Setup::new(&shop.records(700));
    let live = bind_all(&core(), &setup.log(), 40);
    let replayed = |until: Option<Epoch>| {
        let from = newest_on_log_until(&setup.store, &setup.log(), lineage(), until);
        let from = from.expect("it fits");
        let began = from.as_ref().map_or(0, |from| from.epoch().0);
        let writer = SnapshotWriter::start(setup.store.clone(), EVERY, from.as_ref());
        let snapshots = Box::new(writer.expect("a thread"));
        let how = Replay { from, until, workers: 2, snapshots, known: None };
        (began, replay(&core(), setup.log(), how, Box::new(drop)).expect("folds"))
    };
    let middle = Epoch(live.epoch.0 / 2);
    let (began, at_middle) = replayed(Some(middle));
    assert_eq!((began, at_middle.epoch), (0, middle));
    assert_eq!(refolded(&core(), &setup.log(), 1, Some(middle)).expect("folds").0, at_middle);
    let (began, at_end) = replayed(None);
    assert_eq!((began, at_end), (middle.0, live));
    let (began, again) = replayed(Some(middle));
    assert!(began <= middle.0, "not from the one that is behind it");
    assert_eq!(again, at_middle);
    shop.records(200).iter().for_each(|stored| setup.log.store(stored));
    let after = setup.live(2, EVERY);
    let first = setup.emitted().first().map(|epoch| epoch.epoch);
    assert_eq!(first, Some(live.epoch.next()), "at the exact next epoch");
    assert_eq!(refolded(&core(), &setup.log(), 1, None).expect("folds").0, after);
}
