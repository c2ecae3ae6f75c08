//! Keeps a feature store equal to what the dataflow commits, on a thread of its own.
//!
//! Invariants:
//!
//! * whoever commits epochs never waits for the store: [`Mirror::offer`] puts an epoch into a
//!   bounded `inbox`, which merges what waits too long, user by user;
//! * the thread folds every epoch into a table of all users (`table`) and writes it with one
//!   `apply`, each epoch in order;
//! * where that chain breaks (at the start, after a failure, after a merge, when the store lost
//!   data) the store is refilled from the table before the next `apply`.
//!
//! Nothing is written before the table is at the [head](MirrorStart::head): what a restarted
//! dataflow folds again is in the store already, or comes with the first refill. A dataflow that
//! goes on from a snapshot [seeds](Mirror::seed) the table with the users of the snapshot.

mod inbox;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use eddyline_schemas::delta::{Delta, EpochDeltas};
use eddyline_schemas::lineage::{Epoch, Lineage};

use self::inbox::{EpochWrites, Inbox, Taken};
use self::table::UserTable;
use super::refill::{RefillReport, UserRows, refill};
use super::{FeatureStore, FeatureStoreError, FeatureWrite, UserRow, stored_preferences};

/// How often an idle mirror looks whether the store lost data.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// From which state a mirror starts.
#[derive(Clone, Copy, Debug)]
pub struct MirrorStart {
    /// Whose history is mirrored.
    pub lineage: Lineage,
    /// The last epoch that was bound before: the store is first written when it is folded again.
    pub head: Epoch,
    /// Rest after a failure of the store.
    pub pause: Duration,
    /// Writes that may wait before they are merged.
    pub most_waiting: usize,
}

impl MirrorStart {
    /// With the usual bounds.
    #[must_use]
    pub fn new(lineage: Lineage, head: Epoch) -> Self {
        Self { lineage, head, pause: Duration::from_millis(250), most_waiting: 1 << 16 }
    }
}

/// What happened on the mirror's thread.
#[derive(Debug)]
pub enum MirrorEvent<'a> {
    /// The store shows an epoch so long after it was offered.
    Visible(Duration),
    /// The store was brought to an epoch from the table.
    Refilled(RefillReport, Epoch),
    /// The store did not take it; it will be refilled.
    Failed(&'a FeatureStoreError),
    /// An epoch was not offered: the mirror has ended, since the store would miss it.
    Gap,
}

/// What a mirror has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MirrorReport {
    /// The last epoch that was committed.
    pub offered: Epoch,
    /// The last epoch that the store took.
    pub stored: Epoch,
    /// Whether the store has all of it, as far as is known.
    pub is_whole: bool,
    /// Refills that were completed.
    pub refills: u64,
    /// Rows that they wrote.
    pub refilled_rows: u64,
    /// Writes and refills that failed.
    pub failures: u64,
    /// Epochs that were merged because the store was slower than the dataflow.
    pub merged: u64,
}

/// See the module doc. Dropped, it ends without finishing what waits.
pub struct Mirror {
    shared: Arc<Shared>,
    ended: parking_lot::Mutex<mpsc::Receiver<()>>,
}

struct Shared {
    inbox: Inbox,
    stored: AtomicU64,
    is_whole: AtomicBool,
    refills: AtomicU64,
    refilled_rows: AtomicU64,
    failures: AtomicU64,
}

impl Mirror {
    /// Starts the thread. `tell` is called on it.
    pub fn start(
        store: Arc<dyn FeatureStore>,
        start: MirrorStart,
        tell: impl Fn(MirrorEvent<'_>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            inbox: Inbox::new(start.most_waiting),
            stored: AtomicU64::new(0),
            is_whole: AtomicBool::new(false),
            refills: AtomicU64::new(0),
            refilled_rows: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        });
        let (ends, ended) = mpsc::channel();
        let writer = Writer {
            store,
            start,
            table: UserTable::new(start.lineage),
            needs_refill: true,
            retry_at: Instant::now(),
            oldest: None,
            shared: Arc::clone(&shared),
            tell: Box::new(tell),
        };
        thread::Builder::new().name("eddyline-mirror".to_owned()).spawn(move || {
            writer.run();
            // Nobody listens once the mirror is dropped.
            let _ = ends.send(());
        })?;
        Ok(Self { shared, ended: parking_lot::Mutex::new(ended) })
    }

    /// Takes what a committed epoch changed; from 1 on in order, or after what was
    /// [seeded](Self::seed). Never waits for the store.
    pub fn offer(&self, epoch: Epoch, writes: Vec<FeatureWrite>) {
        self.shared.inbox.put(EpochWrites { epoch, writes, at: Instant::now() });
    }

    /// Takes all users' rows as of the end of `epoch`, those of erased users too, such as those of a
    /// snapshot, in place of all epochs up to it; before any [`Self::offer`].
    pub fn seed(&self, epoch: Epoch, rows: Vec<UserRow>) {
        self.shared.inbox.seed(epoch, rows);
    }

    /// Finishes what waits, unless the store fails or it takes longer than `patience`; true if
    /// the store has all of it.
    pub fn close(&self, patience: Duration) -> bool {
        self.shared.inbox.close();
        let has_ended = self.ended.lock().recv_timeout(patience).is_ok();
        has_ended && self.report().is_whole
    }

    /// What it has done so far.
    #[must_use]
    pub fn report(&self) -> MirrorReport {
        let of = |number: &AtomicU64| number.load(Ordering::Acquire);
        let (stored, shared) = (Epoch(of(&self.shared.stored)), &*self.shared);
        let (offered, merged) = shared.inbox.progress();
        MirrorReport {
            offered,
            stored,
            is_whole: shared.is_whole.load(Ordering::Acquire) && stored >= offered,
            refills: of(&shared.refills),
            refilled_rows: of(&shared.refilled_rows),
            failures: of(&shared.failures),
            merged,
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.shared.inbox.abandon();
    }
}

/// What the deltas of an epoch change of users, as a feature store takes it.
#[must_use]
pub fn user_writes(deltas: &EpochDeltas) -> Vec<FeatureWrite> {
    let write = |delta: &Delta| {
        Some(match delta {
            Delta::UserVector { user, vector } => {
                FeatureWrite::Vector(user.clone(), vector.clone())
            }
            Delta::UserFeatures { user, features } => {
                FeatureWrite::Features(user.clone(), features.clone())
            }
            Delta::UserPreferences { user, preferences } => {
                let preferences = stored_preferences(preferences.clone());
                FeatureWrite::Preferences(user.clone(), preferences)
            }
            _ => return None,
        })
    };
    deltas.deltas.iter().filter_map(write).collect()
}

/// What the thread owns.
struct Writer {
    store: Arc<dyn FeatureStore>,
    start: MirrorStart,
    table: UserTable,
    needs_refill: bool,
    retry_at: Instant,
    /// When the oldest epoch was offered that waits for a refill.
    oldest: Option<Instant>,
    shared: Arc<Shared>,
    tell: Box<dyn Fn(MirrorEvent<'_>) + Send>,
}

impl Writer {
    fn run(mut self) {
        while let Some(taken) = self.shared.inbox.take(self.patience()) {
            if taken.has_gap {
                self.break_chain();
                (self.tell)(MirrorEvent::Gap);
                return;
            }
            let (failures, is_closing) = (self.failures(), taken.is_closing);
            self.fold(taken);
            if !self.needs_refill && !self.store.behind().is_empty() {
                self.break_chain();
            }
            let is_due = is_closing || Instant::now() >= self.retry_at;
            if self.needs_refill && self.is_at_head() && is_due {
                self.refill();
            }
            let has_failed = self.failures() > failures;
            let is_done = !self.needs_refill || !self.is_at_head();
            if is_closing && self.shared.inbox.is_empty() && (is_done || has_failed) {
                return;
            }
        }
    }

    fn failures(&self) -> u64 {
        self.shared.failures.load(Ordering::Relaxed)
    }

    fn is_at_head(&self) -> bool {
        self.table.epoch() >= self.start.head
    }

    fn patience(&self) -> Duration {
        match self.needs_refill && self.is_at_head() {
            true => self.retry_at.saturating_duration_since(Instant::now()).min(LOOK_EVERY),
            false => LOOK_EVERY,
        }
    }

    /// Takes epochs over, and writes each one while the chain holds.
    fn fold(&mut self, taken: Taken) {
        if let Some((epoch, rows)) = taken.seed {
            self.break_chain();
            rows.into_iter().for_each(|row| self.table.put(row));
            self.table.reach(epoch);
        }
        if !taken.merged.is_empty() {
            self.break_chain();
            let is_new = taken.merged_to > self.start.head;
            self.oldest = self.oldest.or(taken.merged_since.filter(|_| is_new));
            taken.merged.into_values().for_each(|(epoch, write)| self.table.write(epoch, &write));
            self.table.reach(taken.merged_to);
        }
        for EpochWrites { epoch, writes, at } in taken.epochs {
            writes.iter().for_each(|write| self.table.write(epoch, write));
            self.table.reach(epoch);
            if self.needs_refill {
                self.oldest = self.oldest.or((epoch > self.start.head).then_some(at));
                continue;
            }
            match self.store.apply(self.start.lineage, epoch, &writes) {
                Ok(()) => {
                    self.shared.stored.store(epoch.0, Ordering::Release);
                    (self.tell)(MirrorEvent::Visible(at.elapsed()));
                }
                Err(error) => {
                    self.oldest = Some(at);
                    self.failed(&error);
                }
            }
        }
    }

    fn refill(&mut self) {
        match refill(self.store.as_ref(), &self.table) {
            Ok(report) => {
                self.needs_refill = false;
                self.shared.stored.store(self.table.epoch().0, Ordering::Release);
                self.shared.is_whole.store(true, Ordering::Release);
                self.shared.refills.fetch_add(1, Ordering::Relaxed);
                self.shared.refilled_rows.fetch_add(report.rows as u64, Ordering::Relaxed);
                (self.tell)(MirrorEvent::Refilled(report, self.table.epoch()));
                if let Some(oldest) = self.oldest.take() {
                    (self.tell)(MirrorEvent::Visible(oldest.elapsed()));
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &FeatureStoreError) {
        self.break_chain();
        self.retry_at = Instant::now() + self.start.pause;
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        (self.tell)(MirrorEvent::Failed(error));
    }

    fn break_chain(&mut self) {
        self.needs_refill = true;
        self.shared.is_whole.store(false, Ordering::Release);
    }
}
