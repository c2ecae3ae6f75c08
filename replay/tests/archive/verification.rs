//! What verify finds, and how it names it.

use bytes::Bytes;
use eddyline_connect::objects::{MemoryObjects, ObjectName, ObjectStore};
use eddyline_replay::archive::{ArchivedRow, Catalogue, VerifyReport, verify};
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::support::archiving::{BINDINGS, archive_rows, archived, bound_rows};
use crate::support::golden_stream::golden_log;

const AT: TopicPartition = TopicPartition { topic: Topic::UserEvents, partition: 1 };

fn verified(store: &MemoryObjects) -> VerifyReport {
    let mut files = 0;
    let report = verify(store, &mut |progress| files = progress.files).expect("memory can be read");
    assert_eq!(files, report.files, "progress goes to the end");
    report
}

/// A report of one finding, which says all of this.
fn finds(store: &MemoryObjects, says: &[&str]) {
    let report = verified(store);
    let found: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    for text in says {
        assert!(found[0].contains(text), "{text:?} is not in {found:?}");
    }
}

fn bytes(store: &MemoryObjects, name: &ObjectName) -> Bytes {
    store.get(name).expect("memory can be read").expect("it is there")
}

#[test]
fn every_fault_of_an_object_is_found_and_named() {
    let store = MemoryObjects::new();
    let catalogue = archived(&*golden_log(), &store, 20);
    let report = verified(&store);
    assert!(report.is_whole() && report.erased == 0, "{report:?}");
    assert_eq!(report.files, catalogue.all_files().count() as u64);
    let file = catalogue.files(AT).nth(1).expect("there are files").clone();
    let sound = bytes(&store, &file.name);
    let offsets = format!("offsets {}..{} of {AT}", file.first, file.last + 1);
    let named = [file.name.as_str(), &offsets];

    store.corrupt(&file.name, None);
    finds(&store, &[named[0], named[1], "is missing"]);
    store.corrupt(&file.name, Some(sound.slice(..sound.len() - 1)));
    finds(&store, &[named[0], named[1], "is damaged"]);
    let mut flipped = sound.to_vec();
    flipped[sound.len() / 2] ^= 1;
    store.corrupt(&file.name, Some(flipped.into()));
    finds(&store, &[named[0], named[1], "BLAKE3"]);
    store.corrupt(&file.name, Some(sound.clone()));

    let copy = ObjectName::new(file.name.as_str().replace("p=0001", "p=0002")).expect("a name");
    store.put_if_absent(&copy, sound).expect("memory can be written");
    finds(&store, &[copy.as_str(), "no manifest names it"]);
    store.delete(&copy).expect("memory can be written");

    let bindings = catalogue.files(BINDINGS).nth(1).expect("there are files").name.clone();
    let sound = bytes(&store, &bindings);
    store.corrupt(&bindings, None);
    finds(&store, &[bindings.as_str(), "is missing"]);
    store.corrupt(&bindings, Some(sound));

    let manifest = ObjectName::new(format!("_manifest/{:020}.json", 2)).expect("a name");
    store.corrupt(&manifest, None);
    let report = verified(&store);
    assert!(!report.is_whole() && report.files == 0, "{report:?}");
}

/// An archive of the golden stream with rows changed before they were written.
fn altered(alter: impl Fn(&mut Vec<(u64, ArchivedRow)>), of: TopicPartition) -> MemoryObjects {
    let (log, store) = (golden_log(), MemoryObjects::new());
    let (mut rows, last) = bound_rows(&*log, 20);
    alter(rows.get_mut(&of).expect("it is bound"));
    archive_rows(&*log, &store, (rows, last), 20);
    Catalogue::open(&store).expect("the manifests know nothing of it");
    store
}

#[test]
fn rows_that_are_not_what_was_bound_are_found() {
    finds(&altered(|rows| drop(rows.remove(100)), AT), &["user_events/1", "bound"]);
    let other = |rows: &mut Vec<(u64, ArchivedRow)>| {
        let (of, row) = &rows[100];
        let mut record = row.record().expect("it is whole").clone();
        record.append_time.0 += 1;
        rows[100] = (*of, ArchivedRow::new(row.offset, row.epoch, record));
    };
    finds(&altered(other, AT), &["user_events/1", "or others"]);
    let last = |rows: &mut Vec<(u64, ArchivedRow)>| drop(rows.pop());
    let report = verified(&altered(last, AT));
    assert_eq!(report.findings.len(), 2, "a range and the end: {report:?}");
    let epoch = |rows: &mut Vec<(u64, ArchivedRow)>| {
        let at = (1..rows.len()).find(|&at| rows[at].1.epoch != rows[at - 1].1.epoch);
        let at = at.expect("there are epochs");
        rows[at].1.epoch = rows[at - 1].1.epoch;
    };
    finds(&altered(epoch, AT), &["user_events/1", "the row says epoch"]);
    let report = verified(&altered(|rows| drop(rows.remove(9)), BINDINGS));
    assert!(report.findings[0].to_string().contains("bindings/0"), "{report:?}");
}

#[test]
fn erased_rows_are_counted_and_every_digest_still_holds() {
    let erase = |rows: &mut Vec<(u64, ArchivedRow)>| {
        rows.iter_mut().step_by(3).for_each(|(_, row)| *row = row.erased());
    };
    let report = verified(&altered(erase, AT));
    assert!(report.is_whole() && report.erased > 500, "{report:?}");
}
