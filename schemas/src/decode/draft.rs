//! An event before validation: typed, but unchecked. JSON and protobuf both become a draft, and
//! one validator reads it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::event::IdOrigin;
use crate::item::ItemDocument;

/// Text that borrows from the input wherever it can.
pub(crate) type Text<'a> = Cow<'a, str>;

/// An unknown member: name and JSON text.
pub(crate) type UnknownMember<'a> = (Text<'a>, &'a RawValue);

/// A timestamp as it was written.
#[derive(Debug)]
pub(crate) enum RawTime<'a> {
    /// Seconds or milliseconds, by the rule of [`crate::time`].
    Integer(i64),
    /// RFC 3339.
    Text(Text<'a>),
    /// From protobuf: milliseconds, no matter how many.
    Milliseconds(i64),
}

/// Members that the envelope does not know.
#[derive(Debug, Default)]
pub(crate) enum Unknown<'a> {
    #[default]
    None,
    /// From JSON, in the producer's order.
    Members(Vec<UnknownMember<'a>>),
    /// From protobuf: the text of an object.
    Text(String),
}

/// All members of an event; absent ones are `None` or empty.
#[derive(Debug, Default)]
pub(crate) struct Draft<'a> {
    pub(crate) event_id: Option<Text<'a>>,
    /// Only protobuf carries it.
    pub(crate) id_origin: Option<IdOrigin>,
    pub(crate) event_type: Option<Text<'a>>,
    pub(crate) user_id: Option<Text<'a>>,
    pub(crate) anonymous_id: Option<Text<'a>>,
    pub(crate) session_id: Option<Text<'a>>,
    pub(crate) item_id: Option<Text<'a>>,
    pub(crate) items: Vec<Text<'a>>,
    pub(crate) timestamp: Option<RawTime<'a>>,
    pub(crate) value: Option<f64>,
    pub(crate) rating: Option<f64>,
    pub(crate) dwell_time_ms: Option<u64>,
    pub(crate) price: Option<f64>,
    pub(crate) currency: Option<Text<'a>>,
    pub(crate) quantity: Option<f64>,
    pub(crate) query: Option<Text<'a>>,
    pub(crate) recommendation_id: Option<Text<'a>>,
    pub(crate) position: Option<u64>,
    pub(crate) context: BTreeMap<String, String>,
    pub(crate) profile: Option<BTreeMap<String, String>>,
    pub(crate) item: Option<DraftItem<'a>>,
    pub(crate) unknown: Unknown<'a>,
}

/// A row of the catalogue before validation.
#[derive(Debug, Default)]
pub(crate) struct DraftItem<'a> {
    pub(crate) document: ItemDocument,
    /// Members of `item` that the envelope does not know, from JSON.
    pub(crate) unknown: Vec<UnknownMember<'a>>,
}
