//! From the start to the right to bind: fold again what is bound, check the log against it, fence.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use eddyline_connect::crash_point;
use eddyline_schemas::binding::{Accepted, BindingRecord, Fence, Term};
use eddyline_schemas::codec::encode_binding;
use eddyline_schemas::record::Offset;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};

use super::rules::{Breach, Rules};
use super::{Driver, Phase, Step};
use crate::bindings::BINDINGS;
use crate::error::EngineError;

/// A fence that was proposed, or is about to be.
pub(super) struct Claim {
    term: Term,
    bytes: Bytes,
    is_sent: bool,
}

impl<R: Rules> Driver<R> {
    /// Looks through the bindings once before anything is folded.
    pub(super) fn scan(&mut self, now: TimestampMs) -> Result<Step, EngineError> {
        let Phase::Scan(reader) = &mut self.phase else { return Ok(Step::Did) };
        let before = reader.next();
        let accepted = reader.read()?;
        let after = reader.next();
        for one in &accepted {
            if let Accepted::Control(control) = one {
                self.bound.control(control)?;
            }
        }
        let Phase::Scan(reader) = &mut self.phase else { return Ok(Step::Did) };
        if after > before {
            self.backoff.succeeded();
        } else if reader.is_at_end()? {
            self.phase = Phase::CatchUp(None);
        } else {
            return Ok(Step::Rest(self.backoff.failed(now)));
        }
        Ok(Step::Did)
    }

    /// Folds what is bound now. What another writer binds meanwhile is folded after the fence: it
    /// may bind faster than we fold.
    pub(super) fn catch_up(
        &mut self,
        until: Option<Offset>,
        now: TimestampMs,
    ) -> Result<Step, EngineError> {
        let Some(until) = until else {
            self.phase = Phase::CatchUp(Some(self.ports.log.end_offset(BINDINGS)?));
            return Ok(Step::Did);
        };
        if self.bindings.next() >= until {
            crash_point!("caught-up");
            let bound = self.bindings.fold.bound();
            self.phase = Phase::Check(bound.keys().copied().collect());
            return Ok(Step::Did);
        }
        self.read_bindings(now)
    }

    /// Reads on in the bindings topic; what is accepted is followed by the next steps.
    pub(super) fn read_bindings(&mut self, now: TimestampMs) -> Result<Step, EngineError> {
        let before = self.bindings.next();
        let accepted = self.bindings.read()?;
        self.accepted.extend(accepted);
        if self.bindings.next() == before {
            return Ok(Step::Rest(self.backoff.failed(now)));
        }
        self.backoff.succeeded();
        Ok(Step::Did)
    }

    /// The log must still hold what comes next in every partition that was ever bound.
    pub(super) fn check_next(&mut self) -> Result<Step, EngineError> {
        let Phase::Check(left) = &self.phase else { return Ok(Step::Did) };
        let Some(&partition) = left.front() else {
            self.phase = Phase::Claim(None);
            return Ok(Step::Did);
        };
        let bound = self.bindings.fold.bound().get(&partition).copied().unwrap_or(0);
        let log = &self.ports.log;
        if partition.partition >= log.partitions(partition.topic) {
            let partitions = log.partitions(partition.topic);
            return Err(EngineError::PartitionGone { partition, partitions, bound });
        }
        let (start, end) = (log.start_offset(partition)?, log.end_offset(partition)?);
        if end < bound {
            return Err(EngineError::Truncated { partition, missing: end..bound });
        }
        if start > bound {
            return Err(EngineError::Trimmed { partition, missing: bound..start });
        }
        if let Phase::Check(left) = &mut self.phase {
            left.pop_front();
        }
        Ok(Step::Did)
    }

    /// Claims the right to bind; whoever claims the same term first has it. The writer before may
    /// have bound last epochs in front of our fence: those are followed like all others.
    pub(super) fn claim(&mut self, now: TimestampMs) -> Result<Step, EngineError> {
        if self.rules.breaks(Breach::NoFence) {
            self.writer = self.bindings.fold.writer();
            self.phase = Phase::Enter;
            return Ok(Step::Did);
        }
        let Phase::Claim(claim) = &mut self.phase else { return Ok(Step::Did) };
        let Some(claim) = claim else {
            let term = Term(self.bindings.fold.term().0 + 1);
            let fence = BindingRecord::Fence(Fence { term, writer: self.writer });
            *claim = Some(Claim { term, bytes: encode_binding(&fence).into(), is_sent: false });
            return Ok(Step::Did);
        };
        let term = claim.term;
        if !claim.is_sent {
            crash_point!("fence");
            // Whatever the answer will be, the topic is read before it is sent again.
            claim.is_sent = true;
            let bytes = claim.bytes.clone();
            self.append(bytes)?;
            crash_point!("fenced");
            return Ok(Step::Did);
        }
        let before = self.bindings.next();
        let accepted = self.bindings.read()?;
        self.accepted.extend(accepted);
        let fold = &self.bindings.fold;
        if fold.term() >= term {
            self.check_in_force()?;
            crash_point!("in-force");
            self.backoff.succeeded();
            self.phase = Phase::Enter;
        } else if self.bindings.next() == before {
            if self.bindings.is_at_end()? {
                self.send_claim_again();
            }
            return Ok(Step::Rest(self.backoff.failed(now)));
        }
        Ok(Step::Did)
    }

    fn send_claim_again(&mut self) {
        if let Phase::Claim(Some(claim)) = &mut self.phase {
            claim.is_sent = false;
        }
    }

    /// All that was ever bound is known now. Nothing may be ahead of it.
    pub(super) fn enter(&mut self) -> Result<Step, EngineError> {
        let (lineage, bound) = (self.shared.lineage, self.bindings.fold.epoch());
        let emitted = self.ports.outputs.newest(lineage).map_err(EngineError::Emit)?;
        if emitted > bound {
            return Err(EngineError::Ahead { what: "a receiver of deltas", at: emitted, bound });
        }
        self.enter_partitions()?;
        self.phase = Phase::Live;
        self.shared.is_recovered.store(true, Ordering::Release);
        crash_point!("live");
        Ok(Step::Did)
    }

    /// Live reading goes on where the bindings end.
    pub(super) fn enter_partitions(&mut self) -> Result<(), EngineError> {
        let at_latest = self.rules.breaks(Breach::ResumeAtLatest);
        self.waiting.clear();
        self.read_next = BTreeMap::new();
        self.round = VecDeque::new();
        for topic in Topic::INPUTS {
            for partition in 0..self.ports.log.partitions(topic) {
                let at = TopicPartition { topic, partition };
                let waiting = self.waiting_of(at);
                let next = if at_latest { self.ports.log.end_offset(at)? } else { waiting.bound };
                self.read_next.insert(at, next);
                self.waiting.insert(at, waiting);
            }
        }
        Ok(())
    }
}
