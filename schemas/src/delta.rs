//! Deltas: the new absolute value of one key at an epoch, never an increment.
//!
//! The dataflow emits one [`EpochDeltas`] per epoch, an idle one included; a consumer applies
//! whole epochs, in order, once. Within an epoch a key appears at most once and deltas are sorted
//! by (kind, key), so that equal state changes are equal bytes on any number of workers.

pub mod canonical;
pub mod digest;
pub mod placement;
pub mod record;

use std::cmp::Ordering;
use std::sync::Arc;

use crate::features::{CovisitationList, ItemPopularity, UserFeatures, UserPreferences};
use crate::id::{ItemId, ItemRef, UserId};
use crate::item::ItemDocument;
use crate::lineage::{Epoch, Lineage};
use crate::record::Digest;
use crate::time::TimestampMs;

/// The new absolute value of one key.
#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// An item exists; `document` is `None` for one known from events alone.
    Item {
        /// Its dense number, for all other deltas.
        item: ItemRef,
        /// Its id.
        id: ItemId,
        /// Catalogue row.
        document: Option<Arc<ItemDocument>>,
        /// When it was first seen: items are old in this order.
        first_seen: (Epoch, u32),
        /// Taken out of the catalogue: never recommend it.
        deleted: bool,
    },
    /// Learned row of an item, v: what it is to users.
    ItemVector {
        /// Whose.
        item: ItemRef,
        /// v.
        vector: Arc<[f32]>,
    },
    /// Learned context row of an item, c: what having consumed it says of a user.
    ItemContext {
        /// Whose.
        item: ItemRef,
        /// c.
        context: Arc<[f32]>,
    },
    /// Popularity of an item.
    Popularity {
        /// Whose.
        item: ItemRef,
        /// Decayed sums.
        popularity: ItemPopularity,
    },
    /// Neighbours of an item.
    Covisitation {
        /// The source item.
        item: ItemRef,
        /// Its list.
        list: Arc<CovisitationList>,
    },
    /// Learned row of a user; `None` when the user was erased.
    UserVector {
        /// Whose.
        user: UserId,
        /// p.
        vector: Option<Arc<[f32]>>,
    },
    /// Features of a user; `None` when the user was erased.
    UserFeatures {
        /// Whose.
        user: UserId,
        /// The document.
        features: Option<Arc<UserFeatures>>,
    },
    /// Preferences of a user, empty when none are left in the window.
    UserPreferences {
        /// Whose.
        user: UserId,
        /// The document.
        preferences: Arc<UserPreferences>,
    },
    /// Weights of the blend, as the gate keeps them.
    Gate {
        /// In the gate's canonical order.
        values: Arc<[f64]>,
    },
}

/// What a delta is about, within its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeltaKey<'a> {
    /// The only key of its kind.
    Only,
    /// An item, by number.
    Item(ItemRef),
    /// A user, by the bytes of the id.
    User(&'a str),
}

impl Delta {
    /// Number of the kind: the first byte of a canonical row, fixed forever.
    #[must_use]
    pub fn kind(&self) -> u8 {
        match self {
            Self::Item { .. } => 1,
            Self::ItemVector { .. } => 2,
            Self::ItemContext { .. } => 3,
            Self::Popularity { .. } => 4,
            Self::Covisitation { .. } => 5,
            Self::UserVector { .. } => 6,
            Self::UserFeatures { .. } => 7,
            Self::UserPreferences { .. } => 8,
            Self::Gate { .. } => 9,
        }
    }

    /// Name of the kind on the topic, fixed forever.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Item { .. } => "item",
            Self::ItemVector { .. } => "item_vector",
            Self::ItemContext { .. } => "item_context",
            Self::Popularity { .. } => "popularity",
            Self::Covisitation { .. } => "covisitation",
            Self::UserVector { .. } => "user_vector",
            Self::UserFeatures { .. } => "user_features",
            Self::UserPreferences { .. } => "user_preferences",
            Self::Gate { .. } => "gate",
        }
    }

    /// What the deltas of an epoch are sorted by; no two of an epoch have the same.
    #[must_use]
    pub fn order_key(&self) -> (u8, DeltaKey<'_>) {
        let key = match self {
            Self::Item { item, .. }
            | Self::ItemVector { item, .. }
            | Self::ItemContext { item, .. }
            | Self::Popularity { item, .. }
            | Self::Covisitation { item, .. } => DeltaKey::Item(*item),
            Self::UserVector { user, .. }
            | Self::UserFeatures { user, .. }
            | Self::UserPreferences { user, .. } => DeltaKey::User(user.as_str()),
            Self::Gate { .. } => DeltaKey::Only,
        };
        (self.kind(), key)
    }

    /// Compares by [`Self::order_key`].
    #[must_use]
    pub fn cmp_key(&self, other: &Self) -> Ordering {
        self.order_key().cmp(&other.order_key())
    }
}

/// Where every record ended up, summed since epoch 0 (I10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PipelineCounts {
    /// Records bound.
    pub accepted: u64,
    /// Folded into state.
    pub applied: u64,
    /// Seen before, within the dedupe horizon.
    pub duplicate: u64,
    /// Older than their partition's clock less the allowance.
    pub late: u64,
    /// Refused by the validator.
    pub dead_letter: u64,
}

impl PipelineCounts {
    /// I10: every accepted record is in exactly one of the other four.
    #[must_use]
    pub fn is_conserved(&self) -> bool {
        self.accepted == self.applied + self.duplicate + self.late + self.dead_letter
    }
}

/// Everything that one epoch changed.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochDeltas {
    /// Whose history.
    pub lineage: Lineage,
    /// Which epoch.
    pub epoch: Epoch,
    /// Its logical time.
    pub logical_time: TimestampMs,
    /// Sorted by (kind, key), each key once.
    pub deltas: Vec<Delta>,
    /// BLAKE3 chain over (previous chain, this epoch's canonical deltas).
    pub chain: Digest,
    /// Sums since epoch 0.
    pub counts: PipelineCounts,
}
