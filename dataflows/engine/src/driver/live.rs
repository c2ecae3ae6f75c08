//! With the right to bind: read on, cut an epoch when it is due, propose it, wait until the fold
//! accepts it.

use std::collections::VecDeque;

use bytes::Bytes;
use eddyline_connect::crash_point;
use eddyline_connect::log::ReadLimit;
use eddyline_schemas::binding::{Accepted, Binding, BindingRecord};
use eddyline_schemas::codec::encode_binding;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};

use super::rules::{Breach, Rules};
use super::{Driver, FOLDS_MS, Step};
use crate::bound::EpochInput;
use crate::error::EngineError;
use crate::intake::Verdict;
use crate::sequencer::{Cut, Waiting, cut};

const READ: ReadLimit = ReadLimit { records: 4_096, bytes: 8 << 20 };

/// Longest idling without news.
const IDLE_MS: i64 = 5;

/// A binding on its way.
pub(super) struct Proposal {
    binding: Binding,
    bytes: Bytes,
    /// What it binds; `None` once it was fed.
    input: Option<EpochInput>,
    is_sent: bool,
}

impl<R: Rules> Driver<R> {
    pub(super) fn live(&mut self, now: TimestampMs) -> Result<Step, EngineError> {
        self.tell_progress(now);
        if self.proposal.is_some() {
            return self.pursue(now);
        }
        if self.is_snapshot_due() {
            return self.write_snapshot();
        }
        if let Some(partition) = self.round.pop_front() {
            self.refill(partition)?;
            return Ok(Step::Did);
        }
        // A round is over.
        if self.cut_when_due(now) {
            return Ok(Step::Did);
        }
        self.admit_new_partitions();
        let has_news = std::mem::take(&mut self.has_news);
        let full = self.limits.backlog_events;
        let hungry = self.waiting.iter().filter(|(_, waiting)| waiting.records.len() < full);
        self.round = hungry.map(|(&partition, _)| partition).collect();
        if has_news && !self.round.is_empty() {
            return Ok(Step::Did);
        }
        if !self.has_room() {
            return self.wait_for_folds(FOLDS_MS);
        }
        let patience = self.patience_ms(now);
        if self.received < self.fed {
            return self.wait_for_folds(patience);
        }
        Ok(Step::Idle(patience))
    }

    /// A partition that the log has got since is read from its first record on; the next binding
    /// lists it, with records or without.
    fn admit_new_partitions(&mut self) {
        let log = &self.ports.log;
        let partitions = Topic::INPUTS.map(|topic| log.partitions(topic));
        if partitions.iter().sum::<u32>() as usize == self.waiting.len() {
            return;
        }
        for (topic, partitions) in Topic::INPUTS.into_iter().zip(partitions) {
            for partition in 0..partitions {
                let at = TopicPartition { topic, partition };
                if !self.waiting.contains_key(&at) {
                    tracing::info!(partition = %at, "a new partition enters");
                    let waiting = self.waiting_of(at);
                    self.read_next.insert(at, waiting.bound);
                    self.waiting.insert(at, waiting);
                    self.has_news = true;
                }
            }
        }
    }

    /// A partition as the bindings leave it, with nothing read.
    pub(super) fn waiting_of(&self, at: TopicPartition) -> Waiting {
        let bound = self.bindings.fold.bound().get(&at).copied();
        Waiting {
            topic_id: self.ports.log.topic_id(at.topic),
            bound: bound.unwrap_or(0),
            is_listed: bound.is_some(),
            clock: self.bound.clock(at),
            records: VecDeque::new(),
        }
    }

    /// Reads on in a partition.
    fn refill(&mut self, partition: TopicPartition) -> Result<(), EngineError> {
        let from = self.read_next.entry(partition).or_default();
        let (judged, next) = self.bound.judge(partition, *from, READ)?;
        *from = next;
        if judged.is_empty() {
            return Ok(());
        }
        self.has_news = true;
        self.backoff.succeeded();
        for judged in &judged {
            if let Verdict::DeadLetter(refusal) = &judged.verdict {
                tracing::warn!(%partition, offset = judged.offset, pointer = refusal.pointer, reason = refusal.detail, "dead letter");
            }
        }
        if let Some(waiting) = self.waiting.get_mut(&partition) {
            waiting.records.extend(judged);
        }
        Ok(())
    }

    /// Cuts an epoch when there is enough, or when what there is has waited long enough.
    fn cut_when_due(&mut self, now: TimestampMs) -> bool {
        let ready: usize = self.waiting.values().map(|waiting| waiting.records.len()).sum();
        if ready == 0 {
            self.waiting_since = None;
            return false;
        }
        let since = self.waiting_since.map_or(now, |since| since.min(now));
        self.waiting_since = Some(since);
        let limits = self.limits;
        let is_ripe = ready >= limits.events || now.since(since) >= wait_ms(limits.wait);
        if !is_ripe || !self.has_room() {
            return false;
        }
        let limit =
            if ready >= limits.backlog_events { limits.backlog_events } else { limits.events };
        let logical_time = self.bindings.fold.logical_time();
        let Some(cut) = cut(&mut self.waiting, limit, logical_time) else { return false };
        self.waiting_since = None;
        self.propose(cut);
        true
    }

    fn propose(&mut self, cut: Cut) {
        let fold = &self.bindings.fold;
        let binding = Binding {
            term: fold.term(),
            writer: self.writer,
            epoch: fold.epoch().next(),
            prev_hash: fold.chain(),
            logical_time: cut.input.header.logical_time,
            ranges: cut.ranges,
        };
        let bytes = encode_binding(&BindingRecord::Binding(binding.clone())).into();
        let mut proposal = Proposal { binding, bytes, input: Some(cut.input), is_sent: false };
        crash_point!("cut");
        if self.rules.breaks(Breach::EmitBeforeBind) {
            let early = proposal.input.take();
            early.into_iter().for_each(|input| self.feed(input, false));
        }
        self.proposal = Some(proposal);
    }

    /// Appends the proposal, then reads until it is accepted; appends it again, the same bytes,
    /// when the topic ends without it.
    fn pursue(&mut self, now: TimestampMs) -> Result<Step, EngineError> {
        let Some(proposal) = &mut self.proposal else { return Ok(Step::Did) };
        if !proposal.is_sent {
            proposal.is_sent = true;
            let bytes = proposal.bytes.clone();
            return self.send(bytes);
        }
        let before = self.bindings.next();
        let accepted = self.bindings.read()?;
        // Ours, if it is there, came before whatever deposed us.
        for one in accepted {
            self.take_accepted(one)?;
        }
        self.check_in_force()?;
        if self.bindings.next() == before {
            if self.bindings.is_at_end()?
                && let Some(proposal) = &mut self.proposal
            {
                proposal.is_sent = false;
            }
            return Ok(Step::Rest(self.backoff.failed(now)));
        }
        Ok(Step::Did)
    }

    fn send(&mut self, bytes: Bytes) -> Result<Step, EngineError> {
        crash_point!("propose");
        let sent = self.append(bytes);
        if sent.is_ok() && self.rules.breaks(Breach::TrustReply) {
            self.feed_proposed();
        }
        if let Err(EngineError::Append(error)) = &sent
            && !error.is_certainly_not_written()
            && self.rules.breaks(Breach::RecutAfterLostReply)
        {
            self.proposal = None;
            self.enter_partitions()?;
        }
        sent?;
        crash_point!("proposed");
        Ok(Step::Did)
    }

    fn take_accepted(&mut self, accepted: Accepted) -> Result<(), EngineError> {
        match accepted {
            Accepted::Binding(binding) => {
                let is_ours = self.proposal.as_ref().is_some_and(|one| one.binding == binding);
                let is_blind = self.rules.breaks(Breach::NoFence)
                    || self.rules.breaks(Breach::RecutAfterLostReply);
                if !is_ours && !is_blind {
                    self.check_in_force()?;
                    let what = format!("epoch {} was bound by nobody", binding.epoch);
                    return Err(EngineError::Stopped(what));
                }
                crash_point!("accepted");
                self.backoff.succeeded();
                self.note_bound(&binding);
                self.feed_proposed();
                self.proposal = None;
            }
            Accepted::Control(control) => self.bound.control(&control)?,
            Accepted::Fence(_) => {}
        }
        Ok(())
    }

    fn feed_proposed(&mut self) {
        if let Some(input) = self.proposal.as_mut().and_then(|proposal| proposal.input.take()) {
            self.feed(input, false);
        }
    }

    fn patience_ms(&self, now: TimestampMs) -> i64 {
        let Some(since) = self.waiting_since else { return IDLE_MS };
        (wait_ms(self.limits.wait) - now.since(since)).clamp(0, IDLE_MS)
    }
}

fn wait_ms(wait: std::time::Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}
