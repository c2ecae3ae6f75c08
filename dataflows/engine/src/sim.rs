//! A seeded simulator of the epoch protocol: the production driver and real timely workers over a
//! medium in memory that fails at any operation.
//!
//! A schedule is everything that one seed decides: the stream, how it is cut, and what goes wrong
//! when. Processes crash before and after an effect, replies are lost, messages are late, double
//! or torn, frozen drivers come back as zombies, the power fails. After healing, the state must
//! be that of a fault-free fold of the same bindings, bit for bit, every consumer must have its
//! deltas, every record must be accounted for, and nothing acknowledged may be missing.
//!
//! One thread takes all decisions, so a seed repeats exactly; only the folds run on threads of
//! their own, and what they do may not matter.

mod check;
mod plant;
mod ports;
mod receiver;
mod stream;
mod world;

pub use plant::Plant;
use world::World;

/// What came of a schedule, or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What was wrong, empty if all was well.
    pub wrong: Vec<String>,
    /// Acknowledged events that had no effect.
    pub lost: u64,
    /// Events that had more than one.
    pub doubled: u64,
    /// Epochs bound.
    pub epochs: u64,
    /// Records sent by the producer.
    pub records: u64,
    /// Crashes at an operation, and power losses.
    pub crashes: u64,
    /// Other faults.
    pub faults: u64,
    /// Drivers that went on after they were taken for dead.
    pub zombies: u64,
    /// Drivers started.
    pub processes: u64,
    /// Of these, from a snapshot.
    pub restored: u64,
}

impl Outcome {
    fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// Whether anything was not as it must be.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        !self.wrong.is_empty() || self.lost > 0 || self.doubled > 0
    }
}

/// Runs the schedule of a seed.
#[must_use]
pub fn run(seed: u64, plant: Option<Plant>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut world = World::new(seed, plant);
    match world.run() {
        Ok(left) => check::check(&mut world, left, plant, &mut outcome),
        Err(wrong) => outcome.wrong(wrong),
    }
    outcome.wrong.append(&mut world.broken.lock());
    let counts = world.budget.counts();
    outcome.records = world.planned.len() as u64;
    (outcome.crashes, outcome.faults) = (counts.crashes, counts.others);
    (outcome.zombies, outcome.processes) = (world.zombies_made, world.processes_made);
    outcome.restored = world.restored;
    outcome
}
