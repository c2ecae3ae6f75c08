//! What is archived is what was bound, whatever happens to the archiver meanwhile: oracle is the
//! state that the archive folds to, and that every epoch is as live recorded it.

use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_connect::objects::{MemoryObjects, ObjectStore};
use eddyline_replay::archive::{self, ArchiveError, Catalogue};
use eddyline_replay::archiver::{Archiver, ArchiverError, ArchiverLimits};
use eddyline_replay::verify::{Verify, verify};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::support::faulty_objects::FaultyObjects;
use crate::support::holey_log::HoleyLog;
use crate::support::live::{archive_all, archived, core};
use crate::support::pinned_log::PinnedLog;
use crate::support::running::{bind_all, refolded};
use crate::support::shop::Shop;

fn objects() -> Arc<dyn ObjectStore> {
    Arc::new(MemoryObjects::new())
}

/// Folds the archive on `workers` and holds every epoch against what live recorded.
fn check_replay(objects: &Arc<dyn ObjectStore>, epochs: Epoch, workers: usize) {
    let how = Verify { from: None, until: None, workers: workers.into() };
    let verified = verify(&core(), &archived(objects), how, |_, _| {}).expect("it folds");
    assert_eq!((verified.equal, verified.unrecorded), (epochs.0, 0));
    assert_eq!(verified.mismatch, None);
}

fn check_sound(objects: &Arc<dyn ObjectStore>) {
    let report = archive::verify(&**objects, &mut |_| {}).expect("it can be read");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn an_archive_folds_to_the_live_state_however_it_was_cut() {
    let mut shop = Shop::new(41);
    let pinned = PinnedLog::holding(&shop.records(500));
    let log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&pinned);
    let objects = objects();
    for (rows, workers) in [(70, 1), (1, 2), (100_000, 3)] {
        let live = bind_all(&core(), &log, 50);
        archive_all(&log, &objects, rows).expect("it is archived");
        assert_eq!(refolded(&core(), &archived(&objects), workers, None).expect("folds").0, live);
        check_replay(&objects, live.epoch, workers);
        check_sound(&objects);
        shop.records(150).iter().for_each(|stored| pinned.store(stored));
    }
    let catalogue = Catalogue::open(&*objects).expect("it is sound");
    let rows: u64 = Topic::INPUTS
        .into_iter()
        .flat_map(|topic| (0..log.partitions(topic)).map(move |partition| (topic, partition)))
        .flat_map(|(topic, partition)| catalogue.files(TopicPartition { topic, partition }))
        .map(|file| file.rows)
        .sum();
    assert_eq!(rows, 800, "what is not bound yet is not archived, everything else once");
}

#[test]
fn a_log_with_holes_is_archived_as_it_was_bound() {
    let pinned: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(46).records(400));
    let log: Arc<dyn EventLog> = Arc::new(HoleyLog(pinned));
    let live = bind_all(&core(), &log, 50);
    let objects = objects();
    archive_all(&log, &objects, 70).expect("it is archived");
    check_replay(&objects, live.epoch, 2);
    check_sound(&objects);
}

#[test]
fn an_archiver_that_dies_anywhere_leaves_an_archive_that_the_next_one_completes() {
    let mut shop = Shop::new(42);
    let log: Arc<dyn EventLog> = PinnedLog::holding(&shop.records(300));
    let live = bind_all(&core(), &log, 25);
    let (mut dies_at, mut died) = (0, true);
    while died {
        for applies in [false, true] {
            let memory = Arc::new(MemoryObjects::new());
            let faulty = FaultyObjects::new(&memory, dies_at, applies);
            let dying: Arc<dyn ObjectStore> = Arc::<FaultyObjects>::clone(&faulty);
            died = archive_all(&log, &dying, 40).is_err();
            assert_eq!(died, faulty.operations() > dies_at);
            let objects: Arc<dyn ObjectStore> = memory;
            // Cut elsewhere, so that what the dead one left is in nobody's manifest.
            archive_all(&log, &objects, 70).expect("the next one is well");
            check_sound(&objects);
            let replayed = refolded(&core(), &archived(&objects), 1, None).expect("it folds").0;
            assert_eq!(replayed, live, "died at {dies_at}, {applies}");
        }
        dies_at += 1;
    }
    assert!(dies_at > 30, "it died in many places");
}

#[test]
fn an_error_that_passes_costs_nothing() {
    let log: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(43).records(200));
    let live = bind_all(&core(), &log, 60);
    let objects = objects();
    let mut archiver =
        Archiver::open(Arc::clone(&log), Arc::clone(&objects), ArchiverLimits::default())
            .expect("an empty place");
    while archiver.read_on().expect("memory never fails") {}
    assert_eq!(archiver.archived(), Epoch(0));
    archiver.write().expect("memory never fails");
    archiver.write().expect("nothing waits");
    assert_eq!((archiver.archived(), archiver.waits()), (live.epoch, false));
    check_replay(&objects, live.epoch, 2);
}

#[test]
fn of_two_archivers_the_older_one_leaves() {
    let log: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(44).records(200));
    bind_all(&core(), &log, 60);
    let objects = objects();
    let open = || {
        Archiver::open(Arc::clone(&log), Arc::clone(&objects), ArchiverLimits::default())
            .expect("it opens")
    };
    let mut older = open();
    while older.read_on().expect("memory never fails") {}
    let mut newer = open();
    let lost = older.write().expect_err("the newer one has taken its number");
    let is_superseded = matches!(lost, ArchiverError::Archive(ArchiveError::Superseded { .. }));
    assert!(is_superseded && !lost.may_pass(), "{lost:?}");
    while newer.read_on().expect("memory never fails") {}
    newer.write().expect("it is alone");
    check_sound(&objects);
}

#[test]
fn another_log_is_refused() {
    let log: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(45).records(200));
    bind_all(&core(), &log, 60);
    let objects = objects();
    archive_all(&log, &objects, 1_000).expect("it is archived");
    let shorter: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(45).records(100));
    let refused = archive_all(&shorter, &objects, 1_000).expect_err("it lost its end").to_string();
    assert!(refused.contains("are archived and gone from the log"), "{refused}");
    use eddyline_connect::{clock::ManualClock, layout::LogLayout, memory::MemoryLog};
    let clock = Arc::new(ManualClock::new(eddyline_schemas::time::TimestampMs(0)));
    let other: Arc<dyn EventLog> = Arc::new(MemoryLog::new(LogLayout::default(), clock));
    let refused = archive_all(&other, &objects, 1_000).expect_err("other topics").to_string();
    assert!(refused.contains("the archive is of another log"), "{refused}");
}
