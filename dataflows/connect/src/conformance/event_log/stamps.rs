//! Append times under a clock that is moved by hand: for logs that stamp with a given clock.

use std::sync::Arc;

use eddyline_schemas::time::TimestampMs;

use super::{append_to, read_all, user_events};
use crate::clock::{Clock, ManualClock};
use crate::log::EventLog;

/// Append time is max(previous of the partition, now), one stamp for a batch.
pub fn run(make: &dyn Fn(Arc<dyn Clock>) -> Box<dyn EventLog>) {
    let clock = Arc::new(ManualClock::new(TimestampMs(1_000)));
    let log = make(clock.clone());
    let (a, b) = (user_events(0), user_events(1));
    let append = |partition| log.append(vec![append_to(partition, "", "x"); 2]).expect("appended");
    append(a);
    clock.set(TimestampMs(500));
    append(a);
    append(b);
    clock.set(TimestampMs(2_000));
    append(a);
    let times = |partition| -> Vec<i64> {
        read_all(&*log, partition).iter().map(|(_, record)| record.append_time.0).collect()
    };
    assert_eq!(times(a), [1_000, 1_000, 1_000, 1_000, 2_000, 2_000]);
    assert_eq!(times(b), [500, 500], "another partition has its own past");
}
