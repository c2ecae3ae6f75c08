//! Arbitrary JSON: valid events with many members, and anything at all.

use eddyline_schemas::event::EventType;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::Union;
use serde_json::{Map, Value, json};

fn id() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z0-9_.:/%-]{1,40}", "[^\\s\\p{Cc}{}]([^\\p{Cc}{}]{0,20}[^\\s\\p{Cc}{}])?",]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        ".{0,40}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        proptest::num::f64::NORMAL.prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ]
}

fn entries() -> impl Strategy<Value = Value> {
    btree_map(".{0,10}", scalar(), 0..6).prop_map(|map| json!(map))
}

fn amount() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..1e15, Just(-0.0), Just(0.1), (0_u32..9).prop_map(f64::from)]
}

/// Any JSON, nested a few levels.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let name = Union::new([
        Just("event_type").prop_map(String::from).boxed(),
        "(user_id|items|item|context|timestamp|rating|unknown)".boxed(),
        ".{0,6}".boxed(),
    ]);
    let leaf =
        prop_oneof![scalar(), (0..17_usize).prop_map(|at| json!(EventType::BUILT_IN[at].name()))];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(name.clone(), inner, 0..6).prop_map(|map| json!(map)),
        ]
    })
}

fn item() -> impl Strategy<Value = Value> {
    let labels = vec("[^\\p{Cc}]{1,12}", 0..4);
    let text = || option::of(".{0,20}");
    (text(), labels, option::of(amount()), option::of(any::<bool>()), entries(), any_json())
        .prop_map(|(title, labels, price, in_stock, attributes, extra)| {
            json!({"title": title, "category": labels, "tags": labels, "price": price,
                   "in_stock": in_stock, "attributes": attributes, "x_extra": extra})
        })
}

fn time() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0..1_772_366_400_i64).prop_map(Value::from),
        (100_000_000_000..1_772_366_400_000_i64).prop_map(Value::from),
        (0..1_772_366_400_000_i64)
            .prop_map(|ms| { Value::from(eddyline_schemas::time::TimestampMs(ms).to_string()) }),
        Just(Value::Null),
    ]
}

fn event_type() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (0..17_usize).prop_map(|at| EventType::BUILT_IN[at].name().to_owned()),
        1 => "custom\\.[a-z0-9_.]{1,57}",
    ]
}

/// A valid event: every member that some type needs is there, the others are now and then.
pub(crate) fn any_event() -> impl Strategy<Value = Value> {
    let ids = (option::of(id()), id(), id(), option::of(id()), vec(id(), 1..5), option::of(id()));
    let numbers = (0.0..=10.0_f64, 0_u64..1 << 53, option::of(amount()), 1_u32..u32::MAX);
    let documents = (entries(), item(), any_json());
    (event_type(), ids, numbers, documents, time(), ".{0,60}").prop_map(
        |(event_type, ids, numbers, (context, item, extra), timestamp, query)| {
            let (event_id, user_id, anonymous_id, session_id, mut items, recommendation_id) = ids;
            let (rating, dwell_time_ms, price, position) = numbers;
            if event_type.starts_with("item_") {
                items.truncate(1);
            }
            let profile = json!({"age_group": "25-34", "n": 3});
            let event = json!({
                "event_type": event_type, "event_id": event_id, "user_id": user_id,
                "anonymous_id": anonymous_id, "session_id": session_id, "items": items,
                "recommendation_id": recommendation_id, "rating": rating,
                "dwell_time_ms": dwell_time_ms, "price": price, "value": price, "quantity": price,
                "currency": "EUR", "position": position, "context": context, "profile": profile,
                "item": item, "timestamp": timestamp, "query": query, "x_extra": extra,
            });
            without_nulls(event)
        },
    )
}

/// Half of the absent members are left out, half are null.
fn without_nulls(event: Value) -> Value {
    let Value::Object(members) = event else { return event };
    let kept = members.into_iter().filter(|(name, value)| !value.is_null() || name.len() % 2 == 0);
    Value::Object(kept.collect::<Map<String, Value>>())
}
