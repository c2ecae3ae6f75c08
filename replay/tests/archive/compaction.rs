//! Compaction: the same rows in fewer files, wherever it dies.

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_connect::objects::{MemoryObjects, ObjectStore};
use eddyline_replay::archive::{
    ArchivedRow, Catalogue, HashCheck, Nonce, compact, read_rows, verify,
};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::topic::TopicPartition;

use crate::support::archiving::{archive_rows, archived, bound_rows};
use crate::support::faulty_objects::FaultyObjects;
use crate::support::golden_stream::golden_log;

fn all_rows(
    store: &dyn ObjectStore,
    catalogue: &Catalogue,
) -> BTreeMap<TopicPartition, Vec<ArchivedRow>> {
    let mut rows = BTreeMap::<_, Vec<ArchivedRow>>::new();
    for file in catalogue.all_files() {
        let bytes = store.get(&file.name).expect("memory can be read").expect("it is live");
        let more = read_rows(file, &bytes, HashCheck::Trust).expect("it is whole");
        rows.entry(file.partition).or_default().extend(more);
    }
    rows
}

fn copy_of(store: &MemoryObjects, folders: &[&str]) -> Arc<MemoryObjects> {
    let copy = MemoryObjects::new();
    for folder in folders {
        let folder = eddyline_connect::objects::ObjectName::new(*folder).expect("a plain name");
        for object in store.list(&folder).expect("memory can be read") {
            let bytes = store.get(&object.name).expect("memory can be read").expect("it is there");
            copy.put_if_absent(&object.name, bytes).expect("memory can be written");
        }
    }
    Arc::new(copy)
}

#[test]
fn a_target_bounds_the_files_and_a_second_pass_finds_nothing() {
    let store = MemoryObjects::new();
    let mut catalogue = archived(&*golden_log(), &store, 5);
    let (rows, topics) = (all_rows(&store, &catalogue), catalogue.topics().to_vec());
    let files = catalogue.all_files().count();
    let largest = catalogue.all_files().map(|file| file.bytes).max().expect("there are files");
    let done = compact(&store, &mut catalogue, 3 * largest, Nonce([1; 16])).expect("whole");
    assert!(!done.added.is_empty() && done.added.iter().all(|file| file.bytes <= 3 * largest));
    assert_eq!(catalogue.all_files().count(), files + done.added.len() - done.removed.len());
    assert_eq!(Catalogue::open(&store).expect("it is whole"), catalogue);
    assert_eq!(catalogue.topics(), topics);
    assert!(all_rows(&store, &catalogue) == rows);
    let number = catalogue.number();
    let none = compact(&store, &mut catalogue, 1, Nonce([2; 16])).expect("whole");
    assert!(none.added.is_empty() && catalogue.number() == number, "nothing to do writes nothing");
}

#[test]
fn it_may_die_anywhere() {
    let sound = MemoryObjects::new();
    let (log, last) = (golden_log(), Epoch(8));
    let (mut rows, _) = bound_rows(&*log, 2);
    rows.values_mut().for_each(|rows| rows.retain(|(_, row)| row.epoch <= last));
    archive_rows(&*log, &sound, (rows, last), 2);
    let folders = ["_manifest", "bindings", "feedback", "item_events", "user_events"];
    let want = all_rows(&sound, &Catalogue::open(&sound).expect("it is whole"));
    let mut died = 0;
    for applies in [false, true] {
        for at in 0.. {
            let store = copy_of(&sound, &folders);
            let faulty = FaultyObjects::new(&store, at, applies);
            let mut catalogue = Catalogue::open(&*store).expect("it is whole");
            let is_over = compact(&*faulty, &mut catalogue, 1 << 30, Nonce([1; 16])).is_ok();
            let after = Catalogue::open(&*store).expect("it is whole");
            for orphan in after.orphans(&*store).expect("memory can be read") {
                store.delete(&orphan.name).expect("memory can be written");
            }
            let report = verify(&*store, &mut |_| {}).expect("memory can be read");
            assert!(report.is_whole(), "operation {at}: {report:?}");
            assert!(all_rows(&*store, &after) == want, "operation {at}");
            if is_over {
                died += faulty.operations();
                break;
            }
        }
    }
    assert!(died > 40, "{died}");
}
