//! Several at work on one archive, and a log that is trimmed behind it. Oracle: what the archive
//! folds to, that every epoch is as live recorded it, and that the archive verifies.

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_connect::log::{EventLog, ReadError, ReadLimit};
use eddyline_connect::objects::{MemoryObjects, ObjectName, ObjectStore};
use eddyline_dataflows::StateDigest;
use eddyline_replay::archive::{
    self, ArchiveError, ArchiveLog, Catalogue, Nonce, SplicedLog, compact,
};
use eddyline_replay::archiver::{Archiver, ArchiverError, ArchiverLimits};
use eddyline_replay::trim::{TrimError, Trimmer};
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::support::live::{archive_all, archived, core};
use crate::support::meddled_objects::MeddledObjects;
use crate::support::pinned_log::PinnedLog;
use crate::support::running::{bind_all, refolded};
use crate::support::shop::Shop;

fn check(objects: &Arc<MemoryObjects>, live: StateDigest, when: usize) {
    let objects: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(objects);
    let report = archive::verify(&*objects, &mut |_| {}).expect("it can be read");
    assert!(report.findings.is_empty(), "{when}: {:?}", report.findings);
    let folded = refolded(&core(), &archived(&objects), 1, None).expect("it folds").0;
    assert_eq!(folded, live, "{when}");
}

fn compact_now(objects: &dyn ObjectStore, nonce: u8) -> Result<usize, ArchiveError> {
    let mut catalogue = Catalogue::open(objects)?;
    Ok(compact(objects, &mut catalogue, u64::MAX, Nonce([nonce; 16]))?.removed.len())
}

/// A log with this many bound events more than an archive of small files has.
fn half_archived(seed: u64) -> (Arc<dyn EventLog>, Arc<MemoryObjects>, StateDigest) {
    let mut shop = Shop::new(seed);
    let pinned = PinnedLog::holding(&shop.records(150));
    let log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&pinned);
    bind_all(&core(), &log, 20);
    let memory = Arc::new(MemoryObjects::new());
    let objects: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&memory);
    archive_all(&log, &objects, 40).expect("it is archived");
    shop.records(100).iter().for_each(|stored| pinned.store(stored));
    let live = bind_all(&core(), &log, 20);
    (log, memory, live)
}

#[test]
fn an_archiver_goes_on_when_files_are_merged_at_any_moment() {
    let mut at = 0;
    loop {
        let (log, memory, live) = half_archived(51);
        let others = Arc::clone(&memory);
        let turn = move || assert!(compact_now(&*others, 1).expect("it compacts") > 0);
        let meddled = MeddledObjects::new(&memory, at, Box::new(turn));
        let objects: Arc<dyn ObjectStore> = Arc::<MeddledObjects>::clone(&meddled);
        archive_all(&log, &objects, 40).expect("it goes on");
        if !meddled.is_over() {
            break;
        }
        check(&memory, live, at);
        at += 1;
    }
    assert!(at > 15, "files were merged at {at} moments");
}

#[test]
fn files_are_merged_while_an_archiver_adds_some_at_any_moment() {
    let (mut at, mut merged) = (0, 0);
    loop {
        let (log, memory, live) = half_archived(52);
        let objects: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&memory);
        let limits = ArchiverLimits::default();
        // It has claimed the archive before.
        let mut archiver = Archiver::open(log, objects, limits).expect("it is sound");
        let turn = move || {
            while archiver.read_on().expect("memory never fails") {}
            archiver.write().expect("it goes on");
        };
        let meddled = MeddledObjects::new(&memory, at, Box::new(turn));
        merged += compact_now(&*meddled, 2).expect("it goes on, too");
        if !meddled.is_over() {
            break;
        }
        check(&memory, live, at);
        at += 1;
    }
    assert!(at > 15 && merged > at, "{merged} files in {at} moments");
}

#[test]
fn whoever_starts_makes_everybody_else_leave() {
    let (log, memory, live) = half_archived(53);
    let objects: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&memory);
    let open = || Archiver::open(Arc::clone(&log), Arc::clone(&objects), ArchiverLimits::default());
    let mut first = open().expect("it is sound");
    while first.read_on().expect("memory never fails") {}
    let mut second = open().expect("it is sound");
    compact_now(&*objects, 3).expect("it compacts");
    let error = first.write().expect_err("it was superseded");
    assert!(matches!(error, ArchiverError::Archive(ArchiveError::Superseded { .. })), "{error}");
    while second.read_on().expect("memory never fails") {}
    second.write().expect("it goes on");
    check(&memory, live, 0);

    let mut stale = Catalogue::open(&*objects).expect("it is sound");
    drop(open().expect("it claims"));
    let before = objects.list(&archive::topic_folder(Topic::UserEvents)).expect("memory").len();
    let error = compact(&*objects, &mut stale, u64::MAX, Nonce([4; 16]));
    assert!(
        matches!(error, Err(ArchiveError::Superseded { .. }))
            || error.is_ok_and(|done| done.removed.is_empty()),
        "what an archiver that starts may remove is not committed"
    );
    let after = objects.list(&archive::topic_folder(Topic::UserEvents)).expect("memory").len();
    assert_eq!(before, after, "nothing is left behind");
    check(&memory, live, 1);
}

fn ends(log: &dyn EventLog) -> BTreeMap<TopicPartition, Offset> {
    let of = |topic: Topic| {
        (0..log.partitions(topic)).map(move |partition| TopicPartition { topic, partition })
    };
    let all = Topic::ALL.into_iter().flat_map(of);
    all.map(|at| (at, log.end_offset(at).expect("memory can be read"))).collect()
}

#[test]
fn a_log_that_is_trimmed_folds_as_before_with_its_archive_in_front() {
    let (log, memory, live) = half_archived(54);
    let objects: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&memory);
    let mut trimmer = Trimmer::new(Arc::clone(&log), Arc::clone(&objects));
    let starts = trimmer.trim(&ends(&*log)).expect("the archive is sound");
    assert!(!starts.is_empty());
    let catalogue = Catalogue::open(&*objects).expect("it is sound");
    for (at, start) in &starts {
        assert!(Topic::INPUTS.contains(&at.topic), "bindings and digests stay");
        assert_eq!(*start, log.start_offset(*at).expect("memory"));
        assert!(
            catalogue.position(*at).is_some_and(|state| *start <= state.next),
            "{at}: archived"
        );
    }
    let (at, start) = starts[0];
    let limit = ReadLimit { records: 10, bytes: 1 << 20 };
    let error = log.read(at, start - 1, limit).expect_err("it is gone from the log");
    assert!(matches!(error, ReadError::OutOfRange { .. }), "{error}");
    refolded(&core(), &log, 1, None).expect_err("the log alone is not enough");

    let from = Arc::clone(&objects);
    let open = move || Ok(ArchiveLog::open(Arc::clone(&from))?);
    let spliced: Arc<dyn EventLog> = Arc::new(SplicedLog::new(Arc::clone(&log), Box::new(open)));
    for workers in [1, 2] {
        let folded = refolded(&core(), &spliced, workers, None).expect("it folds").0;
        assert_eq!(folded, live, "on {workers} workers");
    }
    // Trimmed further after the archive was opened: it is opened again.
    archive_all(&log, &objects, 40).expect("the rest");
    assert!(!trimmer.trim(&ends(&*log)).expect("the archive is sound").is_empty());
    assert_eq!(refolded(&core(), &spliced, 1, None).expect("it folds").0, live);
    assert_eq!(bind_all(&core(), &spliced, 20), live, "a live engine goes on from the start");
}

#[test]
fn nothing_is_forgotten_that_the_archive_does_not_have_whole() {
    let (log, memory, _) = half_archived(55);
    let objects: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&memory);
    let catalogue = Catalogue::open(&*objects).expect("it is sound");
    let mut inputs = ends(&*log).into_keys().filter(|at| Topic::INPUTS.contains(&at.topic));
    let second = inputs.find_map(|at| catalogue.files(at).nth(1)).expect("several files").clone();
    let at = second.partition;
    let bytes = objects.get(&second.name).expect("memory").expect("it is there");
    let mut flipped = bytes.to_vec();
    flipped[bytes.len() / 2] ^= 1;
    objects.delete(&second.name).expect("memory");
    objects.put_if_absent(&second.name, flipped.into()).expect("memory");
    let mut trimmer = Trimmer::new(Arc::clone(&log), Arc::clone(&objects));
    let all = [(at, log.end_offset(at).expect("memory"))].into();
    let error = trimmer.trim(&all).expect_err("a file is damaged");
    let TrimError::Archive(ArchiveError::Damaged { name, .. }) = &error else { panic!("{error}") };
    assert_eq!(*name, second.name);
    assert_eq!(log.start_offset(at).expect("memory"), 0, "the log keeps what it has");

    let behind = [(at, second.first)].into();
    let trimmed = trimmer.trim(&behind).expect("what is before it is sound");
    assert_eq!(trimmed, [(at, second.first)]);
}

#[test]
fn two_that_merge_the_same_files_leave_each_file_to_the_other() {
    let (mut at, mut lost) = (0, 0);
    loop {
        let (_, memory, live) = {
            let (log, memory, _) = half_archived(55);
            let objects: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&memory);
            archive_all(&log, &objects, 40).expect("it is archived");
            let live = refolded(&core(), &log, 1, None).expect("it folds").0;
            (log, memory, live)
        };
        let other = Arc::clone(&memory);
        let turn = move || {
            compact_now(&*other, 5).expect("nobody is in its way");
        };
        let meddled = MeddledObjects::new(&memory, at, Box::new(turn));
        match compact_now(&*meddled, 6) {
            Ok(_) => {}
            Err(ArchiveError::Superseded { .. } | ArchiveError::Missing { .. }) => lost += 1,
            Err(error) => panic!("{at}: {error}"),
        }
        if !meddled.is_over() {
            break;
        }
        check(&memory, live, at);
        at += 1;
    }
    assert!(at > 15 && lost > 5, "{lost} lost in {at} moments");
}

/// What an archiver leaves that dies with all files stored and no manifest.
fn die_before_the_manifest(log: &Arc<dyn EventLog>, memory: &MemoryObjects) -> usize {
    let copy = Arc::new(MemoryObjects::new());
    let everything = |of: &MemoryObjects| -> Vec<_> {
        let folders = Topic::ALL.into_iter().map(archive::topic_folder);
        let folders = folders.chain([ObjectName::new("_manifest").expect("it is plain")]);
        folders.flat_map(|folder| of.list(&folder).expect("memory")).map(|one| one.name).collect()
    };
    let bytes = |of: &MemoryObjects, name: &ObjectName| {
        of.get(name).expect("memory").expect("it was listed")
    };
    for name in everything(memory) {
        copy.put_if_absent(&name, bytes(memory, &name)).expect("it is empty");
    }
    let objects: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&copy);
    archive_all(log, &objects, 1_000).expect("it is archived");
    let known = everything(memory);
    let mut left = 0;
    for name in everything(&copy) {
        if !known.contains(&name) && !name.as_str().starts_with("_manifest") {
            memory.put_if_absent(&name, bytes(&copy, &name)).expect("it is new");
            left += 1;
        }
    }
    left
}

#[test]
fn whoever_is_slow_to_delete_what_a_dead_one_left_deletes_no_file_of_others() {
    let (mut at, mut slow) = (0, 0);
    loop {
        let (log, memory, live) = half_archived(56);
        assert!(die_before_the_manifest(&log, &memory) > 2);
        let (others, theirs) = (Arc::clone(&memory), Arc::clone(&log));
        let turn = move || {
            let objects: Arc<dyn ObjectStore> = others;
            archive_all(&theirs, &objects, 1_000).expect("it is archived");
        };
        let meddled = MeddledObjects::new(&memory, at, Box::new(turn));
        let objects: Arc<dyn ObjectStore> = Arc::<MeddledObjects>::clone(&meddled);
        let opened = Archiver::open(Arc::clone(&log), objects, ArchiverLimits::default());
        slow += usize::from(opened.is_ok());
        if !meddled.is_over() {
            break;
        }
        check(&memory, live, at);
        at += 1;
    }
    assert!(at > 5 && slow > 5, "{slow} of {at}");
}
