//! `DIR/crashes.json`: what the dataflow of this process was at when it panicked, and how often.
//!
//! Written by the panic itself, so a process that ends without one (SIGKILL, no memory left) notes
//! nothing. An entry goes when its epoch is committed. A record that is noted [`TIMES`] times is
//! passed over from the next start on, durably, in every fold of the log; a panic that no one
//! record was at fault for stops the start instead, since nobody but the user can choose one.
//!
//! Each process of a dataflow has its own file, whichever folder it has.

use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use eddyline_connect::log::EventLog;
use eddyline_dataflows::{
    AtWork, BoundEpoch, EngineError, RecordAt, at_work, bound_epoch, newest_epoch, skip_record,
};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};
use eddyline_serving::http::Operations;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::bound::{LOOK_AGAIN, patiently};
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::server_file;

/// Crashes on a record after which it is passed over.
const TIMES: u32 = 3;

/// Attempts at saying so while others claim the right to bind.
const ATTEMPTS: u32 = 50;

/// Between two looks at whether a noted epoch is committed.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Epochs that may be in flight behind the newest one that has begun.
const IN_FLIGHT: u64 = 8;

/// Longest message kept of a panic, in characters.
const MESSAGE: usize = 400;

/// Where this process notes its panics, and which it has noted; `None` before a dataflow starts in
/// it. Several workers may panic on one record: that is one crash.
static NOTES: Mutex<Option<(PathBuf, Vec<Crash>)>> = Mutex::new(None);

/// A record, as a file can hold it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NotedRecord {
    topic: String,
    partition: u32,
    offset: Offset,
}

impl NotedRecord {
    fn new(record: RecordAt) -> Self {
        let RecordAt { partition: TopicPartition { topic, partition }, offset } = record;
        Self { topic: topic.name().to_owned(), partition, offset }
    }

    /// `None` for what no version of this program notes.
    fn read(&self) -> Option<RecordAt> {
        let topic = Topic::from_name(&self.topic).filter(|topic| Topic::INPUTS.contains(topic))?;
        let partition = TopicPartition { topic, partition: self.partition };
        Some(RecordAt { partition, offset: self.offset })
    }
}

/// What the dataflow crashed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Crash {
    /// `None` when it was at no one record.
    record: Option<NotedRecord>,
    /// Where it was, or how far at most.
    epoch: u64,
    /// Whether `epoch` is where it was.
    is_epoch_known: bool,
    operator: String,
    message: String,
    times: u32,
    /// Records of the epoch that were to be passed over when this was counted from anew.
    #[serde(default)]
    skipped: usize,
}

impl Crash {
    fn new(at: AtWork, message: &str) -> Self {
        Self {
            record: at.record.map(NotedRecord::new),
            epoch: at.epoch.unwrap_or_else(newest_epoch).0,
            is_epoch_known: at.epoch.is_some(),
            operator: at.operator.name().to_owned(),
            message: message.chars().take(MESSAGE).collect(),
            times: 1,
            skipped: 0,
        }
    }

    /// Whether both are the same fault: of the same record, else of the same operator and epoch.
    /// Where the epoch is not known, how far the process was says nothing.
    fn is_like(&self, other: &Self) -> bool {
        match (&self.record, &other.record) {
            (Some(one), Some(another)) => one == another,
            (None, None) if self.is_epoch_known => {
                other.is_epoch_known && self.epoch == other.epoch
            }
            (None, None) => !other.is_epoch_known,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn record(&self) -> Option<RecordAt> {
        self.record.as_ref().and_then(NotedRecord::read)
    }

    /// The epoch whose commit shows that the dataflow came past it; `None` while none is known.
    fn epoch_over(&self, dataflow: &dyn Operations, begun: Epoch) -> Option<Epoch> {
        match (self.record(), self.is_epoch_known) {
            (_, true) => Some(Epoch(self.epoch)),
            (Some(record), false) => dataflow.bound_epoch_of(record.partition, record.offset),
            (None, false) => Some(Epoch(self.epoch).max(begun.next())),
        }
    }

    /// Where it was, in words.
    fn place(&self) -> String {
        let epoch = self.epoch;
        match (self.record(), self.is_epoch_known) {
            (Some(record), true) => format!("{record}, in epoch {epoch}"),
            (Some(record), false) => record.to_string(),
            (None, true) => format!("epoch {epoch}, at no one record"),
            (None, false) => format!("an epoch up to {epoch}, which one is not known"),
        }
    }
}

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Notes {
    crashes: Vec<Crash>,
}

impl Notes {
    /// What is noted; nothing when nothing readable is.
    fn read(path: &Path) -> Self {
        let Ok(bytes) = std::fs::read(path) else { return Self::default() };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "not a note of crashes: counting anew");
            Self::default()
        })
    }

    /// Replaces the file, or takes it away when there is nothing to note.
    fn write(&self, path: &Path) -> std::io::Result<()> {
        if self.crashes.is_empty() {
            return match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                Err(_) | Ok(()) => Ok(()),
            };
        }
        server_file::replace(path, &serde_json::to_vec_pretty(self)?)
    }

    fn count(&mut self, crash: Crash) {
        match self.crashes.iter_mut().find(|noted| noted.is_like(&crash)) {
            Some(noted) => {
                let (times, skipped) = (noted.times + 1, noted.skipped);
                *noted = Crash { times, skipped, ..crash };
            }
            None => self.crashes.push(crash),
        }
    }
}

/// The file of this process. Several may share a folder.
fn path_of(config: &Config) -> PathBuf {
    match config.dataflow.processes.as_ref().map_or(0, |processes| processes.index) {
        0 => config.data_dir.join("crashes.json"),
        process => config.data_dir.join(format!("crashes-{process}.json")),
    }
}

/// To be called by the panic hook: notes what a thread of the dataflow was at.
pub(crate) fn note_panic(panic: &PanicHookInfo<'_>) {
    let Some(at) = at_work() else { return };
    // Held while writing: two workers may panic at once.
    let mut notes = NOTES.lock();
    let Some((path, counted)) = &mut *notes else { return };
    let place = panic.location().map(|place| format!(" ({place})")).unwrap_or_default();
    let message = format!("{}{place}", panic.payload_as_str().unwrap_or("no message"));
    let crash = Crash::new(at, &message);
    if counted.iter().any(|before| before.is_like(&crash)) {
        return;
    }
    let mut noted = Notes::read(path);
    noted.count(crash.clone());
    counted.push(crash);
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = std::fs::create_dir_all(folder).and_then(|()| noted.write(path));
    if let Err(error) = written {
        eprintln!("warning: cannot note the crash in {}: {error}", path.display());
    }
}

/// Notes of crashes that wait for their epoch to be committed.
#[must_use]
pub(crate) struct Pending {
    path: PathBuf,
    is_any: bool,
}

impl Pending {
    /// Takes each note away once its epoch is committed.
    pub(crate) fn until_committed(self, dataflow: Weak<dyn Operations>) -> Outcome {
        let mut begun = None;
        self.watch(move |crash| {
            let dataflow = dataflow.upgrade()?;
            let committed = dataflow.pipeline().committed_epoch;
            let begun = *begun.get_or_insert(committed);
            Some(crash.epoch_over(&*dataflow, begun).is_some_and(|epoch| committed >= epoch))
        })
    }

    /// As [`Self::until_committed`], in a process that follows: it learns of no commit, but of
    /// epochs that begin only after it.
    pub(crate) fn until_passed(self) -> Outcome {
        self.watch(|crash| Some(newest_epoch().0 > crash.epoch + IN_FLIGHT))
    }

    /// `is_over` says `None` when the dataflow is gone.
    fn watch(self, mut is_over: impl FnMut(&Crash) -> Option<bool> + Send + 'static) -> Outcome {
        if !self.is_any {
            return Ok(());
        }
        let look = move || {
            while self.take_away(&mut is_over) {
                std::thread::sleep(LOOK_EVERY);
            }
        };
        let thread = std::thread::Builder::new().name("eddyline-crashes".into());
        thread.spawn(look).map(drop).or_stop(Exit::Io, || "starting a thread".into())
    }

    /// Whether there is anything left to wait for.
    fn take_away(&self, is_over: &mut impl FnMut(&Crash) -> Option<bool>) -> bool {
        let (mut over, mut is_gone) = (Vec::new(), false);
        for crash in Notes::read(&self.path).crashes {
            match is_over(&crash) {
                Some(true) => over.push(crash),
                Some(false) => {}
                None => is_gone = true,
            }
        }
        // Nothing may be noted between reading and writing; what was meanwhile stays.
        let _held = NOTES.lock();
        let mut notes = Notes::read(&self.path);
        notes.crashes.retain(|crash| !over.contains(crash));
        if !over.is_empty()
            && let Err(error) = notes.write(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot take a note away");
        }
        !is_gone && !notes.crashes.is_empty()
    }
}

/// Before the dataflow starts: acts on what crashed it before, and notes its panics from now on.
/// `open` is called only when there is something to say or to ask.
pub(crate) fn begin(
    config: &Config,
    open: impl FnOnce() -> Outcome<Arc<dyn EventLog>>,
) -> Outcome<Pending> {
    let path = path_of(config);
    *NOTES.lock() = Some((path.clone(), Vec::new()));
    let mut notes = Notes::read(&path);
    if notes.crashes.iter().any(|crash| crash.times >= TIMES) {
        let log = open()?;
        let crashes = std::mem::take(&mut notes.crashes);
        for crash in crashes {
            notes.crashes.extend(judge(&log, crash, &path)?);
        }
        let context = || format!("writing {}", path.display());
        notes.write(&path).or_stop(Exit::Io, context)?;
    }
    for crash in notes.crashes.iter().filter(|crash| crash.times > 0) {
        tracing::warn!(
            times = crash.times,
            at = crash.place(),
            panic = crash.message,
            "the dataflow crashed here before; an event that crashes it {TIMES} times is passed over"
        );
    }
    Ok(Pending { path, is_any: !notes.crashes.is_empty() })
}

/// What is left of a crash: nothing when its record is passed over.
fn judge(log: &Arc<dyn EventLog>, crash: Crash, path: &Path) -> Outcome<Option<Crash>> {
    if crash.times < TIMES {
        return Ok(Some(crash));
    }
    let Some(record) = crash.record() else { return refuse(log, crash, path).map(Some) };
    say(log, record)?;
    tracing::error!(
        topic = record.partition.topic.name(),
        partition = record.partition.partition,
        offset = record.offset,
        epoch = crash.epoch,
        times = crash.times,
        panic = crash.message,
        "an event crashed the dataflow whenever it was folded and is passed over from now on; it \
         counts as a dead letter and stays on the log: send it again, corrected, as a new event"
    );
    Ok(None)
}

/// Says durably that a record is to be passed over; false when it was said before.
pub(crate) fn say(log: &Arc<dyn EventLog>, record: RecordAt) -> Outcome<bool> {
    let mut attempt = 1;
    loop {
        match patiently(|| skip_record(log, record.partition, record.offset)) {
            Err(error) if attempt < ATTEMPTS && is_deposed(&error) => {
                attempt += 1;
                std::thread::sleep(LOOK_AGAIN);
            }
            said => {
                return said
                    .or_stop(Exit::Failure, || format!("cannot say that {record} is passed over"));
            }
        }
    }
}

fn is_deposed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(EngineError::Fenced(_))))
}

/// Forgets crashes on a record that the user says to pass over.
pub(crate) fn forget(config: &Config, record: RecordAt) -> Outcome {
    forget_where(config, |crash| crash.record() == Some(record))
}

fn forget_where(config: &Config, is_over: impl Fn(&Crash) -> bool) -> Outcome {
    let path = path_of(config);
    let _held = NOTES.lock();
    let mut notes = Notes::read(&path);
    let before = notes.crashes.len();
    notes.crashes.retain(|crash| !is_over(crash));
    if notes.crashes.len() == before {
        return Ok(());
    }
    notes.write(&path).or_stop(Exit::Io, || format!("writing {}", path.display()))
}

/// Forgets what a dataflow that ended well came past: it committed all epochs up to this one.
pub(crate) fn closed(config: &Config, epoch: Epoch) -> Outcome {
    let is_over = |crash: &Crash| crash.is_epoch_known && crash.epoch <= epoch.0;
    forget_where(config, is_over)
}

/// Nobody knows which record is at fault: goes on only if one more of its epoch is passed over.
fn refuse(log: &Arc<dyn EventLog>, crash: Crash, path: &Path) -> Outcome<Crash> {
    let bound = patiently(|| bound_epoch(log, Epoch(crash.epoch)))
        .or_stop(Exit::Failure, || "reading the bindings".into())?;
    let skipped = bound.skipped.len();
    if skipped > crash.skipped {
        return Ok(Crash { times: 0, skipped, ..crash });
    }
    let message = format!(
        "the dataflow crashed {} times in {} ({}): {}; it binds {}",
        crash.times,
        crash.place(),
        crash.operator,
        crash.message,
        ranges(&bound)
    );
    Err(Stop::new(Exit::BadData, message).remedy(format!(
        "report it; `eddyline dlq skip TOPIC PARTITION OFFSET` passes over a record of it, and \
         removing {} lets the dataflow try again as it is",
        path.display()
    )))
}

fn ranges(bound: &BoundEpoch) -> String {
    let range = |(partition, range): &(TopicPartition, std::ops::Range<Offset>)| {
        format!("offsets {}..{} of {partition}", range.start, range.end)
    };
    let ranges: Vec<String> = bound.ranges.iter().map(range).collect();
    if ranges.is_empty() { "nothing that is known".to_owned() } else { ranges.join(", ") }
}

#[cfg(test)]
mod tests;
