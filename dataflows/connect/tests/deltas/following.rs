//! Publisher and reader over real logs: restarts, retention, positions, waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use eddyline_connect::clock::SystemClock;
use eddyline_connect::deltas::{DeltaError, DeltaPublisher, DeltaReader, Position, batch_of};
use eddyline_connect::embedded::EmbeddedLog;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{
    Append, AppendError, AppendVersion, EventLog, ReadBatch, ReadError, ReadLimit,
};
use eddyline_connect::memory::MemoryLog;
use eddyline_schemas::delta::EpochDeltas;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::Mutex;

use crate::histories::{assert_same, history, lineage, of_lineage};

fn layout(deltas: u32) -> LogLayout {
    LogLayout::default().with_deltas(deltas).expect("a count in range")
}

fn memory(deltas: u32) -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new(layout(deltas), Arc::new(SystemClock)))
}

fn publisher(log: &Arc<dyn EventLog>) -> DeltaPublisher {
    DeltaPublisher::open(Arc::clone(log), lineage()).expect("the log can be read")
}

fn publish(log: &Arc<dyn EventLog>, epochs: &[EpochDeltas]) {
    let mut publisher = publisher(log);
    for epoch in epochs {
        publisher.publish(epoch).expect("the log can be written");
    }
}

fn behind(epoch: &EpochDeltas) -> Position {
    Position { epoch: epoch.epoch, chain: epoch.chain }
}

fn read(log: &Arc<dyn EventLog>, at: Position) -> Result<Vec<EpochDeltas>, DeltaError> {
    let mut reader = DeltaReader::open(Arc::clone(log), lineage(), at)?;
    let mut epochs = Vec::new();
    while let Some(epoch) = reader.poll()? {
        epochs.push(epoch);
    }
    assert_eq!(reader.lag_records()?, 0, "all of the topic was read");
    Ok(epochs)
}

fn end_offsets(log: &Arc<dyn EventLog>) -> Vec<Offset> {
    let end = |partition| log.end_offset(TopicPartition { topic: Topic::Deltas, partition });
    (0..log.partitions(Topic::Deltas)).map(|p| end(p).expect("it exists")).collect()
}

#[test]
fn every_log_gives_back_what_was_published() {
    let history = history(1, 40, 60);
    let folder = tempfile::tempdir().expect("a folder");
    let open = || EmbeddedLog::open(folder.path(), layout(3), Arc::new(SystemClock));
    let embedded: Arc<dyn EventLog> = Arc::new(open().expect("a new log"));
    for log in [memory(3), memory(1), Arc::clone(&embedded)] {
        publish(&log, &history);
        for at in [0, 1, 20, 39] {
            let from = history[..at].last().map(behind).unwrap_or_default();
            assert_same(&read(&log, from).expect("whole"), &history[at..]);
        }
    }
    drop(embedded);
    let reopened: Arc<dyn EventLog> = Arc::new(open().expect("closed before"));
    assert_same(&read(&reopened, Position::default()).expect("whole"), &history);
}

#[test]
fn a_publisher_that_starts_again_writes_what_is_missing() {
    let history = history(2, 9, 30);
    let log = memory(3);
    publish(&log, &history[..6]);
    // Torn: of epoch 7 only some records came to be.
    let torn = batch_of(&history[6], 3);
    log.append(torn[..torn.len() / 2].to_vec()).expect("appended");
    let before = end_offsets(&log);
    let mut again = publisher(&log);
    assert!(again.acknowledged() >= Epoch(5) && again.acknowledged() < Epoch(7));
    again.check_not_ahead(Epoch(7)).expect("its binding is known");
    for epoch in &history[..again.acknowledged().0 as usize] {
        assert_eq!(again.publish(epoch).expect("known").records, 0);
    }
    assert_eq!(end_offsets(&log), before, "nothing was written that is known to be there");
    for epoch in &history {
        again.publish(epoch).expect("it can be written");
    }
    assert_same(&read(&log, Position::default()).expect("whole"), &history);
}

/// Without the snapshot the greatest epoch found may be torn, and is to be published again.
#[test]
fn a_publisher_goes_on_behind_a_snapshot() {
    let history = history(11, 9, 30);
    let log = memory(3);
    publish(&log, &history[..6]);
    let refused = publisher(&log).publish(&history[6]).expect_err("epoch 6 may be torn");
    assert!(matches!(refused, DeltaError::NotNext { last: Epoch(5), got: Epoch(7), .. }));
    let mut again = publisher(&log);
    again.go_on_from(Epoch(6));
    assert_eq!(again.acknowledged(), Epoch(6));
    let records = |publisher: &mut DeltaPublisher, at: usize| {
        publisher.publish(&history[at]).expect("it can be written").records
    };
    assert_eq!(records(&mut again, 5), 0, "it is there");
    assert!(records(&mut again, 6) > 0);
    let mut third = publisher(&log);
    third.go_on_from(Epoch(2));
    assert_eq!(third.acknowledged(), Epoch(6), "an old snapshot changes nothing");
    for epoch in &history[6..] {
        third.publish(epoch).expect("in order");
    }
    assert_same(&read(&log, Position::default()).expect("whole"), &history);
}

#[test]
fn deltas_ahead_of_the_bindings_halt_the_start() {
    let history = history(3, 5, 10);
    let log = memory(2);
    publish(&log, &history);
    let again = publisher(&log);
    again.check_not_ahead(Epoch(5)).expect("all bound");
    let refused = again.check_not_ahead(Epoch(4)).expect_err("epoch 5 is not bound").to_string();
    assert!(
        refused.contains("deltas of epoch 5") && refused.contains("is of epoch 4"),
        "{refused}"
    );
    let other = DeltaPublisher::open(log, of_lineage(history[0].clone(), b"y").lineage);
    other.expect("readable").check_not_ahead(Epoch(0)).expect("nothing of another lineage");
}

#[test]
fn a_lineage_beside_hides_nothing_however_much_it_publishes() {
    let log = memory(1);
    let ours = history(8, 6, 10);
    publish(&log, &ours[..5]);
    let theirs: Vec<EpochDeltas> =
        history(9, 900, 10).into_iter().map(|epoch| of_lineage(epoch, b"y")).collect();
    let mut beside = DeltaPublisher::open(Arc::clone(&log), theirs[0].lineage).expect("readable");
    for epoch in &theirs {
        beside.publish(epoch).expect("it can be written");
    }
    let end = end_offsets(&log)[0];
    assert!(end > 2_048, "ours are far behind the end: {end}");
    let mut again = publisher(&log);
    assert_eq!(again.found(), Epoch(5));
    again.check_not_ahead(Epoch(4)).expect_err("epoch 5 is not bound");
    again.publish(&ours[5]).expect_err("whether epoch 5 is whole is not known");
    for epoch in &ours[4..] {
        again.publish(epoch).expect("in order");
    }
    assert_same(&read(&log, Position::default()).expect("whole"), &ours);
    assert_same(&read(&log, behind(&ours[3])).expect("whole"), &ours[4..]);
}

#[test]
fn epochs_are_published_in_order() {
    let history = history(4, 5, 10);
    let log = memory(2);
    let mut first = publisher(&log);
    first.publish(&history[2]).expect("a topic may begin anywhere");
    let refused = first.publish(&history[4]).expect_err("epoch 4 is missing");
    assert!(matches!(refused, DeltaError::NotNext { last: Epoch(3), got: Epoch(5), .. }));
    let refused = read(&log, Position::default()).expect_err("epochs 1 and 2 are nowhere");
    let DeltaError::NeedSnapshot { applied, first_available } = refused else {
        panic!("{refused}")
    };
    assert_eq!((applied, first_available), (Epoch(0), Epoch(3)));
}

/// A log whose deltas begin somewhere else: what retention leaves.
struct Trimmed {
    log: Arc<dyn EventLog>,
    start: Mutex<Vec<Offset>>,
    /// Records that were read.
    read: AtomicU64,
}

impl Trimmed {
    fn start(&self, at: TopicPartition) -> Offset {
        if at.topic == Topic::Deltas { self.start.lock()[at.partition as usize] } else { 0 }
    }
}

impl EventLog for Trimmed {
    fn append(&self, batch: Vec<Append>) -> Result<Vec<Offset>, AppendError> {
        self.log.append(batch)
    }

    fn read(
        &self,
        at: TopicPartition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadBatch, ReadError> {
        let start = self.start(at);
        if from < start {
            let (end, missing) = (self.log.end_offset(at)?, from..start);
            return Err(ReadError::OutOfRange { partition: at, missing, start, end });
        }
        let batch = self.log.read(at, from, limit)?;
        self.read.fetch_add(batch.records.len() as u64, Ordering::Relaxed);
        Ok(batch)
    }

    fn start_offset(&self, at: TopicPartition) -> Result<Offset, ReadError> {
        Ok(self.start(at))
    }

    fn end_offset(&self, at: TopicPartition) -> Result<Offset, ReadError> {
        self.log.end_offset(at)
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

#[test]
fn what_retention_took_is_asked_of_a_snapshot() {
    let history = history(6, 30, 20);
    let inner = memory(2);
    publish(&inner, &history[..10]);
    let start = end_offsets(&inner);
    publish(&inner, &history[..20]);
    let trimmed =
        Arc::new(Trimmed { log: inner, start: Mutex::new(vec![0; 2]), read: AtomicU64::new(0) });
    let log: Arc<dyn EventLog> = Arc::<Trimmed>::clone(&trimmed);
    let mut reader = DeltaReader::open(Arc::clone(&log), lineage(), Position::default())
        .expect("it can be read");
    assert_eq!(reader.poll().expect("whole").map(|epoch| epoch.epoch), Some(Epoch(1)));
    *trimmed.start.lock() = start;
    let needs = |error: DeltaError| match error {
        DeltaError::NeedSnapshot { applied, first_available } => (applied.0, first_available.0),
        other => panic!("{other}"),
    };
    let (applied, first) = needs(read(&log, Position::default()).expect_err("epochs are gone"));
    assert_eq!((applied, first), (0, 10), "the restarted publisher wrote epoch 10 again");
    assert_same(&read(&log, behind(&history[9])).expect("whole from there"), &history[10..20]);
    // A reader that is overtaken goes on with what it has read, then says so, or is complete.
    publish(&trimmed.log, &history);
    let mut got = 1;
    let end = loop {
        match reader.poll() {
            Ok(Some(epoch)) => got = epoch.epoch.0,
            Ok(None) => break None,
            Err(error) => break Some(needs(error)),
        }
    };
    assert!(end.map_or(got == 30, |(applied, _)| applied == got), "{end:?} after {got}");
}

#[test]
fn a_reader_finds_its_place_in_a_long_topic() {
    let history = history(7, 5_000, 1);
    let log = memory(1);
    publish(&log, &history[..4_000]);
    // A zombie writes old epochs anew, where a search for a place will look.
    log.append(history[5..60].iter().flat_map(|epoch| batch_of(epoch, 1)).collect())
        .expect("appended");
    publish(&log, &history);
    for at in [0, 10, 2_500, 3_999, 4_000, 4_990] {
        let from = history[..at].last().map(behind).unwrap_or_default();
        assert_same(&read(&log, from).expect("whole"), &history[at..]);
    }
}

#[test]
fn a_reader_waits_for_what_is_published_later() {
    let history = history(8, 200, 20);
    let log = memory(4);
    let writer = Arc::clone(&log);
    std::thread::scope(|scope| {
        scope.spawn(|| publish(&writer, &history));
        let mut reader = DeltaReader::open(Arc::clone(&log), lineage(), Position::default())
            .expect("it can be read");
        let mut got = Vec::new();
        while got.len() < history.len() {
            let next = reader.next_epoch(Duration::from_secs(60)).expect("nothing is wrong");
            got.extend(next);
        }
        assert_same(&got, &history);
    });
}

/// A writer that should be dead repeats the last epoch amid the next one, exactly where the search
/// for a place comes to rest. The record in front of it is needed too.
#[test]
fn a_place_amid_an_epoch_is_no_place_to_begin() {
    let history = history(9, 40, 30);
    let at = history.windows(2).position(|two| batch_of(&two[1], 1).len() >= 3);
    let (last, next) = (&history[at.expect("one of them")], &history[at.expect("one") + 1]);
    let (old, new) = (batch_of(last, 1), batch_of(next, 1));
    let close = new.last().expect("a close").clone();
    let mut records: Vec<Append> = old.iter().cycle().take(1_023).cloned().collect();
    records.push(new[0].clone());
    records.push(old[0].clone());
    records.extend(new[1..].iter().cloned());
    records.resize(2_048, close);
    let log = memory(1);
    log.append(records).expect("appended");
    assert_same(&read(&log, behind(last)).expect("whole"), std::slice::from_ref(next));
}

/// The place of a snapshot is looked for, not read up to.
#[test]
fn a_reader_begins_near_its_place() {
    let history = history(10, 5_000, 1);
    let log = memory(1);
    publish(&log, &history);
    let counted = Arc::new(Trimmed { log, start: Mutex::new(vec![0]), read: AtomicU64::new(0) });
    let shared: Arc<dyn EventLog> = Arc::<Trimmed>::clone(&counted);
    assert_same(&read(&shared, behind(&history[4_989])).expect("whole"), &history[4_990..]);
    let records = counted.read.load(Ordering::Relaxed);
    assert!(records < 3_000, "{records} records of {:?} were read", end_offsets(&shared));
}
