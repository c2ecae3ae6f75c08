//! A simulated driver's way out: deltas and snapshots, each operation of which may fail.

use std::sync::Arc;

use eddyline_connect::log::BoxError;
use eddyline_connect::sim::{Fault, Injector, Operation};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::lineage::{Epoch, Lineage};
use parking_lot::Mutex;

use super::receiver::{DeltaRecord, Receiver, records_of};
use crate::committer::Committed;
use crate::driver::snapshots::{Fed, SnapshotPoint, Snapshots};
use crate::outputs::{EmitError, Outputs};
use crate::snapshot::{Export, LogPosition, Restored};

/// What a process has sent and the receiver has not acknowledged: lost with the process, but for a
/// prefix of it.
#[derive(Debug, Default)]
pub(super) struct Unacknowledged {
    records: Vec<DeltaRecord>,
    emitted: Epoch,
    acknowledged: Epoch,
}

/// A process's deltas.
#[derive(Clone)]
pub(super) struct SimOutputs {
    pub(super) receiver: Arc<Mutex<Receiver>>,
    pub(super) faults: Arc<Injector>,
    pub(super) unacknowledged: Arc<Mutex<Unacknowledged>>,
}

impl SimOutputs {
    /// Everything that was sent arrives and is acknowledged.
    pub(super) fn flush(&self) {
        let mut sent = self.unacknowledged.lock();
        let records = std::mem::take(&mut sent.records);
        sent.acknowledged = sent.emitted;
        self.receiver.lock().append(records);
    }

    /// The process died: a part of what it sent arrives.
    pub(super) fn tear(&self) {
        let mut sent = self.unacknowledged.lock();
        let mut records = std::mem::take(&mut sent.records);
        records.truncate(self.faults.below(records.len() as u64 + 1) as usize);
        self.receiver.lock().append(records);
    }

    fn arrive(&self, records: Vec<DeltaRecord>) {
        self.flush();
        self.receiver.lock().append(records);
    }

    fn arrive_later(&self, records: Vec<DeltaRecord>) {
        self.receiver.lock().on_the_way.push(records);
    }

    fn sent(&self, epoch: Epoch, records: Vec<DeltaRecord>) {
        let mut sent = self.unacknowledged.lock();
        sent.records.extend(records);
        sent.emitted = epoch;
    }

    fn prefix(&self, mut records: Vec<DeltaRecord>) -> Vec<DeltaRecord> {
        records.truncate(self.faults.below(records.len() as u64) as usize);
        records
    }

    fn die(&self) -> EmitError {
        self.faults.kill();
        EmitError::Refused("the simulated process is dead".into())
    }
}

impl Outputs for SimOutputs {
    fn newest(&mut self, _: Lineage) -> Result<Epoch, BoxError> {
        match self.faults.decide(Operation::Read) {
            Fault::None | Fault::Stale => Ok(self.receiver.lock().closed),
            Fault::CrashBefore => {
                self.faults.kill();
                Err("the simulated process is dead".into())
            }
            _ => Err("simulated".into()),
        }
    }

    fn emit(&mut self, committed: Box<Committed>) -> Result<(), EmitError> {
        let epoch = committed.deltas.epoch;
        let records = records_of(&committed.deltas);
        let unavailable =
            |committed| EmitError::Unavailable { committed, source: "simulated".into() };
        match self.faults.decide(Operation::WriteMany) {
            Fault::None | Fault::Stale => {
                self.sent(epoch, records);
                if self.faults.below(2) == 0 {
                    self.flush();
                }
                return Ok(());
            }
            Fault::Duplicate => {
                self.arrive_later(records.clone());
                self.sent(epoch, records);
                return Ok(());
            }
            Fault::LoseReply => self.arrive(records),
            Fault::Delay => self.arrive_later(records),
            Fault::Tear => self.arrive(self.prefix(records)),
            Fault::Vanish | Fault::Unavailable => {}
            Fault::CrashBefore => return Err(self.die()),
            Fault::CrashAfter => {
                self.arrive(records);
                return Err(self.die());
            }
            Fault::TearAndCrash => {
                self.arrive(self.prefix(records));
                return Err(self.die());
            }
        }
        Err(unavailable(committed))
    }

    fn acknowledged(&self) -> Epoch {
        self.unacknowledged.lock().acknowledged
    }
}

/// Snapshots that outlive processes, the newest last.
#[derive(Debug, Default)]
pub(super) struct SimStore(Vec<(Export, LogPosition)>);

/// Snapshots that are kept: more than one is used, so that older ones are tried too.
const KEPT: usize = 3;

impl SimStore {
    /// The epoch of the newest.
    fn newest(&self) -> Epoch {
        self.0.last().map_or(Epoch(0), |(export, _)| export.epoch())
    }

    /// One of those that are kept, counted from the newest.
    pub(super) fn restore(&self, core: &CoreConfig, age: usize) -> Option<Restored> {
        let (export, position) = self.0.iter().rev().nth(age)?;
        let restored = Restored::from_export(core, export, position.clone());
        Some(restored.expect("what was exported can be read"))
    }

    fn add(&mut self, export: Export, position: LogPosition) {
        // A zombie may be late with an old one.
        if export.epoch() > self.newest() {
            self.0.push((export, position));
        }
        let old = self.0.len().saturating_sub(KEPT);
        self.0.drain(..old);
    }
}

/// A process's snapshots: what is checked is when one is written (I5), and that whoever goes on
/// from it comes to the same state.
pub(super) struct SimSnapshots {
    /// Epochs between two.
    pub(super) interval: u64,
    pub(super) written: Epoch,
    pub(super) store: Arc<Mutex<SimStore>>,
    pub(super) receiver: Arc<Mutex<Receiver>>,
    pub(super) faults: Arc<Injector>,
    pub(super) broken: Arc<Mutex<Vec<String>>>,
}

impl Snapshots for SimSnapshots {
    fn is_due(&mut self, fed: Fed) -> bool {
        fed.epoch.0 >= self.written.0 + self.interval
    }

    fn write(&mut self, point: &SnapshotPoint<'_>) -> Result<(), BoxError> {
        match self.faults.decide(Operation::Write) {
            Fault::None | Fault::Stale | Fault::Duplicate => {}
            Fault::CrashAfter => self.faults.kill(),
            Fault::LoseReply => {
                self.keep(point);
                return Err("the reply was lost".into());
            }
            Fault::CrashBefore | Fault::TearAndCrash => {
                self.faults.kill();
                return Err("simulated".into());
            }
            // The manifest comes last: what is torn is not there.
            Fault::Vanish | Fault::Delay | Fault::Unavailable | Fault::Tear => {
                return Err("simulated".into());
            }
        }
        self.keep(point);
        Ok(())
    }

    fn written(&self) -> Epoch {
        self.written
    }

    fn is_due_at_end(&mut self, _: Fed) -> bool {
        false
    }

    fn finish(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

impl SimSnapshots {
    fn keep(&mut self, point: &SnapshotPoint<'_>) {
        let export = point.folder.export();
        let mut broken = self.broken.lock();
        let (at, whole) = (export.epoch(), self.receiver.lock().whole);
        if whole < at {
            broken.push(format!("a snapshot of epoch {at} while deltas end at epoch {whole}"));
        }
        let bound = point.position.fold.epoch();
        if bound != at {
            broken.push(format!("a snapshot of epoch {at} with the fold of epoch {bound}"));
        }
        self.written = at;
        self.store.lock().add(export, point.position.clone());
    }
}
