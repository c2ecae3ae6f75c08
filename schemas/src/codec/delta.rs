//! Deltas as protobuf, for the external topic. Digests are taken over [`crate::delta::canonical`]
//! rows, never over these bytes.

use std::sync::Arc;

use prost::Message;
use wire::delta::Kind;

use super::event::{item_from_wire, item_to_wire};
use super::features::{
    covisitation_from_wire, covisitation_to_wire, features_from_wire, features_to_wire,
    popularity_from_wire, popularity_to_wire, preferences_from_wire, preferences_to_wire,
};
use super::wire;
use crate::delta::Delta;
use crate::id::{InvalidId, ItemId, ItemRef, UserId};
use crate::lineage::Epoch;

/// Why bytes are not a delta.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDelta {
    /// Not the protobuf message that was expected.
    #[error("not an eddyline.v1 message")]
    Malformed(#[source] prost::DecodeError),
    /// Not the JSON that was expected.
    #[error("not a stored document: {0}")]
    Json(String),
    /// A field is absent.
    #[error("{0} is absent")]
    Missing(&'static str),
    /// An id breaks the rule for ids.
    #[error("{field}")]
    Id {
        /// Which.
        field: &'static str,
        /// Why.
        source: InvalidId,
    },
}

pub(super) fn required<T>(value: Option<T>, field: &'static str) -> Result<T, InvalidDelta> {
    value.ok_or(InvalidDelta::Missing(field))
}

pub(super) fn refs(numbers: &[u32]) -> Vec<ItemRef> {
    numbers.iter().map(|number| ItemRef(*number)).collect()
}

fn user_id(text: &str) -> Result<UserId, InvalidDelta> {
    UserId::new(text).map_err(|source| InvalidDelta::Id { field: "user", source })
}

/// The bytes of a delta; equal deltas give equal bytes.
#[must_use]
pub fn encode_delta(delta: &Delta) -> Vec<u8> {
    wire::Delta { kind: Some(to_wire(delta)) }.encode_to_vec()
}

/// Reads what [`encode_delta`] wrote.
pub fn decode_delta(bytes: &[u8]) -> Result<Delta, InvalidDelta> {
    let message = wire::Delta::decode(bytes).map_err(InvalidDelta::Malformed)?;
    from_wire(required(message.kind, "kind")?)
}

pub(super) fn to_wire(delta: &Delta) -> Kind {
    match delta {
        Delta::Item { item, id, document, first_seen, deleted } => Kind::Item(wire::Item {
            item: item.0,
            id: id.as_str().to_owned(),
            document: document.as_deref().map(item_to_wire),
            first_seen_epoch: first_seen.0.0,
            first_seen_seq: first_seen.1,
            deleted: *deleted,
        }),
        Delta::ItemVector { item, vector } => {
            Kind::ItemVector(wire::ItemRow { item: item.0, values: vector.to_vec() })
        }
        Delta::ItemContext { item, context } => {
            Kind::ItemContext(wire::ItemRow { item: item.0, values: context.to_vec() })
        }
        Delta::Popularity { item, popularity } => {
            Kind::Popularity(popularity_to_wire(*item, popularity))
        }
        Delta::Covisitation { item, list } => Kind::Covisitation(covisitation_to_wire(*item, list)),
        Delta::UserVector { user, vector } => Kind::UserVector(wire::UserVector {
            user: user.as_str().to_owned(),
            vector: vector.as_ref().map(|row| wire::FloatRow { values: row.to_vec() }),
        }),
        Delta::UserFeatures { user, features } => Kind::UserFeatures(wire::UserFeaturesDelta {
            user: user.as_str().to_owned(),
            features: features.as_deref().map(features_to_wire),
        }),
        Delta::UserPreferences { user, preferences } => {
            Kind::UserPreferences(preferences_to_wire(user.as_str(), preferences))
        }
        Delta::Gate { values } => Kind::Gate(wire::Gate { values: values.to_vec() }),
    }
}

pub(super) fn from_wire(kind: Kind) -> Result<Delta, InvalidDelta> {
    Ok(match kind {
        Kind::Item(message) => item_row(message)?,
        Kind::ItemVector(message) => {
            Delta::ItemVector { item: ItemRef(message.item), vector: Arc::from(message.values) }
        }
        Kind::ItemContext(message) => {
            Delta::ItemContext { item: ItemRef(message.item), context: Arc::from(message.values) }
        }
        Kind::Popularity(message) => Delta::Popularity {
            item: ItemRef(message.item),
            popularity: popularity_from_wire(message)?,
        },
        Kind::Covisitation(message) => Delta::Covisitation {
            item: ItemRef(message.item),
            list: Arc::new(covisitation_from_wire(&message)?),
        },
        Kind::UserVector(message) => Delta::UserVector {
            user: user_id(&message.user)?,
            vector: message.vector.map(|row| Arc::from(row.values)),
        },
        Kind::UserFeatures(message) => Delta::UserFeatures {
            user: user_id(&message.user)?,
            features: message.features.map(features_from_wire).transpose()?.map(Arc::new),
        },
        Kind::UserPreferences(message) => Delta::UserPreferences {
            user: user_id(&message.user)?,
            preferences: Arc::new(preferences_from_wire(message)),
        },
        Kind::Gate(message) => Delta::Gate { values: Arc::from(message.values) },
    })
}

fn item_row(message: wire::Item) -> Result<Delta, InvalidDelta> {
    let id =
        ItemId::new(&message.id).map_err(|source| InvalidDelta::Id { field: "item.id", source })?;
    Ok(Delta::Item {
        item: ItemRef(message.item),
        id,
        document: message.document.map(|row| Arc::new(item_from_wire(row))),
        first_seen: (Epoch(message.first_seen_epoch), message.first_seen_seq),
        deleted: message.deleted,
    })
}
