//! A history as a pure function of the epoch: what the store must hold in the end.

use std::sync::Arc;

use eddyline_connect::features::refill::UserRows;
use eddyline_connect::features::{FeatureStore, FeatureWrite, Placement, UserDocument, UserRow};
use eddyline_schemas::features::{UserFeatures, UserPreferences};
use eddyline_schemas::id::{IdHash, UserId};
use eddyline_schemas::lineage::{Epoch, Lineage};
use eddyline_schemas::record::Digest;

pub(crate) fn lineage() -> Lineage {
    Lineage::root(Digest::of(b"history"))
}

/// Users and how they change; about a third changes in an epoch.
pub(crate) struct History {
    pub(crate) users: Vec<UserId>,
}

impl History {
    pub(crate) fn of(users: usize) -> Self {
        let user = |n: usize| UserId::new(&format!("u{n}")).expect("a valid id");
        Self { users: (0..users).map(user).collect() }
    }

    /// `users` that crowd into three slots, so that they share watermarks.
    pub(crate) fn crowded(users: usize) -> Self {
        let all = (0..).map(|n| UserId::new(&format!("u{n}")).expect("a valid id"));
        let in_three = |user: &UserId| Placement::RedisSlot.shard(user).0 < 3;
        Self { users: all.filter(in_three).take(users).collect() }
    }

    /// What `epoch` does to `user`: `None` nothing, else a draw.
    fn draw(user: &UserId, epoch: u64) -> Option<u8> {
        let draw = IdHash::of(&format!("{user} {epoch}")).0;
        (draw[0].is_multiple_of(3) && epoch > 0).then_some(draw[1])
    }

    /// The row of `user` at `epoch`, if anything ever changed it.
    pub(crate) fn row(user: &UserId, epoch: u64) -> Option<UserRow> {
        let last = (1..=epoch).rev().find(|at| Self::draw(user, *at).is_some())?;
        let draw = Self::draw(user, last)?;
        let erased = draw.is_multiple_of(7);
        let features = UserFeatures { history_length: last, ..UserFeatures::default() };
        let preferences =
            UserPreferences { categories: vec![(Arc::from("c"), last as i64)], brands: Vec::new() };
        Some(UserRow {
            user: user.clone(),
            epoch: Epoch(last),
            features: (!erased).then(|| Arc::new(features)),
            preferences: (!erased && draw.is_multiple_of(2)).then(|| Arc::new(preferences)),
            vector: (!erased).then(|| Arc::from(vec![last as f32; 4])),
        })
    }

    pub(crate) fn document(user: &UserId, epoch: u64) -> Option<UserDocument> {
        let row = Self::row(user, epoch)?;
        row.features.as_ref()?;
        Some(UserDocument {
            lineage: lineage(),
            epoch: row.epoch,
            features: row.features,
            preferences: row.preferences,
            vector: row.vector,
        })
    }

    pub(crate) fn writes(&self, epoch: u64) -> Vec<FeatureWrite> {
        let changed = self.users.iter().filter(|user| Self::draw(user, epoch).is_some());
        let rows = changed.filter_map(|user| Self::row(user, epoch));
        let writes = rows.flat_map(|row| {
            [
                FeatureWrite::Vector(row.user.clone(), row.vector),
                FeatureWrite::Features(row.user.clone(), row.features),
                FeatureWrite::Preferences(row.user, row.preferences),
            ]
        });
        writes.collect()
    }

    pub(crate) fn at(&self, epoch: u64) -> RowsAt<'_> {
        RowsAt { history: self, epoch }
    }

    pub(crate) fn assert_held(&self, store: &dyn FeatureStore, epoch: u64) {
        for user in &self.users {
            let held = store.get(user).unwrap_or_else(|error| panic!("{user}: {error}"));
            assert_eq!(held, Self::document(user, epoch), "{user} at {epoch}");
        }
    }
}

/// The state of one epoch.
pub(crate) struct RowsAt<'a> {
    history: &'a History,
    epoch: u64,
}

impl UserRows for RowsAt<'_> {
    fn lineage(&self) -> Lineage {
        lineage()
    }

    fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    fn rows<'a>(
        &'a self,
        shard: u8,
        wanted: &'a dyn Fn(&UserId, Epoch) -> bool,
    ) -> Box<dyn Iterator<Item = UserRow> + 'a> {
        let of_shard = self.history.users.iter().filter(move |user| user.hash().shard() == shard);
        let rows = of_shard.filter_map(|user| History::row(user, self.epoch));
        Box::new(rows.filter(|row| wanted(&row.user, row.epoch)))
    }
}
