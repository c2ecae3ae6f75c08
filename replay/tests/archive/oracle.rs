//! The oracle: a refold of the archive is that of the log.

use std::sync::Arc;

use eddyline_connect::log::{EventLog, ReadError, ReadLimit};
use eddyline_connect::objects::{MemoryObjects, ObjectStore};
use eddyline_dataflows::{Arrival, Refold, StateDigest, refold};
use eddyline_replay::archive::{
    ArchiveLog, ArchivedRow, Catalogue, Change, Nonce, TopicAdvance, compact, verify,
};
use eddyline_schemas::record::Record;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::support::archiving::{archived, stored};
use crate::support::golden_stream::{core, golden_log};
use crate::support::holey_log::HoleyLog;
use crate::support::pinned_log::{PinnedLog, Stored};
use crate::support::rows::{Draws, rows};
use crate::support::running::{bind_all, refolded};

fn digest(log: Arc<dyn EventLog>) -> StateDigest {
    let how = Refold { workers: 2, until: None, arrival: Arrival::ByPartition };
    refold(&core(), log, how, Box::new(drop)).expect("the golden stream folds")
}

#[test]
fn the_archive_folds_to_the_digest_of_the_log() {
    let log = golden_log();
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryObjects::new());
    let mut catalogue = archived(&*log, &*store, 7);
    assert_eq!(Catalogue::open(&*store).expect("it is whole"), catalogue);
    let report = verify(&*store, &mut |_| {}).expect("memory can be read");
    assert!(report.is_whole() && report.ranges > 250, "{report:?}");
    let want = digest(log);
    let archive = || Arc::new(ArchiveLog::open(Arc::clone(&store)).expect("it is whole"));
    assert_eq!(digest(archive()), want);
    let before = catalogue.topics().to_vec();
    let done = compact(&*store, &mut catalogue, 1 << 30, Nonce([9; 16])).expect("it is whole");
    assert!(done.added.len() == 7 && catalogue.all_files().count() == 8, "{done:?}");
    assert_eq!(catalogue.topics(), before, "row digests are unchanged");
    assert_eq!(digest(archive()), want, "after compaction");
    let report = verify(&*store, &mut |_| {}).expect("memory can be read");
    assert!(report.is_whole(), "{report:?}");
}

/// Live bound the log as it came; the archive must give each bound range, and nothing behind it.
#[test]
fn a_log_with_holes_folds_to_the_digest_of_live() {
    let golden = golden_log();
    let mut records = Vec::new();
    for topic in Topic::INPUTS {
        for partition in 0..golden.partitions(topic) {
            let at = TopicPartition { topic, partition };
            let limit = ReadLimit { records: 300, bytes: usize::MAX };
            let read = golden.read(at, 0, limit).expect("memory can be read").records;
            records.extend(read.into_iter().map(|(_, record)| Stored { at, record }));
        }
    }
    let log: Arc<dyn EventLog> = Arc::new(HoleyLog(PinnedLog::holding(&records)));
    let live = bind_all(&core(), &log, 50);
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryObjects::new());
    archived(&*log, &*store, 5);
    let report = verify(&*store, &mut |_| {}).expect("memory can be read");
    assert!(report.is_whole(), "{report:?}");
    let archive: Arc<dyn EventLog> = Arc::new(ArchiveLog::open(store).expect("it is whole"));
    let (digest, _) = refolded(&core(), &archive, 2, None).expect("the archive folds");
    assert_eq!(digest, live);
}

#[test]
fn reads_are_those_of_the_log() {
    let log = golden_log();
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryObjects::new());
    archived(&*log, &*store, 3);
    let archive = ArchiveLog::open(store).expect("it is whole");
    for topic in [Topic::Bindings, Topic::Feedback, Topic::ItemEvents, Topic::UserEvents] {
        assert_eq!(archive.partitions(topic), log.partitions(topic));
        assert_eq!(archive.topic_id(topic), log.topic_id(topic));
        for partition in 0..log.partitions(topic) {
            let at = TopicPartition { topic, partition };
            let end = log.end_offset(at).expect("memory can be read");
            assert_eq!(archive.end_offset(at).expect("it is there"), end);
            let mut from = 0;
            while from < end {
                let limit = ReadLimit { records: 37, bytes: 6_000 };
                let read = archive.read(at, from, limit).expect("it is there");
                let taken = ReadLimit { records: read.records.len(), bytes: usize::MAX };
                assert_eq!(read, log.read(at, from, taken).expect("it is there"));
                assert!(read.next > from, "a reader gets on");
                from = read.next;
            }
            let beyond = archive.read(at, end + 1, ReadLimit { records: 1, bytes: 1 });
            assert!(matches!(beyond, Err(ReadError::OutOfRange { .. })), "{beyond:?}");
        }
    }
    let append = archive.append(Vec::new()).expect("nothing is asked");
    assert!(append.is_empty());
}

#[test]
fn a_reader_may_jump() {
    let log = golden_log();
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryObjects::new());
    archived(&*log, &*store, 3);
    let archive = ArchiveLog::open(store).expect("it is whole");
    let mut draws = Draws(8);
    for _ in 0..300 {
        let at = TopicPartition { topic: Topic::UserEvents, partition: draws.below(4) as u32 };
        let from = draws.below(log.end_offset(at).expect("memory can be read"));
        let limit = ReadLimit { records: 5, bytes: usize::MAX };
        let read = archive.read(at, from, limit).expect("it is there");
        let taken = ReadLimit { records: read.records.len(), bytes: usize::MAX };
        assert!(!read.records.is_empty());
        assert_eq!(read, log.read(at, from, taken).expect("it is there"));
    }
}

/// Holes, a hole at the end, and erased rows.
#[test]
fn holes_are_passed_and_of_erased_rows_the_hash_is_given() {
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryObjects::new());
    let at = TopicPartition { topic: Topic::ItemEvents, partition: 0 };
    let mut rows = rows(at.topic, 3, 90, false);
    for gone in [40, 41, 42] {
        rows[gone] = rows[gone].erased();
    }
    let mut catalogue = Catalogue::default();
    for (index, part) in rows.chunks(30).enumerate() {
        let next = part[29].offset + if index == 2 { 10 } else { 1 };
        let topics = vec![TopicAdvance { topic: at.topic, id: [1; 16], next: vec![next] }];
        let added = vec![stored(&*store, &catalogue, at, part.iter().cloned()).entry];
        let change = Change { topics, added, ..Change::default() };
        catalogue.commit(&*store, change, Nonce([0; 16])).expect("nobody else writes");
    }
    let log = ArchiveLog::new(Arc::clone(&store), catalogue);
    let end = log.end_offset(at).expect("it is there");
    assert_eq!(end, rows[89].offset + 10);
    let (mut from, mut got) = (0, Vec::new());
    while from < end {
        let limit = ReadLimit { records: 7, bytes: usize::MAX };
        let batch = log.read(at, from, limit).expect("it is whole");
        assert!(batch.next > from && batch.next <= from + 7);
        assert!(batch.records.iter().all(|(offset, _)| *offset < batch.next));
        got.extend(batch.records);
        from = batch.next;
    }
    let left = |row: &ArchivedRow| {
        let erased = || Record::erased(row.append_time(), row.record_hash);
        (row.offset, row.record().cloned().unwrap_or_else(erased))
    };
    let want: Vec<_> = rows.iter().map(left).collect();
    assert_eq!(got, want);
    assert!(got[40..43].iter().all(|(_, record)| record.erased.is_some()));
}
