//! Writes a driver's snapshots on a thread of its own: folding waits for the copy alone.
//!
//! One at a time. A state that takes long to write is written less often: between two snapshots
//! there is nine times as long as the last one took. A failure is logged and tells of itself; the
//! next try is a new snapshot, a while later.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use eddyline_connect::clock::{Clock, SteadyClock};
use eddyline_connect::log::{BoxError, with_sources};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::time::TimestampMs;
use parking_lot::{Condvar, Mutex};

use super::{Export, LogPosition, Restored, SnapshotError, SnapshotStore, Written};
use crate::driver::snapshots::{Fed, SnapshotPoint, Snapshots};

/// Rest after one snapshot, in times of what it took.
const REST: i64 = 9;

/// Rest after a failure, in milliseconds.
const REST_AFTER_FAILURE: i64 = 10_000;

/// See the module doc.
pub struct SnapshotWriter {
    every_events: u64,
    to: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<State>,
    clock: Arc<dyn Clock>,
}

struct Job {
    export: Export,
    position: LogPosition,
    began: TimestampMs,
}

#[derive(Default)]
struct State {
    known: Mutex<Known>,
    changed: Condvar,
}

/// Asks the writer for a snapshot that is not older than an epoch, as soon as there can be one.
#[derive(Clone)]
pub struct SnapshotWish(Arc<State>);

impl SnapshotWish {
    /// Wants a snapshot as of `epoch` or later.
    pub fn want(&self, epoch: Epoch) {
        let mut known = self.0.known.lock();
        known.wanted = known.wanted.max(Some(epoch));
    }
}

#[derive(Default)]
struct Known {
    written: Option<Fed>,
    /// See [`SnapshotWish`].
    wanted: Option<Epoch>,
    is_busy: bool,
    rests_until: Option<TimestampMs>,
    failure: Option<String>,
}

impl SnapshotWriter {
    /// Writes to `store` when `every_events` records were bound since the last snapshot, which was
    /// `newest`; never, when they are 0.
    pub fn start(
        store: SnapshotStore,
        every_events: u64,
        newest: Option<&Restored>,
    ) -> std::io::Result<Self> {
        Self::start_on(Arc::new(SteadyClock::default()), store, every_events, newest)
    }

    /// The way to ask for one.
    #[must_use]
    pub fn wish(&self) -> SnapshotWish {
        SnapshotWish(Arc::clone(&self.state))
    }

    fn start_on(
        clock: Arc<dyn Clock>,
        store: SnapshotStore,
        every_events: u64,
        newest: Option<&Restored>,
    ) -> std::io::Result<Self> {
        let state = Arc::new(State::default());
        state.known.lock().written = newest
            .map(|restored| Fed { epoch: restored.epoch(), records: restored.counts().accepted });
        let (to, jobs) = channel();
        let (told, time) = (Arc::clone(&state), Arc::clone(&clock));
        let thread = std::thread::Builder::new()
            .name("eddyline-snapshot".into())
            .spawn(move || write_all(&store, &jobs, (&told, &*time)))?;
        Ok(Self { every_events, to: Some(to), thread: Some(thread), state, clock })
    }
}

fn write_all(store: &SnapshotStore, jobs: &Receiver<Job>, (state, clock): (&State, &dyn Clock)) {
    for Job { export, position, began } in jobs {
        let counts = export.counts();
        let written = write(store, export, position);
        let now = clock.now();
        let took_ms = now.since(began);
        let mut known = state.known.lock();
        known.is_busy = false;
        match written {
            Ok(Written { epoch, bytes, written_bytes, .. }) => {
                tracing::info!(epoch = epoch.0, bytes, written_bytes, took_ms, "snapshot written");
                known.written = Some(Fed { epoch, records: counts.accepted });
                known.failure = None;
                known.rests_until = Some(now.plus_ms(took_ms * REST));
            }
            Err(error) => {
                let error = with_sources(&error);
                tracing::error!(error, "no snapshot was written");
                known.failure = Some(error);
                known.rests_until = Some(now.plus_ms(REST_AFTER_FAILURE));
            }
        }
        drop(known);
        state.changed.notify_all();
    }
}

fn write(
    store: &SnapshotStore,
    export: Export,
    position: LogPosition,
) -> Result<Written, SnapshotError> {
    let lineage = export.lineage();
    let written = store.write(export, position)?;
    match store.collect_garbage(lineage) {
        Ok(deleted) => tracing::debug!(deleted, "objects of older snapshots"),
        // They are in nobody's way, and the next snapshot tries again.
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "older snapshots are still there"
        ),
    }
    Ok(written)
}

impl State {
    fn wait(&self) -> parking_lot::MutexGuard<'_, Known> {
        let mut known = self.known.lock();
        self.changed.wait_while(&mut known, |known| known.is_busy);
        known
    }
}

impl Snapshots for SnapshotWriter {
    fn is_due(&mut self, fed: Fed) -> bool {
        let known = self.state.known.lock();
        let newest = known.written.map_or(Epoch(0), |written| written.epoch);
        let is_wanted = known.wanted.is_some_and(|wanted| newest < wanted && wanted <= fed.epoch);
        let rests = known.rests_until.is_some_and(|until| until > self.clock.now());
        if is_wanted && !known.is_busy && !(rests && known.failure.is_some()) {
            return true;
        }
        if self.every_events == 0 {
            return false;
        }
        let before = known.written.map_or(0, |written| written.records);
        fed.records >= before.saturating_add(self.every_events)
            && !known.is_busy
            && known.rests_until.is_none_or(|until| until <= self.clock.now())
    }

    fn write(&mut self, point: &SnapshotPoint<'_>) -> Result<(), BoxError> {
        self.state.known.lock().is_busy = true;
        let began = self.clock.now();
        let job = Job { export: point.folder.export(), position: point.position.clone(), began };
        let to = self.to.as_ref().expect("only drop takes it");
        to.send(job).map_err(|_| "the thread that writes snapshots is gone".into())
    }

    fn written(&self) -> Epoch {
        self.state.known.lock().written.map_or(Epoch(0), |written| written.epoch)
    }

    fn is_due_at_end(&mut self, fed: Fed) -> bool {
        let known = self.state.wait();
        self.every_events > 0 && known.written.map_or(Epoch(0), |written| written.epoch) < fed.epoch
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        match self.state.wait().failure.clone() {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        self.to = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use eddyline_connect::clock::ManualClock;
    use eddyline_connect::objects::{
        MemoryObjects, ObjectError, ObjectInfo, ObjectName, ObjectStore,
    };
    use eddyline_model::config::CoreConfig;
    use eddyline_schemas::binding::{BindingFold, FoldState};

    use super::*;
    use crate::bound::{EpochInput, Header};
    use crate::folder::Folder;

    /// Takes a while for each object, and fails when told to.
    struct Slow {
        objects: MemoryObjects,
        clock: Arc<ManualClock>,
        fails: std::sync::atomic::AtomicBool,
    }

    const OBJECT_MS: i64 = 50;

    impl ObjectStore for Slow {
        fn put_if_absent(&self, name: &ObjectName, bytes: Bytes) -> Result<(), ObjectError> {
            self.clock.advance_ms(OBJECT_MS);
            if self.fails.load(std::sync::atomic::Ordering::Acquire) {
                let (store, doing) = ("slow:".to_owned(), "put".to_owned());
                return Err(ObjectError::Unavailable { store, doing, source: "away".into() });
            }
            self.objects.put_if_absent(name, bytes)
        }

        fn get(&self, name: &ObjectName) -> Result<Option<Bytes>, ObjectError> {
            self.objects.get(name)
        }

        fn list(&self, folder: &ObjectName) -> Result<Vec<ObjectInfo>, ObjectError> {
            self.objects.list(folder)
        }

        fn delete(&self, name: &ObjectName) -> Result<(), ObjectError> {
            self.objects.delete(name)
        }
    }

    struct Setup {
        slow: Arc<Slow>,
        folder: Folder,
        writer: SnapshotWriter,
    }

    impl Setup {
        fn new(every_events: u64) -> Self {
            let clock = Arc::new(ManualClock::new(TimestampMs(1_000)));
            let mut core = CoreConfig::default();
            core.factors.dim = 16;
            let (objects, fails) = (MemoryObjects::new(), false.into());
            let slow = Arc::new(Slow { objects, clock: Arc::clone(&clock), fails });
            let store = SnapshotStore::new(Arc::clone(&slow) as _, &core);
            let writer = SnapshotWriter::start_on(clock, store, every_events, None);
            let folder = Folder::start(&core, 1, Box::new(drop)).expect("one worker");
            Self { slow, folder, writer: writer.expect("a thread") }
        }

        /// Folds an epoch of a hundred records that nobody can use.
        fn feed(&mut self) -> Fed {
            let header = Header { accepted: 100, dead_letter: 100, ..Header::default() };
            let epoch = self.folder.feed(EpochInput { header, events: Vec::new() });
            Fed { epoch, records: epoch.0 * 100 }
        }

        /// Writes a snapshot; how long it took.
        fn write(&mut self, fed: Fed) -> i64 {
            let began = self.slow.clock.now();
            let state = FoldState { epoch: fed.epoch, ..FoldState::default() };
            let fold = BindingFold::from(state);
            let position = LogPosition { fold, ..LogPosition::default() };
            let point = SnapshotPoint { position, folder: &self.folder };
            self.writer.write(&point).expect("the thread lives");
            let _ = self.writer.finish();
            self.slow.clock.now().since(began)
        }
    }

    #[test]
    fn a_snapshot_that_took_long_is_not_written_again_soon() {
        let mut setup = Setup::new(200);
        let fed = setup.feed();
        assert!(!setup.writer.is_due(fed), "a hundred records are too few");
        let fed = setup.feed();
        assert!(setup.writer.is_due(fed));
        let took = setup.write(fed);
        assert!(took >= 2 * OBJECT_MS, "a part and a manifest: {took}");
        assert_eq!(setup.writer.written(), fed.epoch);
        assert!(!setup.writer.is_due(fed) && !setup.writer.is_due_at_end(fed));
        setup.feed();
        let fed = setup.feed();
        assert!(!setup.writer.is_due(fed), "it rests");
        assert!(setup.writer.is_due_at_end(fed), "an end does not wait for that");
        setup.slow.clock.advance_ms(took * REST - 1);
        assert!(!setup.writer.is_due(fed));
        setup.slow.clock.advance_ms(1);
        assert!(setup.writer.is_due(fed));
    }

    #[test]
    fn a_failure_is_told_and_tried_again_a_while_later() {
        let mut setup = Setup::new(100);
        setup.slow.fails.store(true, std::sync::atomic::Ordering::Release);
        let fed = setup.feed();
        setup.write(fed);
        let error = setup.writer.finish().expect_err("the store is away").to_string();
        assert!(error.contains("away"), "{error}");
        assert_eq!(setup.writer.written(), Epoch(0));
        assert!(!setup.writer.is_due(fed), "it rests");
        setup.slow.clock.advance_ms(REST_AFTER_FAILURE);
        setup.slow.fails.store(false, std::sync::atomic::Ordering::Release);
        assert!(setup.writer.is_due(fed));
        setup.write(fed);
        setup.writer.finish().expect("all is well again");
        assert_eq!(setup.writer.written(), fed.epoch);
    }

    #[test]
    fn none_is_written_when_none_is_wanted() {
        let mut setup = Setup::new(0);
        let fed = setup.feed();
        assert!(!setup.writer.is_due(fed) && !setup.writer.is_due_at_end(fed));
        let wish = setup.writer.wish();
        wish.want(fed.epoch.next());
        assert!(!setup.writer.is_due(fed), "it would be too old");
        let fed = setup.feed();
        assert!(setup.writer.is_due(fed));
        setup.write(fed);
        assert!(!setup.writer.is_due(fed), "it is there");
    }
}
