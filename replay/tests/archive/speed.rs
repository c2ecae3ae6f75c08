//! How fast rows are written and read. For people: `cargo test --release … -- --ignored
//! --nocapture speed`. With `EDDYLINE_ARCHIVE` set, leaves an archive of the golden stream there.

use std::sync::Arc;
use std::time::Instant;

use eddyline_connect::log::{EventLog, ReadLimit};
use eddyline_connect::objects::{FolderObjects, MemoryObjects, ObjectStore};
use eddyline_replay::archive::{
    ArchiveLog, ArchivedRow, Catalogue, Change, FileBuilder, HashCheck, LEVEL, Nonce, TopicAdvance,
    compact, read_rows,
};
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
    let log = ArchiveLog::new(store, catalogue);
    let (began, mut from) = (Instant::now(), 0);
    while from < log.end_offset(AT).expect("it is there") {
        let limit = ReadLimit { records: 4_096, bytes: 8 << 20 };
        from = log.read(AT, from, limit).expect("it is whole").next;
    }
    println!("read as a log: {:.0} rows/s", rate(began));
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
