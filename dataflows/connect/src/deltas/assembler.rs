//! Puts epochs together from records of all partitions, in any interleaving. Pure.
//!
//! It trusts the order within a partition as far as the writers keep it: the records of epoch
//! e + 1 come behind all of e, but for repeats. So a record of a later epoch in a partition where
//! an earlier one is not whole means that the earlier one is not to be had any more.
//!
//! Memory: the caller offers nothing to a partition that does not [`Assembler::wants`] it, so at
//! most [`LOOKAHEAD`] epochs of each partition wait, and one record.

use std::collections::{BTreeMap, VecDeque};

use eddyline_schemas::codec::{InvalidDeltaRecord, decode_delta_record, decode_record_head};
use eddyline_schemas::delta::record::{DeltaContent, DeltaRecord, EpochFacts, PartitionClose};
use eddyline_schemas::delta::{Delta, EpochDeltas};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::{Digest, Offset, Record};

use super::deltas;
use super::error::DeltaError;
use super::pending::{Misfit, Pending};

/// Whole epochs of one partition that may wait for the other partitions.
pub const LOOKAHEAD: usize = 8;

/// Applied epochs whose closes are remembered, to hold repeats against.
const REMEMBERED: usize = 1_024;

/// Up to where a consumer has applied: the epoch and the chain hash after it. The default is the
/// empty state before epoch 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The last applied epoch.
    pub epoch: Epoch,
    /// The chain hash after it.
    pub chain: Digest,
}

/// What was passed over, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Records of other lineages.
    pub foreign: u64,
    /// Records that said nothing new.
    pub repeated: u64,
}

/// See the module doc.
#[derive(Debug)]
pub struct Assembler {
    lineage: Lineage,
    partitions: u32,
    at: Position,
    /// Epochs beyond `at`, each with one [`Pending`] per partition.
    pending: BTreeMap<Epoch, Vec<Pending>>,
    /// Closes of the newest applied epochs, ascending.
    applied: VecDeque<(Epoch, Vec<PartitionClose>)>,
    tallies: Tallies,
    newest: Epoch,
}

impl Assembler {
    /// Follows `lineage` on a topic of `partitions`, from behind `at`.
    #[must_use]
    pub fn new(lineage: Lineage, partitions: u32, at: Position) -> Self {
        Self {
            lineage,
            partitions,
            at,
            pending: BTreeMap::new(),
            applied: VecDeque::new(),
            tallies: Tallies::default(),
            newest: at.epoch,
        }
    }

    /// How far it has given out epochs.
    #[must_use]
    pub fn at(&self) -> Position {
        self.at
    }

    /// The greatest epoch of the lineage that was seen, whole or not.
    #[must_use]
    pub fn newest(&self) -> Epoch {
        self.newest
    }

    /// What was passed over.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        self.tallies
    }

    /// Whether records of `partition` should be offered now; else first the other partitions'.
    #[must_use]
    pub fn wants(&self, partition: u32) -> bool {
        let whole = self.pending.values().filter(|all| all[partition as usize].is_whole());
        whole.count() < LOOKAHEAD
    }

    /// Takes the next record of a partition.
    pub fn offer(
        &mut self,
        partition: u32,
        offset: Offset,
        record: &Record,
    ) -> Result<(), DeltaError> {
        let damaged = |source: InvalidDeltaRecord| DeltaError::Damaged {
            partition: deltas(partition),
            offset,
            source,
        };
        let head = decode_record_head(&record.key, &record.value).map_err(damaged)?;
        if head.lineage != self.lineage {
            self.tallies.foreign += 1;
            return Ok(());
        }
        self.newest = self.newest.max(head.epoch);
        let read = decode_delta_record(&record.key, &record.value).map_err(damaged)?;
        if head.epoch <= self.at.epoch {
            return self.repeat(partition, &read);
        }
        self.check_continues(partition, &read)?;
        self.take(partition, read)
    }

    /// A record of an applied epoch. Its rows are gone; its close says the same of them.
    fn repeat(&mut self, partition: u32, read: &DeltaRecord) -> Result<(), DeltaError> {
        self.tallies.repeated += 1;
        let DeltaContent::Close(close) = &read.content else { return Ok(()) };
        let known = self.applied.binary_search_by_key(&read.epoch, |(epoch, _)| *epoch);
        let Ok(known) = known else { return Ok(()) };
        if self.applied[known].1.get(partition as usize) == Some(close) {
            return Ok(());
        }
        let what = "it was applied, and now is closed again, differently".to_owned();
        Err(DeltaError::Contradiction { epoch: read.epoch, partition, what })
    }

    fn check_continues(&self, partition: u32, read: &DeltaRecord) -> Result<(), DeltaError> {
        let mut epoch = self.at.epoch.next();
        while epoch < read.epoch {
            let there = self.pending.get(&epoch).map(|all| &all[partition as usize]);
            if !there.is_some_and(Pending::is_whole) {
                let first_available =
                    if begins_epoch(read) { read.epoch } else { read.epoch.next() };
                let applied = self.at.epoch;
                return Err(DeltaError::NeedSnapshot { applied, first_available });
            }
            epoch = epoch.next();
        }
        Ok(())
    }

    fn take(&mut self, partition: u32, read: DeltaRecord) -> Result<(), DeltaError> {
        let epoch = read.epoch;
        let contradiction = |what| DeltaError::Contradiction { epoch, partition, what };
        if let Some(what) = misplaced(partition, self.partitions, &read.content) {
            return Err(contradiction(what));
        }
        let partitions = self.partitions;
        let all = self
            .pending
            .entry(epoch)
            .or_insert_with(|| (0..partitions).map(|_| Pending::default()).collect());
        let pending = &mut all[partition as usize];
        let is_new = match read.content {
            DeltaContent::Rows { first_seq, rows } => add_rows(pending, first_seq, rows),
            DeltaContent::Close(close) => pending.end(close),
        };
        let settled = is_new.and_then(|is_new| pending.settle().map(|()| is_new));
        let is_new = settled.map_err(|misfit| match misfit {
            Misfit::Row(seq) => DeltaError::RowsDiffer { epoch, partition, seq },
            Misfit::Close(what) => contradiction(what),
        })?;
        self.tallies.repeated += u64::from(!is_new);
        Ok(())
    }

    /// The next epoch, once all partitions have closed it whole.
    pub fn next_epoch(&mut self) -> Result<Option<EpochDeltas>, DeltaError> {
        let epoch = self.at.epoch.next();
        let Some(first) = self.pending.first_entry() else { return Ok(None) };
        if *first.key() != epoch || !first.get().iter().all(Pending::is_whole) {
            return Ok(None);
        }
        let all = first.remove();
        let closes: Vec<PartitionClose> =
            all.iter().filter_map(|pending| pending.close().cloned()).collect();
        let facts = closes.first().and_then(|close| close.facts);
        let EpochFacts { logical_time, chain, counts } =
            facts.expect("the close of partition 0 was decoded, which demands them");
        let mut deltas: Vec<Delta> = all.into_iter().flat_map(Pending::into_rows).collect();
        deltas.sort_unstable_by(Delta::cmp_key);
        let deltas =
            EpochDeltas { lineage: self.lineage, epoch, logical_time, deltas, chain, counts };
        if !deltas.follows(self.at.chain) {
            return Err(DeltaError::WrongChain { epoch });
        }
        self.at = Position { epoch, chain };
        self.applied.push_back((epoch, closes));
        if self.applied.len() > REMEMBERED {
            self.applied.pop_front();
        }
        Ok(Some(deltas))
    }
}

/// False when all of them were there already.
fn add_rows(pending: &mut Pending, first_seq: u32, rows: Vec<Delta>) -> Result<bool, Misfit> {
    let mut is_new = false;
    for (seq, row) in (first_seq..).zip(rows) {
        is_new |= pending.add(seq, row)?;
    }
    Ok(is_new)
}

/// Whether nothing of the epoch is in front of the record in its partition.
fn begins_epoch(read: &DeltaRecord) -> bool {
    match &read.content {
        DeltaContent::Rows { first_seq, .. } => *first_seq == 0,
        DeltaContent::Close(close) => close.count == 0,
    }
}

/// Says why the content does not belong into this partition of so many.
fn misplaced(partition: u32, partitions: u32, content: &DeltaContent) -> Option<String> {
    match content {
        DeltaContent::Rows { rows, .. } => {
            let stray = rows.iter().find(|row| row.partition(partitions) != partition)?;
            Some(format!("{} does not belong into it", stray.topic_key()))
        }
        DeltaContent::Close(close) => {
            let (named, of) = (close.partition, close.partitions);
            let is_right = (named, of) == (partition, partitions);
            (!is_right).then(|| {
                format!("it holds the close of partition {named} of {of}; there are {partitions}")
            })
        }
    }
}
