//! A small shop, seeded: what its visitors do as records of the log, everything that can go wrong
//! on the way included.
//!
//! All event types and topics, several items in one event, JSON and protobuf, events without id
//! or without time, duplicates, late and broken records, items that change category or are taken
//! out, erasures, and days without any event so that windows roll. Draws are SplitMix64 (Steele et
//! al., OOPSLA 2014).

use std::collections::VecDeque;

use bytes::Bytes;
use eddyline_schemas::codec::encode_event;
use eddyline_schemas::decode::decode_record;
use eddyline_schemas::record::{CONTENT_TYPE, PROTOBUF, Record};
use eddyline_schemas::time::{DAY_MS, HOUR_MS, TimestampMs};
use eddyline_schemas::topic::{Topic, TopicPartition, partition_for};
use serde_json::{Map, Value, json};

use super::pinned_log::Stored;

const USERS: u64 = 240;
const ITEMS: u64 = 320;
/// Items of like kind lie together; a user has a favourite kind.
const KINDS: u64 = 8;
/// Records of the first catalogue.
const CATALOGUE: u64 = 200;
/// Records between two breaks of two days.
const BREAK_EVERY: u64 = 1_500;
const BEGIN_MS: i64 = 1_700_000_000_000;

/// See the module doc.
pub(crate) struct Shop {
    random: u64,
    now_ms: i64,
    count: u64,
    sent: VecDeque<Stored>,
}

impl Shop {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: seed, now_ms: BEGIN_MS, count: 0, sent: VecDeque::new() }
    }

    /// The next `count` records.
    pub(crate) fn records(&mut self, count: u64) -> Vec<Stored> {
        (0..count).map(|_| self.record()).collect()
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn one_in(&mut self, of: u64) -> bool {
        self.draw(of) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.draw(from.len() as u64) as usize]
    }

    fn record(&mut self) -> Stored {
        self.count += 1;
        self.now_ms += self.draw(60_000) as i64;
        if self.count.is_multiple_of(BREAK_EVERY) {
            self.now_ms += 2 * DAY_MS;
        }
        // What is timed before this moment arrives at it.
        let append_time = TimestampMs(self.now_ms + self.draw(2_000) as i64);
        let stored = if self.sent.len() > 40 && self.one_in(40) {
            let again = self.draw(40) as usize;
            self.sent[again].clone()
        } else if self.one_in(80) {
            self.broken()
        } else {
            self.valid(append_time)
        };
        let record = Record { append_time, ..stored.record };
        let stored = Stored { record, ..stored };
        self.sent.push_front(stored.clone());
        self.sent.truncate(48);
        self.now_ms = append_time.0;
        stored
    }

    fn valid(&mut self, append_time: TimestampMs) -> Stored {
        let is_first_catalogue = self.count <= CATALOGUE;
        let event = if is_first_catalogue || self.one_in(12) {
            self.of_the_catalogue(is_first_catalogue)
        } else if self.one_in(6) {
            self.of_feedback()
        } else {
            self.of_a_user()
        };
        let (topic, mut event) = event;
        let has_id = !self.one_in(30);
        if has_id {
            event.insert("event_id".into(), json!(format!("e{}", self.count)));
        }
        if topic != Topic::ItemEvents && !self.one_in(30) {
            let timestamp = self.timestamp();
            event.insert("timestamp".into(), timestamp);
        }
        let key = ["user_id", "anonymous_id", "item_id"].iter().find_map(|name| event.get(*name));
        let key = key.and_then(Value::as_str).unwrap_or("").to_owned();
        let value = Bytes::from(Value::Object(event).to_string());
        let stored = stored(topic, &key, value, append_time);
        // Without an id of its own a record takes one from its place, which is not known here.
        if has_id && self.one_in(3) { as_protobuf(stored) } else { stored }
    }

    /// Mostly now, sometimes hours ago, seldom so long ago that it is late.
    fn timestamp(&mut self) -> Value {
        let ago = match self.draw(60) {
            0 => 3 * DAY_MS,
            1..5 => self.draw(56) as i64 * HOUR_MS,
            _ => 0,
        };
        let time = self.now_ms - ago;
        match self.draw(10) {
            0 => json!(TimestampMs(time).to_string()),
            1..4 => json!(time / 1_000),
            _ => json!(time),
        }
    }

    fn user(&mut self) -> u64 {
        self.draw(USERS).min(self.draw(USERS))
    }

    fn item_for(&mut self, user: u64) -> String {
        let each = ITEMS / KINDS;
        let kind = if self.one_in(4) { self.draw(KINDS) } else { user % KINDS };
        let within = self.draw(each).min(self.draw(each));
        format!("i{}", kind * each + within)
    }

    fn actor(&mut self) -> (u64, Map<String, Value>) {
        let user = self.user();
        let mut event = Map::new();
        let name = if user % 10 == 9 { "anonymous_id" } else { "user_id" };
        event.insert(name.into(), json!(format!("u{user}")));
        if self.one_in(2) {
            event.insert("session_id".into(), json!(format!("s{user}-{}", self.count / 500)));
        }
        (user, event)
    }

    fn of_a_user(&mut self) -> (Topic, Map<String, Value>) {
        let (user, mut event) = self.actor();
        let item = self.item_for(user);
        let event_type = match self.draw(60) {
            0..36 => "view",
            36..42 => "click",
            42..46 => "add_to_cart",
            46..48 => "remove_from_cart",
            48..51 => "purchase",
            51..53 => "search",
            53..56 => "dwell",
            56 => "custom.share",
            57 => "profile",
            58 => "merge",
            _ => "erase",
        };
        event.insert("event_type".into(), json!(event_type));
        match event_type {
            "search" => {
                event.insert("query".into(), json!(format!("q{}", self.draw(30))));
            }
            "profile" => {
                let group = self.pick(&["18-24", "25-34", "35-49"]);
                event.insert("profile".into(), json!({"age_group": group}));
            }
            "merge" | "erase" => {
                event.remove("session_id");
                event.insert("user_id".into(), json!(format!("u{user}")));
                if event_type == "merge" {
                    event.insert("anonymous_id".into(), json!(format!("u{}", user / 10 * 10 + 9)));
                }
            }
            "purchase" => {
                let items: Vec<String> =
                    (0..1 + self.draw(4)).map(|_| self.item_for(user)).collect();
                event.insert("items".into(), json!(items));
            }
            _ => {
                event.insert("item_id".into(), json!(item));
            }
        }
        if event_type == "dwell" {
            event.insert("dwell_time_ms".into(), json!(self.draw(20_000)));
        }
        (Topic::UserEvents, event)
    }

    fn of_feedback(&mut self) -> (Topic, Map<String, Value>) {
        let (user, mut event) = self.actor();
        let event_type = self.pick(&["impression", "rate", "rate", "like", "dislike", "skip"]);
        event.insert("event_type".into(), json!(event_type));
        if event_type == "impression" {
            let items: Vec<String> = (0..5).map(|_| self.item_for(user)).collect();
            event.insert("items".into(), json!(items));
            event.insert("recommendation_id".into(), json!(format!("r{}", self.count)));
        } else {
            event.insert("item_id".into(), json!(self.item_for(user)));
        }
        if event_type == "rate" {
            event.insert("rating".into(), json!(self.draw(11) as f64 / 2.0));
        }
        (Topic::Feedback, event)
    }

    fn of_the_catalogue(&mut self, is_first: bool) -> (Topic, Map<String, Value>) {
        let item = if is_first { self.count } else { self.draw(ITEMS) };
        let mut event = Map::new();
        event.insert("item_id".into(), json!(format!("i{item}")));
        if !is_first && self.one_in(6) {
            event.insert("event_type".into(), json!("item_delete"));
            return (Topic::ItemEvents, event);
        }
        event.insert("event_type".into(), json!("item_upsert"));
        let kind = if self.one_in(5) { self.draw(KINDS) } else { item / (ITEMS / KINDS) };
        let mut document = json!({"title": format!("Item {item}"), "category": format!("k{kind}")});
        if self.one_in(3) {
            document["category"] = json!([format!("k{kind}"), "sale", format!("k{kind} > new")]);
        }
        if !self.one_in(4) {
            document["brand"] = json!(format!("b{}", item % 12));
        }
        if !self.one_in(4) {
            document["price"] = json!(self.draw(10_000) as f64 / 100.0);
        }
        event.insert("item".into(), document);
        (Topic::ItemEvents, event)
    }

    fn broken(&mut self) -> Stored {
        let user = format!("u{}", self.user());
        let topic = Topic::INPUTS[self.draw(3) as usize];
        let ahead = self.now_ms + HOUR_MS;
        let value = match self.draw(6) {
            0 => Bytes::from_static(b"{broken"),
            1 => Bytes::from_static(&[0xff, 0xfe, 0x00, 0x7b]),
            2 => Bytes::new(),
            3 => Bytes::from(format!(r#"{{"event_type":"view","user_id":"{user}"}}"#)),
            4 => Bytes::from(format!(
                r#"{{"event_type":"view","user_id":"{user}","item_id":"i1","timestamp":{ahead}}}"#
            )),
            _ => Bytes::from_static(br#"{"event_type":"item_delete","item_id":"i{1}"}"#),
        };
        stored(topic, &user, value, TimestampMs(self.now_ms))
    }
}

fn stored(topic: Topic, key: &str, value: Bytes, append_time: TimestampMs) -> Stored {
    let partitions = match topic {
        Topic::UserEvents => 4,
        Topic::Feedback => 2,
        Topic::ItemEvents | Topic::Bindings | Topic::Deltas | Topic::Digests => 1,
    };
    let partition = partition_for(key.as_bytes(), partitions);
    let key = Bytes::copy_from_slice(key.as_bytes());
    let record = Record { append_time, key, value, headers: Vec::new(), erased: None };
    Stored { at: TopicPartition { topic, partition }, record }
}

/// The same event as the door would append it.
fn as_protobuf(stored: Stored) -> Stored {
    let event = decode_record(stored.at, 0, &stored.record).expect("the shop writes valid JSON");
    let headers = vec![(CONTENT_TYPE.to_owned(), Bytes::from_static(PROTOBUF))];
    let record = Record { value: encode_event(&event), headers, ..stored.record };
    Stored { at: stored.at, record }
}
