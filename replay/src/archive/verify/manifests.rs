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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eddyline_connect::objects::MemoryObjects;
    use eddyline_schemas::lineage::Epoch;
    use eddyline_schemas::record::{Digest, Record};
    use eddyline_schemas::time::TimestampMs;
    use eddyline_schemas::topic::{Topic, TopicPartition};

    use super::super::super::entry::FileEntry;
    use super::super::super::manifest::{self, Manifest, Nonce, PartitionState, TopicState};
    use super::super::super::{ArchivedRow, FileBuilder, LEVEL};
    use super::*;

    fn stored(store: &MemoryObjects, chain: Digest, offsets: std::ops::Range<u64>) -> FileEntry {
        let partition = TopicPartition { topic: Topic::Deltas, partition: 0 };
        let mut builder = FileBuilder::new(partition, chain, LEVEL).expect("the schema is right");
        for offset in offsets {
            let (append_time, key) = (TimestampMs(0), Bytes::new());
            let record =
                Record { append_time, key, value: Bytes::new(), headers: Vec::new(), erased: None };
            builder.push(ArchivedRow::new(offset, Epoch(0), record)).expect("rows are in order");
        }
        let built = builder.finish().expect("there are rows");
        store.put_if_absent(&built.name, built.bytes).expect("memory can be written");
        built.entry
    }

    /// What verify says of an archive whose one manifest names these files.
    fn said(store: &MemoryObjects, files: Vec<FileEntry>) -> Vec<String> {
        let last = files.last().expect("there are files");
        let end = PartitionState { next: last.last + 1, chain: last.chain_after };
        let topic = TopicState { topic: Topic::Deltas, id: [0; 16], partitions: vec![end] };
        let manifest = Manifest {
            number: 1,
            previous: Digest::default(),
            nonce: Nonce::default(),
            epoch: Epoch(0),
            topics: vec![topic],
            added: files,
            removed: Vec::new(),
            files: None,
            erasures: Vec::new(),
            erased: Vec::new(),
        };
        store.corrupt(&manifest::name(1), Some(manifest.encode().into()));
        let report = super::super::verify(store, &mut |_| {}).expect("memory can be read");
        report.findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn files_that_overlap_or_leave_a_gap_are_named() {
        let store = MemoryObjects::new();
        let one = stored(&store, Digest::default(), 0..5);
        let two = stored(&store, one.chain_after, 5..9);
        let overlapping = stored(&store, one.chain_after, 4..8);
        let three = stored(&store, two.chain_after, 9..12);
        for name in [&overlapping.name, &three.name] {
            store.delete(name).expect("memory can be written");
        }
        assert_eq!(said(&store, vec![one.clone(), two.clone()]), [""; 0]);
        let check = |files: Vec<FileEntry>, says: &str, name: &FileEntry| {
            let said = said(&store, files);
            assert!(said[0].contains(says) && said[0].contains(name.name.as_str()), "{said:?}");
        };
        check(vec![one.clone(), overlapping.clone()], "overlap", &overlapping);
        check(vec![one.clone(), three.clone()], "does not continue", &three);
        check(vec![one.clone(), one.clone()], "same offset", &one);
        check(vec![two.clone()], "does not continue the beginning", &two);
        let mut moved = two;
        moved.chain_after = Digest([1; 32]);
        check(vec![one, moved.clone()], "row_digest_after", &moved);
    }
}
