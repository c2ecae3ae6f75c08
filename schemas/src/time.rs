//! The three times of an event, as types that cannot be mixed up.
//!
//! *Event time* and *append time* are [`TimestampMs`]: milliseconds since the Unix epoch. The
//! *logical time* of an epoch is the greatest event time bound so far; it is carried as a
//! [`TimestampMs`] too, and only a binding may set it. Producers write RFC 3339 or an integer:
//! below 10¹¹ it counts seconds, below 10¹⁴ milliseconds, anything else is refused.

use std::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(transparent)]
pub struct TimestampMs(pub i64);

/// A second in milliseconds.
pub const SECOND_MS: i64 = 1_000;
/// A minute in milliseconds.
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
/// An hour in milliseconds.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// A day in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// First integer that is no longer seconds.
const SECONDS_BELOW: i64 = 100_000_000_000;
/// First integer that is no longer milliseconds.
const MILLISECONDS_BELOW: i64 = 100_000_000_000_000;

/// Why a timestamp was refused. The message is shown to producers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimestamp {
    /// Negative, or too large for milliseconds.
    #[error("an integer timestamp counts seconds below 10^11 or milliseconds below 10^14, got {0}")]
    OutOfRange(i64),
    /// Not RFC 3339.
    #[error("a text timestamp must be RFC 3339, such as 2026-03-01T12:00:00Z, got {0:?}")]
    NotRfc3339(String),
    /// RFC 3339, but before 1970 or too large for milliseconds.
    #[error("a text timestamp must lie from 1970 to 5138, got {0:?}")]
    OutOfYears(String),
}

impl TimestampMs {
    /// Reads an integer by the rule of the module doc.
    pub fn from_integer(number: i64) -> Result<Self, InvalidTimestamp> {
        match number {
            0..SECONDS_BELOW => Ok(Self(number * SECOND_MS)),
            SECONDS_BELOW..MILLISECONDS_BELOW => Ok(Self(number)),
            _ => Err(InvalidTimestamp::OutOfRange(number)),
        }
    }

    /// Reads RFC 3339, rounding below a millisecond down. An offset or `Z` is required.
    pub fn from_rfc3339(text: &str) -> Result<Self, InvalidTimestamp> {
        let shown = || text.chars().take(64).collect();
        let instant: jiff::Timestamp =
            text.parse().map_err(|_| InvalidTimestamp::NotRfc3339(shown()))?;
        match instant.as_millisecond() {
            ms @ 0..MILLISECONDS_BELOW => Ok(Self(ms)),
            _ => Err(InvalidTimestamp::OutOfYears(shown())),
        }
    }

    /// Milliseconds from `earlier` to `self`; a step back in time counts as 0.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0).max(0)
    }

    /// `self` moved by `ms`, saturating.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

impl fmt::Display for TimestampMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(instant) => write!(f, "{instant}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_seconds_or_milliseconds() {
        let check = |number: i64, want: Option<i64>| {
            assert_eq!(TimestampMs::from_integer(number).ok().map(|t| t.0), want, "{number}");
        };
        check(0, Some(0));
        check(1_365_029_107, Some(1_365_029_107_000));
        check(99_999_999_999, Some(99_999_999_999_000));
        check(1_365_029_107_123, Some(1_365_029_107_123));
        check(100_000_000_000_000, None);
        check(-1, None);
    }

    #[test]
    fn text_is_rfc3339() {
        let check = |text: &str, want: Option<i64>| {
            assert_eq!(TimestampMs::from_rfc3339(text).ok().map(|t| t.0), want, "{text}");
        };
        check("2013-04-03T22:45:07Z", Some(1_365_029_107_000));
        check("2013-04-04T00:45:07.123456+02:00", Some(1_365_029_107_123));
        check("2013-04-03 22:45", None);
        check("yesterday", None);
        check("9999-12-31T23:59:59Z", None);
    }
}
