//! Records of version 1 that every later build must read, and writes with the same bytes:
//! `replay/golden/lineages-v1`. Written only when missing, with `EDDYLINE_BLESS=1`.

use std::path::PathBuf;

use eddyline_connect::objects::{MemoryObjects, ObjectName, ObjectStore};
use eddyline_replay::archive::Nonce;
use eddyline_replay::lineages::record::Record;
use eddyline_replay::lineages::{Action, Registered, Registry};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::TimestampMs;
use serde_json::json;

fn lineage(of: u8) -> Lineage {
    Lineage(Digest([of; 32]))
}

fn actions() -> Vec<Action> {
    let registered = |of: u8, parent: Option<Lineage>, first_epoch: u64| {
        Action::Registered(Registered {
            lineage: lineage(of),
            core: json!({"seed": of, "factors": {"item_rate": 0.05}}),
            parent,
            first_epoch: Epoch(first_epoch),
        })
    };
    vec![
        registered(1, None, 0),
        registered(2, Some(lineage(1)), 4711),
        Action::Activated(lineage(2)),
        Action::Retired(lineage(1)),
    ]
}

fn records() -> Vec<Record> {
    let mut previous = Digest::default();
    let mut chain = |(at, action): (usize, Action)| {
        let number = at as u64 + 1;
        let (nonce, at) = (Nonce([number as u8; 16]), TimestampMs(1_700_000_000_000 + at as i64));
        let record = Record { number, previous, nonce, at, action };
        previous = Digest::of(&record.encode());
        record
    };
    actions().into_iter().enumerate().map(&mut chain).collect()
}

#[test]
fn version_1_is_read_and_written() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/lineages-v1");
    if std::env::var_os("EDDYLINE_BLESS").is_some() && !folder.exists() {
        std::fs::create_dir_all(&folder).expect("the golden folder can be made");
        for record in records() {
            let file = folder.join(format!("{:020}.json", record.number));
            std::fs::write(file, record.encode()).expect("it can be written");
        }
    }
    let store = std::sync::Arc::new(MemoryObjects::new());
    for record in records() {
        let file = format!("{:020}.json", record.number);
        let bytes = std::fs::read(folder.join(&file)).expect("the golden folder is committed");
        assert_eq!(record.encode(), bytes, "{file}");
        let name = ObjectName::new(format!("lineages/{file}")).expect("a plain name");
        assert_eq!(Record::decode(&name, &bytes).expect("it is whole"), record);
        store.put_if_absent(&name, bytes.into()).expect("memory can be written");
    }
    let registry = Registry::open(store).expect("it is whole");
    let lineages = registry.lineages();
    assert_eq!((lineages.number(), lineages.active()), (4, Some(lineage(2))));
    assert!(lineages.is_kept(lineage(2)) && !lineages.is_kept(lineage(1)));
    assert_eq!(lineages.entries().len(), 2);
}
