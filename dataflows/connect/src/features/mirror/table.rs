//! All users' rows as of one epoch: what a store is refilled from.
//!
//! Values are shared with whoever else holds them. An erased user's row stays, without values:
//! a store that lost the erasure would bring the user back.

use std::collections::HashMap;

use eddyline_schemas::id::{SHARDS, UserId};
use eddyline_schemas::lineage::{Epoch, Lineage};

use crate::features::refill::UserRows;
use crate::features::{FeatureWrite, UserRow};

/// See the module doc.
pub(super) struct UserTable {
    lineage: Lineage,
    epoch: Epoch,
    shards: Vec<HashMap<UserId, UserRow>>,
}

impl UserTable {
    pub(super) fn new(lineage: Lineage) -> Self {
        let shards = (0..SHARDS).map(|_| HashMap::new()).collect();
        Self { lineage, epoch: Epoch(0), shards }
    }

    /// Takes over one value. Values of later epochs come later, for each part of each user.
    pub(super) fn write(&mut self, epoch: Epoch, write: &FeatureWrite) {
        let user = write.user();
        let rows = &mut self.shards[usize::from(user.hash().shard())];
        let row = rows.entry(user.clone()).or_insert_with(|| UserRow {
            user: user.clone(),
            epoch,
            features: None,
            preferences: None,
            vector: None,
        });
        row.epoch = row.epoch.max(epoch);
        match write {
            FeatureWrite::Features(_, features) => row.features.clone_from(features),
            FeatureWrite::Preferences(_, preferences) => row.preferences.clone_from(preferences),
            FeatureWrite::Vector(_, vector) => row.vector.clone_from(vector),
        }
    }

    /// Takes over a whole row, in place of all that is known of the user.
    pub(super) fn put(&mut self, row: UserRow) {
        let rows = &mut self.shards[usize::from(row.user.hash().shard())];
        rows.insert(row.user.clone(), row);
    }

    /// All of `epoch` is in.
    pub(super) fn reach(&mut self, epoch: Epoch) {
        self.epoch = epoch;
    }
}

impl UserRows for UserTable {
    fn lineage(&self) -> Lineage {
        self.lineage
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn rows<'a>(
        &'a self,
        shard: u8,
        wanted: &'a dyn Fn(&UserId, Epoch) -> bool,
    ) -> Box<dyn Iterator<Item = UserRow> + 'a> {
        let rows = self.shards[usize::from(shard)].values();
        Box::new(rows.filter(move |row| wanted(&row.user, row.epoch)).cloned())
    }
}
