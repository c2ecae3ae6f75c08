//! The feature store in memory, sharded by [`IdHash`].
//!
//! One map entry per user, keyed by the 16 bytes of the id's hash: the id itself is not kept. The
//! lineage is kept once for the whole store. A user erased whole leaves an entry without values
//! behind, so that a late write cannot bring the user back; it is not counted as a user.

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

use eddyline_schemas::features::{UserFeatures, UserPreferences};
use eddyline_schemas::id::{IdHash, ItemRef, SHARDS, UserId};
use eddyline_schemas::lineage::{Epoch, Lineage};
use parking_lot::{Mutex, RwLock};

use super::{
    FeatureStore, FeatureStoreError, FeatureWrite, Placement, ShardRefill, StoreShard,
    UserDocument, UserRow, Watermarks,
};

/// Strong and weak count in front of what an `Arc` points to.
const ARC_HEADER_BYTES: usize = 2 * size_of::<usize>();
/// What the allocator adds to a block, about.
const ALLOCATION_BYTES: usize = 8;
/// A slot of the map: key, value and control byte, at the mean fill of a table that doubles.
const SLOT_BYTES: usize = (size_of::<(IdHash, Entry)>() + 1) * 4 / 3;

/// See the module doc.
pub struct EmbeddedFeatureStore {
    shards: Box<[RwLock<Shard>]>,
    /// Held while an epoch is applied: one writer at a time, and the lineage is set once.
    applying: Mutex<()>,
    /// Never runs ahead of the writes; readers wait for it only while it is set.
    watermark: RwLock<Option<(Lineage, Epoch)>>,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<IdHash, Entry>,
    users: u64,
    value_bytes: u64,
}

#[derive(Default)]
struct Entry {
    epoch: Epoch,
    features: Option<Arc<UserFeatures>>,
    preferences: Option<Arc<UserPreferences>>,
    vector: Option<Arc<[f32]>>,
}

impl Default for EmbeddedFeatureStore {
    fn default() -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::default()).collect();
        Self { shards, applying: Mutex::new(()), watermark: RwLock::new(None) }
    }
}

impl EmbeddedFeatureStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn shard(&self, hash: IdHash) -> &RwLock<Shard> {
        &self.shards[usize::from(hash.shard())]
    }

    fn sum(&self, of: impl Fn(&Shard) -> u64) -> u64 {
        self.shards.iter().map(|shard| of(&shard.read())).sum()
    }
}

impl FeatureStore for EmbeddedFeatureStore {
    fn get(&self, user: &UserId) -> Result<Option<UserDocument>, FeatureStoreError> {
        let hash = user.hash();
        let Some((lineage, _)) = self.watermark() else { return Ok(None) };
        let shard = self.shard(hash).read();
        let document = shard.entries.get(&hash).filter(|entry| !entry.is_empty());
        Ok(document.map(|entry| entry.document(lineage)))
    }

    fn apply(
        &self,
        lineage: Lineage,
        epoch: Epoch,
        writes: &[FeatureWrite],
    ) -> Result<(), FeatureStoreError> {
        let _one_at_a_time = self.applying.lock();
        let watermark = self.watermark();
        if let Some((held, _)) = watermark
            && held != lineage
        {
            return Err(FeatureStoreError::OtherLineage { held, offered: lineage });
        }
        for write in writes {
            let hash = write.user().hash();
            self.shard(hash).write().write(hash, epoch, write);
        }
        let reached = watermark.map_or(epoch, |(_, applied)| applied.max(epoch));
        *self.watermark.write() = Some((lineage, reached));
        Ok(())
    }

    fn watermark(&self) -> Option<(Lineage, Epoch)> {
        *self.watermark.read()
    }

    /// Memory loses nothing: every shard is where the store is.
    fn watermarks(&self) -> Result<Watermarks, FeatureStoreError> {
        let watermark = self.watermark();
        let epoch = watermark.map(|(_, epoch)| epoch);
        let epochs = vec![epoch; Placement::Logical.shards()];
        Ok(Watermarks::new(Placement::Logical, watermark.map(|(lineage, _)| lineage), epochs))
    }

    fn refill(
        &self,
        lineage: Lineage,
        epoch: Epoch,
        shards: &[ShardRefill],
    ) -> Result<(), FeatureStoreError> {
        for row in shards.iter().flat_map(|shard| &shard.rows) {
            self.apply(lineage, row.epoch, &writes_of(row))?;
        }
        self.apply(lineage, epoch, &[])
    }

    fn behind(&self) -> Vec<StoreShard> {
        Vec::new()
    }

    fn users(&self) -> Option<u64> {
        Some(self.sum(|shard| shard.users))
    }

    fn approximate_bytes(&self) -> Option<u64> {
        let bytes = |shard: &Shard| shard.value_bytes + (shard.entries.len() * SLOT_BYTES) as u64;
        Some(self.sum(bytes))
    }
}

fn writes_of(row: &UserRow) -> [FeatureWrite; 3] {
    let user = || row.user.clone();
    [
        FeatureWrite::Features(user(), row.features.clone()),
        FeatureWrite::Preferences(user(), row.preferences.clone()),
        FeatureWrite::Vector(user(), row.vector.clone()),
    ]
}

impl Shard {
    fn write(&mut self, hash: IdHash, epoch: Epoch, write: &FeatureWrite) {
        let entry = self.entries.entry(hash).or_default();
        if epoch < entry.epoch {
            return;
        }
        let (was_user, before) = (!entry.is_empty(), entry.value_bytes());
        entry.epoch = epoch;
        match write {
            FeatureWrite::Features(_, features) => entry.features.clone_from(features),
            FeatureWrite::Preferences(_, preferences) => entry.preferences.clone_from(preferences),
            FeatureWrite::Vector(_, vector) => entry.vector.clone_from(vector),
        }
        self.users = self.users - u64::from(was_user) + u64::from(!entry.is_empty());
        self.value_bytes = self.value_bytes - before + entry.value_bytes();
    }
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.features.is_none() && self.preferences.is_none() && self.vector.is_none()
    }

    fn document(&self, lineage: Lineage) -> UserDocument {
        UserDocument {
            lineage,
            epoch: self.epoch,
            features: self.features.clone(),
            preferences: self.preferences.clone(),
            vector: self.vector.clone(),
        }
    }

    fn value_bytes(&self) -> u64 {
        let features = self.features.as_deref().map_or(0, features_bytes);
        let preferences = self.preferences.as_deref().map_or(0, preferences_bytes);
        let vector = self.vector.as_deref().map_or(0, |row| arc_bytes(size_of_val(row)));
        (features + preferences + vector) as u64
    }
}

fn arc_bytes(inner: usize) -> usize {
    ALLOCATION_BYTES + ARC_HEADER_BYTES + inner
}

fn features_bytes(features: &UserFeatures) -> usize {
    let lists = features.recent_views.capacity() + features.history.capacity();
    let searches: usize = features.recent_searches.iter().map(|text| text_bytes(text)).sum();
    let demographics = features.demographics.iter();
    let demographics: usize = demographics.map(|(k, v)| text_bytes(k) + text_bytes(v)).sum();
    arc_bytes(size_of::<UserFeatures>())
        + 2 * ALLOCATION_BYTES
        + lists * size_of::<ItemRef>()
        + arc_bytes(size_of_val(&*features.seen))
        + arc_bytes(size_of_val(&*features.disliked))
        + searches
        + demographics
}

/// Names are shared between users: only the lists are counted.
fn preferences_bytes(preferences: &UserPreferences) -> usize {
    let entries = preferences.categories.capacity() + preferences.brands.capacity();
    arc_bytes(size_of::<UserPreferences>()) + entries * size_of::<(Arc<str>, i64)>()
}

fn text_bytes(text: &str) -> usize {
    size_of::<String>() + ALLOCATION_BYTES + text.len()
}
