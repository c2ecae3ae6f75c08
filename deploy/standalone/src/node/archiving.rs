//! A thread that archives what is bound, beside the dataflow or alone.
//!
//! It never holds anything up: while the object store is away it waits with what fits into memory,
//! says so, and goes on when the store is back. What can never be archived ends the thread with an
//! error that needs a person; the log keeps all of it meanwhile.
//!
//! Erasures that archived events ask for are carried out here too, between two writes, so that there
//! is one writer: see [`Erasing`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eddyline_connect::log::{AppendVersion, EventLog, with_sources};
use eddyline_connect::objects::{Access, ObjectStore};
use eddyline_replay::archiver::{Archiver, ArchiverError, ArchiverLimits};
use eddyline_schemas::lineage::Epoch;
use parking_lot::Mutex;

use super::erasing::{Erasing, Receipts};
use super::trimming::Trimming;
use crate::archive::{of_archive, of_archiver, open_archive};
use crate::config::Config;
use crate::exit::{Exit, OrStop, Outcome};

/// Longest sleep without a look at the time.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Rest after a failure that may pass.
const RETRY: Duration = Duration::from_secs(1);

/// How long a close tries to write what waits.
const FLUSH: Duration = Duration::from_secs(20);

/// See the module doc. Dropping it gives up what waits; the next start reads it again.
pub(crate) struct Archiving {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// How far an archiver is, for whoever does not own it.
#[derive(Clone, Default)]
pub(super) struct Archived(Option<Arc<Shared>>);

impl Archived {
    pub(super) fn of(archiving: Option<&Archiving>) -> Self {
        Self(archiving.map(|archiving| Arc::clone(&archiving.shared)))
    }

    /// The receipts of erasures; `None` where nothing is archived.
    pub(super) fn receipts(&self) -> Option<&Receipts> {
        self.0.as_ref().map(|shared| &shared.receipts)
    }

    /// The last archived epoch; 0 where nothing is archived.
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.0.as_ref().map_or(0, |shared| shared.archived.load(Ordering::Acquire)))
    }
}

/// What the thread tells.
#[derive(Default)]
struct Shared {
    archived: AtomicU64,
    is_closing: AtomicBool,
    is_dropped: AtomicBool,
    failure: Mutex<Option<ArchiverError>>,
    receipts: Receipts,
}

/// What the thread owns.
struct Worker {
    log: Arc<dyn EventLog>,
    archiver: Archiver,
    erasing: Erasing,
    file_time: Duration,
    /// When the oldest record that waits was read.
    waits_since: Option<Instant>,
    trimming: Option<Trimming>,
    /// The digests of what is archived were archived at the end.
    has_digests: bool,
    shared: Arc<Shared>,
}

impl Archiving {
    /// Archives what `log` binds, where `config` names a place for it.
    pub(crate) fn start(config: &Config, log: &Arc<dyn EventLog>) -> Outcome<Option<Self>> {
        if config.archive.url.is_none() {
            return Ok(None);
        }
        let objects = open_archive(config, Access::Write)?;
        Self::start_in(config, Arc::clone(log), objects).map(Some)
    }

    fn start_in(
        config: &Config,
        log: Arc<dyn EventLog>,
        objects: Arc<dyn ObjectStore>,
    ) -> Outcome<Self> {
        let limits =
            ArchiverLimits { rows: config.archive.file_events, ..ArchiverLimits::default() };
        let trimming = Trimming::open(config, &log, &objects)?;
        let archiver = Archiver::open(Arc::clone(&log), Arc::clone(&objects), limits)
            .map_err(|error| of_archiver(error, config))?;
        let receipts = Receipts::read(&*objects).map_err(|error| of_archive(error, config))?;
        let erasing = Erasing::new(config, objects, receipts.clone())?;
        let shared = Arc::new(Shared { receipts, ..Shared::default() });
        shared.archived.store(archiver.archived().0, Ordering::Release);
        let file_time = Duration::from_secs(u64::from(config.archive.file_seconds));
        let worker = Worker {
            log,
            archiver,
            erasing,
            file_time,
            waits_since: None,
            trimming,
            has_digests: false,
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new()
            .name("eddyline-archive".into())
            .spawn(move || worker.run())
            .or_stop(Exit::Io, || "starting a thread".into())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The last epoch that is archived.
    #[must_use]
    pub(crate) fn archived(&self) -> Epoch {
        Epoch(self.shared.archived.load(Ordering::Acquire))
    }

    /// The receipts of erasures, which may ask for snapshots.
    pub(super) fn receipts(&self) -> &Receipts {
        &self.shared.receipts
    }

    /// Whether it has ended, which it does by itself only when it cannot go on.
    #[must_use]
    pub(crate) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Archives what is bound by now, and ends; the last archived epoch, or why it could not.
    pub(crate) fn close(mut self) -> Result<Epoch, ArchiverError> {
        self.shared.is_closing.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that archives panicked");
        }
        match self.shared.failure.lock().take() {
            Some(failure) => Err(failure),
            None => Ok(self.archived()),
        }
    }
}

impl Drop for Archiving {
    fn drop(&mut self) {
        self.shared.is_dropped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Worker {
    fn run(mut self) {
        let (mut seen, mut closing_since) = (AppendVersion::default(), None);
        while !self.shared.is_dropped.load(Ordering::Acquire) {
            let is_closing = self.shared.is_closing.load(Ordering::Acquire);
            if is_closing {
                closing_since.get_or_insert_with(Instant::now);
            }
            match self.step(is_closing) {
                Ok(true) => {}
                Ok(false) if is_closing => return,
                Ok(false) => seen = self.log.wait(seen, LOOK_EVERY),
                Err(error) => {
                    let is_late = closing_since.is_some_and(|since| since.elapsed() >= FLUSH);
                    if !error.may_pass() || is_late {
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            "nothing more is archived"
                        );
                        *self.shared.failure.lock() = Some(error);
                        return;
                    }
                    tracing::warn!(error = with_sources(&error), "will archive it again");
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    /// Reads on or writes; false when there is nothing to do now.
    fn step(&mut self, is_closing: bool) -> Result<bool, ArchiverError> {
        if self.erasing.step(&mut self.archiver, is_closing)? {
            return Ok(true);
        }
        let is_late = self.waits_since.is_some_and(|since| since.elapsed() >= self.file_time);
        let is_due = is_late || (self.archiver.request_waits() && !self.erasing.rests());
        if self.archiver.is_full() || is_due {
            return self.write().map(|()| true);
        }
        if self.archiver.read_on()? {
            self.waits_since.get_or_insert_with(Instant::now);
            return Ok(true);
        }
        if is_closing && self.archiver.waits() {
            return self.write().map(|()| true);
        }
        // Once: somebody else may record more and more of them.
        if is_closing && !self.has_digests && self.archiver.lacks_digests()? {
            self.write()?;
            self.has_digests = true;
            return Ok(true);
        }
        Ok(false)
    }

    fn write(&mut self) -> Result<(), ArchiverError> {
        self.archiver.write()?;
        self.waits_since = None;
        self.shared.archived.store(self.archiver.archived().0, Ordering::Release);
        tracing::debug!(epoch = self.archiver.archived().0, "archived");
        self.trimming.iter_mut().for_each(Trimming::run);
        Ok(())
    }
}
