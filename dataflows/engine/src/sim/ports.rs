//! A simulated driver's way out: deltas and snapshots, each operation of which may fail.

use std::sync::Arc;

use eddyline_connect::log::BoxError;
use eddyline_connect::sim::{Fault, Injector, Operation};
use eddyline_schemas::lineage::{Epoch, Lineage};
use parking_lot::Mutex;

use super::receiver::{DeltaRecord, Receiver, records_of};
use crate::committer::Committed;
use crate::driver::snapshots::{SnapshotPoint, Snapshots};
use crate::outputs::{EmitError, Outputs};

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

/// A process's snapshots: none is read back, since state is not written out yet; what is checked
/// is when one is written (I5).
pub(super) struct SimSnapshots {
    pub(super) interval: u64,
    pub(super) newest: Arc<Mutex<Epoch>>,
    pub(super) receiver: Arc<Mutex<Receiver>>,
    pub(super) faults: Arc<Injector>,
    pub(super) broken: Arc<Mutex<Vec<String>>>,
}

impl Snapshots for SimSnapshots {
    fn interval(&self) -> u64 {
        self.interval
    }

    fn newest(&mut self, _: Lineage) -> Result<Epoch, BoxError> {
        Ok(*self.newest.lock())
    }

    fn write(&mut self, point: &SnapshotPoint<'_>) -> Result<(), BoxError> {
        let is_written = match self.faults.decide(Operation::Write) {
            Fault::None | Fault::Stale | Fault::Duplicate | Fault::Tear => true,
            Fault::CrashAfter | Fault::TearAndCrash => {
                self.faults.kill();
                true
            }
            Fault::LoseReply => {
                self.check(point);
                return Err("the reply was lost".into());
            }
            Fault::CrashBefore => {
                self.faults.kill();
                false
            }
            Fault::Vanish | Fault::Delay | Fault::Unavailable => false,
        };
        if !is_written {
            return Err("simulated".into());
        }
        self.check(point);
        Ok(())
    }
}

impl SimSnapshots {
    fn check(&self, point: &SnapshotPoint<'_>) {
        let mut broken = self.broken.lock();
        let (at, whole) = (point.epoch, self.receiver.lock().whole);
        if whole < at {
            broken.push(format!("a snapshot of epoch {at} while deltas end at epoch {whole}"));
        }
        if point.fold.epoch() != at {
            let bound = point.fold.epoch();
            broken.push(format!("a snapshot of epoch {at} with the fold of epoch {bound}"));
        }
        let mut newest = self.newest.lock();
        *newest = at.max(*newest);
    }
}
