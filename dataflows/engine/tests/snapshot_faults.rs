//! Snapshots under faults: every changed bit and every missing byte is noticed and the snapshot
//! before it taken; a writer may die anywhere; garbage is what no kept snapshot needs.

mod support {
    pub(crate) mod faulty_objects;
    pub(crate) mod pinned_log;
    pub(crate) mod position;
    pub(crate) mod shop;
    pub(crate) mod snapshots;
}

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use eddyline_connect::log::{EventLog, with_sources};
use eddyline_connect::objects::{MemoryObjects, ObjectName, ObjectStore};
use eddyline_dataflows::bound::EpochInput;
use eddyline_dataflows::snapshot::{Export, SnapshotError, SnapshotStore};
use eddyline_dataflows::{EngineConfig, EpochLimits, start};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;

use support::faulty_objects::FaultyObjects;
use support::pinned_log::PinnedLog;
use support::position::position_at;
use support::shop::Shop;
use support::snapshots::{epochs_of, exports_at, fold_rest};

const PART_BYTES: u64 = 24_000;

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core.factors.replays = 1;
    core.users.reservoir = 4;
    core
}

fn lineage() -> Lineage {
    core().lineage()
}

/// The epochs of a small stream.
fn inputs() -> &'static [EpochInput] {
    static INPUTS: OnceLock<Vec<EpochInput>> = OnceLock::new();
    INPUTS.get_or_init(|| {
        let log: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(5).records(240));
        bind(&log);
        epochs_of(&core(), &log)
    })
}

/// Cuts all that lies on the log into epochs.
fn bind(log: &Arc<dyn EventLog>) {
    let epoch = EpochLimits { events: 40, wait: Duration::from_millis(2), backlog_events: 40 };
    let config = EngineConfig { core: core(), workers: 1.into(), epoch };
    let engine = start(config, Arc::clone(log), Box::new(|_| {})).expect("starts");
    loop {
        let status = engine.status();
        assert_eq!(status.failure, None);
        if status.is_recovered && status.lag_records == 0 {
            break;
        }
        let _ = engine.wait_committed(status.committed_epoch.next(), Duration::from_millis(20));
    }
    engine.shutdown().expect("nothing was wrong");
}

fn export(epoch: usize) -> Export {
    exports_at(&core(), 1, &inputs()[..epoch], &[epoch]).remove(0)
}

fn store(objects: Arc<dyn ObjectStore>) -> SnapshotStore {
    SnapshotStore::new(objects, &core()).with_part_bytes(PART_BYTES)
}

fn write(store: &SnapshotStore, epoch: usize) -> Result<ObjectName, SnapshotError> {
    store.write(export(epoch), position_at(Epoch(epoch as u64))).map(|written| written.manifest)
}

/// A store with snapshots at these epochs.
fn holding(epochs: &[usize]) -> Arc<MemoryObjects> {
    let objects = Arc::new(MemoryObjects::new());
    let shared: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&objects);
    epochs.iter().for_each(|&epoch| drop(write(&store(Arc::clone(&shared)), epoch)));
    objects
}

fn folder(kind: &str) -> ObjectName {
    ObjectName::new(format!("snapshots/{}/{kind}", lineage())).expect("a name")
}

fn names(objects: &dyn ObjectStore, kind: &str) -> Vec<ObjectName> {
    let listed = objects.list(&folder(kind)).expect("memory can be read");
    listed.into_iter().map(|info| info.name).collect()
}

/// Epoch of the snapshot that would be taken.
fn newest(objects: &Arc<MemoryObjects>) -> Result<Option<u64>, SnapshotError> {
    let shared: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(objects);
    Ok(store(shared).newest_valid(lineage())?.map(|restored| restored.epoch().0))
}

/// Objects that only the newest of two snapshots needs, with their bytes.
fn objects_of_newest(objects: &MemoryObjects) -> Vec<(ObjectName, Bytes)> {
    let all = [names(objects, "manifests"), names(objects, "parts")].concat();
    let is_new = |name: &ObjectName| name.last_segment().starts_with("00000000000000000006");
    let read = |name: ObjectName| {
        let bytes = objects.get(&name).expect("memory can be read").expect("it is listed");
        (name, bytes)
    };
    all.into_iter().filter(is_new).map(read).collect()
}

#[test]
fn ten_thousand_flipped_bits_are_all_noticed() {
    let objects = holding(&[1, 6]);
    assert_eq!(newest(&objects).expect("both are valid"), Some(6));
    let of_newest = objects_of_newest(&objects);
    assert!(of_newest.len() > 4, "a manifest and several parts: {}", of_newest.len());
    let bits: usize = of_newest.iter().map(|(_, bytes)| bytes.len() * 8).sum();
    // Every bit of the manifest and of the headers in turn would take long; a stride that is prime
    // to everything visits all objects evenly, and the first bytes of each are added.
    let strided = (0..10_000_usize).map(|n| (n * 7_919 * 104_729) % bits);
    let mut firsts = Vec::new();
    let mut from = 0;
    for (_, bytes) in &of_newest {
        firsts.extend((0..64).map(|bit| from + bit));
        from += bytes.len() * 8;
    }
    for bit in strided.chain(firsts) {
        let mut at = bit;
        let (name, bytes) = of_newest
            .iter()
            .find(|(_, bytes)| {
                let is_here = at < bytes.len() * 8;
                at -= if is_here { 0 } else { bytes.len() * 8 };
                is_here
            })
            .expect("the bit is in one of them");
        let mut flipped = bytes.to_vec();
        flipped[at / 8] ^= 1 << (at % 8);
        objects.corrupt(name, Some(Bytes::from(flipped)));
        let taken = newest(&objects).expect("the older one is valid");
        assert_eq!(taken, Some(1), "bit {at} of {name}");
        objects.corrupt(name, Some(bytes.clone()));
    }
    assert_eq!(newest(&objects).expect("all is well again"), Some(6));
}

#[test]
fn every_truncation_is_noticed() {
    let objects = holding(&[1, 6]);
    for (name, bytes) in objects_of_newest(&objects) {
        let is_small = bytes.len() < 6_000;
        let step = if is_small { 1 } else { 211 };
        let headers = 0..bytes.len().min(700);
        for length in headers.chain((0..bytes.len()).step_by(step)).chain([bytes.len() - 1]) {
            objects.corrupt(&name, Some(bytes.slice(..length)));
            let taken = newest(&objects).expect("the older one is valid");
            assert_eq!(taken, Some(1), "{name} cut to {length} of {}", bytes.len());
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        objects.corrupt(&name, Some(Bytes::from(longer)));
        assert_eq!(newest(&objects).expect("the older one is valid"), Some(1), "{name}");
        objects.corrupt(&name, None);
        let taken = newest(&objects).expect("the older one is valid");
        assert_eq!(taken, Some(1), "{name} lost");
        objects.corrupt(&name, Some(bytes));
    }
}

#[test]
fn when_none_is_valid_the_error_names_the_object_and_the_remedy() {
    let objects = holding(&[3, 6]);
    let shared: Vec<ObjectName> = names(&*objects, "parts");
    for name in &shared {
        objects.corrupt(name, None);
    }
    let text = with_sources(&newest(&objects).expect_err("no part is left"));
    assert!(text.contains("none of the 2 snapshots") && text.contains("fold the log"), "{text}");
    let lost = shared.iter().any(|name| text.contains(&format!("object {name} is missing")));
    assert!(lost, "{text}");
    let objects = holding(&[6]);
    let (manifest, bytes) = objects_of_newest(&objects).remove(0);
    objects.corrupt(&manifest, Some(bytes.slice(..40)));
    let text = with_sources(&newest(&objects).expect_err("the manifest is cut off"));
    assert!(text.contains(&format!("manifest {manifest} is corrupt")), "{text}");
    assert_eq!(newest(&Arc::new(MemoryObjects::new())).expect("none is no error"), None);
}

#[test]
fn a_snapshot_of_another_history_is_not_taken() {
    let objects = holding(&[6]);
    let mut other = core();
    other.seed += 1;
    let theirs = other.lineage();
    // Somebody copied the folder.
    for kind in ["manifests", "parts"] {
        for name in names(&*objects, kind) {
            let copy = format!("snapshots/{theirs}/{kind}/{}", name.last_segment());
            let bytes = objects.get(&name).expect("read").expect("there");
            let copy = ObjectName::new(copy).expect("a name");
            objects.put_if_absent(&copy, bytes).expect("put");
        }
    }
    let shared: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&objects);
    let text = with_sources(
        &SnapshotStore::new(Arc::clone(&shared), &other)
            .newest_valid(theirs)
            .expect_err("not ours"),
    );
    assert!(text.contains("is of another lineage"), "{text}");
    let error = SnapshotStore::new(shared, &other).newest_valid(lineage()).expect_err("not ours");
    let text = with_sources(&error);
    assert!(text.contains("is of another [core] configuration"), "{text}");
}

#[test]
fn a_store_that_fails_never_makes_an_older_snapshot_do() {
    let objects = holding(&[3, 6]);
    let healthy = FaultyObjects::new(&objects, usize::MAX, false);
    let shared: Arc<dyn ObjectStore> = Arc::<FaultyObjects>::clone(&healthy);
    store(shared).newest_valid(lineage()).expect("read").expect("there");
    for dies_at in 0..healthy.operations() {
        let error = store(FaultyObjects::new(&objects, dies_at, false)).newest_valid(lineage());
        assert!(matches!(error, Err(SnapshotError::Objects(_))), "operation {dies_at}: {error:?}");
    }
}

#[test]
fn a_writer_may_die_at_any_operation() {
    let healthy = FaultyObjects::new(&holding(&[3]), usize::MAX, false);
    let shared: Arc<dyn ObjectStore> = Arc::<FaultyObjects>::clone(&healthy);
    write(&store(shared), 6).expect("written");
    let (operations, mut seen) = (healthy.operations(), BTreeSet::new());
    let mut digests = BTreeSet::new();
    for (dies_at, applies) in (0..operations).flat_map(|at| [(at, false), (at, true)]) {
        let objects = holding(&[3]);
        let died = write(&store(FaultyObjects::new(&objects, dies_at, applies)), 6);
        assert!(died.is_err(), "operation {dies_at}");
        let taken = newest(&objects).expect("one is valid").expect("one is there");
        seen.insert(taken);
        let shared: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&objects);
        write(&store(Arc::clone(&shared)), 6).expect("a repeat writes what is missing");
        let restored = store(shared).newest_valid(lineage()).expect("read").expect("there");
        assert_eq!(restored.epoch(), Epoch(6), "operation {dies_at}");
        digests.insert(Digest(fold_rest(&core(), 2, restored, &inputs()[..6]).0.state_digest.0));
        assert_eq!(names(&*objects, "manifests").len(), 2, "each snapshot once");
    }
    assert_eq!(seen, BTreeSet::from([3, 6]), "the old one, or the new one whole");
    assert_eq!(digests.len(), 1);
}

#[test]
fn a_damaged_part_is_written_anew_and_not_used_again() {
    let objects = holding(&[6]);
    let (name, bytes) = objects_of_newest(&objects).remove(1);
    let mut flipped = bytes.to_vec();
    *flipped.last_mut().expect("a part has sections") ^= 1;
    objects.corrupt(&name, Some(Bytes::from(flipped)));
    newest(&objects).expect_err("its only snapshot is damaged");
    let shared: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&objects);
    write(&store(shared), 6).expect("written");
    assert_eq!(newest(&objects).expect("valid"), Some(6));
}

/// An erasure wants the older ones gone, and never takes the last.
#[test]
fn what_is_older_than_an_erasure_goes_once_there_is_a_newer_one() {
    let objects = holding(&[3, 6]);
    let forget = |epoch| {
        let store = store(Arc::<MemoryObjects>::clone(&objects));
        store.forget_before(lineage(), Epoch(epoch)).expect("memory never fails")
    };
    let count = || names(&*objects, "manifests").len();
    assert_eq!((forget(7), count()), (None, 2), "there is no newer one");
    assert_eq!((forget(3), count()), (Some(0), 2), "there is no older one");
    assert!(forget(6).is_some_and(|deleted| deleted >= 2) && count() == 1);
    assert_eq!((forget(6), count()), (Some(0), 1), "once is enough");
    let newest = store(Arc::<MemoryObjects>::clone(&objects)).newest_valid(lineage());
    assert_eq!(newest.expect("memory can be read").expect("it is whole").epoch(), Epoch(6));
}

/// Nobody goes on with it: not even the last one stays, nor what a dead writer has left.
#[test]
fn of_a_lineage_that_is_given_up_all_that_is_older_goes() {
    let objects = holding(&[3, 6]);
    let dead = folder("parts").join(&format!("{:020}-{}", 5, Digest::of(b"dead"))).expect("a name");
    objects.put_if_absent(&dead, Bytes::from_static(b"half a snapshot")).expect("put");
    // Whoever erases has another configuration.
    let mut other = core();
    other.factors.item_rate *= 2.0;
    let store = SnapshotStore::new(Arc::<MemoryObjects>::clone(&objects) as _, &other);
    assert_eq!(store.lineages().expect("listed"), BTreeSet::from([lineage()]));
    assert_eq!(store.kept(lineage()).expect("read").len(), 2, "known by any configuration");
    assert_eq!(store.forget_before(lineage(), Epoch(7)).expect("read"), None);
    assert!(store.give_up_before(lineage(), Epoch(6)).expect("deleted") >= 2);
    assert_eq!(names(&*objects, "manifests").len(), 1, "one is new enough");
    assert!(!names(&*objects, "parts").contains(&dead));
    assert!(store.give_up_before(lineage(), Epoch(7)).expect("deleted") >= 2);
    let left = (names(&*objects, "manifests"), names(&*objects, "parts"));
    assert_eq!(left, (Vec::new(), Vec::new()));
}

#[test]
fn garbage_is_what_neither_of_the_two_newest_needs() {
    let objects = holding(&[1, 2, 4]);
    let shared: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&objects);
    // Left behind: by a writer that died long ago, by one that is at work, and a broken manifest.
    let dead = folder("parts").join(&format!("{:020}-{}", 1, Digest::of(b"dead"))).expect("a name");
    let busy = folder("parts").join(&format!("{:020}-{}", 5, Digest::of(b"busy"))).expect("a name");
    for name in [&dead, &busy] {
        objects.put_if_absent(name, Bytes::from_static(b"half a snapshot")).expect("put");
    }
    let kept = store(Arc::clone(&shared)).kept(lineage()).expect("read");
    assert_eq!(kept.iter().map(|one| one.epoch.0).collect::<Vec<_>>(), [4, 2]);
    let deleted = store(Arc::clone(&shared)).collect_garbage(lineage()).expect("collected");
    assert!(deleted > 2, "{deleted}");
    let left = names(&*objects, "parts");
    assert!(!left.contains(&dead) && left.contains(&busy), "{left:?}");
    assert_eq!(names(&*objects, "manifests").len(), 2);
    assert_eq!(newest(&objects).expect("valid"), Some(4));
    let (manifest, _) = (names(&*objects, "manifests").remove(1), ());
    objects.corrupt(&manifest, None);
    assert_eq!(newest(&objects).expect("the other is whole"), Some(2));
    let deleted = store(shared).collect_garbage(lineage()).expect("collected");
    assert_eq!(deleted, 0, "one valid snapshot is none too many");
}

#[test]
fn a_collector_may_die_at_any_operation() {
    let healthy = FaultyObjects::new(&holding(&[1, 2, 4, 6]), usize::MAX, false);
    let shared: Arc<dyn ObjectStore> = Arc::<FaultyObjects>::clone(&healthy);
    store(shared).collect_garbage(lineage()).expect("collected");
    for (dies_at, applies) in (0..healthy.operations()).flat_map(|at| [(at, false), (at, true)]) {
        let objects = holding(&[1, 2, 4, 6]);
        let faulty = FaultyObjects::new(&objects, dies_at, applies);
        store(faulty).collect_garbage(lineage()).expect_err("it dies");
        let shared: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&objects);
        let kept = store(Arc::clone(&shared)).kept(lineage()).expect("read");
        let kept: Vec<u64> = kept.iter().map(|one| one.epoch.0).collect();
        assert_eq!(kept, [6, 4], "operation {dies_at}");
        store(shared).collect_garbage(lineage()).expect("collected");
        assert_eq!(names(&*objects, "manifests").len(), 2);
    }
}
