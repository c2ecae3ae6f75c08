//! Folds epochs that are at hand, and takes snapshots on the way.

use std::sync::{Arc, Mutex};

use eddyline_connect::log::EventLog;
use eddyline_dataflows::bound::EpochInput;
use eddyline_dataflows::snapshot::{Export, Restored};
use eddyline_dataflows::{Folder, Sink, StateDigest, for_each_bound};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::delta::EpochDeltas;

/// Every epoch that a log's bindings make.
pub(crate) fn epochs_of(core: &CoreConfig, log: &Arc<dyn EventLog>) -> Vec<EpochInput> {
    let mut epochs = Vec::new();
    for_each_bound(core, Arc::clone(log), None, |_, input| epochs.push(input))
        .expect("the log is as it was bound");
    epochs
}

/// What the epochs of a fold said.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<EpochDeltas>>>);

impl Heard {
    pub(crate) fn sink(&self) -> Sink {
        let heard = Arc::clone(&self.0);
        Box::new(move |committed| {
            heard.lock().expect("no test panics while it holds them").push(committed.deltas);
        })
    }

    pub(crate) fn take(&self) -> Vec<EpochDeltas> {
        std::mem::take(&mut *self.0.lock().expect("no test panics while it holds them"))
    }
}

/// A fold from the start, which gives the state at each epoch of `at` on its way.
pub(crate) fn exports_at(
    core: &CoreConfig,
    workers: usize,
    inputs: &[EpochInput],
    at: &[usize],
) -> Vec<Export> {
    let mut folder = Folder::start(core, workers, Box::new(|_| {})).expect("starts");
    let mut exports = Vec::new();
    for (done, input) in inputs.iter().map(Some).chain([None]).enumerate() {
        if at.contains(&done) {
            exports.push(folder.export());
        }
        if let Some(input) = input {
            folder.feed(input.clone());
        }
    }
    exports
}

/// Folds on from a snapshot to the end.
pub(crate) fn fold_rest(
    core: &CoreConfig,
    workers: usize,
    restored: Restored,
    inputs: &[EpochInput],
) -> (StateDigest, Vec<EpochDeltas>) {
    let heard = Heard::default();
    let done = restored.epoch().0 as usize;
    let mut folder = Folder::start_from(core, workers, restored, heard.sink()).expect("starts");
    for input in &inputs[done..] {
        folder.feed(input.clone());
    }
    (folder.end(), heard.take())
}
