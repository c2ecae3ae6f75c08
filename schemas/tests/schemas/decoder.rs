//! The decoder: the table's verdicts, identity through protobuf, and no panic on anything.

use eddyline_schemas::codec::{decode_event, encode_event};
use eddyline_schemas::decode::{MAX_EVENT_BYTES, RefusalKind, decode_record};
use eddyline_schemas::event::IdOrigin;
use eddyline_schemas::record::{CONTENT_TYPE, PROTOBUF, Record};
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};
use proptest::sample::Index;

use crate::arbitrary::{any_event, any_json};
use crate::cases::{self, NOW, decode};

#[test]
fn the_table_of_valid_events_is_accepted() {
    for case in cases::valid() {
        let event = decode(case.text().as_bytes())
            .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", case.name));
        let again = decode_event(&encode_event(&event))
            .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", case.name));
        assert_eq!(event, again, "{}", case.name);
    }
}

#[test]
fn the_table_of_bad_events_is_refused_with_kind_and_place() {
    for case in cases::refused() {
        let Err(refusal) = decode(case.text().as_bytes()) else {
            panic!("{} was accepted", case.name);
        };
        let got = (refusal.kind.slug(), refusal.pointer.as_str());
        assert_eq!(got, (case.kind.as_str(), case.pointer.as_str()), "{}: {refusal}", case.name);
        assert!(!refusal.detail.is_empty(), "{} has a reason", case.name);
    }
}

#[test]
fn refusals_read_well() {
    let check = |text: &str, want: &str| {
        let refusal = decode(text.as_bytes()).expect_err("the event is bad");
        assert_eq!(refusal.to_string(), want);
    };
    check(r#"{"event_type":5}"#, "event_type must be text, got integer `5`");
    check(
        r#"{"event_type":"rate","user_id":"u","item_id":"i","rating":11}"#,
        "rating must be from 0 to 10, got 11",
    );
    check(r#"{"event_type":"view","items":["a",["b"]]}"#, "items must be text, got sequence");
    check(r#"{"event_type":"rate"}"#, "rate needs user_id or anonymous_id");
    check("[1]", "an event must be a JSON object, got sequence");
    check("{\n \"a\" 1}", "not JSON: expected `:` at line 2, column 6");
}

#[test]
fn a_refusal_names_the_event_even_if_its_id_comes_last() {
    let text = br#"{"event_type":"view","user_id":7,"event_id":"last"}"#;
    let refusal = decode(text).expect_err("user_id is a number");
    assert_eq!(refusal.event_id.as_deref(), Some("last"));
}

#[test]
fn unknown_members_are_kept_in_order_and_counted() {
    let text =
        br#"{"z": 1e3, "event_type":"item_upsert","item_id":"i","a":null,"item":{"b":[ 1 ]}}"#;
    let event = decode(text).expect("valid");
    assert_eq!(event.unknown.as_deref(), Some(r#"{"z":1e3,"a":null,"item":{"b":[ 1 ]}}"#));
    assert_eq!(event.unknown_members(), 3);
    let known = decode(br#"{"event_type":"erase","user_id":"u"}"#).expect("valid");
    assert_eq!((known.unknown.as_deref(), known.unknown_members()), (None, 0));
}

#[test]
fn the_largest_event_fits_into_protobuf() {
    let entries = |count: usize| -> String {
        let list: Vec<String> = (0..count).map(|at| format!(r#""{at}":9e15"#)).collect();
        list.join(",")
    };
    let head = format!(
        r#"{{"event_type":"item_upsert","item_id":"i","context":{{{}}},"profile":{{{}}},"item":{{"attributes":{{{}}}}},"x":""#,
        entries(32),
        entries(32),
        entries(64)
    );
    let text = format!("{head}{}\"}}", "x".repeat(MAX_EVENT_BYTES - head.len() - 2));
    assert_eq!(text.len(), MAX_EVENT_BYTES);
    let event = decode(text.as_bytes()).expect("valid");
    assert_eq!(decode_event(&encode_event(&event)), Ok(event));
}

#[test]
fn an_event_is_at_most_32_kib() {
    let text = |bytes: usize| {
        let event = r#"{"event_type":"view","user_id":"u","item_id":"i","x":""}"#;
        event.replace(r#""x":"""#, &format!(r#""x":"{}""#, "x".repeat(bytes - event.len())))
    };
    assert!(decode(text(32 * 1024).as_bytes()).is_ok());
    let refusal = decode(text(32 * 1024 + 1).as_bytes()).expect_err("one byte too many");
    assert_eq!(refusal.kind, RefusalKind::TooLarge);
}

fn record(value: &[u8], headers: Vec<(String, bytes::Bytes)>) -> Record {
    let (key, value) = (bytes::Bytes::new(), bytes::Bytes::copy_from_slice(value));
    Record { append_time: NOW, key, value, headers, erased: None }
}

fn protobuf(value: &[u8]) -> Record {
    record(value, vec![(CONTENT_TYPE.to_owned(), bytes::Bytes::from_static(PROTOBUF))])
}

const AT: TopicPartition = TopicPartition { topic: Topic::UserEvents, partition: 3 };

#[test]
fn the_log_is_read_by_the_same_rules() {
    let json = br#"{"event_type":"view","user_id":"u","item_id":"i","timestamp":1772366400}"#;
    let event = decode_record(AT, 7, &record(json, vec![])).expect("valid");
    assert_eq!(event, decode(json).expect("valid"));
    assert_eq!(event.id_origin, IdOrigin::Derived);
    let again = decode_record(AT, 8, &protobuf(&encode_event(&event))).expect("valid");
    assert_eq!(event, again);

    let mut late = record(json, vec![]);
    late.append_time = TimestampMs(NOW.0 - 600_001);
    let refusal = decode_record(AT, 7, &late).expect_err("too far ahead of its append time");
    assert_eq!(refusal.kind, RefusalKind::TimestampOutOfRange);

    let feedback = TopicPartition { topic: Topic::Feedback, partition: 0 };
    let refusal = decode_record(feedback, 7, &record(json, vec![])).expect_err("another topic");
    assert_eq!((refusal.kind, &*refusal.pointer), (RefusalKind::WrongTopic, "/event_type"));
}

#[test]
fn an_event_without_id_and_time_is_known_by_its_place() {
    let json = record(br#"{"event_type":"view","user_id":"u","item_id":"i"}"#, vec![]);
    let event = decode_record(AT, 7, &json).expect("valid");
    assert_eq!(event.id_origin, IdOrigin::Random);
    assert_eq!(event, decode_record(AT, 7, &json).expect("valid"));
    let elsewhere = decode_record(AT, 8, &json).expect("valid");
    assert_ne!(event.event_id, elsewhere.event_id);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn json_to_event_to_protobuf_and_back_is_identity(json in any_event()) {
        let event = decode(json.to_string().as_bytes());
        prop_assert!(event.is_ok(), "{json}: {event:?}");
        let event = event.expect("just checked");
        let bytes = encode_event(&event);
        let again = decode_event(&bytes).expect("what was written can be read");
        prop_assert_eq!(&again, &event);
        prop_assert_eq!(encode_event(&again), bytes);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
        let _ = decode(&bytes);
        let _ = decode_event(&bytes);
        let _ = decode_record(AT, 0, &protobuf(&bytes));
    }

    #[test]
    fn any_json_is_read_or_refused(json in any_json()) {
        let _ = decode(json.to_string().as_bytes());
    }

    #[test]
    fn a_truncated_event_is_refused(json in any_event(), cut in any::<Index>()) {
        let text = json.to_string();
        let cut = cut.index(text.len());
        prop_assert!(decode(&text.as_bytes()[..cut]).is_err());
    }

    #[test]
    fn a_changed_byte_is_read_or_refused(
        json in any_event(),
        at in any::<Index>(),
        byte in any::<u8>(),
    ) {
        let mut text = json.to_string().into_bytes();
        let event = decode(&text).expect("valid before the change");
        let at_text = at.index(text.len());
        text[at_text] = byte;
        let _ = decode(&text);

        let mut wire = encode_event(&event).to_vec();
        let at_wire = at.index(wire.len());
        wire[at_wire] = byte;
        if let Ok(event) = decode_event(&wire) {
            // What was accepted after all is a valid event: it survives another round.
            prop_assert_eq!(decode_event(&encode_event(&event)).expect("valid"), event);
        }
        let _ = decode_event(&wire[..at_wire]);
    }
}
