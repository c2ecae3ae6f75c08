//! An erasure may die at any operation of the store: what the newest manifest names is whole, and
//! the same call again completes it.

use std::sync::Arc;

use eddyline_connect::objects::{MemoryObjects, ObjectStore};
use eddyline_replay::archive::{ArchiveError, Catalogue, Erased, Nonce, erase, requests};

use crate::rows::check_whole;
use crate::support::faulty_objects::FaultyObjects;
use crate::support::story::{Story, all_objects, all_rows, slowly_erased};

fn carried_out(store: &dyn ObjectStore, nonce: u8) -> Result<Erased, ArchiveError> {
    let mut catalogue = Catalogue::open(store)?;
    let subjects = requests(store, &catalogue)?;
    erase(store, &mut catalogue, &subjects, Nonce([nonce; 16]))
}

#[test]
fn it_may_die_anywhere() {
    let story = Story::told(250);
    let (sound, before) = (all_objects(&*story.objects), all_rows(&*story.objects));
    let want = slowly_erased(&before);
    let asked = requests(&*story.objects, &story.catalogue()).expect("it is whole");
    let (mut died, mut operations, mut is_over) = (0, 0, false);
    while !is_over {
        for applies in [false, true] {
            let store = Arc::new(MemoryObjects::new());
            for (name, bytes) in &sound {
                store.put_if_absent(name, bytes.clone()).expect("memory never fails");
            }
            let faulty = FaultyObjects::new(&store, died, applies);
            is_over = carried_out(&*faulty, 1).is_ok();
            operations = operations.max(faulty.operations());
            let rows = all_rows(&*store);
            assert!(rows == before || rows == want, "operation {died}: all or nothing");
            carried_out(&*store, 2).expect("the store is back");
            assert!(all_rows(&*store) == want, "operation {died}");
            assert!(check_whole(&*store) > 20, "operation {died}");
            let erasures = Catalogue::open(&*store).expect("it is whole").erasures().len();
            assert_eq!(erasures, asked.len(), "operation {died}: each one once");
        }
        died += 1;
    }
    assert!(died > 30 && operations >= died - 1, "{died} of {operations}");
}
