//! The published JSON Schema and the decoder give the same verdict wherever a schema can.

use eddyline_schemas::decode::EVENT_SCHEMA;
use eddyline_schemas::event::EventType;
use serde_json::{Value, json};

use crate::cases::{self, decode};

fn validator() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(EVENT_SCHEMA).expect("the schema is JSON");
    jsonschema::draft202012::new(&schema).expect("the schema is a schema")
}

#[test]
fn schema_and_decoder_agree_on_the_table() {
    let validator = validator();
    for case in cases::valid() {
        let event: Value = serde_json::from_str(case.text()).expect("the case is JSON");
        let errors: Vec<String> = validator.iter_errors(&event).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", case.name);
    }
    for case in cases::refused().iter().filter(|case| !case.is_about_text()) {
        let event: Value = serde_json::from_str(case.text()).expect("the case is JSON");
        let expressible = case.beyond_schema.is_none();
        assert_eq!(!validator.is_valid(&event), expressible, "{}", case.name);
    }
}

/// Every member in turn is absent, null, and of each JSON type, for every event type.
#[test]
fn schema_and_decoder_agree_on_types_of_members() {
    let validator = validator();
    let full = json!({
        "event_id": "e", "user_id": "u", "anonymous_id": "a", "session_id": "s", "item_id": "i",
        "timestamp": 1_772_366_400, "value": 1, "rating": 3, "dwell_time_ms": 4, "price": 5,
        "currency": "EUR", "quantity": 1, "query": "q", "recommendation_id": "r", "position": 1,
        "context": {"device": "phone"}, "profile": {"age_group": "x"}, "item": {"title": "t"},
    });
    let members: Vec<String> =
        full.as_object().expect("an object").keys().cloned().chain(["items".into()]).collect();
    let others = [
        json!(null),
        json!(true),
        json!(2),
        json!(0.5),
        json!("EUR"),
        json!([]),
        json!(["i"]),
        json!([[]]),
        json!({}),
        json!({"k": [1]}),
        json!({"title": 1}),
    ];
    let agree = |event: &Value| {
        let decoded = decode(event.to_string().as_bytes());
        assert_eq!(decoded.is_ok(), validator.is_valid(event), "{event}: {decoded:?}");
    };
    for event_type in EventType::BUILT_IN.iter().map(EventType::name).chain(["custom.x"]) {
        for member in &members {
            let mut event = full.clone();
            event["event_type"] = json!(event_type);
            for other in &others {
                event[member] = other.clone();
                agree(&event);
            }
            event.as_object_mut().expect("an object").remove(member);
            agree(&event);
        }
    }
}

#[test]
fn the_schema_knows_every_built_in_type() {
    let schema: Value = serde_json::from_str(EVENT_SCHEMA).expect("the schema is JSON");
    let listed = schema.pointer("/properties/event_type/anyOf/0/enum").expect("the list of types");
    let names: Vec<&str> = EventType::BUILT_IN.iter().map(EventType::name).collect();
    assert_eq!(*listed, json!(names));
}
