//! The thread that binds epochs and feeds them: fence, fold again what is bound, then go on.
//!
//! I3: nothing of an epoch leaves the process before its binding is durable and accepted. So an
//! epoch is fed only when the fold of the bindings topic, read back from the log, says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::Receiver;
use eddyline_connect::log::{Append, AppendVersion, EventLog, ReadLimit};
use eddyline_schemas::binding::{Accepted, Binding, BindingRecord, Fence, Term, WriterId};
use eddyline_schemas::codec::encode_binding;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::bindings::{BINDINGS, BindingReader, BoundReader};
use crate::committer::StateDigest;
use crate::engine::{Command, EngineConfig, Shared};
use crate::error::EngineError;
use crate::folder::{Folder, Sink};
use crate::graph::Folds;
use crate::sequencer::{Cut, Waiting, cut};

/// Longest sleep without news, so that commands are heard.
const IDLE: Duration = Duration::from_millis(5);

const READ: ReadLimit = ReadLimit { records: 4_096, bytes: 8 << 20 };

pub(crate) struct Driver {
    config: EngineConfig,
    log: Arc<dyn EventLog>,
    shared: Arc<Shared>,
    bindings: BindingReader,
    bound: BoundReader,
    waiting: BTreeMap<TopicPartition, Waiting>,
    read_next: BTreeMap<TopicPartition, Offset>,
    folder: Folder,
    writer: WriterId,
    waiting_since: Option<Instant>,
}

impl Driver {
    pub(crate) fn new(
        config: EngineConfig,
        log: Arc<dyn EventLog>,
        shared: Arc<Shared>,
        sink: Sink,
    ) -> Result<Self, EngineError> {
        let progress = Arc::clone(&shared.progress);
        let folder =
            Folder::start_with(&config.core, (config.workers.clone(), Folds::All), progress, sink)?;
        Ok(Self {
            bindings: BindingReader::new(Arc::clone(&log)),
            bound: BoundReader::new(Arc::clone(&log), config.core.late_allowance_ms()),
            waiting: BTreeMap::new(),
            read_next: BTreeMap::new(),
            writer: WriterId(eddyline_connect::random::bytes()),
            waiting_since: None,
            config,
            log,
            shared,
            folder,
        })
    }

    /// Runs until told to stop; the digest as of then.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) -> Result<StateDigest, EngineError> {
        self.recover()?;
        self.fence()?;
        self.enter_partitions();
        self.shared.is_recovered.store(true, Ordering::Release);
        let mut version = AppendVersion::default();
        loop {
            match commands.try_recv() {
                Ok(Command::Digest(to)) => drop(to.send(self.folder.digest())),
                Ok(Command::Stop) | Err(crossbeam_channel::TryRecvError::Disconnected) => break,
                Err(crossbeam_channel::TryRecvError::Empty) => {}
            }
            let seen = self.log.wait(version, Duration::ZERO);
            self.refill()?;
            if !self.bind_when_due()? {
                version = self.log.wait(seen, self.patience());
            }
        }
        Ok(self.folder.end())
    }

    /// Folds again every epoch that is bound already.
    fn recover(&mut self) -> Result<(), EngineError> {
        loop {
            let accepted = self.bindings.read()?;
            // Void records give nothing, and more may follow them.
            if accepted.is_empty() && self.bindings.is_at_end()? {
                return Ok(());
            }
            for one in accepted {
                match one {
                    Accepted::Binding(binding) => {
                        let input = self.bound.read_bound(&binding)?;
                        self.note_bound(&binding);
                        self.folder.feed(input);
                    }
                    Accepted::Control(control) => self.bound.control(&control)?,
                    Accepted::Fence(_) => {}
                }
            }
        }
    }

    /// Claims the right to bind; whoever claims the same term first has it. The writer before may
    /// have bound a last epoch in front of our fence: that is folded too.
    fn fence(&mut self) -> Result<(), EngineError> {
        let term = Term(self.bindings.fold.term().0 + 1);
        self.propose(&BindingRecord::Fence(Fence { term, writer: self.writer }))?;
        self.recover()?;
        self.check_in_force()
    }

    fn check_in_force(&self) -> Result<(), EngineError> {
        let fold = &self.bindings.fold;
        if fold.writer() == self.writer { Ok(()) } else { Err(EngineError::Fenced(fold.term())) }
    }

    fn propose(&self, record: &BindingRecord) -> Result<(), EngineError> {
        let value = Bytes::from(encode_binding(record));
        let append = Append { partition: BINDINGS, key: Bytes::new(), value, headers: Vec::new() };
        self.log.append(vec![append])?;
        Ok(())
    }

    fn enter_partitions(&mut self) {
        for topic in Topic::INPUTS {
            for partition in 0..self.log.partitions(topic) {
                let at = TopicPartition { topic, partition };
                let bound = self.bindings.fold.bound().get(&at).copied();
                let waiting = Waiting {
                    topic_id: self.log.topic_id(topic),
                    bound: bound.unwrap_or(0),
                    is_listed: bound.is_some(),
                    clock: self.bound.clock(at),
                    records: std::collections::VecDeque::new(),
                };
                self.read_next.insert(at, waiting.bound);
                self.waiting.insert(at, waiting);
            }
        }
    }

    /// Reads on in every partition, keeping about two epochs' worth ready.
    fn refill(&mut self) -> Result<(), EngineError> {
        let ready = self.config.epoch.backlog_events;
        for (&partition, waiting) in &mut self.waiting {
            if waiting.records.len() >= ready {
                continue;
            }
            let from = self.read_next.entry(partition).or_default();
            let (judged, next) = self.bound.judge(partition, *from, READ)?;
            for judged in &judged {
                if let crate::intake::Verdict::DeadLetter(refusal) = &judged.verdict {
                    tracing::warn!(%partition, offset = judged.offset, pointer = refusal.pointer, reason = refusal.detail, "dead letter");
                }
            }
            waiting.records.extend(judged);
            *from = next;
        }
        Ok(())
    }

    /// Binds an epoch when there is enough, or when what there is has waited long enough.
    fn bind_when_due(&mut self) -> Result<bool, EngineError> {
        let ready: usize = self.waiting.values().map(|waiting| waiting.records.len()).sum();
        if ready == 0 {
            self.waiting_since = None;
            return Ok(false);
        }
        let since = *self.waiting_since.get_or_insert_with(now);
        let limits = self.config.epoch;
        if ready < limits.events && now() - since < limits.wait {
            return Ok(false);
        }
        let limit =
            if ready >= limits.backlog_events { limits.backlog_events } else { limits.events };
        let logical_time = self.bindings.fold.logical_time();
        let Some(cut) = cut(&mut self.waiting, limit, logical_time) else { return Ok(false) };
        self.bind(cut)?;
        self.waiting_since = None;
        Ok(true)
    }

    fn bind(&mut self, cut: Cut) -> Result<(), EngineError> {
        let fold = &self.bindings.fold;
        let binding = Binding {
            term: fold.term(),
            writer: self.writer,
            epoch: fold.epoch().next(),
            prev_hash: fold.chain(),
            logical_time: cut.input.header.logical_time,
            ranges: cut.ranges,
        };
        self.propose(&BindingRecord::Binding(binding.clone()))?;
        while self.bindings.fold.epoch() < binding.epoch {
            let accepted = self.bindings.read()?;
            self.check_in_force()?;
            if accepted.is_empty() && self.bindings.is_at_end()? {
                // Durable on the log and still not to be read: the log is broken.
                let reason = format!(
                    "the binding of epoch {} was appended but cannot be read",
                    binding.epoch
                );
                return Err(EngineError::Stopped(reason));
            }
        }
        self.note_bound(&binding);
        self.folder.feed(cut.input);
        Ok(())
    }

    fn note_bound(&self, binding: &Binding) {
        let mut ends = self.shared.bound_ends.lock();
        for range in &binding.ranges {
            ends.add(range.partition, range.end, binding.epoch);
        }
        self.shared.bound_epoch.store(binding.epoch.0, Ordering::Release);
    }

    fn patience(&self) -> Duration {
        match self.waiting_since {
            Some(since) => self.config.epoch.wait.saturating_sub(now() - since).min(IDLE),
            None => IDLE,
        }
    }
}

/// When an epoch is closed depends on the clock; what is in it is bound on the log, so state does
/// not.
#[expect(clippy::disallowed_methods, reason = "the cut is recorded before anything depends on it")]
fn now() -> Instant {
    Instant::now()
}
