//! Waits after failures that may pass: 5 ms, doubled each time, up to a second.

use eddyline_schemas::time::TimestampMs;

const FIRST_MS: i64 = 5;
const LONGEST_MS: i64 = 1_000;

/// See the module doc.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Option<TimestampMs>,
}

impl Backoff {
    /// Milliseconds that are left to wait, if any.
    pub(super) fn left_ms(&mut self, now: TimestampMs) -> Option<i64> {
        let left = self.until?.0 - now.0;
        // A clock that was set back must not turn a short wait into a long one.
        if (1..=LONGEST_MS).contains(&left) {
            return Some(left);
        }
        self.until = None;
        None
    }

    /// Something failed; milliseconds to wait.
    pub(super) fn failed(&mut self, now: TimestampMs) -> i64 {
        let wait = (FIRST_MS << self.failures.min(10)).min(LONGEST_MS);
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now.plus_ms(wait));
        wait
    }

    /// Something that had failed works again.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Failures in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_second_and_end() {
        let mut backoff = Backoff::default();
        let waits: Vec<i64> = (0..10).map(|_| backoff.failed(TimestampMs(0))).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        assert_eq!(backoff.left_ms(TimestampMs(400)), Some(600));
        assert_eq!(backoff.left_ms(TimestampMs(1_000)), None);
        backoff.failed(TimestampMs(5_000));
        assert_eq!(backoff.left_ms(TimestampMs(0)), None, "the clock was set back");
        backoff.succeeded();
        assert_eq!(backoff.failed(TimestampMs(0)), 5);
    }
}
