//! The mirror over a store in memory that fails, stalls and forgets on command.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eddyline_connect::features::mirror::{Mirror, MirrorStart};
use eddyline_connect::features::{
    EmbeddedFeatureStore, FeatureStore, FeatureStoreError, FeatureWrite, ShardRefill, StoreShard,
    UserDocument, UserRow, Watermarks,
};
use eddyline_schemas::features::UserFeatures;
use eddyline_schemas::id::{IdHash, UserId};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use parking_lot::RwLock;

const USERS: u64 = 60;

fn lineage() -> Lineage {
    Lineage::root(Digest::of(b"mirror"))
}

fn user(number: u64) -> UserId {
    UserId::new(&format!("u{number}")).expect("a valid id")
}

/// What an epoch changes: a pure function of its number. Some users are erased again.
fn writes(epoch: u64) -> Vec<FeatureWrite> {
    let of = |number: u64| {
        let draw = IdHash::of(&format!("{number} {epoch}")).0;
        let features = UserFeatures { history_length: epoch, ..UserFeatures::default() };
        match draw[0] % 8 {
            0 => Some(FeatureWrite::Features(user(number), Some(Arc::new(features)))),
            1 => Some(FeatureWrite::Vector(user(number), Some(Arc::from([epoch as f32])))),
            2 => Some(FeatureWrite::Features(user(number), None)),
            3 if draw[1] < 64 => Some(FeatureWrite::Vector(user(number), None)),
            _ => None,
        }
    };
    (0..USERS).filter_map(of).collect()
}

/// See the module doc.
#[derive(Default)]
struct Moody {
    held: RwLock<EmbeddedFeatureStore>,
    is_down: AtomicBool,
    stalls_ms: AtomicU64,
    has_forgotten: AtomicBool,
    applied: AtomicU64,
}

impl Moody {
    fn forget(&self) {
        let mut held = self.held.write();
        *held = EmbeddedFeatureStore::new();
        self.has_forgotten.store(true, Ordering::SeqCst);
    }

    fn answer(&self) -> Result<(), FeatureStoreError> {
        std::thread::sleep(Duration::from_millis(self.stalls_ms.load(Ordering::SeqCst)));
        match self.is_down.load(Ordering::SeqCst) {
            true => Err(FeatureStoreError::Unavailable("down".into())),
            false => Ok(()),
        }
    }
}

impl FeatureStore for Moody {
    fn get(&self, user: &UserId) -> Result<Option<UserDocument>, FeatureStoreError> {
        self.held.read().get(user)
    }

    fn apply(
        &self,
        lineage: Lineage,
        epoch: Epoch,
        writes: &[FeatureWrite],
    ) -> Result<(), FeatureStoreError> {
        self.answer()?;
        let held = self.held.read();
        // As Redis does: a shard that lost data is left to the refill.
        if self.has_forgotten.load(Ordering::SeqCst) {
            return Ok(());
        }
        let before = held.watermark().map_or(Epoch(0), |(_, epoch)| epoch);
        assert_eq!(epoch, before.next(), "every epoch, in order");
        self.applied.fetch_add(1, Ordering::SeqCst);
        held.apply(lineage, epoch, writes)
    }

    fn watermark(&self) -> Option<(Lineage, Epoch)> {
        self.held.read().watermark()
    }

    fn watermarks(&self) -> Result<Watermarks, FeatureStoreError> {
        self.answer()?;
        self.held.read().watermarks()
    }

    fn refill(
        &self,
        lineage: Lineage,
        epoch: Epoch,
        shards: &[ShardRefill],
    ) -> Result<(), FeatureStoreError> {
        self.answer()?;
        let held = self.held.read();
        held.refill(lineage, epoch, shards)?;
        self.has_forgotten.store(false, Ordering::SeqCst);
        Ok(())
    }

    fn behind(&self) -> Vec<StoreShard> {
        let has_forgotten = self.has_forgotten.load(Ordering::SeqCst);
        if has_forgotten { vec![StoreShard(0)] } else { Vec::new() }
    }

    fn users(&self) -> Option<u64> {
        self.held.read().users()
    }

    fn approximate_bytes(&self) -> Option<u64> {
        None
    }
}

fn start(store: &Arc<Moody>, head: u64, most_waiting: usize) -> Mirror {
    let pause = Duration::from_millis(5);
    let start = MirrorStart { lineage: lineage(), head: Epoch(head), pause, most_waiting };
    Mirror::start(Arc::clone(store) as _, start, |_| {}).expect("a thread")
}

/// What was written straight into another store.
fn reference(epochs: u64) -> EmbeddedFeatureStore {
    let store = EmbeddedFeatureStore::new();
    for epoch in 1..=epochs {
        store.apply(lineage(), Epoch(epoch), &writes(epoch)).expect("memory does not fail");
    }
    store
}

fn assert_equal(store: &Moody, epochs: u64) {
    let want = reference(epochs);
    assert_eq!(store.users(), want.users());
    for number in 0..USERS {
        let (got, want) = (store.get(&user(number)), want.get(&user(number)));
        assert_eq!(got.expect("memory"), want.expect("memory"), "user {number}");
    }
}

fn wait(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < until, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn offer(mirror: &Mirror, epochs: std::ops::RangeInclusive<u64>) {
    epochs.for_each(|epoch| mirror.offer(Epoch(epoch), writes(epoch)));
}

#[test]
fn every_epoch_is_written_once_and_in_order() {
    let store = Arc::new(Moody::default());
    let mirror = start(&store, 0, usize::MAX);
    wait("an empty refill", || mirror.report().refills == 1);
    offer(&mirror, 1..=40);
    assert!(mirror.close(Duration::from_secs(60)), "{:?}", mirror.report());
    assert_equal(&store, 40);
    assert_eq!(store.applied.load(Ordering::SeqCst), 40);
    let report = mirror.report();
    assert_eq!((report.refills, report.failures, report.stored), (1, 0, Epoch(40)));
}

#[test]
fn what_is_folded_again_is_not_written_again() {
    let store = Arc::new(Moody::default());
    for epoch in 1..=20 {
        store.apply(lineage(), Epoch(epoch), &writes(epoch)).expect("it is up");
    }
    let mirror = start(&store, 25, usize::MAX);
    offer(&mirror, 1..=24);
    std::thread::sleep(Duration::from_millis(20));
    assert_equal(&store, 20);
    offer(&mirror, 25..=25);
    wait("the head", || mirror.report().is_whole);
    assert_equal(&store, 25);
    assert!(mirror.report().refilled_rows < USERS, "only what is newer");
    offer(&mirror, 26..=30);
    assert!(mirror.close(Duration::from_secs(60)));
    assert_equal(&store, 30);
    assert_eq!(store.applied.load(Ordering::SeqCst), 25, "20 before, 5 after the refill");
}

#[test]
fn after_an_outage_and_after_a_loss_it_is_equal_again() {
    let store = Arc::new(Moody::default());
    let mirror = start(&store, 0, 200);
    offer(&mirror, 1..=10);
    wait("the first epochs", || mirror.report().is_whole);
    store.is_down.store(true, Ordering::SeqCst);
    let began = Instant::now();
    offer(&mirror, 11..=60);
    assert!(began.elapsed() < Duration::from_secs(5), "the dataflow does not wait");
    wait("a failure", || mirror.report().failures > 0);
    assert!(!mirror.report().is_whole);
    store.is_down.store(false, Ordering::SeqCst);
    wait("the refill", || mirror.report().is_whole);
    assert_equal(&store, 60);
    store.forget();
    wait("all anew", || store.behind().is_empty() && mirror.report().is_whole);
    assert_equal(&store, 60);
    offer(&mirror, 61..=70);
    assert!(mirror.close(Duration::from_secs(60)));
    assert_equal(&store, 70);
}

#[test]
fn a_slow_store_merges_what_waits() {
    let store = Arc::new(Moody::default());
    store.stalls_ms.store(20, Ordering::SeqCst);
    let mirror = start(&store, 0, 30);
    offer(&mirror, 1..=300);
    assert!(mirror.report().merged > 0, "more waits than may");
    assert!(mirror.close(Duration::from_secs(60)), "{:?}", mirror.report());
    assert_equal(&store, 300);
}

#[test]
fn an_epoch_that_is_missing_ends_it() {
    let store = Arc::new(Moody::default());
    let mirror = start(&store, 0, usize::MAX);
    offer(&mirror, 1..=3);
    wait("the first epochs", || mirror.report().is_whole);
    offer(&mirror, 5..=6);
    assert!(!mirror.close(Duration::from_secs(60)), "it must not claim epoch 6");
    assert!(mirror.report().stored < Epoch(5));
}

/// The rows of all users after so many epochs, each as of the epoch that changed it last.
fn rows_after(epochs: u64) -> Vec<UserRow> {
    let mut rows: BTreeMap<String, UserRow> = BTreeMap::new();
    for (epoch, write) in
        (1..=epochs).flat_map(|epoch| writes(epoch).into_iter().map(move |w| (epoch, w)))
    {
        let row = rows.entry(write.user().to_string()).or_insert_with(|| UserRow {
            user: write.user().clone(),
            epoch: Epoch(0),
            features: None,
            preferences: None,
            vector: None,
        });
        row.epoch = Epoch(epoch);
        match write {
            FeatureWrite::Features(_, features) => row.features = features,
            FeatureWrite::Preferences(_, preferences) => row.preferences = preferences,
            FeatureWrite::Vector(_, vector) => row.vector = vector,
        }
    }
    rows.into_values().collect()
}

/// A store that is behind the snapshot, at it, ahead of it, empty, or at the head.
#[test]
fn a_seed_stands_for_all_epochs_before_it() {
    let (snapshot, head, end) = (20, 25, 30);
    for held in [0, 12, 20, 23, 25] {
        for most_waiting in [usize::MAX, 40] {
            let store = Arc::new(Moody::default());
            for epoch in 1..=held {
                store.apply(lineage(), Epoch(epoch), &writes(epoch)).expect("it is up");
            }
            let mirror = start(&store, head, most_waiting);
            mirror.seed(Epoch(snapshot), rows_after(snapshot));
            offer(&mirror, snapshot + 1..=head - 1);
            std::thread::sleep(Duration::from_millis(20));
            assert_equal(&store, held);
            offer(&mirror, head..=head);
            wait("the head", || mirror.report().is_whole);
            assert_equal(&store, head);
            let newer = rows_after(head).iter().filter(|row| row.epoch > Epoch(held)).count();
            assert_eq!(
                mirror.report().refilled_rows,
                newer as u64,
                "only what is newer than {held}"
            );
            offer(&mirror, head + 1..=end);
            assert!(mirror.close(Duration::from_secs(60)), "{:?}", mirror.report());
            assert_equal(&store, end);
            assert_eq!(store.watermark().expect("written").1, Epoch(end));
        }
    }
}

#[test]
fn a_seed_alone_fills_a_store() {
    let store = Arc::new(Moody::default());
    let mirror = start(&store, 7, usize::MAX);
    mirror.seed(Epoch(7), rows_after(7));
    wait("the seed", || mirror.report().is_whole);
    assert_equal(&store, 7);
    assert_eq!(mirror.report().offered, Epoch(7));
}

#[test]
fn a_close_does_not_wait_for_a_store_that_is_down() {
    let store = Arc::new(Moody::default());
    store.is_down.store(true, Ordering::SeqCst);
    let mirror = start(&store, 0, 30);
    offer(&mirror, 1..=3);
    let began = Instant::now();
    assert!(!mirror.close(Duration::from_secs(60)));
    assert!(began.elapsed() < Duration::from_secs(30));
}
