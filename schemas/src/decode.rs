//! The one validator: from bytes to [`Event`] or to a [`Refusal`] that names the place and the
//! reason. The door asks it before an event is appended, the dataflow asks it again of every
//! record on the log, for others can write there.
//!
//! Rules that no type tells:
//! * JSON is read in one pass into typed members; `null` is absence, a member given twice is
//!   refused, unknown members are kept as text ([`Event::unknown`]) and may nest 32 levels.
//! * A whole number may be written `5.0`; −0.0 becomes +0.0; a number beyond f64 is refused.
//! * `timestamp` is at most 10 minutes ahead of the clock given: wall clock at the door, append
//!   time on the log.
//! * An id the producer left out is made by [`IdAssigner`] at the door. On the log an event with
//!   a timestamp has occurrence number 0, and one without takes its id from its place, so that
//!   every reader of the log makes the same id.
//! * In `{"events": […]}` other members of the envelope are ignored.

mod check;
mod draft;
mod event_type;
mod ids;
mod json;
mod locate;
mod refusal;
mod request;
mod required;
mod scalar;
mod unknown;

pub use check::{
    MAX_AHEAD_MS, MAX_AMOUNT, MAX_ENTRIES, MAX_ITEM_ENTRIES, MAX_ITEMS, MAX_NAME_BYTES, MAX_RATING,
    MAX_TEXT_BYTES,
};
pub use event_type::{CUSTOM_PREFIX, MAX_TYPE_BYTES};
pub use ids::IdAssigner;
pub use refusal::{Refusal, RefusalKind, RequestRefusal};
pub use request::{BodyKind, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, decode_request};

pub(crate) use check::{When, check_draft};
pub(crate) use draft::{Draft, DraftItem, RawTime, Unknown};

use crate::event::{Event, IdOrigin};
use crate::record::{Offset, Record};
use crate::time::TimestampMs;
use crate::topic::TopicPartition;

/// The JSON Schema of an event (draft 2020-12), for producers and for the API's documentation.
pub const EVENT_SCHEMA: &str = include_str!("../json/event.schema.json");

/// Largest event as JSON.
pub const MAX_EVENT_BYTES: usize = 32 * 1024;
/// Largest event as protobuf: more than JSON of [`MAX_EVENT_BYTES`] can become.
pub const MAX_PROTOBUF_BYTES: usize = 40 * 1024;

/// Reads one event. `now` bounds its timestamp; `ids` makes its id if it has none.
pub fn decode_json_event(
    text: &[u8],
    now: TimestampMs,
    ids: &mut IdAssigner<'_>,
) -> Result<Event, Refusal> {
    let (mut event, id_given) = decode_json(text, now)?;
    if !id_given {
        ids.assign(&mut event);
    }
    Ok(event)
}

/// Reads a record of an input topic as it lies on the log.
pub fn decode_record(
    at: TopicPartition,
    offset: Offset,
    record: &Record,
) -> Result<Event, Refusal> {
    let (mut event, id_given) = if record.is_protobuf() {
        let mut draft = crate::codec::draft_of(&record.value)?;
        check_draft(&mut draft, When::Near(record.append_time))?
    } else {
        decode_json(&record.value, record.append_time)?
    };
    if event.event_type.topic() != at.topic {
        return Err(wrong_topic(at, &event, id_given));
    }
    if !id_given {
        event.event_id = match event.id_origin {
            IdOrigin::Random => ids::located(at, offset),
            IdOrigin::Producer | IdOrigin::Derived => ids::derived(&event, 0),
        };
    }
    Ok(event)
}

fn decode_json(text: &[u8], now: TimestampMs) -> Result<(Event, bool), Refusal> {
    let refused =
        |kind, detail| Err(Refusal { kind, pointer: String::new(), detail, event_id: None });
    if text.len() > MAX_EVENT_BYTES {
        let detail =
            format!("an event must be at most {MAX_EVENT_BYTES} bytes, got {}", text.len());
        return refused(RefusalKind::TooLarge, detail);
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let detail = format!("not UTF-8 after {} bytes", error.valid_up_to());
            return refused(RefusalKind::MalformedJson, detail);
        }
    };
    let mut draft = json::read_draft(text).map_err(|bad| bad.of(json::event_id_of(text)))?;
    check_draft(&mut draft, When::Near(now))
}

fn wrong_topic(at: TopicPartition, event: &Event, id_given: bool) -> Refusal {
    let (name, home) = (event.event_type.name(), event.event_type.topic());
    Refusal {
        kind: RefusalKind::WrongTopic,
        pointer: "/event_type".to_owned(),
        detail: format!("{name} belongs to topic {home}, not to {}", at.topic),
        event_id: id_given.then(|| event.event_id.as_str().to_owned()),
    }
}
