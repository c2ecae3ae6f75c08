//! [`Event`] → JSON text: what the door would take again. An event that is decoded, written and
//! decoded again is the same event, with the id that it had, whoever made it.
//!
//! Members that the envelope does not know stand behind the known ones, as they were written. An
//! event without timestamp is given one, that of its record: it would be another event at another
//! time. What protobuf alone can say, such as an unknown member `item` that is no object, makes text
//! that the door refuses: whoever writes asks the validator.

use serde::Serialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::Event;
use crate::time::TimestampMs;

/// The event as one line of JSON; `append_time` is its record's.
#[must_use]
pub fn event_json(event: &Event, append_time: TimestampMs) -> String {
    let mut object = Object::open();
    object.put("event_id", event.event_id.as_str());
    object.put("event_type", event.event_type.name());
    object.put("timestamp", event.timestamp.unwrap_or(append_time).to_string());
    object.put_some("user_id", event.user_id.as_ref().map(|id| id.as_str()));
    object.put_some("anonymous_id", event.anonymous_id.as_ref().map(|id| id.as_str()));
    object.put_some("session_id", event.session_id.as_ref().map(|id| id.as_str()));
    let items: Vec<&str> = event.items.iter().map(|id| id.as_str()).collect();
    match items[..] {
        [] => {}
        [item] => object.put("item_id", item),
        [..] => object.put("items", items),
    }
    object.put_some("value", event.value);
    object.put_some("rating", event.rating);
    object.put_some("dwell_time_ms", event.dwell_time_ms);
    object.put_some("price", event.price);
    object.put_some("currency", event.currency.as_ref());
    object.put_some("quantity", event.quantity);
    object.put_some("query", event.query.as_ref());
    object.put_some("recommendation_id", event.recommendation_id.as_ref().map(|id| id.as_str()));
    object.put_some("position", event.position);
    object.put_some("context", Some(&event.context).filter(|entries| !entries.is_empty()));
    object.put_some("profile", Some(&event.profile).filter(|entries| !entries.is_empty()));
    let unknown = event.unknown.as_deref().map(members).unwrap_or_default();
    let (of_item, unknown): (Vec<_>, Vec<_>) =
        unknown.into_iter().partition(|(name, _)| name == "item");
    if let Some(document) = &event.item {
        let mut item = Object::of(document);
        let of_item = of_item.iter().flat_map(|(_, value)| members(value.get()));
        of_item.for_each(|(name, value)| item.put(&name, value));
        object.put_raw("item", &item.close());
    } else {
        of_item.iter().for_each(|(name, value)| object.put(name, value));
    }
    unknown.iter().for_each(|(name, value)| object.put(name, value));
    object.close()
}

/// An object that is being written.
struct Object(String);

impl Object {
    fn open() -> Self {
        Self("{".to_owned())
    }

    /// The members of a struct, and more to come.
    fn of(value: &impl Serialize) -> Self {
        let mut text = json(value);
        text.pop();
        Self(text)
    }

    fn put(&mut self, name: &str, value: impl Serialize) {
        self.put_raw(name, &json(&value));
    }

    fn put_some(&mut self, name: &str, value: Option<impl Serialize>) {
        value.into_iter().for_each(|value| self.put(name, value));
    }

    fn put_raw(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&json(&name));
        self.0.push(':');
        self.0.push_str(value);
    }

    fn close(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text, finite numbers, lists and maps of text are JSON")
}

/// The members of an object in their order, none of anything else.
fn members(text: &str) -> Vec<(String, &RawValue)> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(String, &'de RawValue)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            std::iter::from_fn(|| map.next_entry().transpose()).collect()
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
    }
    serde_json::Deserializer::from_str(text).deserialize_map(Members).unwrap_or_default()
}
