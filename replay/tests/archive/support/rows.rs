//! Rows of every kind, drawn by a counter: the same ones every time.

use bytes::Bytes;
use eddyline_replay::archive::ArchivedRow;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Record;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::Topic;

/// SplitMix64, by S. Vigna.
pub(crate) struct Draws(pub(crate) u64);

impl Draws {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Values that a topic may hold, valid or not.
fn value(topic: Topic, draws: &mut Draws) -> Vec<u8> {
    let (user, item, n) = (draws.below(50), draws.below(20), draws.below(1_000));
    let text = match (topic, draws.below(8)) {
        (_, 0) => return (0..draws.below(40)).map(|_| draws.next() as u8).collect(),
        (_, 1) => String::new(),
        (Topic::UserEvents, 2) => format!(
            r#"{{"event_type":"purchase","user_id":"ü{user}","items":["i{item}","j{n}"],"price":{n}.5,"currency":"EUR","quantity":2}}"#
        ),
        (Topic::UserEvents, _) => format!(
            r#"{{"event_type":"view","user_id":"u{user}","item_id":"i{item}","session_id":"s{n}","timestamp":{},"context":{{"device":"phone","location":"{n}"}},"more":[{n}]}}"#,
            1_700_000_000 + n
        ),
        (Topic::Feedback, _) => format!(
            r#"{{"event_type":"rate","anonymous_id":"a{user}","item_id":"i{item}","rating":4.5,"event_id":"e{n}","recommendation_id":"r","position":{item},"timestamp":1700000000}}"#
        ),
        _ => format!(
            r#"{{"event_type":"item_upsert","item_id":"i{item}","item":{{"title":"{n}","tags":["a"]}}}}"#
        ),
    };
    text.into_bytes()
}

/// So many rows, with holes between offsets and some erased if asked for.
pub(crate) fn rows(topic: Topic, seed: u64, count: u64, erased: bool) -> Vec<ArchivedRow> {
    let mut draws = Draws(seed);
    let (mut offset, mut epoch) = (0, 1);
    let one = |_| {
        let headers = (0..draws.below(3))
            .map(|at| (format!("h{at}é"), Bytes::from(vec![at as u8; draws.below(5) as usize])));
        let headers = headers.collect();
        let record = Record {
            append_time: TimestampMs(1_700_000_000_000 + draws.below(1 << 30) as i64),
            key: Bytes::from(format!("k{}", draws.below(9)).repeat(draws.below(2) as usize)),
            value: Bytes::from(value(topic, &mut draws)),
            headers,
            erased: None,
        };
        let row = ArchivedRow::new(offset, Epoch(epoch), record);
        offset += 1 + draws.below(8) / 7;
        epoch += draws.below(30) / 29;
        if erased && draws.below(5) == 0 { row.erased() } else { row }
    };
    (0..count).map(one).collect()
}
