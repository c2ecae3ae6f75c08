//! A shop with a visitor whom everybody would recognise, who asks to be forgotten, and comes back;
//! and, slowly and from the records alone, which rows an erasure has to take.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_connect::log::EventLog;
use eddyline_connect::objects::{MemoryObjects, ObjectName, ObjectStore};
use eddyline_replay::archive::{ArchivedRow, Catalogue, HashCheck, read_rows};
use eddyline_schemas::codec::encode_event;
use eddyline_schemas::decode::decode_record;
use eddyline_schemas::event::EventType;
use eddyline_schemas::record::{CONTENT_TYPE, PROTOBUF, Record};
use eddyline_schemas::topic::{Topic, TopicPartition, partition_for};
use serde_json::{Value, json};

use super::live::{archive_all, core};
use super::pinned_log::{PinnedLog, Stored};
use super::running::bind_all;
use super::shop::Shop;

/// With everything that an id may have.
pub(crate) const VISITOR: &str = "Zoë \"the/one\" \\ %41:erase ~ \u{1F6A3}";

/// Where the visitor asks, among the records of the shop.
const ASKS_AT: usize = 400;

/// See the module doc.
pub(crate) struct Story {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) records: Vec<Stored>,
    pub(crate) objects: Arc<MemoryObjects>,
}

pub(crate) type Rows = BTreeMap<TopicPartition, Vec<ArchivedRow>>;

impl Story {
    /// Bound, folded and archived in files of so many rows.
    pub(crate) fn told(file_rows: u64) -> Self {
        let records = records();
        let log: Arc<dyn EventLog> = PinnedLog::holding(&records);
        bind_all(&core(), &log, 40);
        let objects = Arc::new(MemoryObjects::new());
        let store: Arc<dyn ObjectStore> = Arc::<MemoryObjects>::clone(&objects);
        archive_all(&log, &store, file_rows).expect("it is archived");
        Self { log, records, objects }
    }

    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::<MemoryObjects>::clone(&self.objects)
    }

    pub(crate) fn catalogue(&self) -> Catalogue {
        Catalogue::open(&*self.objects).expect("it is whole")
    }
}

fn records() -> Vec<Stored> {
    let mut records = Shop::new(77).records(600);
    let mut at = |index: usize, of: &dyn Fn(&Record) -> Stored| {
        let stored = of(&records[index].record);
        records.insert(index, stored);
    };
    let visit = |item: u32| {
        move |near: &Record| {
            let event =
                json!({"event_type": "view", "user_id": VISITOR, "item_id": format!("i{item}")});
            said(near, Topic::UserEvents, &event)
        }
    };
    for (index, item) in [(595, 9), (500, 8), (390, 7), (300, 3), (220, 2)] {
        at(index, &visit(item));
    }
    at(ASKS_AT, &|near| {
        said(near, Topic::UserEvents, &json!({"event_type": "erase", "user_id": VISITOR}))
    });
    at(310, &|near| {
        let liked = json!({"event_type": "like", "user_id": VISITOR, "item_id": "i3"});
        said(near, Topic::Feedback, &liked)
    });
    at(312, &|near| {
        let seen = json!({"event_type": "view", "user_id": "somebody", "anonymous_id": VISITOR, "item_id": "i3"});
        said(near, Topic::UserEvents, &seen)
    });
    at(320, &|near| as_protobuf(visit(4)(near)));
    at(330, &|near| {
        said(near, Topic::UserEvents, &json!({"event_type": "view", "user_id": VISITOR}))
    });
    at(340, &|near| said(near, Topic::ItemEvents, &json!({"user_id": VISITOR})));
    at(350, &|near| {
        let whole = visit(5)(near);
        let cut = whole.record.value.slice(..whole.record.value.len() - 1);
        Stored { record: Record { value: cut, ..whole.record }, ..whole }
    });
    at(360, &|near| {
        let whole = visit(5)(near);
        Stored { record: Record { value: Bytes::from_static(b"\xff"), ..whole.record }, ..whole }
    });
    records
}

fn said(near: &Record, topic: Topic, event: &Value) -> Stored {
    let partitions = match topic {
        Topic::UserEvents => 4,
        Topic::Feedback => 2,
        Topic::ItemEvents | Topic::Bindings | Topic::Deltas | Topic::Digests => 1,
    };
    let partition = partition_for(VISITOR.as_bytes(), partitions);
    let record = Record {
        append_time: near.append_time,
        key: Bytes::from(VISITOR),
        value: Bytes::from(event.to_string()),
        headers: Vec::new(),
        erased: None,
    };
    Stored { at: TopicPartition { topic, partition }, record }
}

fn as_protobuf(stored: Stored) -> Stored {
    let event = decode_record(stored.at, 0, &stored.record).expect("it is valid");
    let headers = vec![(CONTENT_TYPE.to_owned(), Bytes::from_static(PROTOBUF))];
    let record = Record { value: encode_event(&event), headers, ..stored.record };
    Stored { record, ..stored }
}

/// Every row of an archive.
pub(crate) fn all_rows(store: &dyn ObjectStore) -> Rows {
    let mut rows = Rows::new();
    for file in Catalogue::open(store).expect("it is whole").all_files() {
        let bytes = store.get(&file.name).expect("memory can be read").expect("it is live");
        let more = read_rows(file, &bytes, HashCheck::Recompute).expect("it is whole");
        rows.entry(file.partition).or_default().extend(more);
    }
    rows
}

/// What an erasure leaves of `rows`: each event that asks takes what its user did up to there.
pub(crate) fn slowly_erased(rows: &Rows) -> Rows {
    let place = |at: &TopicPartition, row: &ArchivedRow| (row.epoch, *at, row.offset);
    let mut asked = Vec::new();
    for (at, row) in rows.iter().flat_map(|(at, rows)| rows.iter().map(move |row| (at, row))) {
        let event = row.record().and_then(|record| decode_record(*at, row.offset, record).ok());
        if let Some(event) = event.filter(|event| event.event_type == EventType::Erase) {
            let user = event.user_id.expect("the validator asks for it").as_str().to_owned();
            asked.push((user, place(at, row)));
        }
    }
    let left = |at: &TopicPartition, row: &ArchivedRow| {
        let is_theirs = |(user, until): &(String, _)| {
            Topic::INPUTS.contains(&at.topic) && place(at, row) <= *until && names(at, row, user)
        };
        if asked.iter().any(is_theirs) { row.erased() } else { row.clone() }
    };
    rows.iter().map(|(at, of)| (*at, of.iter().map(|row| left(at, row)).collect())).collect()
}

fn names(at: &TopicPartition, row: &ArchivedRow, user: &str) -> bool {
    let Some(record) = row.record() else { return false };
    let is_key = record.key == user.as_bytes();
    match decode_record(*at, row.offset, record) {
        Ok(event) => {
            let named = [event.user_id, event.anonymous_id];
            named.into_iter().flatten().any(|id| id.as_str() == user)
                || is_key && at.topic != Topic::ItemEvents
        }
        Err(_) => {
            let text = String::from_utf8_lossy(&record.value);
            let quoted = Value::from(user).to_string();
            is_key
                || ["user_id", "anonymous_id"]
                    .iter()
                    .any(|of| text.contains(&format!("\"{of}\":{quoted}")))
        }
    }
}

/// Every object of the store.
pub(crate) fn all_objects(store: &dyn ObjectStore) -> Vec<(ObjectName, Bytes)> {
    let mut all = Vec::new();
    let folders =
        ["_manifest", "erasures", "bindings", "digests", "feedback", "item_events", "user_events"];
    for folder in folders {
        let folder = ObjectName::new(folder).expect("a plain name");
        for object in store.list(&folder).expect("memory can be read") {
            let bytes = store.get(&object.name).expect("memory can be read").expect("it is there");
            all.push((object.name, bytes));
        }
    }
    all
}
