//! The topic of deltas, and the feature store behind it, as the engine's way out.
//!
//! A thread publishes, so that binding goes on during a round trip to the topic. Acknowledged is
//! what the topic has whole; the feature store is offered an epoch only then. The log repeats what
//! it can by itself; an epoch that it gave up on is published again by the thread, since a repeat
//! is harmless. Meanwhile no other one is taken, so that the engine waits and says why. One that
//! can never be published ends the thread, and with it the engine.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use eddyline_connect::deltas::{DeltaError, DeltaPublisher};
use eddyline_connect::features::mirror::user_writes;
use eddyline_connect::log::{AppendError, BoxError, with_sources};
use eddyline_dataflows::{Committed, EmitError, Outputs};
use eddyline_schemas::lineage::{Epoch, Lineage};
use parking_lot::Mutex;

use super::mirror::Mirroring;

/// Epochs that may wait for the thread: more than an engine has in flight.
const WAITING: usize = 16;

/// Rest before an epoch is published again.
const RETRY: Duration = Duration::from_millis(100);

/// See the module doc.
pub(super) struct DeltaOutputs {
    /// On the topic when it was opened.
    found: Epoch,
    to: Option<SyncSender<Box<Committed>>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// Told once that the process closes: an epoch that the topic does not take is then given up.
#[derive(Clone, Debug, Default)]
pub(super) struct Closing(Arc<AtomicBool>);

impl Closing {
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What the publishing thread tells.
#[derive(Default)]
struct Shared {
    acknowledged: AtomicU64,
    /// Why the topic does not take an epoch now.
    trouble: Mutex<Option<String>>,
    /// Why it never will.
    failure: Mutex<Option<String>>,
    closing: Closing,
}

/// What the publishing thread owns.
struct Publisher {
    deltas: DeltaPublisher,
    mirroring: Option<Arc<Mirroring>>,
    shared: Arc<Shared>,
}

impl DeltaOutputs {
    pub(super) fn start(
        deltas: DeltaPublisher,
        mirroring: Option<Arc<Mirroring>>,
        closing: Closing,
    ) -> std::io::Result<Self> {
        let found = deltas.found();
        let shared = Arc::new(Shared { closing, ..Shared::default() });
        let (to, epochs) = sync_channel(WAITING);
        let publisher = Publisher { deltas, mirroring, shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new()
            .name("eddyline-publish".into())
            .spawn(move || publisher.run(&epochs))?;
        Ok(Self { found, to: Some(to), thread: Some(thread), shared })
    }

    fn refusal(&self) -> BoxError {
        let failure = self.shared.failure.lock().clone();
        failure.unwrap_or_else(|| "the thread that publishes deltas is gone".into()).into()
    }
}

impl Outputs for DeltaOutputs {
    fn newest(&mut self, _: Lineage) -> Result<Epoch, BoxError> {
        Ok(self.found)
    }

    fn emit(&mut self, committed: Box<Committed>) -> Result<(), EmitError> {
        if let Some(failure) = self.failure() {
            return Err(EmitError::Refused(failure));
        }
        if let Some(trouble) = self.shared.trouble.lock().clone() {
            return Err(EmitError::Unavailable { committed, source: trouble.into() });
        }
        match self.to.as_ref().expect("only drop takes it").try_send(committed) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(committed)) => {
                let source = format!("{WAITING} epochs wait to be published").into();
                Err(EmitError::Unavailable { committed, source })
            }
            Err(TrySendError::Disconnected(_)) => Err(EmitError::Refused(self.refusal())),
        }
    }

    fn acknowledged(&self) -> Epoch {
        Epoch(self.shared.acknowledged.load(Ordering::Acquire))
    }

    fn failure(&self) -> Option<BoxError> {
        let is_over = self.thread.as_ref().is_some_and(JoinHandle::is_finished);
        is_over.then(|| self.refusal())
    }
}

impl Drop for DeltaOutputs {
    fn drop(&mut self) {
        self.shared.closing.begin();
        self.to = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Publisher {
    fn run(mut self, epochs: &Receiver<Box<Committed>>) {
        for committed in epochs {
            // Behind a failure nothing is published: the topic has no gap.
            if let Err(error) = self.publish(&committed) {
                let failure = &error as &dyn std::error::Error;
                tracing::error!(error = failure, "deltas are not published");
                *self.shared.failure.lock() = Some(with_sources(&error));
                return;
            }
        }
    }

    fn publish(&mut self, committed: &Committed) -> Result<(), DeltaError> {
        let deltas = &committed.deltas;
        while let Err(error) = self.deltas.publish(deltas) {
            if !may_pass(&error) || self.shared.closing.has_begun() {
                return Err(error);
            }
            *self.shared.trouble.lock() = Some(with_sources(&error));
            std::thread::sleep(RETRY);
        }
        *self.shared.trouble.lock() = None;
        self.shared.acknowledged.store(deltas.epoch.0, Ordering::Release);
        if let Some(mirroring) = &self.mirroring {
            mirroring.offer(deltas.epoch, user_writes(deltas));
        }
        Ok(())
    }
}

/// Whether the same epoch may be published again.
pub(super) fn may_pass(error: &DeltaError) -> bool {
    match error {
        DeltaError::Append { source, .. } => {
            source.may_pass() || matches!(source, AppendError::Unknown(_))
        }
        _ => false,
    }
}
