//! The one envelope of every event, after decoding: what a producer may say, with checked types.
//!
//! A value of type [`Event`] has passed the validator ([`crate::decode`]), whether it came through
//! the door or was found on the log. Times are milliseconds, `price` and `value` are finite, −0.0
//! has become +0.0, and unknown members of the producer's JSON are kept in [`Event::unknown`].

use std::collections::BTreeMap;

use crate::id::{EventId, ItemId, RecommendationId, SessionId, UserId};
use crate::item::ItemDocument;
use crate::time::TimestampMs;
use crate::topic::Topic;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// The user looked at an item.
    View,
    /// The user followed a link to an item.
    Click,
    /// The user put an item into the basket.
    AddToCart,
    /// The user took an item out of the basket.
    RemoveFromCart,
    /// The user bought items.
    Purchase,
    /// The user searched for [`Event::query`].
    Search,
    /// The user stayed on an item for [`Event::dwell_time_ms`].
    Dwell,
    /// A producer's own type; its weight comes from the configuration.
    Custom(String),
    /// Sets the user's profile to [`Event::profile`].
    Profile,
    /// Joins the history of `anonymous_id` to `user_id`.
    Merge,
    /// Forgets the user.
    Erase,
    /// Items of an answer were shown.
    Impression,
    /// The user rated an item with [`Event::rating`].
    Rate,
    /// The user likes an item.
    Like,
    /// The user dislikes an item.
    Dislike,
    /// The user passed over an item.
    Skip,
    /// Sets a row of the catalogue to [`Event::item`].
    ItemUpsert,
    /// Takes an item out of the catalogue.
    ItemDelete,
}

impl EventType {
    /// The name in JSON; for custom types the producer's own.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::View => "view",
            Self::Click => "click",
            Self::AddToCart => "add_to_cart",
            Self::RemoveFromCart => "remove_from_cart",
            Self::Purchase => "purchase",
            Self::Search => "search",
            Self::Dwell => "dwell",
            Self::Custom(name) => name,
            Self::Profile => "profile",
            Self::Merge => "merge",
            Self::Erase => "erase",
            Self::Impression => "impression",
            Self::Rate => "rate",
            Self::Like => "like",
            Self::Dislike => "dislike",
            Self::Skip => "skip",
            Self::ItemUpsert => "item_upsert",
            Self::ItemDelete => "item_delete",
        }
    }

    /// The built-in type called `name`; `None` for any other name.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        Self::BUILT_IN.iter().find(|kind| kind.name() == name).cloned()
    }

    /// All types but the custom ones.
    pub const BUILT_IN: [Self; 17] = [
        Self::View,
        Self::Click,
        Self::AddToCart,
        Self::RemoveFromCart,
        Self::Purchase,
        Self::Search,
        Self::Dwell,
        Self::Profile,
        Self::Merge,
        Self::Erase,
        Self::Impression,
        Self::Rate,
        Self::Like,
        Self::Dislike,
        Self::Skip,
        Self::ItemUpsert,
        Self::ItemDelete,
    ];

    /// The topic that carries events of this type.
    #[must_use]
    pub fn topic(&self) -> Topic {
        match self {
            Self::View
            | Self::Click
            | Self::AddToCart
            | Self::RemoveFromCart
            | Self::Purchase
            | Self::Search
            | Self::Dwell
            | Self::Custom(_)
            | Self::Profile
            | Self::Merge
            | Self::Erase => Topic::UserEvents,
            Self::Impression | Self::Rate | Self::Like | Self::Dislike | Self::Skip => {
                Topic::Feedback
            }
            Self::ItemUpsert | Self::ItemDelete => Topic::ItemEvents,
        }
    }
}

/// Where an event's id came from; the archive keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdOrigin {
    /// The producer wrote it.
    Producer,
    /// Hash of the canonical record and its occurrence number within the request.
    Derived,
    /// Neither id nor timestamp was given: nothing to derive it from, so a retry counts twice.
    Random,
}

/// A decoded, valid event. Absent members are `None` or empty.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the members' meaning is the envelope's, in schemas/json")]
pub struct Event {
    pub event_id: EventId,
    pub id_origin: IdOrigin,
    pub event_type: EventType,
    pub user_id: Option<UserId>,
    pub anonymous_id: Option<UserId>,
    pub session_id: Option<SessionId>,
    /// `item_id` is one item, `items` several; in the producer's order, at most 100.
    pub items: Vec<ItemId>,
    /// Absent means append time.
    pub timestamp: Option<TimestampMs>,
    pub value: Option<f64>,
    /// 1 to 5 stars, or what `schemas/json` allows.
    pub rating: Option<f64>,
    pub dwell_time_ms: Option<u64>,
    pub price: Option<f64>,
    pub currency: Option<String>,
    pub quantity: Option<f64>,
    pub query: Option<String>,
    pub recommendation_id: Option<RecommendationId>,
    /// Rank in the answer that is being attributed, from 1.
    pub position: Option<u32>,
    /// `device`, `location`, `referrer`, …: text by name.
    pub context: BTreeMap<String, String>,
    /// Of a profile event: `age_group`, `gender`, `location`, …
    pub profile: BTreeMap<String, String>,
    /// Of an item upsert.
    pub item: Option<ItemDocument>,
    /// Members that the envelope does not know, as the text of a JSON object.
    pub unknown: Option<String>,
}

impl Event {
    /// Whose event this is: the known user, else the anonymous one.
    #[must_use]
    pub fn actor(&self) -> Option<&UserId> {
        self.user_id.as_ref().or(self.anonymous_id.as_ref())
    }

    /// How many members the envelope does not know; a metric counts them.
    #[must_use]
    pub fn unknown_members(&self) -> usize {
        let text = self.unknown.as_deref().unwrap_or("{}");
        let members: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).expect("the validator wrote or checked the object");
        members.len()
    }

    /// Key of the record on the log: the actor, or the item for the catalogue.
    #[must_use]
    pub fn key(&self) -> &str {
        match self.event_type.topic() {
            Topic::ItemEvents => self.items.first().map_or("", ItemId::as_str),
            Topic::UserEvents
            | Topic::Feedback
            | Topic::Bindings
            | Topic::Deltas
            | Topic::Digests => self.actor().map_or("", UserId::as_str),
        }
    }
}
