//! Receipts: one for each erasure, whenever it was interrupted, and none says whose.

use eddyline_connect::objects::ObjectName;
use eddyline_replay::archive::{
    Catalogue, Change, Nonce, Surroundings, erase, outstanding, receipts, requests, write_receipt,
};
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::Epoch;

use crate::support::story::{Story, VISITOR, all_objects};

fn around() -> Surroundings {
    Surroundings {
        snapshots: Some((3, Epoch(7))),
        log: "it is there".to_owned(),
        deltas: "they are gone".to_owned(),
        feature_store: None,
    }
}

#[test]
fn every_erasure_has_one_however_late_it_is_written() {
    let story = Story::told(200);
    let (store, mut catalogue) = (story.store(), story.catalogue());
    let asked = requests(&*store, &catalogue).expect("it is whole");
    let done = erase(&*store, &mut catalogue, &asked, Nonce([1; 16])).expect("memory never fails");
    // Manifests that have nothing to do with it, a full one among them, come in between.
    for number in 0..70 {
        let change = Change { epoch: catalogue.epoch(), ..Change::default() };
        catalogue.commit(&*store, change, Nonce([number; 16])).expect("nobody else writes");
    }
    let catalogue = Catalogue::open(&*store).expect("it is whole");
    assert_eq!(catalogue.erasures().len(), asked.len());
    let open = outstanding(&*store, &catalogue).expect("memory can be read");
    let told: Vec<_> = open.iter().map(|one| one.erasure.clone()).collect();
    assert_eq!(told, done.erasures);
    for one in open.iter().rev().skip(1) {
        write_receipt(&*store, one, &around()).expect("memory never fails");
    }
    let rest = outstanding(&*store, &catalogue).expect("memory can be read");
    assert_eq!(rest, open[open.len() - 1..]);
    let first = write_receipt(&*store, &rest[0], &around()).expect("memory never fails");
    let other = Surroundings { log: "something else".to_owned(), ..around() };
    let again = write_receipt(&*store, &rest[0], &other).expect("it is there already");
    assert_eq!(first, again, "what was said once stands");
    assert_eq!(outstanding(&*store, &catalogue).expect("memory can be read"), []);
    let all = receipts(&*store).expect("they are whole");
    let numbers: Vec<_> = all.iter().filter_map(|receipt| receipt["number"].as_u64()).collect();
    assert_eq!(numbers, (1..=asked.len() as u64).collect::<Vec<_>>());
    let hash = UserId::new(VISITOR).expect("a valid id").hash();
    let own = all.iter().find(|receipt| receipt["user_blake3_128"] == format!("{hash:?}"));
    let own = own.expect("they asked");
    assert_eq!((&own["archive"]["rows_erased"], &own["log"]), (&10.into(), &"it is there".into()));
    assert!(own["remains"].as_array().is_some_and(|remains| remains.len() > 2));
    for (name, bytes) in all_objects(&*store) {
        let says = bytes.windows(VISITOR.len()).any(|window| window == VISITOR.as_bytes());
        assert!(!says || !name.as_str().starts_with("erasures"), "{name}");
    }
}

#[test]
fn one_that_was_changed_is_refused() {
    let story = Story::told(200);
    let (store, mut catalogue) = (story.store(), story.catalogue());
    let asked = requests(&*store, &catalogue).expect("it is whole");
    erase(&*store, &mut catalogue, &asked, Nonce([1; 16])).expect("memory never fails");
    let open = outstanding(&*store, &catalogue).expect("memory can be read");
    write_receipt(&*store, &open[0], &around()).expect("memory never fails");
    let name = ObjectName::new(format!("erasures/{:020}.json", 1)).expect("a plain name");
    let whole = store.get(&name).expect("memory can be read").expect("it is there");
    let mut changed = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1;
        story.objects.corrupt(&name, Some(bytes.into()));
        changed += usize::from(receipts(&*store).is_err());
    }
    assert_eq!(changed, whole.len());
}
