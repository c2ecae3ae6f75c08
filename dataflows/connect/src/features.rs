//! The port to the feature store: the user documents that serving reads.
//!
//! Invariants (I4), kept by every implementation and checked by the conformance suite:
//!
//! * values are absolute, so a repeated write changes nothing;
//! * a document never goes backwards: a write of an epoch before the document's own is ignored,
//!   also when the document was erased meanwhile;
//! * a store holds one lineage; a write of another one is refused whole.
//!
//! A store may lose what it had acknowledged: an empty restart, a failover to a replica that lags.
//! So it is cut into shards ([`Placement`]) and keeps a *watermark* for each, in the shard itself:
//! a shard at epoch e holds every change up to e. What is newer than its watermarks is written
//! anew from state ([`refill`]); until then, the shard is [behind](FeatureStore::behind), and a
//! read of it fails rather than return something old.

pub mod breaker;
mod embedded;
pub mod mirror;
pub mod open;
pub mod redis;
pub mod refill;
mod shards;

use std::sync::Arc;

use eddyline_schemas::features::{UserFeatures, UserPreferences};
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::{Epoch, Lineage};

pub use embedded::EmbeddedFeatureStore;
pub use open::{FeatureStoreOptions, check_features_url, open_features};
pub use shards::{Placement, StoreShard, Watermarks};

/// All that is known of a user, as of `epoch` of `lineage`.
#[derive(Clone, Debug, PartialEq)]
pub struct UserDocument {
    /// Whose history.
    pub lineage: Lineage,
    /// The last epoch that wrote to the document.
    pub epoch: Epoch,
    /// Last views, session, seen items, …
    pub features: Option<Arc<UserFeatures>>,
    /// Categories and brands.
    pub preferences: Option<Arc<UserPreferences>>,
    /// Learned row.
    pub vector: Option<Arc<[f32]>>,
}

/// The new absolute value of one part of a user's document; `None` erases it.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureWrite {
    /// [`UserDocument::features`].
    Features(UserId, Option<Arc<UserFeatures>>),
    /// [`UserDocument::preferences`].
    Preferences(UserId, Option<Arc<UserPreferences>>),
    /// [`UserDocument::vector`].
    Vector(UserId, Option<Arc<[f32]>>),
}

/// What a shard of a store missed: its rows as of one epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ShardRefill {
    /// Which.
    pub shard: StoreShard,
    /// The watermark that the rows follow on.
    pub from: Option<Epoch>,
    /// Every row of the shard that changed after `from`, in the order of their epochs.
    pub rows: Vec<UserRow>,
}

/// A user's row of state: the values as of the epoch that changed it last.
#[derive(Clone, Debug, PartialEq)]
pub struct UserRow {
    /// Whose.
    pub user: UserId,
    /// The last epoch that changed it.
    pub epoch: Epoch,
    /// `None` where there is none, or no longer.
    pub features: Option<Arc<UserFeatures>>,
    /// `None` where there are none, or no longer.
    pub preferences: Option<Arc<UserPreferences>>,
    /// `None` where there is none, or no longer.
    pub vector: Option<Arc<[f32]>>,
}

/// What a store keeps of preferences: nothing in the window is the same as no document, so that an
/// erased user leaves none behind.
#[must_use]
pub fn stored_preferences(preferences: Arc<UserPreferences>) -> Option<Arc<UserPreferences>> {
    let is_empty = preferences.categories.is_empty() && preferences.brands.is_empty();
    (!is_empty).then_some(preferences)
}

/// Why a store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum FeatureStoreError {
    /// Nothing was written: the store belongs to another history. Use an empty one.
    #[error(
        "the feature store holds lineage {held}, the write is of lineage {offered}: \
         set another features.namespace, or go on with the history that it holds"
    )]
    OtherLineage {
        /// What the store holds.
        held: Lineage,
        /// What was to be written.
        offered: Lineage,
    },
    /// The layer below failed; writes are absolute, so the same call may be repeated.
    #[error("the feature store is unavailable")]
    Unavailable(#[source] crate::log::BoxError),
    /// Not asked, because it has just failed several times in a row; ask again in a moment.
    #[error("the feature store has failed repeatedly and is not asked for a moment")]
    BreakerOpen,
    /// The store has lost what the shard held; it has to be refilled.
    #[error("the feature store lost data of {0}, which is being refilled")]
    Behind(StoreShard),
    /// A value that this version cannot read: something else wrote under the same namespace.
    #[error("the value of {key} in the feature store cannot be read: set another namespace")]
    Corrupt {
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: crate::log::BoxError,
    },
}

/// User documents by user. See the module doc for what it promises.
pub trait FeatureStore: Send + Sync {
    /// The document of `user`; `None` for one never seen or erased whole.
    fn get(&self, user: &UserId) -> Result<Option<UserDocument>, FeatureStoreError>;

    /// Writes all that `epoch` of `lineage` changed. Epochs come in order, after a refill of the
    /// state that they follow on ([`refill::refill`], also where state is empty): else a shard
    /// would claim what it never got. A repetition changes nothing; a shard that is behind is left
    /// to the refill. After an error, repeat the same epoch, or go on and refill.
    fn apply(
        &self,
        lineage: Lineage,
        epoch: Epoch,
        writes: &[FeatureWrite],
    ) -> Result<(), FeatureStoreError>;

    /// The greatest epoch ever applied, with its lineage; an apply without writes counts.
    fn watermark(&self) -> Option<(Lineage, Epoch)>;

    /// How far each shard is, asked of the store itself.
    fn watermarks(&self) -> Result<Watermarks, FeatureStoreError>;

    /// Brings shards to the state of `epoch`. One that is further is left alone; one that is not
    /// even at its `from` stays behind.
    fn refill(
        &self,
        lineage: Lineage,
        epoch: Epoch,
        shards: &[ShardRefill],
    ) -> Result<(), FeatureStoreError>;

    /// Shards that are known to miss an acknowledged or a failed write, ascending.
    fn behind(&self) -> Vec<StoreShard>;

    /// Users that have a document; `None` where the store cannot tell without a walk.
    fn users(&self) -> Option<u64>;

    /// About how much memory the documents take, for metrics; `None` where it cannot be told.
    fn approximate_bytes(&self) -> Option<u64>;
}

impl FeatureStoreError {
    /// The error as the reason of a degraded answer.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OtherLineage { .. } => "feature_store_other_lineage",
            Self::Unavailable(_) => "feature_store_unavailable",
            Self::BreakerOpen => "feature_store_breaker_open",
            Self::Behind(_) => "feature_store_behind",
            Self::Corrupt { .. } => "feature_store_corrupt",
        }
    }
}

impl FeatureWrite {
    /// Whose document.
    #[must_use]
    pub fn user(&self) -> &UserId {
        match self {
            Self::Features(user, _) | Self::Preferences(user, _) | Self::Vector(user, _) => user,
        }
    }
}
