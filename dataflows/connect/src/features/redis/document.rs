//! A user's document as the values of its keys, and back.

use std::sync::Arc;

use eddyline_schemas::codec::{StoredEncoding, decode_stored, encode_stored};
use eddyline_schemas::features::{UserFeatures, UserPreferences};
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::stored::{LineageTag, PartBody, StoredPart, join_features, split_features};
use eddyline_schemas::time::TimestampMs;

use super::keys::{Keys, PARTS, Part};
use crate::features::{FeatureStoreError, FeatureWrite, UserDocument, UserRow};

/// A key and the value it is to get.
pub(super) struct KeyWrite {
    pub(super) key: String,
    pub(super) epoch: Epoch,
    pub(super) tombstone: bool,
    pub(super) value: Vec<u8>,
}

/// Makes values.
pub(super) struct Encoder<'a> {
    pub(super) keys: &'a Keys,
    pub(super) encoding: StoredEncoding,
    pub(super) lineage: LineageTag,
}

impl Encoder<'_> {
    /// Appends what `write` writes.
    pub(super) fn write(&self, epoch: Epoch, write: &FeatureWrite, to: &mut Vec<KeyWrite>) {
        match write {
            FeatureWrite::Features(user, features) => {
                self.features(user, epoch, features.as_deref(), to);
            }
            FeatureWrite::Preferences(user, preferences) => {
                self.preferences(user, epoch, preferences.as_ref(), to);
            }
            FeatureWrite::Vector(user, vector) => self.vector(user, epoch, vector.as_ref(), to),
        }
    }

    /// Appends all parts of `row`.
    pub(super) fn row(&self, row: &UserRow, to: &mut Vec<KeyWrite>) {
        self.features(&row.user, row.epoch, row.features.as_deref(), to);
        self.preferences(&row.user, row.epoch, row.preferences.as_ref(), to);
        self.vector(&row.user, row.epoch, row.vector.as_ref(), to);
    }

    fn features(
        &self,
        user: &UserId,
        epoch: Epoch,
        features: Option<&UserFeatures>,
        to: &mut Vec<KeyWrite>,
    ) {
        let expires_at = features.map(|features| features.expires_at);
        let (short, lists) = features.map(split_features).unzip();
        let short = short.map(|short| PartBody::Features(Arc::new(short)));
        let part = |body| StoredPart { lineage: self.lineage, epoch, expires_at, body };
        to.push(self.key_write(user, Part::Features, &part(short)));
        to.push(self.key_write(user, Part::Seen, &part(lists.map(PartBody::Seen))));
    }

    fn preferences(
        &self,
        user: &UserId,
        epoch: Epoch,
        preferences: Option<&Arc<UserPreferences>>,
        to: &mut Vec<KeyWrite>,
    ) {
        let body = preferences.map(|of| PartBody::Preferences(Arc::clone(of)));
        let part = StoredPart { lineage: self.lineage, epoch, expires_at: None, body };
        to.push(self.key_write(user, Part::Preferences, &part));
    }

    fn vector(
        &self,
        user: &UserId,
        epoch: Epoch,
        vector: Option<&Arc<[f32]>>,
        to: &mut Vec<KeyWrite>,
    ) {
        let body = vector.map(|row| PartBody::Vector(Arc::clone(row)));
        let part = StoredPart { lineage: self.lineage, epoch, expires_at: None, body };
        to.push(self.key_write(user, Part::Vector, &part));
    }

    fn key_write(&self, user: &UserId, part: Part, stored: &StoredPart) -> KeyWrite {
        KeyWrite {
            key: self.keys.part(part, user),
            epoch: stored.epoch,
            tombstone: stored.body.is_none(),
            value: encode_stored(stored, self.encoding),
        }
    }
}

/// The document behind the values of a user's keys, in the order of [`PARTS`]. Parts of another
/// history are as good as absent.
pub(super) fn decode(
    keys: &Keys,
    user: &UserId,
    lineage: Lineage,
    values: &[Option<Vec<u8>>],
) -> Result<Option<UserDocument>, FeatureStoreError> {
    let mut document =
        UserDocument { lineage, epoch: Epoch(0), features: None, preferences: None, vector: None };
    let (mut short, mut lists, mut expires_at) = (None, None, TimestampMs(0));
    for (part, value) in PARTS.iter().zip(values) {
        let Some(value) = value else { continue };
        let stored = decode_stored(value).map_err(|source| FeatureStoreError::Corrupt {
            key: keys.part(*part, user),
            source: source.into(),
        })?;
        if stored.lineage != LineageTag::of(lineage) {
            continue;
        }
        document.epoch = document.epoch.max(stored.epoch);
        expires_at = stored.expires_at.unwrap_or(expires_at);
        match stored.body {
            None => {}
            Some(PartBody::Features(features)) => short = Some(features),
            Some(PartBody::Seen(seen)) => lists = Some(seen),
            Some(PartBody::Preferences(preferences)) => document.preferences = Some(preferences),
            Some(PartBody::Vector(vector)) => document.vector = Some(vector),
        }
    }
    document.features =
        short.map(|short| Arc::new(join_features(&short, lists.unwrap_or_default(), expires_at)));
    let held =
        document.features.is_some() || document.preferences.is_some() || document.vector.is_some();
    Ok(held.then_some(document))
}
