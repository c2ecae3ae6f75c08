//! One schedule: a producer, a driver, its zombies and a consumer take turns as the dice say, and
//! things go wrong; then everything heals and comes to rest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use eddyline_connect::clock::ManualClock;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{Append, EventLog, with_sources};
use eddyline_connect::sim::{Budget, Dice, Injector, SimDisk, SimLog};
use eddyline_schemas::binding::WriterId;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Offset;
use eddyline_schemas::time::{MINUTE_MS, TimestampMs};
use eddyline_schemas::topic::{Topic, TopicPartition};
use parking_lot::Mutex;

use super::plant::{Plant, Planted};
use super::ports::{SimOutputs, SimSnapshots, SimStore};
use super::receiver::{Consumer, Receiver};
use super::stream::{BEGIN_MS, Planned, batches};
use crate::driver::{Driver, Pace, Ports, Step};
use crate::engine::{EngineConfig, EpochLimits, Shared};
use crate::error::EngineError;
use crate::snapshot::Restored;

/// Turns after healing within which everything must have come to rest (I12).
const TURNS_TO_HEAL: u64 = 50_000;

/// A driver process.
pub(super) struct Process {
    pub(super) driver: Driver<Planted>,
    faults: Arc<Injector>,
    outputs: SimOutputs,
}

/// See the module doc.
pub(super) struct World {
    pub(super) config: EngineConfig,
    plant: Option<Plant>,
    dice: Dice,
    pub(super) budget: Arc<Budget>,
    clock: Arc<ManualClock>,
    pub(super) disk: Arc<SimDisk>,
    pub(super) receiver: Arc<Mutex<Receiver>>,
    pub(super) consumer: Consumer,
    snapshots: Arc<Mutex<SimStore>>,
    /// What must never happen and did.
    pub(super) broken: Arc<Mutex<Vec<String>>>,
    pub(super) planned: Vec<Planned>,
    to_send: VecDeque<Vec<Planned>>,
    sender: SimLog,
    /// Where each acknowledged record lies.
    pub(super) acknowledged: Vec<(TopicPartition, Offset, Append)>,
    primary: Option<Process>,
    zombies: Vec<Process>,
    snapshot_interval: u64,
    pace: u64,
    one_in: u64,
    freezes_left: u64,
    power_losses_left: u64,
    pub(super) zombies_made: u64,
    pub(super) processes_made: u64,
    /// Of these, started from a snapshot.
    pub(super) restored: u64,
}

impl World {
    pub(super) fn new(seed: u64, plant: Option<Plant>) -> Self {
        let mut dice = Dice::new(seed);
        let clock = Arc::new(ManualClock::new(TimestampMs(BEGIN_MS + 300 * MINUTE_MS)));
        let partitions = |dice: &mut Dice| 1 + dice.below(3) as u32;
        let layout = LogLayout::new(partitions(&mut dice), partitions(&mut dice), 1)
            .expect("one to three partitions");
        let sync_every = if plant == Some(Plant::SkipFsync) { 4 } else { 1 };
        let disk = Arc::new(SimDisk::new(layout, Arc::clone(&clock) as _, sync_every));
        let budget = Arc::new(Budget::new(dice.below(6), dice.below(30)));
        let records = 100 + dice.below(201);
        let to_send: VecDeque<_> = batches(&mut dice, layout, records).into();
        let faults = Arc::new(Injector::new(dice.split(), Arc::clone(&budget), 12));
        let one_in = 15 + dice.below(100);
        Self {
            config: config(&mut dice, seed),
            plant,
            clock,
            sender: SimLog::new(Arc::clone(&disk), faults),
            disk,
            receiver: Arc::new(Mutex::new(Receiver::new(plant))),
            consumer: Consumer::new(plant),
            snapshots: Arc::default(),
            broken: Arc::default(),
            planned: to_send.iter().flatten().cloned().collect(),
            to_send,
            acknowledged: Vec::new(),
            primary: None,
            zombies: Vec::new(),
            snapshot_interval: 2 + dice.below(6),
            pace: 1 + dice.below(4),
            one_in,
            freezes_left: dice.below(3),
            power_losses_left: dice.below(3),
            zombies_made: 0,
            processes_made: 0,
            restored: 0,
            budget,
            dice,
        }
    }

    /// Lets things go wrong until the producer is done and the faults are used up, then heals; the
    /// driver that is left, if all came to rest.
    pub(super) fn run(&mut self) -> Result<Process, String> {
        let turns = 600 + self.dice.below(1_500);
        for _ in 0..turns {
            self.turn()?;
        }
        self.budget.heal();
        for _ in 0..TURNS_TO_HEAL {
            self.calm_turn()?;
            if self.is_at_rest() {
                return self.primary.take().ok_or_else(|| "no driver is left".to_owned());
            }
        }
        Err(format!("not at rest {TURNS_TO_HEAL} turns after healing"))
    }

    fn turn(&mut self) -> Result<(), String> {
        match self.dice.below(40) {
            0..8 => self.produce(),
            8..10 => self.consume(),
            10 => {
                self.disk.arrive(&mut self.dice);
            }
            11 => {
                self.receiver.lock().arrive(&mut self.dice);
            }
            12..14 => self.flush(),
            14..17 => self.step_zombies(1),
            17 if self.freezes_left > 0 && self.dice.one_in(4) => self.freeze(),
            18 if self.power_losses_left > 0 && self.dice.one_in(8) => self.lose_power(),
            _ => return self.step_primary(),
        }
        Ok(())
    }

    /// A turn once everything works again.
    fn calm_turn(&mut self) -> Result<(), String> {
        self.produce();
        self.flush();
        self.step_zombies(4);
        while self.disk.arrive(&mut self.dice) {}
        while self.receiver.lock().arrive(&mut self.dice) {}
        self.step_primary()?;
        self.consume();
        Ok(())
    }

    fn is_at_rest(&self) -> bool {
        let Some(primary) = &self.primary else { return false };
        let driver = &primary.driver;
        self.to_send.is_empty() && driver.is_live() && driver.is_settled() && self.is_bound(driver)
    }

    fn is_bound(&self, driver: &Driver<Planted>) -> bool {
        let is_whole = |at: TopicPartition| driver.bound_end(at) == self.disk.end(at);
        let layout = self.disk.layout();
        layout.all().filter(|at| at.topic != Topic::Bindings).all(is_whole)
    }

    /// Sends the next batch, again and again until it is acknowledged.
    fn produce(&mut self) {
        let Some(batch) = self.to_send.front() else { return };
        let appends: Vec<Append> = batch.iter().map(|planned| planned.append.clone()).collect();
        if let Ok(offsets) = self.sender.append(appends.clone()) {
            let places = offsets.into_iter().zip(appends);
            let places = places.map(|(offset, append)| (append.partition, offset, append));
            self.acknowledged.extend(places);
            self.to_send.pop_front();
        } else if self.sender_is_dead() {
            let faults = Injector::new(self.dice.split(), Arc::clone(&self.budget), 12);
            self.sender = SimLog::new(Arc::clone(&self.disk), Arc::new(faults));
        }
    }

    fn sender_is_dead(&self) -> bool {
        self.sender.faults().is_dead()
    }

    fn consume(&mut self) {
        let (dice, is_calm) = (&mut self.dice, self.budget.is_healed());
        self.consumer.poll(&self.receiver.lock(), |row| {
            if !is_calm && dice.one_in(400) && !row.value.is_empty() {
                let mut bytes = row.value.to_vec();
                let at = dice.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << dice.below(8);
                row.value = bytes.into();
            }
        });
    }

    fn flush(&self) {
        self.primary.iter().chain(&self.zombies).for_each(|process| process.outputs.flush());
    }

    fn step_primary(&mut self) -> Result<(), String> {
        let process = match self.primary.take() {
            Some(process) => process,
            None => self.process()?,
        };
        self.primary = self.stepped(process)?;
        Ok(())
    }

    /// The process after one step; `None` when it died or was fenced, which is no fault of its own.
    fn stepped(&self, mut process: Process) -> Result<Option<Process>, String> {
        let stepped = process.driver.step();
        if process.faults.is_dead() {
            process.outputs.tear();
            return Ok(None);
        }
        match stepped {
            Ok(Step::Did) => {}
            Ok(Step::Idle(ms) | Step::Rest(ms)) => self.clock.advance_ms(ms.max(1)),
            Err(EngineError::Fenced(_)) => {
                process.outputs.tear();
                return Ok(None);
            }
            Err(error) => return Err(format!("a driver halted: {}", with_sources(&error))),
        }
        Ok(Some(process))
    }

    /// Zombies may say what they like when they die: they are no longer in charge.
    fn step_zombies(&mut self, steps: usize) {
        for _ in 0..steps {
            let Some(zombie) = self.zombies.pop() else { return };
            if let Ok(Some(zombie)) = self.stepped(zombie) {
                self.zombies.insert(0, zombie);
            }
        }
    }

    /// The driver is taken for dead, and goes on later.
    fn freeze(&mut self) {
        if let Some(zombie) = self.primary.take() {
            self.freezes_left -= 1;
            self.zombies_made += 1;
            self.zombies.push(zombie);
        }
    }

    fn lose_power(&mut self) {
        if !self.budget.take_crash() {
            return;
        }
        self.power_losses_left -= 1;
        let all = self.primary.take().into_iter().chain(self.zombies.drain(..));
        all.for_each(|process| process.outputs.tear());
        self.disk.lose_power();
    }

    fn process(&mut self) -> Result<Process, String> {
        self.processes_made += 1;
        let faults =
            Arc::new(Injector::new(self.dice.split(), Arc::clone(&self.budget), self.one_in));
        let outputs = SimOutputs {
            receiver: Arc::clone(&self.receiver),
            faults: Arc::clone(&faults),
            unacknowledged: Arc::default(),
        };
        let from = self.snapshot()?;
        let snapshots = SimSnapshots {
            interval: self.snapshot_interval,
            written: from.as_ref().map_or(Epoch(0), Restored::epoch),
            store: Arc::clone(&self.snapshots),
            receiver: Arc::clone(&self.receiver),
            faults: Arc::clone(&faults),
            broken: Arc::clone(&self.broken),
        };
        let ports = Ports {
            log: Arc::new(SimLog::new(Arc::clone(&self.disk), Arc::clone(&faults))),
            clock: Arc::clone(&self.clock) as _,
            outputs: Box::new(outputs.clone()),
            snapshots: Box::new(snapshots),
        };
        let rules = Planted {
            plant: self.plant,
            clock: Arc::clone(&self.clock),
            dice: self.dice.split(),
            held: None,
        };
        let mut writer = [0; 16];
        writer[..8].copy_from_slice(&self.dice.draw().to_le_bytes());
        let identity = (WriterId(writer), Pace::Lockstep(self.pace), rules);
        let shared = Arc::new(Shared::new(&self.config));
        self.restored += u64::from(from.is_some());
        let driver = Driver::new(self.config.clone(), ports, shared, from, identity)
            .map_err(|error| format!("a driver did not start: {error}"))?;
        Ok(Process { driver, faults, outputs })
    }

    /// What a new process goes on from: the newest snapshot mostly, else an older one or none.
    fn snapshot(&mut self) -> Result<Option<Restored>, String> {
        let age = [0, 0, 0, 0, 0, 1, 2, usize::MAX][self.dice.below(8) as usize];
        let restored = self.snapshots.lock().restore(&self.config.core, age);
        let Some(restored) = restored else { return Ok(None) };
        let log: Arc<dyn EventLog> =
            Arc::new(SimLog::new(Arc::clone(&self.disk), Arc::new(Injector::harmless())));
        match restored.fits(&log) {
            Ok(true) => Ok(Some(restored)),
            Ok(false) => Err("a snapshot is refused that no control speaks against".to_owned()),
            Err(error) => Err(format!("a snapshot cannot be used: {}", with_sources(&error))),
        }
    }
}

/// The smallest vectors that the kernels take: whole lanes of 16.
fn config(dice: &mut Dice, seed: u64) -> EngineConfig {
    let mut core = eddyline_model::config::CoreConfig::default();
    core.factors.dim = eddyline_model::kernel::LANES;
    core.quality.sample_one_in = 4;
    let workers = match seed % 10 {
        0 => [2, 3, 4, 8][(seed / 10 % 4) as usize],
        _ => 1,
    };
    let events = 5 + dice.below(36) as usize;
    let backlog_events = events + dice.below(40) as usize;
    let wait = Duration::from_millis(1 + dice.below(10));
    EngineConfig {
        core,
        workers: workers.into(),
        epoch: EpochLimits { events, wait, backlog_events },
    }
}
