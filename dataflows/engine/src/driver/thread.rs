//! The thread that steps a driver in production: it sleeps when the driver says so, and hears
//! commands.

use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use eddyline_connect::log::AppendVersion;

use super::rules::Rules;
use super::{Driver, Step};
use crate::at_work;
use crate::committer::StateDigest;
use crate::engine::Command;
use crate::error::EngineError;
use crate::flow::AbortOnPanic;

impl<R: Rules> Driver<R> {
    /// Runs until told to stop; the digest as of then.
    pub(crate) fn run(mut self, commands: &Receiver<Command>) -> Result<StateDigest, EngineError> {
        at_work::thread_begins();
        // Dropped before the driver, which would wait for its folds. Else whoever waits for the
        // driver would do so for ever.
        let _abort = AbortOnPanic;
        let mut seen = AppendVersion::default();
        loop {
            self.check_outputs()?;
            let patience = match self.step()? {
                Step::Did => Duration::ZERO,
                Step::Idle(ms) => {
                    self.doze(&mut seen, millis(ms));
                    Duration::ZERO
                }
                // Whoever wants it to stop must not have to wait until the log is back.
                Step::Rest(ms) => millis(ms),
            };
            // What was bound before is folded before anything is answered.
            if !self.is_live() && patience.is_zero() {
                continue;
            }
            match commands.recv_timeout(patience) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Digest(to)) => {
                    self.settle()?;
                    // Whoever asked may have given up.
                    let _ = to.send(self.digest());
                }
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.settle()?;
        self.write_last_snapshot();
        self.tell_last_progress();
        // Nothing went wrong, so other processes end well too.
        Ok(self.folder.end())
    }

    /// What was emitted must still be able to arrive.
    fn check_outputs(&self) -> Result<(), EngineError> {
        self.ports.outputs.failure().map_or(Ok(()), |failure| Err(EngineError::Refused(failure)))
    }

    /// Sleeps until there is news of the log, or of the folds while they work.
    fn doze(&mut self, seen: &mut AppendVersion, time: Duration) {
        if self.received < self.fed {
            if self.unemitted.is_none()
                && let Ok(committed) = self.commits.recv_timeout(time)
            {
                self.unemitted = Some(self.received(committed));
            }
        } else if !self.has_room() {
            std::thread::sleep(time);
        } else {
            *seen = self.ports.log.wait(*seen, time);
        }
    }

    /// Emits everything that was fed, and waits until it is acknowledged.
    fn settle(&mut self) -> Result<(), EngineError> {
        loop {
            self.note_acknowledged();
            if self.unemitted.is_none() {
                self.unemitted = self.await_commit()?;
            }
            let Some(committed) = self.unemitted.take() else { break };
            match self.emit(committed) {
                Err(error) if error.is_transient() => {
                    let wait = self.backoff.failed(self.ports.clock.now());
                    std::thread::sleep(millis(wait));
                }
                result => drop(result?),
            }
        }
        while !self.is_settled() {
            self.check_outputs()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        self.note_acknowledged();
        Ok(())
    }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
