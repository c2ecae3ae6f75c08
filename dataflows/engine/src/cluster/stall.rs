//! Whether epochs still end while some are in flight.

use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

use super::frames::TURN;
use super::stop::{Code, stop};

/// How far feeding and committing are. The sink may be slow, for as long as it likes: an epoch has
/// ended when it reaches the commit operator.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    pub(crate) fed: AtomicU64,
    pub(crate) ended: AtomicU64,
}

/// Stops the process when nothing has ended for so many seconds although something is in flight.
pub(crate) fn watch(pulse: Weak<Pulse>, seconds: u32) -> std::io::Result<()> {
    let look = move || {
        let mut stall = Stall::default();
        while let Some(pulse) = pulse.upgrade() {
            let (fed, ended) =
                (pulse.fed.load(Ordering::Relaxed), pulse.ended.load(Ordering::Relaxed));
            drop(pulse);
            if stall.turn(fed, ended) >= seconds {
                let why = format!(
                    "the dataflow stalls: epoch {} has not ended for {seconds} s; a process \
                     hangs or the network between them is broken",
                    ended + 1
                );
                stop(Code::Unavailable, &why, "start all processes again");
            }
            std::thread::sleep(TURN);
        }
    };
    std::thread::Builder::new().name("eddyline-stall".into()).spawn(look).map(drop)
}

#[derive(Default)]
struct Stall {
    ended: u64,
    turns: u32,
}

impl Stall {
    /// Turns in a row in which nothing ended although something was in flight.
    fn turn(&mut self, fed: u64, ended: u64) -> u32 {
        let is_stalled = fed > ended && ended == self.ended;
        self.turns = if is_stalled { self.turns + 1 } else { 0 };
        self.ended = ended;
        self.turns
    }
}

#[cfg(test)]
mod tests {
    use super::Stall;

    #[test]
    fn only_turns_without_progress_count() {
        let mut stall = Stall::default();
        let turns = [(0, 0, 0), (5, 0, 1), (8, 0, 2), (8, 1, 0), (9, 1, 1), (9, 9, 0), (9, 9, 0)];
        for (fed, ended, want) in turns {
            assert_eq!(stall.turn(fed, ended), want, "fed {fed}, ended {ended}");
        }
    }
}
