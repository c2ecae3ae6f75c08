//! Where committed epochs go: the way out of the dataflow, as a port of the driver.
//!
//! A receiver drops what it has already: after a restart the same epochs are emitted again, with
//! the same bytes, and nothing in them is an increment.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use eddyline_connect::log::BoxError;
use eddyline_schemas::lineage::{Epoch, Lineage};

use crate::committer::Committed;
use crate::error::EngineError;
use crate::flow::AbortOnPanic;
use crate::folder::{CommittedState, Progress, Sink};

/// Takes committed epochs out of the process. See the module doc.
pub trait Outputs: Send {
    /// The newest epoch of `lineage` that has left the process, this or an earlier one, as far as
    /// the receivers know: it must not be ahead of what is bound.
    fn newest(&mut self, lineage: Lineage) -> Result<Epoch, BoxError>;

    /// Sends the next epoch. It may be durable only later, see [`Self::acknowledged`].
    fn emit(&mut self, committed: Box<Committed>) -> Result<(), EmitError>;

    /// Every epoch up to this one is where it cannot be lost, of those that were emitted since the
    /// start.
    fn acknowledged(&self) -> Epoch;

    /// Whether nothing up to `epoch` can be lost any more, wherever it goes: a snapshot may be made
    /// (I5). Asking hurries what is late.
    fn has_settled(&self, epoch: Epoch) -> bool {
        self.acknowledged() >= epoch
    }

    /// Why nothing more will be acknowledged, once that is so: halt. What cannot be said by
    /// [`Self::emit`], since everything was emitted.
    fn failure(&self) -> Option<BoxError> {
        None
    }
}

/// Why an epoch was not taken.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// Perhaps not taken, or taken in part: emit it again.
    #[error("epoch {} cannot be emitted now", committed.deltas.epoch)]
    Unavailable {
        /// The epoch, given back.
        committed: Box<Committed>,
        /// The failure.
        #[source]
        source: BoxError,
    },
    /// Emitting it again cannot help: halt.
    #[error("an epoch was refused")]
    Refused(#[source] BoxError),
}

/// Hands epochs to a [`Sink`] on a thread of its own, so that binding goes on meanwhile.
/// Acknowledged is what the sink has returned from.
pub(crate) struct Handoff {
    to: Option<Sender<Box<Committed>>>,
    taking: Option<JoinHandle<()>>,
    progress: Arc<Progress>,
}

impl Handoff {
    pub(crate) fn start(sink: Sink, progress: Arc<Progress>) -> Result<Self, EngineError> {
        // Bounded by the driver, which keeps the number of epochs in flight small.
        let (to, epochs) = channel();
        let told = Arc::clone(&progress);
        let thread = std::thread::Builder::new().name("eddyline-sink".into());
        let taking =
            thread.spawn(move || take_all(&epochs, sink, &told)).map_err(EngineError::Thread)?;
        Ok(Self { to: Some(to), taking: Some(taking), progress })
    }
}

fn take_all(epochs: &Receiver<Box<Committed>>, mut sink: Sink, progress: &Progress) {
    // Else a sink that panics would leave the driver waiting for ever.
    let _abort = AbortOnPanic;
    for committed in epochs {
        let state =
            CommittedState { epoch: committed.deltas.epoch, counts: committed.deltas.counts };
        sink(*committed);
        progress.raise(state);
    }
}

impl Outputs for Handoff {
    /// A sink lives and dies with the process.
    fn newest(&mut self, _: Lineage) -> Result<Epoch, BoxError> {
        Ok(Epoch(0))
    }

    fn emit(&mut self, committed: Box<Committed>) -> Result<(), EmitError> {
        let to = self.to.as_ref().expect("only drop takes it");
        to.send(committed).map_err(|_| EmitError::Refused("its thread is gone".into()))
    }

    fn acknowledged(&self) -> Epoch {
        self.progress.committed().epoch
    }
}

impl Drop for Handoff {
    fn drop(&mut self) {
        self.to = None;
        if let Some(taking) = self.taking.take() {
            drop(taking.join());
        }
    }
}
