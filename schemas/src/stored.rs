//! One part of a user's document as the feature store keeps it, under a key of its own.
//!
//! A part carries the lineage and the epoch of its last change, so that a store can refuse what is
//! older. A part without body is a tombstone: the user was erased at that epoch. The features of a
//! user are two parts, [`PartBody::Features`] (what each request reads and each event changes) and
//! [`PartBody::Seen`] (the long lists); [`split_features`] and [`join_features`] convert.

use std::sync::Arc;

use crate::features::{UserFeatures, UserPreferences};
use crate::id::ItemRef;
use crate::lineage::{Epoch, Lineage};
use crate::time::TimestampMs;

/// The first 8 bytes of a lineage: enough to tell histories apart in each of a store's values.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineageTag(pub [u8; 8]);

/// See the module doc.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredPart {
    /// Whose history.
    pub lineage: LineageTag,
    /// The epoch that wrote this value.
    pub epoch: Epoch,
    /// Event time after which the part no longer counts.
    pub expires_at: Option<TimestampMs>,
    /// The value; `None` is a tombstone.
    pub body: Option<PartBody>,
}

/// The value of a part.
#[derive(Clone, Debug, PartialEq)]
pub enum PartBody {
    /// Features with empty `history`, `seen` and `disliked`, and without `expires_at`.
    Features(Arc<UserFeatures>),
    /// The lists that [`PartBody::Features`] leaves out.
    Seen(SeenLists),
    /// Categories and brands.
    Preferences(Arc<UserPreferences>),
    /// The learned row.
    Vector(Arc<[f32]>),
}

/// The long lists of [`UserFeatures`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenLists {
    /// [`UserFeatures::history`].
    pub history: Vec<ItemRef>,
    /// [`UserFeatures::seen`].
    pub seen: Arc<[ItemRef]>,
    /// [`UserFeatures::disliked`].
    pub disliked: Arc<[ItemRef]>,
}

impl LineageTag {
    /// The tag of `lineage`.
    #[must_use]
    pub fn of(lineage: Lineage) -> Self {
        let mut first = [0; 8];
        first.copy_from_slice(&lineage.0.0[..8]);
        Self(first)
    }
}

impl std::fmt::Debug for LineageTag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The short part of `features` and its long lists.
#[must_use]
pub fn split_features(features: &UserFeatures) -> (UserFeatures, SeenLists) {
    let lists = SeenLists {
        history: features.history.clone(),
        seen: Arc::clone(&features.seen),
        disliked: Arc::clone(&features.disliked),
    };
    let short = UserFeatures {
        recent_views: features.recent_views.clone(),
        history: Vec::new(),
        history_length: features.history_length,
        seen: Arc::default(),
        disliked: Arc::default(),
        recent_searches: features.recent_searches.clone(),
        session: features.session.clone(),
        demographics: features.demographics.clone(),
        price_range: features.price_range,
        last_updated: features.last_updated,
        expires_at: TimestampMs(0),
    };
    (short, lists)
}

/// What [`split_features`] split.
#[must_use]
pub fn join_features(
    short: &UserFeatures,
    lists: SeenLists,
    expires_at: TimestampMs,
) -> UserFeatures {
    let SeenLists { history, seen, disliked } = lists;
    UserFeatures { history, seen, disliked, expires_at, ..short.clone() }
}
