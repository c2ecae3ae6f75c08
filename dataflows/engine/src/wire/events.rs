//! Wire forms of events and of what they are made of.

use eddyline_schemas::event::{Event, EventType, IdOrigin};
use eddyline_schemas::id::{EventId, IdHash, ItemId, ItemRef, RecommendationId, SessionId, UserId};
use eddyline_schemas::item::ItemDocument;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};

use super::{Input, Malformed, Out, Wire, put_text, wire_struct};
use crate::bound::{Bound, DecodedEvent, Header};

macro_rules! wire_ids {
    ($($id:ident)*) => {$(
        impl Wire for $id {
            fn put(&self, out: &mut impl Out) {
                put_text(self.as_str(), out);
            }

            fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
                Self::new(from.text()?).map_err(|_| Malformed("an id"))
            }
        }
    )*};
}

wire_ids!(EventId ItemId RecommendationId SessionId UserId);

macro_rules! wire_newtypes {
    ($($name:ident)*) => {$(
        impl Wire for $name {
            fn put(&self, out: &mut impl Out) {
                self.0.put(out);
            }

            fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
                Wire::take(from).map(Self)
            }
        }
    )*};
}

wire_newtypes!(Epoch IdHash ItemRef TimestampMs);

impl Wire for Topic {
    fn put(&self, out: &mut impl Out) {
        put_text(self.name(), out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        Self::from_name(from.text()?).ok_or(Malformed("a topic"))
    }
}

/// Leads the name of a producer's own type, which may be anything; no built-in name begins so.
const CUSTOM: &str = "=";

impl Wire for EventType {
    fn put(&self, out: &mut impl Out) {
        if let Self::Custom(name) = self {
            put_text(CUSTOM, out);
            return put_text(name, out);
        }
        put_text(self.name(), out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        match from.text()? {
            CUSTOM => String::take(from).map(Self::Custom),
            name => Self::built_in(name).ok_or(Malformed("an event type")),
        }
    }
}

impl Wire for IdOrigin {
    fn put(&self, out: &mut impl Out) {
        let number: u8 = match self {
            Self::Producer => 0,
            Self::Derived => 1,
            Self::Random => 2,
        };
        number.put(out);
    }

    fn take(from: &mut Input<'_>) -> Result<Self, Malformed> {
        match u8::take(from)? {
            0 => Ok(Self::Producer),
            1 => Ok(Self::Derived),
            2 => Ok(Self::Random),
            _ => Err(Malformed("an id's origin")),
        }
    }
}

wire_struct!(TopicPartition { topic, partition });
wire_struct!(Header { logical_time, accepted, late, dead_letter });
wire_struct!(Bound { seq, event });
wire_struct!(DecodedEvent { at, offset, event_time, clock_hour, dedupe, user, items, event });
wire_struct!(ItemDocument {
    title,
    categories,
    brand,
    tags,
    price,
    currency,
    in_stock,
    attributes
});
wire_struct!(Event {
    event_id,
    id_origin,
    event_type,
    user_id,
    anonymous_id,
    session_id,
    items,
    timestamp,
    value,
    rating,
    dwell_time_ms,
    price,
    currency,
    quantity,
    query,
    recommendation_id,
    position,
    context,
    profile,
    item,
    unknown,
});
