//! Files and a manifest of version 1 that every later build must read: `replay/golden/v1`. What a
//! later Parquet layer writes may have other bytes. Written only when missing, with
//! `EDDYLINE_BLESS=1`.

use std::path::{Path, PathBuf};

use eddyline_connect::objects::{FolderObjects, MemoryObjects, ObjectName, ObjectStore};
use eddyline_replay::archive::{
    ArchivedRow, Catalogue, Change, HashCheck, Nonce, TopicAdvance, read_rows,
};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Digest;
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

/// The folder as it is, without a store that might write to it.
fn read_into(store: &dyn ObjectStore, folder: &Path, name: &str) {
    for entry in std::fs::read_dir(folder).expect("the golden folder is committed") {
        let path = entry.expect("it can be read").path();
        let last = path.file_name().and_then(|last| last.to_str()).expect("names are plain");
        let name = format!("{name}{last}");
        if path.is_dir() && !last.starts_with('.') {
            read_into(store, &path, &format!("{name}/"));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).expect("it can be read").into();
            let name = ObjectName::new(name).expect("names are plain");
            store.put_if_absent(&name, bytes).expect("memory can be written");
        }
    }
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
    if std::env::var_os("EDDYLINE_BLESS").is_some() && !folder().exists() {
        write(&FolderObjects::open(&folder()).expect("the golden folder can be made"));
    }
    let store = MemoryObjects::new();
    read_into(&store, &folder(), "");
    let catalogue = Catalogue::open(&store).expect("it is whole");
    assert_eq!((catalogue.number(), catalogue.epoch()), (1, Epoch(9)));
    assert_eq!(catalogue.nonce(), Nonce([5; 16]));
    for topic in TOPICS {
        let at = TopicPartition { topic, partition: 0 };
        let [file] = &catalogue.files(at).collect::<Vec<_>>()[..] else { panic!("one file") };
        let bytes = store.get(&file.name).expect("it can be read").expect("it is there");
        let read = read_rows(file, &bytes, HashCheck::Recompute).expect("it is whole");
        let chain = read.iter().fold(Digest::default(), |chain, row| row.chain_after(chain));
        assert_eq!(chain, file.chain_after, "row digests are as they were");
        assert_eq!(read, rows_of(topic));
    }
}
