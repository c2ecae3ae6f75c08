//! Decides what goes wrong with each operation of one process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Dice;

/// What a process is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Write one thing, whole or not at all.
    Write,
    /// Write several things, of which a prefix may be written.
    WriteMany,
    /// Read.
    Read,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// The process dies, and nothing was done.
    CrashBefore,
    /// It was done, and the process dies before it hears of it.
    CrashAfter,
    /// It was done, and the process hears that it may not have been.
    LoseReply,
    /// It was not done, and the process hears that it may have been.
    Vanish,
    /// It will be done some time later; the process hears that it may have been.
    Delay,
    /// It is done, and some time later once more.
    Duplicate,
    /// A prefix of it was done; the process hears that it may have been.
    Tear,
    /// A prefix of it was done, and the process dies.
    TearAndCrash,
    /// It was not done, and the process hears so.
    Unavailable,
    /// The read sees less than there is.
    Stale,
}

/// How many faults of which kind were injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Processes that died at an operation.
    pub crashes: u64,
    /// All others.
    pub others: u64,
}

/// How much may still go wrong in a world; shared by all of its processes.
#[derive(Debug)]
pub struct Budget {
    crashes_left: AtomicU64,
    others_left: AtomicU64,
    is_healed: AtomicBool,
    counts: Mutex<FaultCounts>,
}

impl Budget {
    /// At most so many crashes, and so many other faults.
    #[must_use]
    pub fn new(crashes: u64, others: u64) -> Self {
        Self {
            crashes_left: crashes.into(),
            others_left: others.into(),
            is_healed: false.into(),
            counts: Mutex::default(),
        }
    }

    /// Nothing goes wrong from now on.
    pub fn heal(&self) {
        self.is_healed.store(true, Ordering::Relaxed);
    }

    /// Whether nothing goes wrong any more.
    #[must_use]
    pub fn is_healed(&self) -> bool {
        self.is_healed.load(Ordering::Relaxed)
    }

    /// What has gone wrong so far.
    #[must_use]
    pub fn counts(&self) -> FaultCounts {
        *self.counts.lock()
    }

    /// Takes one crash out of the budget, if one is left.
    #[must_use]
    pub fn take_crash(&self) -> bool {
        let is_taken = self.take(&self.crashes_left);
        self.counts.lock().crashes += u64::from(is_taken);
        is_taken
    }

    fn take_other(&self) -> bool {
        let is_taken = self.take(&self.others_left);
        self.counts.lock().others += u64::from(is_taken);
        is_taken
    }

    fn take(&self, left: &AtomicU64) -> bool {
        let take = |left: u64| left.checked_sub(1);
        !self.is_healed.load(Ordering::Relaxed)
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// What goes wrong with the operations of one process. See the module doc.
#[derive(Debug)]
pub struct Injector {
    dice: Mutex<Dice>,
    budget: Arc<Budget>,
    /// One operation in so many goes wrong.
    one_in: u64,
    is_dead: AtomicBool,
}

impl Injector {
    /// One operation in `one_in` goes wrong, while the budget lasts.
    #[must_use]
    pub fn new(dice: Dice, budget: Arc<Budget>, one_in: u64) -> Self {
        Self { dice: Mutex::new(dice), budget, one_in, is_dead: false.into() }
    }

    /// An injector that never does anything.
    #[must_use]
    pub fn harmless() -> Self {
        Self::new(Dice::new(0), Arc::new(Budget::new(0, 0)), u64::MAX)
    }

    /// Whether the process has died: nothing it does has an effect any more.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    /// The process dies now.
    pub fn kill(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
    }

    /// Below `bound`, for faults that come in sizes.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        self.dice.lock().below(bound)
    }

    /// What goes wrong with the next operation. Of a fault that kills, the caller does the effect,
    /// then [`Self::kill`]s.
    #[must_use]
    pub fn decide(&self, operation: Operation) -> Fault {
        let mut dice = self.dice.lock();
        if self.is_dead() {
            return Fault::CrashBefore;
        }
        if !dice.one_in(self.one_in) {
            return Fault::None;
        }
        let faults: &[Fault] = match operation {
            Operation::Write => &WRITE,
            Operation::WriteMany => &WRITE_MANY,
            Operation::Read => &READ,
        };
        let fault = faults[dice.below(faults.len() as u64) as usize];
        let is_granted = match fault {
            Fault::CrashBefore | Fault::CrashAfter | Fault::TearAndCrash => {
                self.budget.take_crash()
            }
            _ => self.budget.take_other(),
        };
        if is_granted { fault } else { Fault::None }
    }
}

const WRITE: [Fault; 8] = [
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::CrashAfter,
    Fault::LoseReply,
    Fault::Vanish,
    Fault::Delay,
    Fault::Duplicate,
    Fault::Unavailable,
];
const WRITE_MANY: [Fault; 9] = [
    Fault::CrashBefore,
    Fault::CrashAfter,
    Fault::LoseReply,
    Fault::Vanish,
    Fault::Delay,
    Fault::Duplicate,
    Fault::Tear,
    Fault::TearAndCrash,
    Fault::Unavailable,
];
const READ: [Fault; 4] = [Fault::CrashBefore, Fault::Unavailable, Fault::Stale, Fault::Stale];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_fails_the_same_way_until_it_is_healed() {
        let run = || {
            let budget = Arc::new(Budget::new(1_000, 1_000));
            let injector = Injector::new(Dice::new(4), Arc::clone(&budget), 3);
            let before: Vec<Fault> =
                (0..100).map(|_| injector.decide(Operation::WriteMany)).collect();
            budget.heal();
            assert!((0..100).all(|_| injector.decide(Operation::Read) == Fault::None));
            before
        };
        assert_eq!(run(), run());
        assert!(run().iter().filter(|fault| **fault != Fault::None).count() > 20);
    }

    #[test]
    fn a_budget_ends() {
        let budget = Arc::new(Budget::new(2, 3));
        let injector = Injector::new(Dice::new(4), Arc::clone(&budget), 1);
        for _ in 0..1_000 {
            let _ = injector.decide(Operation::Write);
        }
        assert_eq!(budget.counts(), FaultCounts { crashes: 2, others: 3 });
    }
}
