//! Forgetting the oldest records: for logs that can.

use super::{MakeLog, NO_LIMIT, append_to, read_all, user_events, values};
use crate::log::{EventLog, ReadError};

/// Runs the part of the suite for logs that forget when asked.
pub fn run(make: MakeLog<'_>) {
    what_is_behind_stays_and_what_is_before_is_named(&*make());
    it_never_goes_back_and_never_loses_the_end(&*make());
}

/// Ten records, two at a time.
fn fill(log: &dyn EventLog) {
    for at in 0..5 {
        let pair = [2 * at, 2 * at + 1].map(|n| append_to(user_events(0), "k", &n.to_string()));
        log.append(pair.into()).expect("appended");
    }
    log.append(vec![append_to(user_events(1), "k", "other")]).expect("appended");
}

fn what_is_behind_stays_and_what_is_before_is_named(log: &dyn EventLog) {
    fill(log);
    log.trim(user_events(0), 6).expect("it can");
    let start = log.start_offset(user_events(0)).expect("the partition exists");
    assert!((1..=6).contains(&start), "at most what was asked for, and something: {start}");
    let left = read_all(log, user_events(0));
    assert_eq!(left.last().map(|(offset, _)| *offset), Some(9));
    let want: Vec<String> = (start..10).map(|n| n.to_string()).collect();
    assert_eq!(values(&left), want);
    match log.read(user_events(0), start - 1, NO_LIMIT) {
        Err(ReadError::OutOfRange { partition, missing, .. }) => {
            assert_eq!((partition, missing), (user_events(0), start - 1..start));
        }
        other => panic!("what is forgotten must be named, not {other:?}"),
    }
    assert_eq!(log.start_offset(user_events(1)).expect("there"), 0, "others keep theirs");
    assert_eq!(read_all(log, user_events(1)).len(), 1);
}

fn it_never_goes_back_and_never_loses_the_end(log: &dyn EventLog) {
    fill(log);
    log.trim(user_events(0), 10).expect("it can");
    let start = log.start_offset(user_events(0)).expect("the partition exists");
    log.trim(user_events(0), 2).expect("nothing to do");
    assert_eq!(log.start_offset(user_events(0)).expect("there"), start);
    assert_eq!(log.end_offset(user_events(0)).expect("there"), 10);
    let next = log.append(vec![append_to(user_events(0), "k", "next")]).expect("appended");
    assert_eq!(next, [10]);
    let last = read_all(log, user_events(0)).pop().expect("it was appended");
    assert_eq!((last.0, &last.1.value[..]), (10, &b"next"[..]));
}
