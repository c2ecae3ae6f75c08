//! Epochs on their way to the mirror's thread: bounded, and never in the way of who commits them.
//!
//! While few writes wait, epochs stay whole and in order. Beyond the bound all that waits is
//! merged: of each part of each user's document only the newest value stays. So what waits is never
//! more than the bound and one value of each part of each user.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use eddyline_schemas::id::UserId;
use eddyline_schemas::lineage::Epoch;
use parking_lot::{Condvar, Mutex};

use crate::features::{FeatureWrite, UserRow};

/// What an epoch changed, and when that was offered.
pub(super) struct EpochWrites {
    pub(super) epoch: Epoch,
    pub(super) writes: Vec<FeatureWrite>,
    pub(super) at: Instant,
}

/// A user and which part of the document.
type Key = (UserId, u8);

/// All that waited.
#[derive(Default)]
pub(super) struct Taken {
    /// All users as of the end of an epoch, before all else.
    pub(super) seed: Option<(Epoch, Vec<UserRow>)>,
    /// Before `epochs`.
    pub(super) merged: HashMap<Key, (Epoch, FeatureWrite)>,
    pub(super) merged_to: Epoch,
    /// When the oldest merged epoch was offered.
    pub(super) merged_since: Option<Instant>,
    pub(super) epochs: VecDeque<EpochWrites>,
    pub(super) is_closing: bool,
    /// An epoch is missing: nothing can be mirrored from here on.
    pub(super) has_gap: bool,
}

/// See the module doc.
pub(super) struct Inbox {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    most_writes: usize,
}

#[derive(Default)]
struct Waiting {
    taken: Taken,
    writes: usize,
    offered: Epoch,
    merged: u64,
    is_abandoned: bool,
}

impl Inbox {
    pub(super) fn new(most_writes: usize) -> Self {
        Self { waiting: Mutex::default(), changed: Condvar::new(), most_writes }
    }

    pub(super) fn put(&self, epoch: EpochWrites) {
        let mut waiting = self.waiting.lock();
        waiting.taken.has_gap |= epoch.epoch != waiting.offered.next();
        waiting.offered = epoch.epoch;
        if waiting.writes + epoch.writes.len() > self.most_writes {
            waiting.merge();
        }
        waiting.writes += epoch.writes.len();
        waiting.taken.epochs.push_back(epoch);
        drop(waiting);
        self.changed.notify_one();
    }

    /// All rows as of an epoch, in place of all epochs up to it; before any other.
    pub(super) fn seed(&self, epoch: Epoch, rows: Vec<UserRow>) {
        let mut waiting = self.waiting.lock();
        waiting.taken.has_gap |= waiting.offered != Epoch(0);
        waiting.offered = epoch;
        waiting.taken.seed = Some((epoch, rows));
        drop(waiting);
        self.changed.notify_one();
    }

    /// What waits, after at most `patience`; `None` once nobody wants it any more.
    pub(super) fn take(&self, patience: Duration) -> Option<Taken> {
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() && !waiting.is_abandoned && !waiting.taken.is_closing {
            self.changed.wait_for(&mut waiting, patience);
        }
        if waiting.is_abandoned {
            return None;
        }
        waiting.writes = 0;
        let is_closing = waiting.taken.is_closing;
        let rest = Taken { is_closing, ..Taken::default() };
        Some(std::mem::replace(&mut waiting.taken, rest))
    }

    /// No more will be put.
    pub(super) fn close(&self) {
        self.waiting.lock().taken.is_closing = true;
        self.changed.notify_one();
    }

    /// What waits is not wanted any more.
    pub(super) fn abandon(&self) {
        self.waiting.lock().is_abandoned = true;
        self.changed.notify_one();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.lock().is_empty()
    }

    /// The last epoch that was put, and how many were merged.
    pub(super) fn progress(&self) -> (Epoch, u64) {
        let waiting = self.waiting.lock();
        (waiting.offered, waiting.merged)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        let taken = &self.taken;
        taken.seed.is_none() && taken.epochs.is_empty() && taken.merged.is_empty()
    }

    fn merge(&mut self) {
        let taken = &mut self.taken;
        for EpochWrites { epoch, writes, at } in taken.epochs.drain(..) {
            taken.merged_since.get_or_insert(at);
            taken.merged_to = epoch;
            self.merged += 1;
            for write in writes {
                taken.merged.insert(key(&write), (epoch, write));
            }
        }
        self.writes = 0;
    }
}

fn key(write: &FeatureWrite) -> Key {
    let part = match write {
        FeatureWrite::Features(..) => 0,
        FeatureWrite::Preferences(..) => 1,
        FeatureWrite::Vector(..) => 2,
    };
    (write.user().clone(), part)
}
