//! The manifests: their hashes, their chain, their numbers.

use eddyline_connect::objects::ObjectStore;

use super::super::catalogue::{Catalogue, read_manifest};
use super::super::error::ArchiveError;
use super::super::manifest;
use super::{Finding, VerifyReport};

/// Checks every manifest that is there; the catalogue, unless it cannot be read.
pub(super) fn check(
    store: &dyn ObjectStore,
    report: &mut VerifyReport,
) -> Result<Option<Catalogue>, ArchiveError> {
    let mut numbers = Vec::new();
    for object in store.list(&manifest::folder())? {
        match manifest::number(&object.name) {
            Some(number) => numbers.push(number),
            None => report.findings.push(finding(&object.name, "is no manifest's name")),
        }
    }
    numbers.sort_unstable();
    let mut before = None;
    for &number in &numbers {
        before = link(store, report, number, before)?;
    }
    let Some(&newest) = numbers.last() else { return Ok(None) };
    match Catalogue::open_at(store, newest) {
        Ok(catalogue) => Ok(Some(catalogue)),
        Err(error) => found(report, error).map(|()| None),
    }
}

/// Checks a manifest against the one before; its own number and hash for the next.
fn link(
    store: &dyn ObjectStore,
    report: &mut VerifyReport,
    number: u64,
    before: Option<(u64, eddyline_schemas::record::Digest)>,
) -> Result<Option<(u64, eddyline_schemas::record::Digest)>, ArchiveError> {
    let (manifest, hash) = match read_manifest(store, number) {
        Ok(read) => read,
        Err(error) => return found(report, error).map(|()| None),
    };
    report.manifests += 1;
    let name = manifest::name(number);
    match before {
        Some((last, _)) if last + 1 != number => {
            let what = format!("the manifest before it is {last}: some are missing");
            report.findings.push(finding(&name, &what));
        }
        Some((_, hash)) if hash != manifest.previous => {
            report.findings.push(finding(&name, "follows another manifest than the one before it"));
        }
        _ => {}
    }
    Ok(Some((number, hash)))
}

/// Takes an error as a finding, unless it is the store's or the version's.
pub(super) fn found(report: &mut VerifyReport, error: ArchiveError) -> Result<(), ArchiveError> {
    let name = match &error {
        ArchiveError::Missing { name } | ArchiveError::Damaged { name, .. } => name.clone(),
        _ => return Err(error),
    };
    let what = match &error {
        ArchiveError::Damaged { reason, .. } => format!("is damaged: {reason}"),
        _ => "is missing".to_owned(),
    };
    let finding = finding(&name, &what);
    if !report.findings.contains(&finding) {
        report.findings.push(finding);
    }
    Ok(())
}

fn finding(name: &eddyline_connect::objects::ObjectName, what: &str) -> Finding {
    Finding { object: Some(name.clone()), partition: None, offsets: None, what: what.to_owned() }
}
