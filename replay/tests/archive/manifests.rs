//! Manifests: chained, numbered, one writer, and no byte of them changes unseen.

use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::objects::{MemoryObjects, ObjectName, ObjectStore};
use eddyline_replay::archive::{ArchiveError, Catalogue, Change, Nonce, TopicAdvance};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::support::archiving::stored;
use crate::support::faulty_objects::FaultyObjects;
use crate::support::rows::{Draws, rows};

const AT: TopicPartition = TopicPartition { topic: Topic::Feedback, partition: 1 };

/// An archive of so many commits of ten rows.
fn archive(store: &dyn ObjectStore, commits: usize) -> Catalogue {
    let rows = rows(AT.topic, 1, 10 * commits as u64, false);
    let mut catalogue = Catalogue::default();
    for (number, part) in rows.chunks(10).enumerate() {
        commit(store, &mut catalogue, part, number as u8).expect("nobody else writes");
    }
    catalogue
}

fn commit(
    store: &dyn ObjectStore,
    catalogue: &mut Catalogue,
    rows: &[eddyline_replay::archive::ArchivedRow],
    nonce: u8,
) -> Result<(), ArchiveError> {
    let last = rows.last().expect("there are rows");
    let topics =
        vec![TopicAdvance { topic: AT.topic, id: [3; 16], next: vec![0, last.offset + 1] }];
    let added = vec![stored(store, catalogue, AT, rows.iter().cloned()).entry];
    let change = Change { epoch: last.epoch, topics, added, ..Change::default() };
    catalogue.commit(store, change, Nonce([nonce; 16]))
}

fn manifest(number: u64) -> ObjectName {
    ObjectName::new(format!("_manifest/{number:020}.json")).expect("a plain name")
}

#[test]
fn a_catalogue_is_opened_from_the_newest_full_manifest() {
    let store = MemoryObjects::new();
    assert_eq!(Catalogue::open(&store).expect("an empty archive"), Catalogue::default());
    let catalogue = archive(&store, 70);
    assert_eq!(catalogue.number(), 70);
    assert_eq!(Catalogue::open(&store).expect("it is whole"), catalogue);
    assert_eq!(catalogue.prune(&store).expect("memory can be written"), 63);
    let again = Catalogue::open(&store).expect("what is needed is there");
    assert_eq!(again, catalogue);
    assert_eq!(again.files(AT).count(), 70);
    let file = again.file_at(AT, 5).expect("it is archived");
    assert!(file.first <= 5 && file.last >= 5);
    let after = again.file_after(file).expect("there are more");
    assert_eq!(again.file_before(after), Some(file));
    assert_eq!(again.file_at(AT, 100_000), None);
    store.corrupt(&manifest(66), None);
    let missing = Catalogue::open(&store).expect_err("a manifest is gone");
    assert!(
        matches!(&missing, ArchiveError::Missing { name } if *name == manifest(66)),
        "{missing}"
    );
}

#[test]
fn of_two_writers_one_loses() {
    let store = MemoryObjects::new();
    let mut one = archive(&store, 2);
    let mut two = one.clone();
    let rows = rows(AT.topic, 1, 40, false);
    commit(&store, &mut one, &rows[20..30], 100).expect("the first");
    let before = two.clone();
    let lost = commit(&store, &mut two, &rows[20..30], 101).expect_err("the second");
    assert!(matches!(lost, ArchiveError::Superseded { number: 3 }), "{lost}");
    assert_eq!(two, before, "nothing changed");
    assert_eq!(Catalogue::open(&store).expect("it is whole").nonce(), Nonce([100; 16]));
}

#[test]
fn a_commit_whose_reply_was_lost_is_repeated() {
    let memory = Arc::new(MemoryObjects::new());
    let mut catalogue = archive(&*memory, 1);
    let rows = rows(AT.topic, 1, 20, false);
    // The file is stored, the manifest is too, but nobody hears of it.
    let faulty = FaultyObjects::new(&memory, 1, true);
    commit(&*faulty, &mut catalogue, &rows[10..], 7).expect_err("the reply was lost");
    assert_eq!(catalogue.number(), 1);
    commit(&*memory, &mut catalogue, &rows[10..], 7).expect("the same bytes are there");
    assert_eq!(Catalogue::open(&*memory).expect("it is whole"), catalogue);
}

#[test]
fn what_does_not_continue_is_refused_and_changes_nothing() {
    let store = MemoryObjects::new();
    let mut catalogue = archive(&store, 2);
    let before = catalogue.clone();
    let rows = rows(AT.topic, 1, 40, false);
    let mut refused = |change: Change| {
        let error = catalogue.commit(&store, change, Nonce::default()).expect_err("refused");
        assert!(
            matches!(error, ArchiveError::Discontinuous { .. } | ArchiveError::Missing { .. }),
            "{error}"
        );
        assert_eq!(catalogue, before);
    };
    let entry = stored(&store, &before, AT, rows[20..30].iter().cloned()).entry;
    let advance = |id, next: &[u64]| {
        vec![TopicAdvance { topic: AT.topic, id: [id; 16], next: next.to_vec() }]
    };
    let (epoch, end) = (before.epoch(), entry.last + 1);
    let first = before.files(AT).next().expect("there are files").name.clone();
    refused(Change { epoch: Epoch(0), ..Change::default() });
    refused(Change { epoch, topics: advance(4, &[0, end]), ..Change::default() });
    refused(Change { epoch, topics: advance(3, &[0]), ..Change::default() });
    refused(Change { epoch, topics: advance(3, &[0, 1]), ..Change::default() });
    refused(Change { epoch, added: vec![entry.clone()], ..Change::default() });
    refused(Change { epoch, removed: vec![first.clone()], ..Change::default() });
    refused(Change { epoch, removed: vec![entry.name.clone()], ..Change::default() });
    let mut other = entry.clone();
    other.chain_before.0[0] ^= 1;
    refused(Change {
        epoch,
        topics: advance(3, &[0, end]),
        added: vec![other],
        ..Change::default()
    });
    let mut overlapping = entry;
    overlapping.first = 3;
    let topics = advance(3, &[0, end]);
    refused(Change { epoch, topics, added: vec![overlapping], ..Change::default() });
}

#[test]
fn flips_and_truncations_are_found() {
    let store = MemoryObjects::new();
    let catalogue = archive(&store, 3);
    let names = [manifest(2), manifest(3)];
    let mut draws = Draws(2);
    for name in names {
        let sound = store.get(&name).expect("memory can be read").expect("it is there");
        let refused = |bytes: Vec<u8>| {
            store.corrupt(&name, Some(Bytes::from(bytes)));
            let opened = Catalogue::open(&store);
            assert!(
                matches!(opened, Err(ArchiveError::Damaged { .. } | ArchiveError::Version { .. })),
                "{opened:?}"
            );
        };
        for _ in 0..2_500 {
            let mut bytes = sound.to_vec();
            let at = draws.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << draws.below(8);
            refused(bytes);
        }
        (0..sound.len()).for_each(|length| refused(sound[..length].to_vec()));
        store.corrupt(&name, Some(sound));
    }
    assert_eq!(Catalogue::open(&store).expect("it is whole again"), catalogue);
}
