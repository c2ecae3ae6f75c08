//! How fast rows are written and read. For people: `cargo test --release … -- --ignored
//! --nocapture speed`. With `EDDYLINE_ARCHIVE` set, leaves an archive of the golden stream there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_connect::objects::{
    FolderObjects, MemoryObjects, ObjectError, ObjectInfo, ObjectName, ObjectStore,
};
use eddyline_replay::archive::{
    ArchiveLog, ArchivedRow, Catalogue, Change, FileBuilder, HashCheck, LEVEL, Nonce, TopicAdvance,
    compact, read_rows,
};
use eddyline_schemas::decode::decode_record;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::support::archiving::{archived, bound_rows};
use crate::support::golden_stream::golden_log;

const AT: TopicPartition = TopicPartition { topic: Topic::UserEvents, partition: 0 };

#[test]
#[ignore = "measures"]
fn speed_of_the_golden_stream_repeated() {
    let (rows, _) = bound_rows(&*golden_log(), 1);
    let once: Vec<_> = rows[&AT].iter().map(|(_, row)| row.clone()).collect();
    let repeat = 1_000_000 / once.len() as u64;
    let began = Instant::now();
    let chain = eddyline_schemas::record::Digest::default();
    let mut builder = FileBuilder::new(AT, chain, LEVEL).expect("the schema is right");
    for again in 0..repeat {
        for row in &once {
            let offset = again * (once.len() as u64) + row.offset;
            builder
                .push(ArchivedRow { offset, epoch: Epoch(again), ..row.clone() })
                .expect("order");
        }
    }
    let (count, payload) = (builder.rows() as f64, builder.bytes());
    let built = builder.finish().expect("there are rows");
    let rate = |began: Instant| count / began.elapsed().as_secs_f64();
    println!("written: {:.0} rows/s, {payload} bytes in {}", rate(began), built.bytes.len());
    for check in [HashCheck::Trust, HashCheck::Recompute] {
        let began = Instant::now();
        let read = read_rows(&built.entry, &built.bytes, check).expect("it is whole");
        println!("read, {check:?}: {:.0} rows/s of {}", rate(began), read.len());
    }
    let store: Arc<dyn ObjectStore> = Arc::new(MemoryObjects::new());
    store.put_if_absent(&built.name, built.bytes.clone()).expect("memory can be written");
    let next = vec![built.entry.last + 1];
    let topics = vec![TopicAdvance { topic: AT.topic, id: [0; 16], next }];
    let change = Change { topics, added: vec![built.entry], ..Change::default() };
    let mut catalogue = Catalogue::default();
    catalogue.commit(&*store, change, Nonce::default()).expect("nobody else writes");
    for decodes in [false, true] {
        let log = ArchiveLog::new(Arc::clone(&store), catalogue.clone());
        let (began, mut from, mut valid) = (Instant::now(), 0, 0);
        while from < log.end_offset(AT).expect("it is there") {
            let limit = ReadLimit { records: 4_096, bytes: 8 << 20 };
            let batch = log.read(AT, from, limit).expect("it is whole");
            let is_valid =
                |(at, record): &&(_, _)| decodes && decode_record(AT, *at, record).is_ok();
            valid += batch.records.iter().filter(is_valid).count();
            from = batch.next;
        }
        println!("read as a log: {:.0} rows/s, {valid} decoded", rate(began));
    }
}

/// A store whose answers take as long as those of one across a network.
struct Far(MemoryObjects);

const AWAY: Duration = Duration::from_millis(20);

impl ObjectStore for Far {
    fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), ObjectError> {
        self.0.put_if_absent(name, bytes)
    }

    fn get(&self, name: &ObjectName) -> Result<Option<Bytes>, ObjectError> {
        std::thread::sleep(AWAY);
        self.0.get(name)
    }

    fn list(&self, folder: &ObjectName) -> Result<Vec<ObjectInfo>, ObjectError> {
        self.0.list(folder)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), ObjectError> {
        self.0.delete(name)
    }
}

/// What decoding ahead is for: partitions read in turn do not wait for each other's next file.
#[test]
#[ignore = "measures"]
fn speed_over_a_far_store() {
    let store = Far(MemoryObjects::new());
    let catalogue = archived(&*golden_log(), &store, 2);
    let files = catalogue.all_files().count();
    let log = ArchiveLog::new(Arc::new(store), catalogue);
    let mut readers: Vec<(TopicPartition, u64)> = Vec::new();
    for topic in Topic::INPUTS {
        let partitions = 0..log.partitions(topic);
        readers.extend(partitions.map(|partition| (TopicPartition { topic, partition }, 0)));
    }
    let began = Instant::now();
    while !readers.is_empty() {
        for (at, from) in &mut readers {
            let limit = ReadLimit { records: 64, bytes: usize::MAX };
            *from = log.read(*at, *from, limit).expect("it is whole").next;
        }
        readers.retain(|(at, from)| *from < log.end_offset(*at).expect("it is there"));
    }
    println!("{files} files, each {AWAY:?} away: {:?}", began.elapsed());
}

#[test]
#[ignore = "leaves files for other readers"]
fn an_archive_for_other_readers() {
    let folder = std::env::var_os("EDDYLINE_ARCHIVE").expect("EDDYLINE_ARCHIVE names a folder");
    let store = FolderObjects::open(std::path::Path::new(&folder)).expect("it can be written");
    let mut catalogue = archived(&*golden_log(), &store, 10);
    let largest = catalogue.all_files().map(|file| file.bytes).max().expect("there are files");
    compact(&store, &mut catalogue, 3 * largest, Nonce([1; 16])).expect("it is whole");
}
