//! The wall clock, as a port: whoever needs the time is given a [`Clock`].
//!
//! Nothing here promises that time goes forward; the log does (see
//! [`EventLog`](crate::log::EventLog)).

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use eddyline_schemas::time::TimestampMs;

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch. May step back.
    fn now(&self) -> TimestampMs;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> TimestampMs {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimestampMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// Milliseconds since it was made: never steps back, so that waits are as long as they should be.
#[derive(Clone, Copy, Debug)]
pub struct SteadyClock(Instant);

impl Default for SteadyClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> TimestampMs {
        TimestampMs(i64::try_from(self.0.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that moves when it is told to: for tests and simulations.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: TimestampMs) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves to `now`, forward or back.
    pub fn set(&self, now: TimestampMs) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves forward by `ms`.
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> TimestampMs {
        TimestampMs(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_stands_still_until_moved() {
        let clock = ManualClock::new(TimestampMs(7));
        assert_eq!((clock.now(), clock.now()), (TimestampMs(7), TimestampMs(7)));
        clock.advance_ms(5);
        assert_eq!(clock.now(), TimestampMs(12));
        clock.set(TimestampMs(3));
        assert_eq!(clock.now(), TimestampMs(3));
    }

    #[test]
    fn the_system_clock_is_past_2020() {
        assert!(SystemClock.now() > TimestampMs(1_577_836_800_000));
    }
}
