//! The rows of each file: order, record hashes, the chain, and that they are what the manifest's
//! entry says.

use std::ops::Range;

use eddyline_connect::objects::ObjectStore;
use eddyline_schemas::record::{Digest, Offset};
use eddyline_schemas::topic::TopicPartition;

use super::super::compact::fetch;
use super::super::entry::{ErasedRows, FileEntry};
use super::super::error::ArchiveError;
use super::super::read::{HashCheck, OpenFile};
use super::super::row::ArchivedRow;
use super::{Check, Finding, Progress, manifests};

/// What else a row must be; a finding if it is not.
pub(super) type RowCheck<'a> = dyn FnMut(&ArchivedRow) -> Option<Finding> + 'a;

impl Check<'_> {
    /// Reads every row of a partition in offset order; the ranges of files that cannot be read.
    pub(super) fn rows_of(
        &mut self,
        partition: TopicPartition,
        also: &mut RowCheck<'_>,
    ) -> Result<Vec<Range<Offset>>, ArchiveError> {
        let catalogue = self.catalogue;
        let mut damaged = Vec::new();
        for file in catalogue.files(partition) {
            if let Err(error) = self.file(file, also) {
                let before = self.report.findings.len();
                manifests::found(&mut self.report, error)?;
                for finding in &mut self.report.findings[before..] {
                    finding.partition = Some(partition);
                    finding.offsets = Some(file.first..file.last + 1);
                }
                damaged.push(file.first..file.last + 1);
            }
            self.report.files += 1;
            let (files, of, rows) = (self.report.files, self.of, self.report.rows);
            (self.progress)(Progress { files, of, rows });
        }
        Ok(damaged)
    }

    fn file(&mut self, file: &FileEntry, also: &mut RowCheck<'_>) -> Result<(), ArchiveError> {
        let bytes = fetch(self.store, file)?;
        self.report.bytes += bytes.len() as u64;
        let open = OpenFile::open(file, &bytes)?;
        let mut seen = Seen::new(file);
        for group in 0..open.groups().len() {
            for row in open.rows(group, HashCheck::Recompute)? {
                seen.take(&row).map_err(|reason| ArchiveError::damaged(&file.name, reason))?;
                self.report.rows += 1;
                self.report.erased += u64::from(row.record().is_none());
                self.report.findings.extend(also(&row));
            }
        }
        seen.check_end(bytes.len() as u64)
            .map_err(|reason| ArchiveError::damaged(&file.name, reason))
    }
}

/// Reads a file whole and holds every row, record hash and link of its chain against its entry.
pub fn verify_file(store: &dyn ObjectStore, file: &FileEntry) -> Result<(), ArchiveError> {
    let bytes = fetch(store, file)?;
    let open = OpenFile::open(file, &bytes)?;
    let damaged = |reason| ArchiveError::damaged(&file.name, reason);
    let mut seen = Seen::new(file);
    for group in 0..open.groups().len() {
        for row in open.rows(group, HashCheck::Recompute)? {
            seen.take(&row).map_err(damaged)?;
        }
    }
    seen.check_end(bytes.len() as u64).map_err(damaged)
}

/// The rows of a file so far.
struct Seen<'a> {
    file: &'a FileEntry,
    rows: u64,
    chain: Digest,
    last: Option<ArchivedRow>,
    erased: Option<ErasedRows>,
}

impl<'a> Seen<'a> {
    fn new(file: &'a FileEntry) -> Self {
        Self { file, rows: 0, chain: file.chain_before, last: None, erased: None }
    }

    fn take(&mut self, row: &ArchivedRow) -> Result<(), String> {
        let is_first = self.last.is_none();
        if is_first && (row.offset, row.epoch) != (self.file.first, self.file.first_epoch) {
            return Err(format!("it begins with offset {} of epoch {}", row.offset, row.epoch));
        }
        let follows = |last: &ArchivedRow| last.offset < row.offset && last.epoch <= row.epoch;
        if !self.last.as_ref().is_none_or(follows) {
            return Err(format!("offset {} of epoch {} is out of order", row.offset, row.epoch));
        }
        self.rows += 1;
        self.chain = row.chain_after(self.chain);
        if row.record().is_none() {
            self.erased = Some(ErasedRows::and_one(self.erased, row.epoch));
        }
        self.last = Some(row.erased());
        Ok(())
    }

    fn check_end(&self, bytes: u64) -> Result<(), String> {
        let file = self.file;
        let ends = self.last.as_ref().map(|row| (row.offset, row.epoch));
        if ends != Some((file.last, file.last_epoch)) || self.rows != file.rows {
            return Err(format!(
                "it has {} rows, of {}, and ends in {ends:?}",
                self.rows, file.rows
            ));
        }
        if self.chain != file.chain_after {
            return Err("its rows give another row digest".to_owned());
        }
        if self.erased != file.erased {
            let (has, says) = (shown(self.erased), shown(file.erased));
            return Err(format!("of its rows {has}, the manifest says that {says}"));
        }
        if bytes != file.bytes {
            return Err(format!("it has {bytes} bytes of {}", file.bytes));
        }
        Ok(())
    }
}

fn shown(erased: Option<ErasedRows>) -> String {
    erased.map_or("none was erased".to_owned(), |ErasedRows { rows, first_epoch }| {
        format!("{rows} were erased, from epoch {first_epoch} on")
    })
}
