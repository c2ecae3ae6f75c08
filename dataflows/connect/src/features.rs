//! The port to the feature store: the user documents that serving reads.
//!
//! Invariants (I4), kept by every implementation and checked by the conformance suite:
//!
//! * values are absolute, so a repeated write changes nothing;
//! * a document never goes backwards: a write of an epoch before the document's own is ignored,
//!   also when the document was erased meanwhile;
//! * a store holds one lineage; a write of another one is refused whole.

mod embedded;

use std::sync::Arc;

use eddyline_schemas::features::{UserFeatures, UserPreferences};
use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::{Epoch, Lineage};

pub use embedded::EmbeddedFeatureStore;

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

/// Why a store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum FeatureStoreError {
    /// Nothing was written: the store belongs to another history. Use an empty one.
    #[error("the store holds lineage {held}, the write is of lineage {offered}")]
    OtherLineage {
        /// What the store holds.
        held: Lineage,
        /// What was to be written.
        offered: Lineage,
    },
    /// The layer below failed; writes are absolute, so the same call may be repeated.
    #[error("the feature store is unavailable")]
    Unavailable(#[source] crate::log::BoxError),
}

/// User documents by user. See the module doc for what it promises.
pub trait FeatureStore: Send + Sync {
    /// The document of `user`; `None` for one never seen or erased whole.
    fn get(&self, user: &UserId) -> Result<Option<UserDocument>, FeatureStoreError>;

    /// Writes what `epoch` of `lineage` changed, or a part of it.
    fn apply(
        &self,
        lineage: Lineage,
        epoch: Epoch,
        writes: &[FeatureWrite],
    ) -> Result<(), FeatureStoreError>;

    /// The greatest epoch ever applied, with its lineage; an apply without writes counts.
    fn watermark(&self) -> Option<(Lineage, Epoch)>;

    /// Users that have a document.
    fn users(&self) -> u64;

    /// About how much memory the documents take, for metrics.
    fn approximate_bytes(&self) -> u64;
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
