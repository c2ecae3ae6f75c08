//! Parts of user documents, as the feature store keeps them: protobuf, or JSON for people.
//!
//! Either begins with lineage and epoch in a form that a Redis script can read. The first byte
//! tells them apart, so one store may hold both.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use wire::stored_part::Body;

use super::delta::{InvalidDelta, refs, required};
use super::features::{preferences_from_wire, preferences_to_wire};
use super::wire;
use crate::features::{SessionContext, UserFeatures};
use crate::id::{ItemRef, SessionId};
use crate::lineage::Epoch;
use crate::stored::{LineageTag, PartBody, SeenLists, StoredPart};
use crate::time::TimestampMs;

/// How a store writes a part. It reads both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoredEncoding {
    /// Compact.
    #[default]
    Protobuf,
    /// About four times as long; can be read with `redis-cli`.
    Json,
}

/// The bytes of a part; equal parts give equal bytes.
#[must_use]
pub fn encode_stored(part: &StoredPart, encoding: StoredEncoding) -> Vec<u8> {
    let message = to_wire(part);
    match encoding {
        StoredEncoding::Protobuf => message.encode_to_vec(),
        StoredEncoding::Json => {
            serde_json::to_vec(&message).expect("maps of strings and numbers are JSON")
        }
    }
}

/// Reads what [`encode_stored`] wrote, in either encoding.
pub fn decode_stored(bytes: &[u8]) -> Result<StoredPart, InvalidDelta> {
    let message = if bytes.first() == Some(&b'{') {
        serde_json::from_slice(bytes).map_err(|why| InvalidDelta::Json(why.to_string()))?
    } else {
        wire::StoredPart::decode(bytes).map_err(InvalidDelta::Malformed)?
    };
    from_wire(message)
}

fn to_wire(part: &StoredPart) -> wire::StoredPart {
    wire::StoredPart {
        lineage: part.lineage.0.to_vec(),
        epoch: Some(part.epoch.0),
        expires_at_ms: part.expires_at.map(|time| time.0),
        body: part.body.as_ref().map(body_to_wire),
    }
}

fn body_to_wire(body: &PartBody) -> Body {
    let numbers = |items: &[ItemRef]| items.iter().map(|item| item.0).collect();
    match body {
        PartBody::Features(features) => Body::Features(features_to_wire(features)),
        PartBody::Seen(lists) => Body::Seen(wire::StoredSeen {
            history: numbers(&lists.history),
            seen: numbers(&lists.seen),
            disliked: numbers(&lists.disliked),
        }),
        PartBody::Preferences(of) => Body::Preferences(preferences_to_wire("", of)),
        PartBody::Vector(row) => Body::Vector(wire::FloatRow { values: row.to_vec() }),
    }
}

fn from_wire(message: wire::StoredPart) -> Result<StoredPart, InvalidDelta> {
    let lineage = <[u8; 8]>::try_from(message.lineage.as_slice());
    Ok(StoredPart {
        lineage: LineageTag(lineage.map_err(|_| InvalidDelta::Missing("lineage"))?),
        epoch: Epoch(required(message.epoch, "epoch")?),
        expires_at: message.expires_at_ms.map(TimestampMs),
        body: message.body.map(body_from_wire).transpose()?,
    })
}

fn body_from_wire(body: Body) -> Result<PartBody, InvalidDelta> {
    Ok(match body {
        Body::Features(message) => PartBody::Features(Arc::new(features_from_wire(message)?)),
        Body::Seen(message) => PartBody::Seen(SeenLists {
            history: refs(&message.history),
            seen: Arc::from(refs(&message.seen)),
            disliked: Arc::from(refs(&message.disliked)),
        }),
        Body::Preferences(message) => {
            PartBody::Preferences(Arc::new(preferences_from_wire(message)))
        }
        Body::Vector(message) => PartBody::Vector(Arc::from(message.values)),
    })
}

fn features_to_wire(features: &UserFeatures) -> wire::StoredFeatures {
    let updated = features.last_updated;
    let pairs = features.demographics.iter();
    wire::StoredFeatures {
        recent_views: features.recent_views.iter().map(|item| item.0).collect(),
        history_length: features.history_length,
        recent_searches: features.recent_searches.clone(),
        session: features.session.as_ref().map(|session| session_to_wire(session, updated)),
        demographics: pairs.flat_map(|(key, value)| [key.clone(), value.clone()]).collect(),
        price_range: features.price_range.map(|(least, greatest)| wire::PriceRange {
            least: Some(least),
            greatest: Some(greatest),
        }),
        last_updated_ms: updated.0,
    }
}

fn features_from_wire(message: wire::StoredFeatures) -> Result<UserFeatures, InvalidDelta> {
    let updated = TimestampMs(message.last_updated_ms);
    let mut texts = message.demographics.into_iter();
    let mut demographics = BTreeMap::new();
    while let Some(key) = texts.next() {
        demographics.insert(key, required(texts.next(), "the value of a demographic")?);
    }
    let session = message.session.map(|session| session_from_wire(session, updated));
    Ok(UserFeatures {
        recent_views: refs(&message.recent_views),
        history_length: message.history_length,
        recent_searches: message.recent_searches,
        session: session.transpose()?,
        demographics,
        price_range: message.price_range.map(|range| (range.least(), range.greatest())),
        last_updated: updated,
        ..UserFeatures::default()
    })
}

/// Wrapping, so that any two times are kept exactly.
fn session_to_wire(session: &SessionContext, updated: TimestampMs) -> wire::StoredSession {
    wire::StoredSession {
        session_id: session.session_id.as_ref().map(|id| id.as_str().to_owned()),
        started_before_ms: updated.0.wrapping_sub(session.session_start.0),
        last_event_before_ms: updated.0.wrapping_sub(session.last_event.0),
        page_views_in_session: session.page_views_in_session,
        current_category: session.current_category.as_ref().map(|name| name.to_string()),
    }
}

fn session_from_wire(
    message: wire::StoredSession,
    updated: TimestampMs,
) -> Result<SessionContext, InvalidDelta> {
    let id = message.session_id.as_deref().map(SessionId::new).transpose();
    Ok(SessionContext {
        session_id: id.map_err(|source| InvalidDelta::Id { field: "session_id", source })?,
        session_start: TimestampMs(updated.0.wrapping_sub(message.started_before_ms)),
        last_event: TimestampMs(updated.0.wrapping_sub(message.last_event_before_ms)),
        page_views_in_session: message.page_views_in_session,
        current_category: message.current_category.map(Arc::from),
    })
}

/// The lineage as text in JSON.
pub(crate) mod hex {
    use serde::de::Error;

    pub(crate) fn serialize<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        to.serialize_str(&digits.collect::<String>())
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = <std::borrow::Cow<'_, str> as serde::Deserialize>::deserialize(from)?;
        if !text.len().is_multiple_of(2) || !text.is_ascii() {
            return Err(D::Error::custom("not hexadecimal"));
        }
        let pair = |at| u8::from_str_radix(&text[at..at + 2], 16).map_err(D::Error::custom);
        (0..text.len()).step_by(2).map(pair).collect()
    }
}
