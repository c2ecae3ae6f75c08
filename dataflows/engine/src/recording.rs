//! Records the digest of every committed epoch on the log, in front of the outputs of a driver, so
//! that any later fold of the same bindings can be held against what was live: topic `digests`.
//!
//! * No snapshot is made before the digests up to its epoch are durable (I5).
//! * After a restart the same epochs come again. Of those that the end of the topic still shows,
//!   the digest must be the same: another one is a loud halt, since then state depends on something
//!   other than the log. They are not recorded twice; older ones are, which is harmless.
//! * A record that was folded and is to be passed over since changes history. Then digests may
//!   differ, and are recorded anew: of the records of an epoch the last one counts.
//! * A thread appends what has come together in a tenth of a second: an append of its own for every epoch
//!   would be one more wait for the disk for all who append. Nobody waits for it but snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use eddyline_connect::log::{Append, AppendError, BoxError, EventLog, ReadLimit, with_sources};
use eddyline_schemas::codec::{decode_epoch_digest, encode_epoch_digest};
use eddyline_schemas::delta::digest::EpochDigest;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::Mutex;

use crate::bindings::{BindingReader, skips};
use crate::committer::Committed;
use crate::error::EngineError;
use crate::outputs::{EmitError, Outputs};

/// The one partition of the topic.
pub(crate) const DIGESTS: TopicPartition = TopicPartition { topic: Topic::Digests, partition: 0 };

/// Records at the end of the topic that are read at a start.
const LOOK_BACK: u64 = 8_192;

const READ: ReadLimit = ReadLimit { records: 2_048, bytes: 8 << 20 };

/// How often digests wait for one more, unless somebody asks for them …
const TURNS: usize = 20;
/// … and how long each time.
const TURN: Duration = Duration::from_millis(5);

/// Rest before an append is repeated.
const RETRY: Duration = Duration::from_millis(100);

/// See the module doc.
pub(crate) struct Recording {
    /// Before `inner`, so that its thread ends first.
    recorder: DigestRecorder,
    inner: Box<dyn Outputs>,
}

/// Records the digests of one lineage, in front of whatever takes its epochs. Each epoch comes once
/// in a life, in order.
pub struct DigestRecorder {
    log: Arc<dyn EventLog>,
    /// Recorded before, by epoch.
    known: BTreeMap<Epoch, Digest>,
    to: Option<Sender<Committing>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// An epoch, and what is to be recorded of it, unless that has been done.
struct Committing {
    epoch: Epoch,
    digest: Option<EpochDigest>,
}

#[derive(Default)]
struct Shared {
    recorded: AtomicU64,
    is_asked_for: AtomicBool,
    closing: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl Recording {
    pub(crate) fn start(
        inner: Box<dyn Outputs>,
        log: Arc<dyn EventLog>,
        lineage: Lineage,
    ) -> Result<Self, EngineError> {
        let recorder = DigestRecorder::start(log, lineage)?;
        Ok(Self { recorder, inner })
    }
}

impl Outputs for Recording {
    fn newest(&mut self, lineage: Lineage) -> Result<Epoch, BoxError> {
        let recorded = self.recorder.known.last_key_value().map_or(Epoch(0), |(epoch, _)| *epoch);
        Ok(self.inner.newest(lineage)?.max(recorded))
    }

    fn emit(&mut self, committed: Box<Committed>) -> Result<(), EmitError> {
        let digest = committed.digest.clone();
        let committing = self.recorder.check(digest).map_err(EmitError::Refused)?;
        // Given back, it comes again.
        self.inner.emit(committed)?;
        self.recorder.take(committing).map_err(EmitError::Refused)
    }

    fn acknowledged(&self) -> Epoch {
        self.inner.acknowledged()
    }

    fn has_settled(&self, epoch: Epoch) -> bool {
        if !self.inner.has_settled(epoch) {
            return false;
        }
        self.recorder.has_recorded(epoch)
    }

    fn failure(&self) -> Option<BoxError> {
        self.recorder.failure().or_else(|| self.inner.failure())
    }
}

impl DigestRecorder {
    /// Reads what is known of `lineage`, and starts the thread that appends.
    pub fn start(log: Arc<dyn EventLog>, lineage: Lineage) -> Result<Self, EngineError> {
        let known = known(&*log, lineage)?;
        let shared = Arc::new(Shared::default());
        let (to, digests) = channel();
        let (told, to_log) = (Arc::clone(&shared), Arc::clone(&log));
        let thread = std::thread::Builder::new().name("eddyline-digests".into());
        let thread =
            thread.spawn(move || record(&*to_log, &digests, &told)).map_err(EngineError::Thread)?;
        Ok(Self { log, known, to: Some(to), thread: Some(thread), shared })
    }

    /// Takes the digest of a committed epoch, which must be the one that was recorded of it before.
    pub fn record(&self, digest: EpochDigest) -> Result<(), BoxError> {
        self.take(self.check(digest)?)
    }

    /// Whether all up to `epoch` is durable; if not, it soon will be.
    #[must_use]
    pub fn has_recorded(&self, epoch: Epoch) -> bool {
        let is_recorded = self.shared.recorded.load(Ordering::Acquire) >= epoch.0;
        self.shared.is_asked_for.store(!is_recorded, Ordering::Release);
        is_recorded
    }

    fn check(&self, digest: EpochDigest) -> Result<Committing, BoxError> {
        let epoch = digest.epoch;
        match self.known.get(&epoch) {
            Some(known) if *known == digest.delta_digest => Ok(Committing { epoch, digest: None }),
            Some(known) if !has_skips(&self.log)? => Err(format!(
                "epoch {epoch} of lineage {} was recorded with delta digest {known}, and is folded \
                 again with {}: state depends on something other than the log",
                digest.lineage, digest.delta_digest
            )
            .into()),
            Some(_) | None => Ok(Committing { epoch, digest: Some(digest) }),
        }
    }

    fn take(&self, committing: Committing) -> Result<(), BoxError> {
        let gone = || self.failure().unwrap_or_else(|| "its thread is gone".into());
        let to = self.to.as_ref().expect("only drop takes it");
        to.send(committing).map_err(|_| gone())
    }

    /// Why nothing more is recorded, if so.
    #[must_use]
    pub fn failure(&self) -> Option<BoxError> {
        self.shared.failure.lock().clone().map(Into::into)
    }
}

impl Drop for DigestRecorder {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.to = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What the end of the topic says of `lineage`.
fn known(log: &dyn EventLog, lineage: Lineage) -> Result<BTreeMap<Epoch, Digest>, EngineError> {
    let (start, end) = (log.start_offset(DIGESTS)?, log.end_offset(DIGESTS)?);
    let (mut next, mut known) = (start.max(end.saturating_sub(LOOK_BACK)), BTreeMap::new());
    while next < end {
        let batch = log.read(DIGESTS, next, READ)?;
        for (offset, record) in &batch.records {
            let invalid = |source| EngineError::InvalidDigest { offset: *offset, source };
            let digest = decode_epoch_digest(&record.value).map_err(invalid)?;
            if digest.lineage == lineage {
                known.insert(digest.epoch, digest.delta_digest);
            }
        }
        if batch.next == next {
            break;
        }
        next = batch.next;
    }
    Ok(known)
}

/// Whether any record is to be passed over.
fn has_skips(log: &Arc<dyn EventLog>) -> Result<bool, EngineError> {
    let mut bindings = BindingReader::new(Arc::clone(log));
    while !bindings.is_at_end()? {
        if skips(&bindings.read()?).next().is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn record(log: &dyn EventLog, committing: &Receiver<Committing>, shared: &Shared) {
    while let Ok(first) = committing.recv() {
        let waiting = together(first, committing, shared);
        let last = waiting.last().map_or(0, |committing| committing.epoch.0);
        let digests: Vec<EpochDigest> =
            waiting.into_iter().filter_map(|committing| committing.digest).collect();
        if let Err(error) = append(log, &digests, shared) {
            tracing::error!(error = &error as &dyn std::error::Error, "digests are not recorded");
            *shared.failure.lock() = Some(with_sources(&error));
            return;
        }
        shared.recorded.store(last, Ordering::Release);
    }
}

/// What comes together.
fn together(
    first: Committing,
    committing: &Receiver<Committing>,
    shared: &Shared,
) -> Vec<Committing> {
    let mut waiting = vec![first];
    for _ in 0..TURNS {
        if shared.is_asked_for.load(Ordering::Acquire) {
            break;
        }
        match committing.recv_timeout(TURN) {
            Ok(next) => waiting.push(next),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return waiting,
        }
    }
    waiting.extend(committing.try_iter());
    waiting
}

fn append(log: &dyn EventLog, digests: &[EpochDigest], shared: &Shared) -> Result<(), AppendError> {
    let batch = || digests.iter().map(to_append).collect();
    while let Err(error) = log.append(batch()) {
        let passes = error.may_pass() || matches!(error, AppendError::Unknown(_));
        if !passes || shared.closing.load(Ordering::Acquire) {
            return Err(error);
        }
        tracing::warn!(error = &error as &dyn std::error::Error, "digests will be recorded again");
        std::thread::sleep(RETRY);
    }
    Ok(())
}

fn to_append(digest: &EpochDigest) -> Append {
    let value = Bytes::from(encode_epoch_digest(digest));
    Append { partition: DIGESTS, key: Bytes::new(), value, headers: Vec::new() }
}

#[cfg(test)]
mod tests {
    use eddyline_connect::clock::ManualClock;
    use eddyline_connect::layout::LogLayout;
    use eddyline_connect::memory::MemoryLog;
    use eddyline_schemas::delta::{EpochDeltas, PipelineCounts};
    use eddyline_schemas::time::TimestampMs;

    use super::*;

    /// Acknowledges at once.
    #[derive(Default)]
    struct Eager(u64);

    impl Outputs for Eager {
        fn newest(&mut self, _: Lineage) -> Result<Epoch, BoxError> {
            Ok(Epoch(0))
        }

        fn emit(&mut self, committed: Box<Committed>) -> Result<(), EmitError> {
            self.0 = committed.deltas.epoch.0;
            Ok(())
        }

        fn acknowledged(&self) -> Epoch {
            Epoch(self.0)
        }
    }

    fn committed(epoch: u64) -> Box<Committed> {
        let deltas = EpochDeltas {
            lineage: Lineage(Digest::default()),
            epoch: Epoch(epoch),
            logical_time: TimestampMs(0),
            deltas: Vec::new(),
            chain: Digest::of(&epoch.to_le_bytes()),
            counts: PipelineCounts::default(),
        };
        let digest = EpochDigest::of(&deltas, Vec::new());
        Box::new(Committed { deltas, digest, ranked: Vec::new() })
    }

    #[test]
    fn nothing_waits_for_digests_but_what_asks_whether_all_is_settled() {
        let clock = Arc::new(ManualClock::new(TimestampMs(0)));
        let log: Arc<dyn EventLog> = Arc::new(MemoryLog::new(LogLayout::default(), clock));
        let lineage = Lineage(Digest::default());
        let start = || Recording::start(Box::new(Eager::default()), Arc::clone(&log), lineage);
        let mut recording = start().expect("a thread");
        for epoch in 1..=3 {
            recording.emit(committed(epoch)).expect("it is taken");
            assert_eq!(recording.acknowledged(), Epoch(epoch), "at once");
        }
        while !recording.has_settled(Epoch(3)) {
            std::thread::yield_now();
        }
        assert_eq!(log.end_offset(DIGESTS).expect("memory never fails"), 3, "all are durable");
        drop(recording);
        let mut again = start().expect("a thread");
        assert_eq!(again.newest(lineage).expect("known"), Epoch(3));
        again.emit(committed(3)).expect("the same once more");
        while !again.has_settled(Epoch(3)) {
            std::thread::yield_now();
        }
        assert_eq!(log.end_offset(DIGESTS).expect("memory never fails"), 3, "it is not repeated");
    }
}
