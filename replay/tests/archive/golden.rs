//! Files and a manifest of version 1 that every later build must read: `replay/golden/v1`. What a
//! later Parquet layer writes may have other bytes. Written only when missing, with
//! `EDDYLINE_BLESS=1`.

use std::path::PathBuf;

use eddyline_connect::objects::{FolderObjects, ObjectStore};
use eddyline_replay::archive::{
    ArchivedRow, Catalogue, Change, HashCheck, Nonce, TopicAdvance, read_rows,
};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::support::archiving::stored;
use crate::support::rows::rows;

const TOPICS: [Topic; 2] = [Topic::UserEvents, Topic::ItemEvents];

fn rows_of(topic: Topic) -> Vec<ArchivedRow> {
    rows(topic, 1, 40, true)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v1")
}

fn write(store: &dyn ObjectStore) {
    let mut catalogue = Catalogue::default();
    let mut change = Change { epoch: Epoch(9), full: true, ..Change::default() };
    for topic in TOPICS {
        let rows = rows_of(topic);
        let next = vec![rows.last().expect("there are rows").offset + 1];
        let at = TopicPartition { topic, partition: 0 };
        change.added.push(stored(store, &catalogue, at, rows).entry);
        change.topics.push(TopicAdvance { topic, id: [7; 16], next });
    }
    catalogue.commit(store, change, Nonce([5; 16])).expect("nobody else writes");
}

#[test]
fn version_1_is_read() {
    let is_asked = std::env::var_os("EDDYLINE_BLESS").is_some() && !folder().exists();
    let store = FolderObjects::open(&folder()).expect("the golden folder can be opened");
    if is_asked {
        write(&store);
    }
    let catalogue = Catalogue::open(&store).expect("it is whole");
    assert_eq!((catalogue.number(), catalogue.epoch()), (1, Epoch(9)));
    assert_eq!(catalogue.nonce(), Nonce([5; 16]));
    for topic in TOPICS {
        let at = TopicPartition { topic, partition: 0 };
        let [file] = &catalogue.files(at).collect::<Vec<_>>()[..] else { panic!("one file") };
        let bytes = store.get(&file.name).expect("it can be read").expect("it is there");
        let read = read_rows(file, &bytes, HashCheck::Recompute).expect("it is whole");
        assert_eq!(read, rows_of(topic));
    }
}
