//! What the manifest says of a file, and how files are named.
//!
//! `<topic>/v1/dt=YYYY-MM-DD/p=0007/<first offset>-<last offset>-<epoch of the last row>.parquet`,
//! the numbers of 20 digits. `dt` is the UTC day of the first row's append time.
//!
//! A name is used once, whatever becomes of the object: somebody who has listed what no manifest
//! names may be slow to delete it. So a file has a generation, `…-<epoch of the last row>-g0007.parquet`:
//! the number of the newest manifest when its writer began, or one more than that of the file that
//! it replaces, if that is greater. Generation 0 is not shown. Whoever claims the archive makes a
//! newer manifest, so what it has listed before is of an earlier generation than all that is written
//! after, and what others have begun before can no longer be committed.

use eddyline_connect::objects::ObjectName;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Digest, Offset};
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};

/// A live file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its object.
    pub name: ObjectName,
    /// Whose rows it holds.
    pub partition: TopicPartition,
    /// Offset of its first row.
    pub first: Offset,
    /// Offset of its last row.
    pub last: Offset,
    /// Epoch of its first row.
    pub first_epoch: Epoch,
    /// Epoch of its last row.
    pub last_epoch: Epoch,
    /// How many rows it has; never 0.
    pub rows: u64,
    /// Size of the object.
    pub bytes: u64,
    /// Hash of the whole object.
    pub blake3: Digest,
    /// The partition's chain before the first row.
    pub chain_before: Digest,
    /// The partition's chain after the last row.
    pub chain_after: Digest,
    /// Tells its name from others for the same rows: see the module doc.
    pub generation: u32,
    /// What was erased of it.
    pub erased: Option<ErasedRows>,
    /// Events that ask for an erasure which is not carried out yet.
    pub requests: u64,
}

impl FileEntry {
    /// The same file under the next generation's name.
    #[must_use]
    pub(super) fn next_generation(self) -> Self {
        let generation = self.generation + 1;
        let name = self.name.as_str().trim_end_matches(".parquet");
        // Three numbers, and maybe a generation.
        let is_anew = self.name.last_segment().matches('-').count() > 2;
        let rows =
            if is_anew { name.rsplit_once('-').map_or(name, |(rows, _)| rows) } else { name };
        let name = ObjectName::new(format!("{rows}{}.parquet", suffix(generation)));
        Self { name: name.expect("the name was plain"), generation, ..self }
    }
}

fn suffix(generation: u32) -> String {
    if generation == 0 { String::new() } else { format!("-g{generation:04}") }
}

/// The rows of a file of which only offset, times and hash are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErasedRows {
    /// How many; never 0.
    pub rows: u64,
    /// Epoch of the first of them.
    pub first_epoch: Epoch,
}

impl ErasedRows {
    /// These, and one more behind them.
    #[must_use]
    pub(super) fn and_one(of: Option<Self>, epoch: Epoch) -> Self {
        let before = of.unwrap_or(Self { rows: 0, first_epoch: epoch });
        Self { rows: before.rows + 1, ..before }
    }
}

/// The folder of a topic's files.
#[must_use]
pub fn topic_folder(topic: Topic) -> ObjectName {
    ObjectName::new(format!("{topic}/v1")).expect("a topic's name is plain")
}

/// The name of the module doc.
pub(super) fn file_name(
    partition: TopicPartition,
    day_of: TimestampMs,
    (first, last): (Offset, Offset),
    (epoch, generation): (Epoch, u32),
) -> ObjectName {
    let TopicPartition { topic, partition } = partition;
    let day = day(day_of);
    let epoch = epoch.0;
    let anew = suffix(generation);
    let rows = format!("{first:020}-{last:020}-{epoch:020}");
    let name = format!("{topic}/v1/dt={day}/p={partition:04}/{rows}{anew}.parquet");
    ObjectName::new(name).expect("topics, days and numbers are plain")
}

/// `YYYY-MM-DD` in UTC; a time that no calendar shows has the day of the epoch.
fn day(time: TimestampMs) -> String {
    let shown = time.to_string();
    shown.split_once('T').map_or_else(|| "1970-01-01".to_owned(), |(day, _)| day.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_offset_and_carry_the_day_in_utc() {
        let at = TopicPartition { topic: Topic::UserEvents, partition: 7 };
        let anew =
            |ms, first, last, n| file_name(at, TimestampMs(ms), (first, last), (Epoch(3), n));
        let name = |ms, first, last| anew(ms, first, last, 0);
        assert_eq!(
            name(1_365_029_107_000, 9, 12).as_str(),
            "user_events/v1/dt=2013-04-03/p=0007/\
             00000000000000000009-00000000000000000012-00000000000000000003.parquet"
        );
        assert!(name(0, 9, 12) < name(0, 10, 11));
        assert!(anew(0, 9, 12, 2).as_str().ends_with("12-00000000000000000003-g0002.parquet"));
        assert!(anew(0, 9, 12, 2) < name(0, 10, 11));
        assert_eq!(day(TimestampMs(1_365_033_600_000)), "2013-04-04");
        assert_eq!(day(TimestampMs(i64::MAX)), "1970-01-01");
        assert_eq!(topic_folder(Topic::Deltas).as_str(), "deltas.v1/v1");
    }
}
