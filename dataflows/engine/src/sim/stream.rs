//! What simulated producers send: a small seeded stream with everything that can be wrong in it,
//! and what it is known to be, so that the oracle need not decode it.

use bytes::Bytes;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::Append;
use eddyline_connect::sim::Dice;
use eddyline_schemas::time::{DAY_MS, MINUTE_MS};
use eddyline_schemas::topic::{Topic, TopicPartition, partition_for};

/// Event time of the first event.
pub(super) const BEGIN_MS: i64 = 1_700_000_000_000;

/// A record, and what it is. Equal values are the same event.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) append: Append,
    pub(super) meaning: Meaning,
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A valid event of this event time.
    Event(i64),
    /// The validator refuses it.
    Broken,
}

/// The batches that are to be sent, in order.
pub(super) fn batches(dice: &mut Dice, layout: LogLayout, records: u64) -> Vec<Vec<Planned>> {
    let mut sent: Vec<Planned> = Vec::new();
    let mut batches: Vec<Vec<Planned>> = Vec::new();
    let mut left = 0;
    for number in 0..records {
        let planned = match sent.len() as u64 {
            many @ 1.. if dice.one_in(12) => sent[dice.below(many) as usize].clone(),
            _ => one(dice, layout, number),
        };
        sent.push(planned.clone());
        if left == 0 {
            left = 1 + dice.below(8);
            batches.push(Vec::new());
        }
        left -= 1;
        batches.last_mut().expect("one was just pushed").push(planned);
    }
    batches
}

fn one(dice: &mut Dice, layout: LogLayout, number: u64) -> Planned {
    let user = format!("u{}", dice.below(9).min(dice.below(9)));
    let item = format!("i{}", dice.below(12).min(dice.below(12)));
    let is_late = dice.one_in(25);
    let time = BEGIN_MS + number as i64 * MINUTE_MS - if is_late { 3 * DAY_MS } else { 0 };
    let meaning = Meaning::Event(time);
    let of_user = |event_type: &str, more: &str| {
        format!(
            r#"{{"event_id":"e{number}","event_type":"{event_type}","user_id":"{user}","timestamp":{time}{more}}}"#
        )
    };
    let about = format!(r#","item_id":"{item}""#);
    let (topic, value, meaning) = match dice.below(20) {
        0 => (Topic::UserEvents, format!(r#"{{"broken":{number}"#), Meaning::Broken),
        1 | 2 => {
            let kind = dice.below(3);
            let value = format!(
                r#"{{"event_id":"c{number}","event_type":"item_upsert","item_id":"{item}","item":{{"title":"Item {item}","category":"k{kind}"}}}}"#
            );
            (Topic::ItemEvents, value, meaning)
        }
        3 => (Topic::UserEvents, of_user("erase", ""), meaning),
        4 => (Topic::Feedback, of_user("rate", &format!(r#"{about},"rating":4"#)), meaning),
        5 | 6 => (Topic::Feedback, of_user("like", &about), meaning),
        7 | 8 => (Topic::UserEvents, of_user("click", &about), meaning),
        9 => {
            let more = format!(r#","items":["{item}","i{}"]"#, dice.below(12));
            (Topic::UserEvents, of_user("purchase", &more), meaning)
        }
        _ => (Topic::UserEvents, of_user("view", &about), meaning),
    };
    let key = if topic == Topic::ItemEvents { item } else { user };
    let partition = partition_for(key.as_bytes(), layout.partitions(topic));
    let append = Append {
        partition: TopicPartition { topic, partition },
        key: Bytes::from(key),
        value: Bytes::from(value),
        headers: Vec::new(),
    };
    Planned { append, meaning }
}
