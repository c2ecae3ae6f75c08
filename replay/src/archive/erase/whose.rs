//! Whether a record is a user's: all of a valid event's fields are looked at, and of what the
//! validator refuses, what it would have said.
//!
//! A refused record that does not even read as JSON is a user's when their id stands in it as a
//! text would: rather one dead letter too many than a name that stays.

use eddyline_schemas::decode::decode_record;
use eddyline_schemas::event::Event;
use eddyline_schemas::id::UserId;
use eddyline_schemas::record::{Offset, Record};
use eddyline_schemas::topic::{Topic, TopicPartition};
use serde_json::Value;

/// Members of an event that name its user.
const NAMES: [&str; 2] = ["user_id", "anonymous_id"];

/// A user, ready to be looked for.
pub(super) struct Whose<'a> {
    id: &'a str,
    /// As a JSON text.
    quoted: String,
    /// As a text of a protobuf message: its length in front.
    sized: Vec<u8>,
}

impl<'a> Whose<'a> {
    pub(super) fn new(user: &'a UserId) -> Self {
        let id = user.as_str();
        let quoted = Value::from(id).to_string();
        Self { id, quoted, sized: sized(id) }
    }

    /// See the module doc.
    pub(super) fn is(&self, at: TopicPartition, offset: Offset, record: &Record) -> bool {
        let is_key = record.key == self.id.as_bytes();
        // A catalogue record is keyed by its item, which may have the same name.
        if is_key && at.topic != Topic::ItemEvents {
            return true;
        }
        if !is_key && !self.may_be_in(&record.value) {
            return false;
        }
        match decode_record(at, offset, record) {
            Ok(event) => self.is_of(&event),
            Err(_) => is_key || self.is_of_refused(&record.value),
        }
    }

    fn is_of(&self, event: &Event) -> bool {
        let names = [&event.user_id, &event.anonymous_id];
        names.into_iter().flatten().any(|name| name.as_str() == self.id)
    }

    fn is_of_refused(&self, value: &[u8]) -> bool {
        match serde_json::from_slice::<Value>(value) {
            Ok(value) => NAMES.iter().any(|name| match &value[*name] {
                Value::String(text) => text.trim() == self.id,
                Value::Number(number) => number.to_string() == self.id,
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => false,
            }),
            Err(_) => contains(value, &self.sized) || contains(value, self.quoted.as_bytes()),
        }
    }

    /// False only where no reading of the bytes gives the id: JSON may write any letter as an
    /// escape.
    fn may_be_in(&self, value: &[u8]) -> bool {
        value.contains(&b'\\') || contains(value, self.id.as_bytes())
    }
}

fn sized(id: &str) -> Vec<u8> {
    // Ids are of at most 128 bytes: one or two bytes of a varint.
    let length = id.len();
    let mut bytes = match u8::try_from(length) {
        Ok(length) if length < 0x80 => vec![length],
        _ => vec![(length & 0x7f) as u8 | 0x80, (length >> 7) as u8],
    };
    bytes.extend_from_slice(id.as_bytes());
    bytes
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eddyline_schemas::codec::encode_event;
    use eddyline_schemas::record::{CONTENT_TYPE, PROTOBUF};
    use eddyline_schemas::time::TimestampMs;

    use super::*;

    const AT: TopicPartition = TopicPartition { topic: Topic::UserEvents, partition: 0 };

    fn record(key: &str, value: impl Into<Bytes>) -> Record {
        let (append_time, key) = (TimestampMs(1_700_000_000_000), Bytes::from(key.to_owned()));
        Record { append_time, key, value: value.into(), headers: Vec::new(), erased: None }
    }

    fn is(id: &str, at: TopicPartition, record: &Record) -> bool {
        Whose::new(&UserId::new(id).expect("a valid id")).is(at, 0, record)
    }

    #[test]
    fn a_user_is_known_by_every_name_and_nobody_else_is() {
        let check = |id: &str, key: &str, value: &str, want: bool| {
            let record = record(key, value.to_owned());
            assert_eq!(is(id, AT, &record), want, "{id} in {key:?} {value}");
        };
        let view = r#"{"event_type":"view","item_id":"i","user_id":"u1"}"#;
        check("u1", "", view, true);
        check("u1", "u1", "{}", true);
        check("u1", "u1", "\u{1}", true);
        check("u", "", view, false);
        check("i", "", view, false);
        check("view", "", view, false);
        let both = r#"{"event_type":"view","item_id":"i","user_id":"u1","anonymous_id":"a"}"#;
        check("u1", "", both, true);
        check("a", "", both, true);
        // Refused: of no type, of no item, a number for a name, cut off.
        check("u1", "", r#"{"event_type":"nonsense","user_id":"u1"}"#, true);
        check("u1", "", r#"{"event_type":"view","user_id":"u1"}"#, true);
        check("u1", "", r#"{"event_type":"view","anonymous_id":"u1"}"#, true);
        check("17", "", r#"{"event_type":"view","user_id":17}"#, true);
        check("u1", "", r#"{"event_type":"view","user_id":"u1","#, true);
        check("u1", "", r#"{"event_type":"view","user_id":"u12","#, false);
        check("u1", "", r#"{"event_type":"view","query":"u1"}"#, false);
        check("é", "", r#"{"event_type":"view","user_id":"\u00e9"}"#, true);
        check("a\"b", "", r#"{"event_type":"view","item_id":"i","user_id":"a\"b"}"#, true);
        check("a\"b", "", r#"{"event_type":"view","user_id":"a\"b","#, true);
    }

    #[test]
    fn an_item_of_the_same_name_is_no_user() {
        let at = TopicPartition { topic: Topic::ItemEvents, partition: 0 };
        let item = r#"{"event_type":"item_upsert","item_id":"u1","item":{}}"#;
        assert!(!is("u1", at, &record("u1", item)));
        assert!(is("u1", at, &record("u1", "{}")), "of no item");
        let lost = r#"{"event_type":"view","item_id":"i","user_id":"u1"}"#;
        assert!(is("u1", at, &record("", lost)), "a user's event in the wrong topic");
    }

    #[test]
    fn refused_protobuf_is_known_by_its_text() {
        let json = record("", r#"{"event_type":"view","item_id":"i","user_id":"u1"}"#.to_owned());
        let event = decode_record(AT, 0, &json).expect("a valid event");
        let mut value = encode_event(&event).to_vec();
        let headers = vec![(CONTENT_TYPE.to_owned(), Bytes::from_static(PROTOBUF))];
        let whole =
            Record { value: value.clone().into(), headers: headers.clone(), ..json.clone() };
        assert!(is("u1", AT, &whole) && !is("u", AT, &whole));
        value.extend_from_slice(b"\xff\xff");
        let broken = Record { value: value.into(), headers, ..json };
        decode_record(AT, 0, &broken).expect_err("it is cut off");
        assert!(is("u1", AT, &broken) && !is("u", AT, &broken));
    }

    #[test]
    fn long_ids_have_a_length_of_two_bytes() {
        assert_eq!(sized("u1"), b"\x02u1");
        assert_eq!(sized(&"x".repeat(128))[..3], [0x80, 1, b'x']);
    }
}
