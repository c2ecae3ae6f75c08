//! The embedded log across opens: what is kept, what is refused, what damage does.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eddyline_connect::clock::ManualClock;
use eddyline_connect::conformance::event_log::{
    NO_LIMIT, append_to, read_all, read_everything, user_events,
};
use eddyline_connect::embedded::EmbeddedLog;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{EventLog, OpenError};
use eddyline_schemas::record::Offset;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};

fn open_as(folder: &Path, layout: LogLayout, now: i64) -> Result<EmbeddedLog, OpenError> {
    EmbeddedLog::open(folder, layout, Arc::new(ManualClock::new(TimestampMs(now))))
}

fn open(folder: &Path) -> Result<EmbeddedLog, OpenError> {
    open_as(folder, LogLayout::default(), 1_000)
}

/// Appends `count` batches of two records, for a user partition and for `bindings`.
fn fill(log: &EmbeddedLog, count: u32) {
    let bindings = TopicPartition { topic: Topic::Bindings, partition: 0 };
    for n in 0..count {
        let value = format!("value {n} {}", "x".repeat(n as usize % 300));
        let batch = vec![append_to(user_events(n % 4), "k", &value), append_to(bindings, "", "b")];
        log.append(batch).expect("appended");
    }
}

#[test]
fn a_reopened_log_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open_as(folder.path(), LogLayout::default(), 5_000).expect("new");
    fill(&log, 500);
    let (before, id) = (read_everything(&log), log.topic_id(Topic::Feedback));
    drop(log);
    let log = open_as(folder.path(), LogLayout::default(), 4_000).expect("closed before");
    assert_eq!(read_everything(&log), before);
    assert_eq!(log.topic_id(Topic::Feedback), id);
    let offset = log.append(vec![append_to(user_events(0), "", "new")]).expect("appended")[0];
    assert_eq!(offset, 125);
    let (_, record) = read_all(&log, user_events(0)).pop().expect("just appended");
    assert_eq!(
        record.append_time,
        TimestampMs(5_000),
        "append time survives, and a clock set back"
    );
    // Older than what is in memory, from the middle of a partition.
    let batch = log.read(user_events(1), 77, NO_LIMIT).expect("in range");
    assert_eq!((batch.records[0].0, batch.next), (77, 125));
}

#[test]
fn partitions_grow_and_never_shrink() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(folder.path()).expect("new");
    fill(&log, 8);
    drop(log);
    let more = LogLayout::new(6, 2, 3).expect("valid");
    let log = open_as(folder.path(), more, 0).expect("more partitions");
    assert_eq!(log.partitions(Topic::UserEvents), 6);
    assert_eq!(log.end_offset(user_events(5)).ok(), Some(0));
    assert_eq!(log.append(vec![append_to(user_events(5), "", "x")]).expect("appended"), [0]);
    assert_eq!(read_all(&log, user_events(1)).len(), 2);
    drop(log);
    let refused = open(folder.path()).err().expect("fewer partitions").to_string();
    assert!(refused.contains("item_events has 3 partitions and cannot shrink to 1"), "{refused}");
    assert!(open_as(folder.path(), more, 0).is_ok());
}

#[test]
fn a_second_open_names_folder_and_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(folder.path()).expect("new");
    let refused = open(folder.path()).err().expect("in use").to_string();
    assert!(refused.contains(&folder.path().display().to_string()), "{refused}");
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    drop(log);
    assert!(open(folder.path()).is_ok());
}

#[test]
fn an_unfinished_creation_is_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let unfinished = folder.path().join("log.creating");
    std::fs::create_dir_all(unfinished.join("keyspaces")).expect("made");
    std::fs::write(unfinished.join("0.jnl"), b"half").expect("written");
    let log = open(folder.path()).expect("a new log");
    fill(&log, 1);
    assert!(!unfinished.exists());
}

fn newest_journal(folder: &Path) -> PathBuf {
    let entries = std::fs::read_dir(folder.join("log")).expect("the database");
    let paths = entries.map(|entry| entry.expect("readable").path());
    let journals = paths.filter(|path| path.extension().is_some_and(|end| end == "jnl"));
    journals.max().expect("a journal")
}

/// Where the journal's content ends: the file is longer, filled with zeros.
fn content_end(journal: &Path) -> u64 {
    let bytes = std::fs::read(journal).expect("readable");
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

fn flip(journal: &Path, at: u64) {
    let mut file = OpenOptions::new().read(true).write(true).open(journal).expect("opened");
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).expect("in range");
    file.read_exact(&mut byte).expect("in range");
    file.seek(SeekFrom::Start(at)).expect("in range");
    file.write_all(&[byte[0] ^ 0x55]).expect("written");
}

fn cut(journal: &Path, at: u64) {
    let file = OpenOptions::new().write(true).open(journal).expect("opened");
    file.set_len(at).expect("cut");
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("readable").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// What an open found after damage.
enum Outcome {
    /// A prefix, of so many records.
    Prefix(usize),
    Refused(OpenError),
}

/// Damages a copy of `original` and opens it. Whatever is there must be a prefix of `whole`.
fn after(
    original: &Path,
    whole: &[(TopicPartition, Offset, eddyline_schemas::record::Record)],
    damage: &dyn Fn(&Path),
    knows_acknowledged: bool,
) -> Outcome {
    let copy = tempfile::tempdir().expect("a folder");
    copy_folder(original, copy.path());
    if !knows_acknowledged {
        std::fs::remove_file(copy.path().join("log.acknowledged")).expect("there");
    }
    damage(&newest_journal(copy.path()));
    let log = match open(copy.path()) {
        Ok(log) => log,
        Err(error) => return Outcome::Refused(error),
    };
    let found = read_everything(&log);
    assert!(found.iter().all(|record| whole.contains(record)), "no record was invented");
    let bindings = found.iter().filter(|(partition, ..)| partition.topic == Topic::Bindings);
    assert_eq!(bindings.count() * 2, found.len(), "every batch is there whole or not at all");
    Outcome::Prefix(found.len())
}

#[test]
fn a_damaged_journal_gives_a_prefix_or_a_clear_refusal() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(folder.path()).expect("new");
    fill(&log, 60);
    let whole = read_everything(&log);
    drop(log);
    let end = content_end(&newest_journal(folder.path()));
    let (mut prefixes, mut refusals) = (0, 0);
    for step in 0..12 {
        let at = end - 1 - step * 37;
        for damage in [&cut as &dyn Fn(&Path, u64), &flip] {
            match after(folder.path(), &whole, &|journal| damage(journal, at), false) {
                Outcome::Prefix(records) => {
                    assert!(records <= whole.len());
                    prefixes += 1;
                }
                Outcome::Refused(OpenError::Damaged { .. }) => refusals += 1,
                Outcome::Refused(error) => panic!("{error:?}"),
            }
            match after(folder.path(), &whole, &|journal| damage(journal, at), true) {
                // Not every byte matters: sequence numbers of the database, for one.
                Outcome::Prefix(records) => assert_eq!(records, whole.len(), "a loss unnoticed"),
                Outcome::Refused(OpenError::Damaged { .. }) => {}
                Outcome::Refused(OpenError::Lost { acknowledged, found, .. }) => {
                    assert!(acknowledged == whole.len() as u64 && found < acknowledged);
                }
                Outcome::Refused(error) => panic!("{error:?}"),
            }
        }
    }
    assert!(
        prefixes >= 12 && prefixes + refusals == 24,
        "{prefixes} prefixes, {refusals} refusals"
    );
}

#[test]
fn a_batch_torn_before_it_was_acknowledged_is_discarded() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = open(folder.path()).expect("new");
    fill(&log, 10);
    let whole = read_everything(&log);
    drop(log);
    let first_kept = content_end(&newest_journal(folder.path()));
    let copy = tempfile::tempdir().expect("a folder");
    copy_folder(folder.path(), copy.path());
    let log = open(copy.path()).expect("as it was");
    fill(&log, 1);
    drop(log);
    let torn = content_end(&newest_journal(copy.path()));
    let acknowledged = folder.path().join("log.acknowledged");
    for at in [first_kept + 1, (first_kept + torn) / 2, torn - 1] {
        cut(&newest_journal(copy.path()), at);
        std::fs::copy(&acknowledged, copy.path().join("log.acknowledged")).expect("copied");
        let log = open(copy.path()).expect("a torn batch is no damage");
        assert_eq!(read_everything(&log), whole);
        fill(&log, 1);
        drop(log);
    }
}
