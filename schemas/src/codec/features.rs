//! Feature documents as protobuf.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;

use super::delta::{InvalidDelta, refs, required};
use super::wire;
use crate::features::{
    CovisitationList, DecayedSum, ItemPopularity, SessionContext, UserFeatures, UserPreferences,
};
use crate::id::{ItemRef, SessionId};
use crate::time::TimestampMs;

/// The bytes of a user's features.
#[must_use]
pub fn encode_user_features(features: &UserFeatures) -> Vec<u8> {
    features_to_wire(features).encode_to_vec()
}

/// Reads what [`encode_user_features`] wrote.
pub fn decode_user_features(bytes: &[u8]) -> Result<UserFeatures, InvalidDelta> {
    features_from_wire(wire::UserFeatures::decode(bytes).map_err(InvalidDelta::Malformed)?)
}

pub(super) fn features_to_wire(features: &UserFeatures) -> wire::UserFeatures {
    let numbers = |items: &[ItemRef]| items.iter().map(|item| item.0).collect();
    wire::UserFeatures {
        recent_views: numbers(&features.recent_views),
        history: numbers(&features.history),
        history_length: features.history_length,
        seen: numbers(&features.seen),
        disliked: numbers(&features.disliked),
        recent_searches: features.recent_searches.clone(),
        session: features.session.as_ref().map(session_to_wire),
        demographics: features.demographics.clone(),
        price_range: features.price_range.map(|(least, greatest)| wire::PriceRange {
            least: Some(least),
            greatest: Some(greatest),
        }),
        last_updated_ms: features.last_updated.0,
        expires_at_ms: features.expires_at.0,
    }
}

pub(super) fn features_from_wire(
    message: wire::UserFeatures,
) -> Result<UserFeatures, InvalidDelta> {
    let demographics: BTreeMap<String, String> = message.demographics;
    Ok(UserFeatures {
        recent_views: refs(&message.recent_views),
        history: refs(&message.history),
        history_length: message.history_length,
        seen: Arc::from(refs(&message.seen)),
        disliked: Arc::from(refs(&message.disliked)),
        recent_searches: message.recent_searches,
        session: message.session.map(session_from_wire).transpose()?,
        demographics,
        price_range: message.price_range.map(|range| (range.least(), range.greatest())),
        last_updated: TimestampMs(message.last_updated_ms),
        expires_at: TimestampMs(message.expires_at_ms),
    })
}

fn session_to_wire(session: &SessionContext) -> wire::SessionContext {
    wire::SessionContext {
        session_id: session.session_id.as_ref().map(|id| id.as_str().to_owned()),
        session_start_ms: session.session_start.0,
        last_event_ms: session.last_event.0,
        page_views_in_session: session.page_views_in_session,
        current_category: session.current_category.as_ref().map(|name| name.to_string()),
    }
}

fn session_from_wire(message: wire::SessionContext) -> Result<SessionContext, InvalidDelta> {
    let id = message.session_id.as_deref().map(SessionId::new).transpose();
    Ok(SessionContext {
        session_id: id.map_err(|source| InvalidDelta::Id { field: "session_id", source })?,
        session_start: TimestampMs(message.session_start_ms),
        last_event: TimestampMs(message.last_event_ms),
        page_views_in_session: message.page_views_in_session,
        current_category: message.current_category.map(Arc::from),
    })
}

pub(super) fn preferences_to_wire(user: &str, of: &UserPreferences) -> wire::UserPreferences {
    let list = |list: &[(Arc<str>, i64)]| {
        let one = |(name, events): &(Arc<str>, i64)| wire::Preference {
            name: name.to_string(),
            events: *events,
        };
        list.iter().map(one).collect()
    };
    wire::UserPreferences {
        user: user.to_owned(),
        categories: list(&of.categories),
        brands: list(&of.brands),
    }
}

pub(super) fn preferences_from_wire(message: wire::UserPreferences) -> UserPreferences {
    let list = |list: Vec<wire::Preference>| {
        list.into_iter().map(|one| (Arc::from(one.name), one.events)).collect()
    };
    UserPreferences { categories: list(message.categories), brands: list(message.brands) }
}

fn sum_to_wire(sum: DecayedSum) -> wire::DecayedSum {
    wire::DecayedSum { mantissa: Some(sum.mantissa), exponent: sum.exponent }
}

fn sum_from_wire(
    sum: Option<wire::DecayedSum>,
    field: &'static str,
) -> Result<DecayedSum, InvalidDelta> {
    let sum = required(sum, field)?;
    Ok(DecayedSum { mantissa: sum.mantissa(), exponent: sum.exponent })
}

pub(super) fn popularity_to_wire(item: ItemRef, of: &ItemPopularity) -> wire::Popularity {
    wire::Popularity {
        item: item.0,
        short: Some(sum_to_wire(of.short)),
        long: Some(sum_to_wire(of.long)),
        events: of.events,
    }
}

pub(super) fn popularity_from_wire(
    message: wire::Popularity,
) -> Result<ItemPopularity, InvalidDelta> {
    Ok(ItemPopularity {
        short: sum_from_wire(message.short, "popularity.short")?,
        long: sum_from_wire(message.long, "popularity.long")?,
        events: message.events,
    })
}

pub(super) fn covisitation_to_wire(item: ItemRef, list: &CovisitationList) -> wire::Covisitation {
    wire::Covisitation {
        item: item.0,
        neighbours: list.neighbours.iter().map(|(item, _)| item.0).collect(),
        weights: list.neighbours.iter().map(|(_, weight)| *weight).collect(),
        total: Some(list.total),
        exponent: list.exponent,
    }
}

pub(super) fn covisitation_from_wire(
    message: &wire::Covisitation,
) -> Result<CovisitationList, InvalidDelta> {
    if message.neighbours.len() != message.weights.len() {
        return Err(InvalidDelta::Missing("a neighbour's weight"));
    }
    let pairs = refs(&message.neighbours).into_iter().zip(message.weights.iter().copied());
    Ok(CovisitationList {
        neighbours: pairs.collect(),
        total: message.total(),
        exponent: message.exponent,
    })
}
