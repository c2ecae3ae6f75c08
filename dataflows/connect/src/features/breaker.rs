//! A circuit breaker: a pure state machine over (outcome, time).
//!
//! Closed, it admits every call. After [`BreakerPolicy::failures`] failures in a row it opens: calls
//! are refused at once. After [`BreakerPolicy::pause`] it is half open: one call is let through as
//! a probe; its success closes the breaker, its failure opens it for another pause.

use std::time::{Duration, Instant};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it; at least 1.
    pub failures: u32,
    /// Time from a failure to the next probe.
    pub pause: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_millis(500) }
    }
}

/// See the module doc.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    failures: u32,
    /// Set while open: when the next probe may go.
    probe_at: Option<Instant>,
}

impl Breaker {
    /// Whether a call may be made at `now`. An admitted call must be [recorded](Self::record);
    /// one that never is holds up the next probe for a pause.
    pub fn admit(&mut self, policy: BreakerPolicy, now: Instant) -> bool {
        match self.probe_at {
            None => true,
            Some(at) if now < at => false,
            Some(_) => {
                self.probe_at = Some(now + policy.pause);
                true
            }
        }
    }

    /// Takes note of a call's outcome; true if it opened the breaker just now.
    pub fn record(&mut self, policy: BreakerPolicy, succeeded: bool, now: Instant) -> bool {
        if succeeded {
            *self = Self::default();
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < policy.failures {
            return false;
        }
        let was_closed = self.probe_at.is_none();
        self.probe_at = Some(now + policy.pause);
        was_closed
    }

    /// Whether calls are refused for now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.probe_at.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_probes_and_heals() {
        let policy = BreakerPolicy { failures: 3, pause: Duration::from_millis(100) };
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        for (ms, opened) in [(0, false), (1, false), (2, true)] {
            assert!(breaker.admit(policy, at(ms)));
            assert_eq!(breaker.record(policy, false, at(ms)), opened);
        }
        assert!(!breaker.admit(policy, at(101)), "open for a pause after the last failure");
        assert!(breaker.admit(policy, at(102)), "one probe");
        assert!(!breaker.admit(policy, at(103)), "and no other beside it");
        assert!(!breaker.record(policy, false, at(110)), "it was open before");
        assert!(!breaker.admit(policy, at(209)));
        assert!(breaker.admit(policy, at(210)));
        breaker.record(policy, true, at(211));
        assert!(!breaker.is_open());
        assert!(breaker.admit(policy, at(211)) && breaker.admit(policy, at(211)));
    }

    #[test]
    fn a_success_starts_the_count_anew() {
        let policy = BreakerPolicy { failures: 2, ..BreakerPolicy::default() };
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for succeeded in [false, true, false, true, false] {
            breaker.record(policy, succeeded, now);
        }
        assert!(!breaker.is_open());
    }
}
