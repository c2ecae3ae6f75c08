//! An event count: wakes readers that wait for an append, without a lost wake-up.
//!
//! The version is raised under the mutex that waiters check it under, so a raise is either seen
//! before sleeping or wakes the sleeper.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::AppendVersion;

/// See the module doc. Starts above [`AppendVersion::default`].
#[derive(Debug)]
pub(crate) struct Signal {
    version: Mutex<AppendVersion>,
    raised: Condvar,
}

impl Default for Signal {
    fn default() -> Self {
        Self { version: Mutex::new(AppendVersion(1)), raised: Condvar::new() }
    }
}

impl Signal {
    /// Tells all waiters that there is something new.
    pub(crate) fn raise(&self) {
        self.version.lock().0 += 1;
        self.raised.notify_all();
    }

    /// Blocks while the version is `seen`, for `timeout` at most.
    pub(crate) fn wait(&self, seen: AppendVersion, timeout: Duration) -> AppendVersion {
        let mut version = self.version.lock();
        if *version != seen || timeout.is_zero() {
            return *version;
        }
        match Instant::now().checked_add(timeout) {
            Some(deadline) => {
                self.raised.wait_while_until(&mut version, |now| *now == seen, deadline);
            }
            None => self.raised.wait_while(&mut version, |now| *now == seen),
        }
        *version
    }
}
