//! Digests that live recorded of the epochs that are folded again, and what they are good for: every
//! epoch whose deltas are made is held against its digest, and where all digests are known, the
//! deltas need not be made of every epoch.
//!
//! Deltas are for serving; a rebuild wants the state. Making, sorting and hashing the deltas of an
//! epoch costs about as much as folding it, and their only use would be the digest that is known
//! already. So a rebuild makes those of the first epoch, of the last and of one in so many between:
//! the chain of an epoch is the recorded chain of the one before, so each of these comparisons
//! proves all rows that its epoch changed. `replay verify` is the proof of every epoch.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::OnceLock;

use eddyline_schemas::delta::digest::EpochDigest;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Digest;

use crate::graph::Folds;

/// See the module doc.
pub struct KnownDigests {
    of: Box<dyn Fn(Epoch) -> Option<Digest> + Send + Sync>,
    folds: Folds,
    differs: OnceLock<EpochDigest>,
}

impl KnownDigests {
    /// Holds every epoch of which `of` knows the delta digest against it.
    pub fn every(of: impl Fn(Epoch) -> Option<Digest> + Send + Sync + 'static) -> Self {
        Self { of: Box::new(of), folds: Folds::All, differs: OnceLock::new() }
    }

    /// As [`Self::every`] of a fold that goes on behind epoch `from` and ends with `until`, but
    /// makes deltas of one epoch in `every` only; of all, unless the digest of each is known.
    pub fn sampled(
        of: impl Fn(Epoch) -> Option<Digest> + Send + Sync + 'static,
        (from, until): (Epoch, Epoch),
        every: NonZeroU64,
    ) -> Self {
        let known = (from.0 + 1..=until.0).all(|epoch| of(Epoch(epoch)).is_some());
        let folds = if known { Folds::Sampled { from, until, every } } else { Folds::All };
        Self { of: Box::new(of), folds, differs: OnceLock::new() }
    }

    /// As this, of a fold that makes the deltas of all epochs whatever was asked for.
    pub(crate) fn of_all(self) -> Self {
        Self { folds: Folds::All, ..self }
    }

    pub(crate) fn folds(&self) -> Folds {
        self.folds
    }

    /// The recorded digest of an epoch whose deltas are not made.
    pub(crate) fn instead(&self, epoch: Epoch) -> Option<Digest> {
        if self.folds.tell(epoch) { None } else { (self.of)(epoch) }
    }

    /// Compares an epoch whose deltas were made.
    pub(crate) fn compare(&self, folded: &EpochDigest) {
        let recorded = (self.of)(folded.epoch);
        if recorded.is_some_and(|recorded| recorded != folded.delta_digest) {
            // The chain leads on: only the first one says where it began.
            self.differs.get_or_init(|| folded.clone());
        }
    }

    /// The first epoch compared of which the fold made something else than was recorded.
    pub(crate) fn differs(&self) -> Option<Epoch> {
        self.differs.get().map(|folded| folded.epoch)
    }
}

impl fmt::Debug for KnownDigests {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (folds, differs) = (self.folds, self.differs());
        out.debug_struct("KnownDigests").field("folds", &folds).field("differs", &differs).finish()
    }
}
