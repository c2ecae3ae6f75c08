//! What is written as JSON is read as the event that it was.

use eddyline_schemas::codec::{decode_event, encode_event, event_json};
use eddyline_schemas::event::{Event, IdOrigin};
use proptest::prelude::{ProptestConfig, prop_assert_eq, proptest};

use crate::arbitrary::any_event;
use crate::cases::{self, NOW, decode};

fn written_again(event: &Event) -> Event {
    let text = event_json(event, NOW);
    assert!(!text.contains('\n'), "one line: {text}");
    decode(text.as_bytes()).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"))
}

/// The event as it is read again: with a time, and with an id that was given.
fn as_sent(event: Event) -> Event {
    let timestamp = event.timestamp.or(Some(NOW));
    Event { timestamp, id_origin: IdOrigin::Producer, ..event }
}

#[test]
fn the_table_of_valid_events_is_written_and_read() {
    for case in cases::valid() {
        let event = decode(case.text().as_bytes()).expect("it is valid");
        // As it lies on the log.
        let event = decode_event(&encode_event(&event)).expect("what was written can be read");
        assert_eq!(written_again(&event), as_sent(event), "{}", case.name);
    }
}

#[test]
fn members_that_nobody_knows_are_kept_as_they_were_written() {
    let text = r#"{"event_type":"item_upsert","item_id":"i","big":123456789012345678901234567890,
        "item":{"title":"t","x":1.10,"y":{"a":[null]}},"z\n":"\u00e9"}"#;
    let event = decode(text.as_bytes()).expect("it is valid");
    let written = event_json(&event, NOW);
    for kept in ["\"big\":123456789012345678901234567890", "\"x\":1.10", "\"z\\n\":\"\\u00e9\""] {
        assert!(written.contains(kept), "{kept} in {written}");
    }
    assert_eq!(written_again(&event), as_sent(event));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_event_is_written_and_read(json in any_event()) {
        let event = decode(json.to_string().as_bytes()).expect("it is valid");
        prop_assert_eq!(written_again(&event), as_sent(event));
    }
}
