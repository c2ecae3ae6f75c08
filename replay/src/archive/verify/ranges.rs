//! Bindings and what they bound: folded as every process folds them, then each range compared with
//! the archived rows.

use std::collections::BTreeMap;
use std::ops::Range;

use eddyline_schemas::binding::{Accepted, Binding, BindingFold};
use eddyline_schemas::codec::decode_binding;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::{Digest, Offset, RangeDigest};
use eddyline_schemas::topic::{Topic, TopicPartition};

use super::super::catalogue::Catalogue;
use super::super::row::ArchivedRow;
use super::{BINDINGS, Finding};

/// What a binding says of a range.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    epoch: Epoch,
    start: Offset,
    end: Offset,
    count: u64,
    digest: Digest,
}

fn finding(partition: TopicPartition, offsets: Range<Offset>, what: String) -> Finding {
    Finding { object: None, partition: Some(partition), offsets: Some(offsets), what }
}

/// Folds the rows of the bindings topic.
#[derive(Default)]
pub(super) struct BindingCheck {
    fold: BindingFold,
    ranges: BTreeMap<TopicPartition, Vec<Expected>>,
    ids: BTreeMap<&'static str, (Topic, [u8; 16])>,
    is_broken: bool,
}

impl BindingCheck {
    /// Whether the fold came to a row that it cannot read: nothing after it means anything.
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken
    }

    pub(super) fn take(&mut self, row: &ArchivedRow) -> Option<Finding> {
        if self.is_broken {
            return None;
        }
        let what = self.fold_row(row).err()?;
        self.is_broken = true;
        Some(finding(BINDINGS, row.offset..row.offset + 1, what))
    }

    fn fold_row(&mut self, row: &ArchivedRow) -> Result<(), String> {
        let value = &row.record().ok_or("a binding record was erased")?.value;
        let record = decode_binding(value).map_err(|error| error.to_string())?;
        let accepted = self.fold.step(record, value).map_err(|broken| broken.to_string())?;
        if let Ok(Accepted::Binding(binding)) = accepted {
            self.expect(&binding)?;
        }
        if row.epoch == self.fold.epoch() {
            return Ok(());
        }
        let (says, bound) = (row.epoch, self.fold.epoch());
        Err(format!("the row says epoch {says}, bound by then is {bound}"))
    }

    fn expect(&mut self, binding: &Binding) -> Result<(), String> {
        for range in &binding.ranges {
            let topic = range.partition.topic;
            let (_, id) = *self.ids.entry(topic.name()).or_insert((topic, range.topic_id));
            if id != range.topic_id {
                return Err(format!("epoch {} binds another {topic}", binding.epoch));
            }
            let (start, end) = (range.start, range.end);
            let (epoch, count, digest) = (binding.epoch, range.count, range.digest);
            let expected = Expected { epoch, start, end, count, digest };
            self.ranges.entry(range.partition).or_default().push(expected);
        }
        Ok(())
    }

    /// What the fold ended in, against the manifest.
    pub(super) fn check_end(&self, catalogue: &Catalogue) -> Vec<Finding> {
        let end = catalogue.position(BINDINGS).map_or(0, |state| state.next);
        let mut wrong = Vec::new();
        if self.fold.epoch() != catalogue.epoch() {
            let (bound, says) = (self.fold.epoch(), catalogue.epoch());
            wrong.push(format!("bindings go up to epoch {bound}, the manifest says {says}"));
        }
        for (topic, id) in self.ids.values() {
            if catalogue.topic(*topic).is_none_or(|state| state.id != *id) {
                wrong.push(format!("what is bound of {topic} is of another topic of that name"));
            }
        }
        let missing = |at: &&TopicPartition| catalogue.position(**at).is_none();
        wrong.extend(
            self.ranges.keys().filter(missing).map(|at| format!("{at} is bound, not there")),
        );
        wrong.into_iter().map(|what| finding(BINDINGS, 0..end, what)).collect()
    }

    pub(super) fn ranges_of(&self, partition: TopicPartition) -> Vec<Expected> {
        self.ranges.get(&partition).cloned().unwrap_or_default()
    }
}

/// Compares the rows of a partition with the ranges that were bound of it.
pub(super) struct RangeCheck {
    partition: TopicPartition,
    ranges: Vec<Expected>,
    /// The range that is being read.
    at: usize,
    digest: RangeDigest,
    compared: u64,
    findings: Vec<Finding>,
}

impl RangeCheck {
    pub(super) fn new(partition: TopicPartition, ranges: Vec<Expected>) -> Self {
        let digest = RangeDigest::default();
        Self { partition, ranges, at: 0, digest, compared: 0, findings: Vec::new() }
    }

    pub(super) fn take(&mut self, row: &ArchivedRow) -> Option<Finding> {
        while self.ranges.get(self.at).is_some_and(|range| range.end <= row.offset) {
            self.compare();
        }
        let offsets = row.offset..row.offset + 1;
        let Some(range) = self.ranges.get(self.at) else {
            return Some(finding(self.partition, offsets, "no binding has bound it".to_owned()));
        };
        self.digest.add(row.offset, row.record_hash);
        if range.epoch == row.epoch {
            return None;
        }
        let what = format!("the row says epoch {}, bound was {}", row.epoch, range.epoch);
        Some(finding(self.partition, offsets, what))
    }

    /// Ends the range that is being read.
    fn compare(&mut self) {
        let digest = std::mem::take(&mut self.digest);
        let range = &self.ranges[self.at];
        self.at += 1;
        self.compared += 1;
        if (digest.count(), digest.finish()) == (range.count, range.digest) {
            return;
        }
        let what = format!(
            "epoch {} bound {} records of it; the archive has {}, or others",
            range.epoch,
            range.count,
            digest.count()
        );
        self.findings.push(finding(self.partition, range.start..range.end, what));
    }

    /// Ranges compared, and what was found; nothing of ranges that touch a damaged file.
    pub(super) fn finish(mut self, next: Offset, damaged: &[Range<Offset>]) -> (u64, Vec<Finding>) {
        while self.at < self.ranges.len() {
            self.compare();
        }
        let bound = self.ranges.last().map_or(0, |range| range.end);
        if bound != next {
            let what = format!("bound up to offset {bound}, archived up to {next}");
            self.findings.push(finding(self.partition, bound.min(next)..bound.max(next), what));
        }
        let touches = |offsets: &Range<Offset>| {
            damaged.iter().any(|gap| gap.start < offsets.end && offsets.start < gap.end)
        };
        self.findings.retain(|one| one.offsets.as_ref().is_none_or(|offsets| !touches(offsets)));
        (self.compared, self.findings)
    }
}
