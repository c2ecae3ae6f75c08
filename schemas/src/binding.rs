//! Bindings: which offsets of each partition make up an epoch, and the fold that accepts them.
//!
//! A writer only *proposes*, by appending to the `bindings` topic. Every process, the writer too,
//! acts on what [`BindingFold`] accepts when it reads that topic from its start, never on the
//! reply to its append. The fold is pure and its state is (term, writer, epoch, chain hash):
//!
//! * a fence is accepted iff its term is greater than the state's: the first one wins;
//! * a binding or a control is accepted iff (term, writer) are the state's, its epoch is the last
//!   one + 1, and its `prev_hash` is the chain hash; a control does not use the epoch up;
//! * all else is void.
//!
//! So retries, duplicates, reordering and writers that should be dead are harmless. The chain hash
//! is BLAKE3(previous chain hash, record bytes as they lie on the log). After Materialize's
//! reclocking design.

use std::collections::BTreeMap;

use crate::lineage::Epoch;
use crate::record::{Digest, Offset};
use crate::time::TimestampMs;
use crate::topic::TopicPartition;

/// Fencing number of the writer that mints bindings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(pub u64);

/// Random identity of one incarnation of a writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriterId(pub [u8; 16]);

/// What lies on the `bindings` topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindingRecord {
    /// Claims the right to bind.
    Fence(Fence),
    /// Makes an epoch.
    Binding(Binding),
    /// Takes effect before its epoch, which it does not use up.
    Control(Control),
}

/// A claim to the right to bind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Must exceed the term in force.
    pub term: Term,
    /// Who claims.
    pub writer: WriterId,
}

/// One epoch: the offsets of each partition that it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The writer's term.
    pub term: Term,
    /// The writer.
    pub writer: WriterId,
    /// The last epoch + 1.
    pub epoch: Epoch,
    /// The chain hash that the writer saw.
    pub prev_hash: Digest,
    /// max(previous, greatest event time of the valid user and feedback records bound here).
    pub logical_time: TimestampMs,
    /// What is bound, in the order of topic name and partition; never empty ranges, except that
    /// a partition's first appearance may be one.
    pub ranges: Vec<BoundRange>,
}

/// A bound range of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundRange {
    /// Which partition.
    pub partition: TopicPartition,
    /// Identity of the topic, to notice that it was deleted and made again.
    pub topic_id: [u8; 16],
    /// First offset.
    pub start: Offset,
    /// The next offset to read, never a count: a log may have holes.
    pub end: Offset,
    /// Records in the range.
    pub count: u64,
    /// Range digest of the records.
    pub digest: Digest,
}

/// An instruction that every process follows at the same epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The writer's term.
    pub term: Term,
    /// The writer.
    pub writer: WriterId,
    /// Takes effect before this epoch, the last one + 1.
    pub epoch: Epoch,
    /// The chain hash that the writer saw.
    pub prev_hash: Digest,
    /// What to do.
    pub action: ControlAction,
}

/// What a control asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlAction {
    /// Write all state as of the end of the previous epoch.
    Snapshot,
    /// Pass over a record that crashes an operator.
    Skip {
        /// Where the record lies.
        partition: TopicPartition,
        /// Its offset.
        offset: Offset,
    },
    /// Forget a user.
    Erasure {
        /// Hash of the user's id; the id itself must not outlive the erasure.
        user: crate::id::IdHash,
    },
}

/// What the fold says of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// A new writer is in force.
    Fence(Fence),
    /// An epoch is bound.
    Binding(Binding),
    /// An instruction is in force.
    Control(Control),
}

/// Why a record is void. Void records are counted, never an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Void {
    /// A fence whose term is not above the one in force.
    StaleTerm,
    /// Not from the writer in force.
    Fenced,
    /// The epoch is not the last one + 1: a retry or a duplicate.
    WrongEpoch,
    /// Built on another history.
    WrongChain,
}

/// A bound range that does not continue its partition: the log was changed under us.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("epoch {epoch} binds {partition} from offset {start}, but bound so far is up to {bound}")]
pub struct BrokenRange {
    /// The epoch.
    pub epoch: Epoch,
    /// The partition.
    pub partition: TopicPartition,
    /// What the binding says.
    pub start: Offset,
    /// What it should say.
    pub bound: Offset,
}

/// The pure fold of the module doc. `Default` is the state before the first record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindingFold {
    term: Term,
    writer: WriterId,
    epoch: Epoch,
    chain: Digest,
    logical_time: TimestampMs,
    bound: BTreeMap<TopicPartition, Offset>,
}

impl BindingFold {
    /// The term in force.
    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    /// The writer in force.
    #[must_use]
    pub fn writer(&self) -> WriterId {
        self.writer
    }

    /// The last bound epoch.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What the next record's `prev_hash` must be.
    #[must_use]
    pub fn chain(&self) -> Digest {
        self.chain
    }

    /// Logical time of the last bound epoch.
    #[must_use]
    pub fn logical_time(&self) -> TimestampMs {
        self.logical_time
    }

    /// The next offset to bind, of every partition bound so far.
    #[must_use]
    pub fn bound(&self) -> &BTreeMap<TopicPartition, Offset> {
        &self.bound
    }

    /// Folds one record. `bytes` is its value as it lies on the log.
    pub fn step(
        &mut self,
        record: BindingRecord,
        bytes: &[u8],
    ) -> Result<Result<Accepted, Void>, BrokenRange> {
        if let Err(void) = self.admits(&record) {
            return Ok(Err(void));
        }
        let accepted = match record {
            BindingRecord::Fence(fence) => {
                self.term = fence.term;
                self.writer = fence.writer;
                Accepted::Fence(fence)
            }
            BindingRecord::Control(control) => Accepted::Control(control),
            BindingRecord::Binding(binding) => {
                self.bind(&binding)?;
                Accepted::Binding(binding)
            }
        };
        self.chain = chain_hash(self.chain, bytes);
        Ok(Ok(accepted))
    }

    fn admits(&self, record: &BindingRecord) -> Result<(), Void> {
        let (term, writer, epoch, prev_hash) = match record {
            BindingRecord::Fence(fence) if fence.term > self.term => return Ok(()),
            BindingRecord::Fence(_) => return Err(Void::StaleTerm),
            BindingRecord::Binding(b) => (b.term, b.writer, b.epoch, b.prev_hash),
            BindingRecord::Control(c) => (c.term, c.writer, c.epoch, c.prev_hash),
        };
        if (term, writer) != (self.term, self.writer) {
            return Err(Void::Fenced);
        }
        if epoch != self.epoch.next() {
            return Err(Void::WrongEpoch);
        }
        if prev_hash != self.chain {
            return Err(Void::WrongChain);
        }
        Ok(())
    }

    fn bind(&mut self, binding: &Binding) -> Result<(), BrokenRange> {
        for range in &binding.ranges {
            let bound = self.bound.get(&range.partition).copied().unwrap_or(0);
            if range.start != bound || range.end < range.start {
                let (epoch, partition) = (binding.epoch, range.partition);
                return Err(BrokenRange { epoch, partition, start: range.start, bound });
            }
        }
        for range in &binding.ranges {
            self.bound.insert(range.partition, range.end);
        }
        self.epoch = binding.epoch;
        self.logical_time = self.logical_time.max(binding.logical_time);
        Ok(())
    }
}

/// The state of the fold as plain values: what a snapshot keeps of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the methods of the fold are")]
pub struct FoldState {
    pub term: Term,
    pub writer: WriterId,
    pub epoch: Epoch,
    pub chain: Digest,
    pub logical_time: TimestampMs,
    pub bound: BTreeMap<TopicPartition, Offset>,
}

impl From<FoldState> for BindingFold {
    fn from(state: FoldState) -> Self {
        let FoldState { term, writer, epoch, chain, logical_time, bound } = state;
        Self { term, writer, epoch, chain, logical_time, bound }
    }
}

/// The chain hash after a record.
#[must_use]
pub fn chain_hash(previous: Digest, record: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&previous.0);
    hasher.update(record);
    Digest(*hasher.finalize().as_bytes())
}
