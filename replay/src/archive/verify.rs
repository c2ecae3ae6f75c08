//! Whether an archive is whole and what it says it is: every manifest, file, row and bound range.
//!
//! Files are hashed before the Parquet reader sees them, so what a fault of disk or network made
//! of them never reaches it and cannot make it panic. What is found is reported by object and
//! range, and the check goes on; where a file cannot be read, nothing is said of the bound ranges
//! that lie in it. Erased rows are counted: their record hashes stand, so every chain and every
//! range digest is checked all the same.
//!
//! Memory: one file, and the ranges of all bindings (64 bytes each).

mod manifests;
mod ranges;
mod rows;

use std::ops::Range;

use eddyline_connect::objects::{ObjectName, ObjectStore};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::topic::{Topic, TopicPartition};

use super::catalogue::Catalogue;
use super::error::ArchiveError;
use ranges::{BindingCheck, RangeCheck};

pub use rows::verify_file;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// In which object, where it is in one.
    pub object: Option<ObjectName>,
    /// Of which partition, where it is of one.
    pub partition: Option<TopicPartition>,
    /// Which offsets are concerned.
    pub offsets: Option<Range<Offset>>,
    /// What is wrong.
    pub what: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        match (&self.partition, &self.offsets) {
            (Some(partition), Some(offsets)) => {
                write!(f, "offsets {}..{} of {partition}: ", offsets.start, offsets.end)?;
            }
            (Some(partition), None) => write!(f, "{partition}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.what)
    }
}

/// What was checked, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// The last archived epoch.
    pub epoch: Epoch,
    /// Manifests read.
    pub manifests: u64,
    /// Live files read.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// Their rows.
    pub rows: u64,
    /// Rows of which an erasure left offset, epoch and hash.
    pub erased: u64,
    /// Bound ranges compared with their rows.
    pub ranges: u64,
    /// Empty when the archive is whole.
    pub findings: Vec<Finding>,
}

impl VerifyReport {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }
}

/// How far a check is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Files read.
    pub files: u64,
    /// Of so many.
    pub of: u64,
    /// Rows read.
    pub rows: u64,
}

/// Checks all of an archive. An error is the store's, or of a version that this build does not
/// read; everything else that is wrong is a finding.
pub fn verify(
    store: &dyn ObjectStore,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport, ArchiveError> {
    let mut report = VerifyReport::default();
    let Some(catalogue) = manifests::check(store, &mut report)? else { return Ok(report) };
    report.epoch = catalogue.epoch();
    let of = catalogue.all_files().count() as u64;
    let mut check = Check { store, catalogue: &catalogue, report, of, progress };
    check.all()?;
    let mut report = check.report;
    for orphan in catalogue.orphans(store)? {
        let what = "no manifest names it; delete it, or tools that read by pattern count its rows";
        report.findings.push(Finding {
            object: Some(orphan.name),
            partition: None,
            offsets: None,
            what: what.to_owned(),
        });
    }
    Ok(report)
}

const BINDINGS: TopicPartition = TopicPartition { topic: Topic::Bindings, partition: 0 };

/// A check that is going on.
struct Check<'a> {
    store: &'a dyn ObjectStore,
    catalogue: &'a Catalogue,
    report: VerifyReport,
    of: u64,
    progress: &'a mut dyn FnMut(Progress),
}

impl Check<'_> {
    /// Bindings first: they say what the inputs must hold.
    fn all(&mut self) -> Result<(), ArchiveError> {
        let mut bindings = BindingCheck::default();
        let damaged = self.rows_of(BINDINGS, &mut |row| bindings.take(row))?;
        let is_readable = damaged.is_empty() && !bindings.is_broken();
        if !damaged.is_empty() {
            // What the fold says after a hole is about the hole.
            let is_of_rows = |one: &Finding| one.object.is_none() && one.partition.is_some();
            self.report.findings.retain(|one| !is_of_rows(one));
        }
        if is_readable {
            self.report.findings.extend(bindings.check_end(self.catalogue));
        }
        let topics = self.catalogue.topics().iter().filter(|state| state.topic != Topic::Bindings);
        for (topic, partitions) in topics.map(|state| (state.topic, state.partitions.len())) {
            for partition in 0..u32::try_from(partitions).unwrap_or(u32::MAX) {
                let at = TopicPartition { topic, partition };
                if Topic::INPUTS.contains(&topic) && is_readable {
                    self.input(at, bindings.ranges_of(at))?;
                } else {
                    self.rows_of(at, &mut |_| None)?;
                }
            }
        }
        Ok(())
    }

    fn input(
        &mut self,
        partition: TopicPartition,
        ranges: Vec<ranges::Expected>,
    ) -> Result<(), ArchiveError> {
        let mut check = RangeCheck::new(partition, ranges);
        let damaged = self.rows_of(partition, &mut |row| check.take(row))?;
        let next = self.catalogue.position(partition).map_or(0, |state| state.next);
        let (ranges, findings) = check.finish(next, &damaged);
        self.report.ranges += ranges;
        self.report.findings.extend(findings);
        Ok(())
    }
}
