//! Events as protobuf.

use std::borrow::Cow;

use bytes::Bytes;
use prost::Message;

use super::wire;
use crate::decode::{Draft, DraftItem, Refusal, RefusalKind, Unknown, When, check_draft};
use crate::event::{Event, IdOrigin};
use crate::id::UserId;
use crate::item::ItemDocument;

/// The canonical bytes of an event.
#[must_use]
pub fn encode_event(event: &Event) -> Bytes {
    to_wire(event).encode_to_vec().into()
}

/// Reads what [`encode_event`] wrote, by the rules of [`crate::decode`] but the one that compares
/// the timestamp with a clock. Bytes without an event id are refused: to give one, a decoder must
/// know where the record lies ([`crate::decode::decode_record`]).
pub fn decode_event(bytes: &[u8]) -> Result<Event, Refusal> {
    let mut draft = draft_of(bytes)?;
    let (event, id_given) = check_draft(&mut draft, When::Any)?;
    if id_given {
        return Ok(event);
    }
    Err(Refusal {
        kind: RefusalKind::MissingField,
        pointer: "/event_id".to_owned(),
        detail: "event_id is required".to_owned(),
        event_id: None,
    })
}

/// What a derived id is the hash of.
pub(crate) fn encode_without_id(event: &Event) -> Vec<u8> {
    let mut message = to_wire(event);
    message.event_id = None;
    message.id_origin = wire::IdOrigin::Unspecified.into();
    message.encode_to_vec()
}

/// Reads protobuf into a draft that still has to pass the validator.
pub(crate) fn draft_of(bytes: &[u8]) -> Result<Draft<'static>, Refusal> {
    let refused =
        |kind, detail: String| Refusal { kind, pointer: String::new(), detail, event_id: None };
    if bytes.len() > crate::decode::MAX_PROTOBUF_BYTES {
        let most = crate::decode::MAX_PROTOBUF_BYTES;
        let detail = format!("an encoded event must be at most {most} bytes, got {}", bytes.len());
        return Err(refused(RefusalKind::TooLarge, detail));
    }
    let message = wire::Event::decode(bytes).map_err(|error| {
        refused(RefusalKind::MalformedProtobuf, format!("not an eddyline.v1.Event: {error}"))
    })?;
    Ok(from_wire(message))
}

fn user_text(id: Option<&UserId>) -> Option<String> {
    id.map(|id| id.as_str().to_owned())
}

fn to_wire(event: &Event) -> wire::Event {
    let origin = match event.id_origin {
        IdOrigin::Producer => wire::IdOrigin::Producer,
        IdOrigin::Derived => wire::IdOrigin::Derived,
        IdOrigin::Random => wire::IdOrigin::Random,
    };
    wire::Event {
        event_id: Some(event.event_id.as_str().to_owned()),
        id_origin: origin.into(),
        event_type: event.event_type.name().to_owned(),
        user_id: user_text(event.user_id.as_ref()),
        anonymous_id: user_text(event.anonymous_id.as_ref()),
        session_id: event.session_id.as_ref().map(|id| id.as_str().to_owned()),
        items: event.items.iter().map(|item| item.as_str().to_owned()).collect(),
        timestamp_ms: event.timestamp.map(|at| at.0),
        value: event.value,
        rating: event.rating,
        dwell_time_ms: event.dwell_time_ms,
        price: event.price,
        currency: event.currency.clone(),
        quantity: event.quantity,
        query: event.query.clone(),
        recommendation_id: event.recommendation_id.as_ref().map(|id| id.as_str().to_owned()),
        position: event.position,
        context: event.context.clone(),
        profile: event.profile.clone(),
        item: event.item.as_ref().map(item_to_wire),
        unknown_json: event.unknown.clone(),
    }
}

/// A row of the catalogue as protobuf.
pub(super) fn item_to_wire(item: &ItemDocument) -> wire::ItemDocument {
    wire::ItemDocument {
        title: item.title.clone(),
        categories: item.categories.clone(),
        brand: item.brand.clone(),
        tags: item.tags.clone(),
        price: item.price,
        currency: item.currency.clone(),
        in_stock: item.in_stock,
        attributes: item.attributes.clone(),
    }
}

fn from_wire(message: wire::Event) -> Draft<'static> {
    let owned = |text: Option<String>| text.map(Cow::Owned);
    let id_origin = match message.id_origin() {
        wire::IdOrigin::Derived => Some(IdOrigin::Derived),
        wire::IdOrigin::Random => Some(IdOrigin::Random),
        wire::IdOrigin::Producer | wire::IdOrigin::Unspecified => None,
    };
    Draft {
        event_id: owned(message.event_id),
        id_origin,
        event_type: Some(Cow::Owned(message.event_type)),
        user_id: owned(message.user_id),
        anonymous_id: owned(message.anonymous_id),
        session_id: owned(message.session_id),
        items: message.items.into_iter().map(Cow::Owned).collect(),
        timestamp: message.timestamp_ms.map(crate::decode::RawTime::Milliseconds),
        value: message.value,
        rating: message.rating,
        dwell_time_ms: message.dwell_time_ms,
        price: message.price,
        currency: owned(message.currency),
        quantity: message.quantity,
        query: owned(message.query),
        recommendation_id: owned(message.recommendation_id),
        position: message.position.map(u64::from),
        context: message.context,
        profile: (!message.profile.is_empty()).then_some(message.profile),
        item: message
            .item
            .map(|item| DraftItem { document: item_from_wire(item), unknown: Vec::new() }),
        unknown: message.unknown_json.map_or(Unknown::None, Unknown::Text),
        ..Draft::default()
    }
}

/// A row of the catalogue, unchecked.
pub(super) fn item_from_wire(item: wire::ItemDocument) -> ItemDocument {
    ItemDocument {
        title: item.title,
        categories: item.categories,
        brand: item.brand,
        tags: item.tags,
        price: item.price,
        currency: item.currency,
        in_stock: item.in_stock,
        attributes: item.attributes,
    }
}
