//! What can go wrong with a log, by what the caller may do next.

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

/// An error of the layer below.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The message of `error` followed by that of each cause, for where an error becomes text.
#[must_use]
pub fn with_sources(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Why an append did not return offsets.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Certainly not written: the caller addressed a partition that does not exist.
    #[error("partition {partition} does not exist: the topic has {partitions}")]
    UnknownPartition {
        /// As addressed.
        partition: TopicPartition,
        /// How many the topic has.
        partitions: u32,
    },
    /// Certainly not written: split or drop the record.
    #[error(
        "record {index} of the batch is too large: {bytes} bytes, at most {most} and {} headers",
        u16::MAX
    )]
    TooLarge {
        /// Place in the batch.
        index: usize,
        /// Its size.
        bytes: usize,
        /// What the log takes.
        most: usize,
    },
    /// Certainly not written: the log stopped after an earlier failure and must be opened again.
    #[error("the log has stopped: {0}")]
    Stopped(String),
    /// Certainly not written: the log takes nothing at the moment, a retry may help.
    #[error("the log cannot be reached, nothing was written")]
    Unavailable(#[source] BoxError),
    /// Maybe written, in part or as a whole: the log did not acknowledge it in time. The log goes
    /// on; only a retry whose effect is idempotent is safe.
    #[error("outcome of the append is unknown: the log did not acknowledge it in time")]
    Uncertain(#[source] BoxError),
    /// Maybe written: only an idempotent retry, after the log was opened again, is safe.
    #[error("outcome of the append is unknown, the log has stopped")]
    Unknown(#[source] BoxError),
}

impl AppendError {
    /// Whether the batch is certainly not on the log.
    #[must_use]
    pub fn is_certainly_not_written(&self) -> bool {
        !matches!(self, Self::Unknown(_) | Self::Uncertain(_))
    }

    /// Whether the same log may take the same batch a moment later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Uncertain(_))
    }
}

/// Why a read found nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The caller addressed a partition that does not exist.
    #[error("partition {partition} does not exist: the topic has {partitions}")]
    UnknownPartition {
        /// As addressed.
        partition: TopicPartition,
        /// How many the topic has.
        partitions: u32,
    },
    /// The caller expects records that the log does not have: trimmed, or another log.
    #[error(
        "offsets {}..{} of {partition} are missing: the log has {start}..{end}",
        missing.start, missing.end
    )]
    OutOfRange {
        /// Which partition.
        partition: TopicPartition,
        /// What is not there.
        missing: Range<Offset>,
        /// First offset of the log.
        start: Offset,
        /// Next offset of the log.
        end: Offset,
    },
    /// The log has the records and cannot vouch for them: a person is needed.
    #[error("offsets {}..{} of {partition} are corrupt: {reason}", offsets.start, offsets.end)]
    Corrupt {
        /// Which partition.
        partition: TopicPartition,
        /// What cannot be read.
        offsets: Range<Offset>,
        /// How it shows.
        reason: String,
    },
    /// The log stopped after an earlier failure and must be opened again.
    #[error("the log has stopped: {0}")]
    Stopped(String),
    /// The layer below failed: a retry may help.
    #[error("cannot read {partition}")]
    Unavailable {
        /// Which partition.
        partition: TopicPartition,
        /// The failure.
        #[source]
        source: BoxError,
    },
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another place in this one, has the log open.
    #[error("the log in {} is in use by process {owner}", folder.display())]
    InUse {
        /// Where.
        folder: PathBuf,
        /// Process id of the owner, or `unknown`.
        owner: String,
    },
    /// Partitions can be added, never removed: ask for at least as many as there are.
    #[error("topic {topic} has {stored} partitions and cannot shrink to {asked}")]
    FewerPartitions {
        /// Whose partitions.
        topic: Topic,
        /// What the log has.
        stored: u32,
        /// What was asked for.
        asked: u32,
    },
    /// Readers look for a key by the count: open it with the one it has.
    #[error("topic {topic} was made with {stored} partitions and keeps them, not {asked}")]
    FixedPartitions {
        /// Whose partitions.
        topic: Topic,
        /// What the log has.
        stored: u32,
        /// What was asked for.
        asked: u32,
    },
    /// What was written cannot be read back: a person is needed.
    #[error("the log in {} is damaged: {what}", folder.display())]
    Damaged {
        /// Where.
        folder: PathBuf,
        /// Which part of it.
        what: String,
        /// How it showed.
        #[source]
        source: Option<BoxError>,
    },
    /// Acknowledged records are gone: restore the folder from a copy; to accept the loss, delete
    /// `file`.
    #[error(
        "the log in {} has lost records: {acknowledged} were acknowledged, {found} are there; \
         restore it from a copy, or delete {file} to go on without them",
        folder.display()
    )]
    Lost {
        /// Where.
        folder: PathBuf,
        /// How many there should be at least.
        acknowledged: u64,
        /// How many there are.
        found: u64,
        /// The file that keeps the number.
        file: &'static str,
    },
    /// The file system failed.
    #[error("cannot open the log in {}", folder.display())]
    Io {
        /// Where.
        folder: PathBuf,
        /// The failure.
        #[source]
        source: io::Error,
    },
    /// No broker answered in time: start one, or correct the URL.
    #[error(
        "no broker of {servers} answered within {} s ({reason}): start it, or correct log.url",
        waited.as_secs_f32()
    )]
    Unreachable {
        /// As the URL names them.
        servers: String,
        /// How long was waited.
        waited: std::time::Duration,
        /// What was heard last.
        reason: String,
    },
    /// The brokers refuse who we are: correct user or password.
    #[error(
        "the brokers of {servers} refuse the credentials ({reason}): correct user, \
         password_file and mechanism in log.url"
    )]
    Credentials {
        /// As the URL names them.
        servers: String,
        /// What they say.
        reason: String,
    },
    /// Topics are missing or set in a way that would lose records: run the commands of the report.
    #[error("topics on {servers} are not as they must be\n{report}")]
    Topics {
        /// As the URL names them.
        servers: String,
        /// Each setting: what it is, what it must be, and the command that changes it.
        report: String,
    },
    /// The brokers do not do what opening needs.
    #[error("the brokers of {servers} do not {what}")]
    Brokers {
        /// As the URL names them.
        servers: String,
        /// What was asked of them.
        what: String,
        /// The failure.
        #[source]
        source: BoxError,
    },
    /// The URL does not say which log.
    #[error("log url {url:?}: {reason}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
}
