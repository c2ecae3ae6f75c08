//! The epoch protocol of one process as a state machine over its ports.
//!
//! ```text
//! catch up → check → claim → live: fetch → propose → accepted → feed → emit → acknowledged
//!    fold again     fence               every K epochs, with nothing in flight: snapshot
//! ```
//! [`Driver::step`] does one thing at a time: one operation on one port, or one epoch into or out
//! of the folds. It never sleeps; it says how long it would. So the thread of production and the
//! simulator, which kills it between any two operations, run the very same code.
//!
//! * I3: nothing of an epoch leaves the process before its binding is durable and accepted. So an
//!   epoch is fed only when the fold of the bindings topic, read back from the log, says so; what
//!   an append answers decides nothing.
//! * An append whose outcome is not known is read back, and if it is not there, repeated with the
//!   same bytes: the fold voids the second one. One proposal is in flight at a time.
//! * A driver may start on the state of a snapshot: then all of this begins behind its epoch.
//! * Catching up claims nothing and deposes nobody: a process that cannot fold what is bound leaves
//!   the log as it is. Epochs that it emits meanwhile are those that were emitted before.

mod backoff;
mod emission;
mod lag;
mod live;
mod recovery;
pub(crate) mod rules;
pub(crate) mod snapshots;
pub(crate) mod thread;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use crossbeam_channel::{Receiver, unbounded};
use eddyline_connect::clock::Clock;
use eddyline_connect::crash_point;
use eddyline_connect::log::{Append, EventLog};
use eddyline_schemas::binding::{Accepted, Binding, WriterId};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::TopicPartition;

use crate::bindings::{BINDINGS, BindingReader, BoundReader, Progressed, Reading};
use crate::bound::EpochInput;
use crate::committer::{Committed, StateDigest};
use crate::engine::{Beginning, EngineConfig, EpochLimits, Shared};
use crate::error::EngineError;
use crate::folder::{CommittedState, Folder};
use crate::graph::Folds;
use crate::outputs::Outputs;
use crate::sequencer::Waiting;
use crate::snapshot::Restored;
use backoff::Backoff;
use lag::Lag;
use live::Proposal;
use recovery::Claim;
use rules::{Breach, Rules};
use snapshots::Snapshots;

/// Every crash point of a driver, in the order in which one is reached.
pub const CRASH_POINTS: &[&str] = &[
    "start",
    "caught-up",
    "fence",
    "fenced",
    "in-force",
    "live",
    "cut",
    "propose",
    "proposed",
    "accepted",
    "feed",
    "fed",
    "emit",
    "emitted",
    "acknowledged",
    "snapshot",
    "snapshotted",
    "parts-written",
    "manifest-written",
];

/// Epochs that may be between feed and acknowledgement.
const IN_FLIGHT: u64 = 8;

/// Longest wait for the folds before the log is looked at again.
const FOLDS_MS: i64 = 1;

/// How eagerly committed epochs are taken from the folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As soon as they are there.
    Free,
    /// Only when so many are in the folds, or when nothing else is to be done, and then by waiting
    /// for them: what happens in which order does not depend on threads.
    Lockstep(u64),
}

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Something was done; there may be more.
    Did,
    /// There is nothing to do before there is news, or so many milliseconds are over.
    Idle(i64),
    /// Something failed that may work in so many milliseconds.
    Rest(i64),
}

/// The way in and out of a driver.
pub(crate) struct Ports {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) outputs: Box<dyn Outputs>,
    pub(crate) snapshots: Box<dyn Snapshots>,
}

/// Where the protocol is.
enum Phase {
    /// Reads all of the bindings for records that are to be passed over: they may lie in epochs
    /// that were bound before.
    Scan(Box<BindingReader>),
    /// Folds what is bound up to an offset of the bindings topic, once that is known.
    CatchUp(Option<Offset>),
    /// Compares what is bound with what the log has, partition by partition.
    Check(VecDeque<TopicPartition>),
    /// Claims the right to bind.
    Claim(Option<Claim>),
    /// Has the right to bind; is anything ahead of what is bound?
    Enter,
    /// Binds epochs.
    Live,
}

/// See the module doc.
pub(crate) struct Driver<R> {
    limits: EpochLimits,
    pace: Pace,
    rules: R,
    ports: Ports,
    shared: Arc<Shared>,
    writer: WriterId,
    phase: Phase,
    backoff: Backoff,

    bindings: BindingReader,
    bound: BoundReader,
    /// Accepted, not yet followed.
    accepted: VecDeque<Accepted>,
    reading: Option<Reading>,

    waiting: BTreeMap<TopicPartition, Waiting>,
    read_next: BTreeMap<TopicPartition, Offset>,
    /// Partitions still to be read in this round.
    round: VecDeque<TopicPartition>,
    /// Whether this round has found anything.
    has_news: bool,
    waiting_since: Option<TimestampMs>,
    proposal: Option<Proposal>,

    folder: Folder,
    commits: Receiver<Committed>,
    /// What the folds started from: it left the process in an earlier life.
    restored: Epoch,
    fed: Epoch,
    /// Records bound up to there.
    fed_records: u64,
    received: Epoch,
    unemitted: Option<Box<Committed>>,
    /// Emitted, not yet acknowledged.
    emitted: VecDeque<CommittedState>,
    lag: Lag,
}

impl<R: Rules> Driver<R> {
    /// A driver on empty state, or on that of a snapshot that the log can go on from.
    pub(crate) fn new(
        config: EngineConfig,
        ports: Ports,
        shared: Arc<Shared>,
        from: Option<Restored>,
        (writer, pace, rules): (WriterId, Pace, R),
    ) -> Result<Self, EngineError> {
        // Bounded by `has_room`.
        let (to, commits) = unbounded();
        // Only a driver that is being dropped does not receive.
        let sink = Box::new(move |committed| drop(to.send(committed)));
        let EngineConfig { core, workers, epoch: limits } = config;
        let begin = from.as_ref().map(Beginning::of).unwrap_or_default();
        shared.begin(&begin);
        let folder = match from {
            Some(restored) => Folder::resume(&core, workers, restored, (Arc::default(), sink))?,
            None => Folder::start_with(&core, (workers, Folds::All), Arc::default(), sink)?,
        };
        crash_point!("start");
        let Beginning { position, committed } = begin;
        let scan = BindingReader::at(Arc::clone(&ports.log), &position);
        Ok(Self {
            limits,
            pace,
            rules,
            shared,
            writer,
            phase: Phase::Scan(Box::new(scan)),
            backoff: Backoff::default(),
            bindings: BindingReader::at(Arc::clone(&ports.log), &position),
            bound: BoundReader::at(Arc::clone(&ports.log), core.late_allowance_ms(), &position),
            accepted: VecDeque::new(),
            reading: None,
            waiting: BTreeMap::new(),
            read_next: BTreeMap::new(),
            round: VecDeque::new(),
            has_news: true,
            waiting_since: None,
            proposal: None,
            folder,
            commits,
            restored: committed.epoch,
            fed: committed.epoch,
            fed_records: committed.counts.accepted,
            received: committed.epoch,
            unemitted: None,
            emitted: VecDeque::new(),
            lag: Lag::default(),
            ports,
        })
    }

    /// One step; see the module doc. After an error the driver is of no use any more.
    pub(crate) fn step(&mut self) -> Result<Step, EngineError> {
        let now = self.ports.clock.now();
        if let Some(left) = self.backoff.left_ms(now) {
            return Ok(Step::Rest(left));
        }
        match self.act(now) {
            Err(error) if error.is_transient() => {
                let wait = self.backoff.failed(now);
                let failures = self.backoff.failures();
                tracing::warn!(error = &error as &dyn std::error::Error, failures, "will retry");
                Ok(Step::Rest(wait))
            }
            result => result,
        }
    }

    fn act(&mut self, now: TimestampMs) -> Result<Step, EngineError> {
        self.note_acknowledged();
        if self.unemitted.is_none() {
            self.unemitted = self.harvest()?;
        }
        if let Some(committed) = self.unemitted.take() {
            return self.emit(committed);
        }
        if self.reading.is_some() || !self.accepted.is_empty() {
            return self.follow(now);
        }
        match &self.phase {
            Phase::Scan(_) => self.scan(now),
            Phase::CatchUp(until) => self.catch_up(*until, now),
            Phase::Check(_) => self.check_next(),
            Phase::Claim(_) => self.claim(now),
            Phase::Enter => self.enter(),
            Phase::Live => self.live(now),
        }
    }

    /// Whether it binds epochs.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live)
    }

    /// Whether everything that was fed is acknowledged.
    pub(crate) fn is_settled(&self) -> bool {
        self.fed <= self.restored || self.ports.outputs.has_settled(self.fed)
    }

    /// Up to where a partition is bound.
    pub(crate) fn bound_end(&self, partition: TopicPartition) -> Offset {
        self.bindings.fold.bound().get(&partition).copied().unwrap_or(0)
    }

    /// The digest of all state; waits for the folds.
    pub(crate) fn digest(&self) -> StateDigest {
        self.folder.digest()
    }

    fn acknowledged(&self) -> Epoch {
        // Outputs that were just made know of nothing; a snapshot is behind what was acknowledged.
        self.ports.outputs.acknowledged().max(self.restored)
    }

    fn has_room(&self) -> bool {
        self.fed.0 < self.acknowledged().0 + IN_FLIGHT
    }

    /// Follows what was accepted and has not been followed.
    fn follow(&mut self, now: TimestampMs) -> Result<Step, EngineError> {
        if !self.has_room() {
            return self.wait_for_folds(FOLDS_MS);
        }
        if let Some(mut reading) = self.reading.take() {
            let progressed = self.bound.read_more(&mut reading);
            // What was read so far is judged and must not be judged again.
            match progressed {
                Ok(Progressed::Whole(input)) => {
                    self.backoff.succeeded();
                    self.note_bound(reading.binding());
                    self.feed(input, true);
                }
                Ok(Progressed::Part) => self.reading = Some(reading),
                Ok(Progressed::Nothing) => {
                    let checked = self.bound.check_is_there(&reading);
                    self.reading = Some(reading);
                    checked?;
                    return Ok(Step::Rest(self.backoff.failed(now)));
                }
                Err(error) => {
                    self.reading = Some(reading);
                    return Err(error);
                }
            }
            return Ok(Step::Did);
        }
        match self.accepted.pop_front() {
            Some(Accepted::Binding(binding)) => self.reading = Some(Reading::new(binding)),
            Some(Accepted::Control(control)) => self.bound.control(&control)?,
            Some(Accepted::Fence(_)) | None => {}
        }
        Ok(Step::Did)
    }

    fn feed(&mut self, mut input: EpochInput, is_again: bool) {
        self.rules.tamper(&mut input, is_again);
        crash_point!("feed");
        self.fed_records += input.header.accepted;
        self.fed = self.folder.feed(input);
        crash_point!("fed");
    }

    fn note_bound(&self, binding: &Binding) {
        let mut ends = self.shared.bound_ends.lock();
        for range in &binding.ranges {
            ends.add(range.partition, range.end, binding.epoch);
        }
        self.shared.bound_epoch.store(binding.epoch.0, Ordering::Release);
    }

    fn append(&self, value: Bytes) -> Result<(), EngineError> {
        let append = Append { partition: BINDINGS, key: Bytes::new(), value, headers: Vec::new() };
        self.ports.log.append(vec![append])?;
        Ok(())
    }

    /// Leaves when somebody else has claimed the right to bind.
    fn check_in_force(&self) -> Result<(), EngineError> {
        let fold = &self.bindings.fold;
        let is_ours = fold.writer() == self.writer || self.rules.breaks(Breach::NoFence);
        if is_ours { Ok(()) } else { Err(EngineError::Fenced(fold.term())) }
    }
}

#[cfg(test)]
mod tests {
    use super::CRASH_POINTS;

    #[test]
    fn the_crash_points_are_those_of_the_sources() {
        let sources = [
            include_str!("driver.rs"),
            include_str!("driver/emission.rs"),
            include_str!("driver/live.rs"),
            include_str!("driver/recovery.rs"),
            include_str!("snapshot/store.rs"),
        ];
        let after = sources.iter().flat_map(|text| text.split("crash_point!(\"").skip(1));
        let mut found: Vec<&str> = after.filter_map(|rest| rest.split('"').next()).collect();
        found.sort_unstable();
        let mut named = CRASH_POINTS.to_vec();
        named.sort_unstable();
        assert_eq!(found, named);
    }
}
