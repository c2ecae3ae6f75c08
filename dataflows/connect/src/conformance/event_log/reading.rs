//! Reads keep to their limits, say what is missing, and wake up.

use std::time::Duration;

use super::{MakeLog, NO_LIMIT, append_to, read_all, user_events, values};
use crate::log::{AppendVersion, ReadError, ReadLimit};

/// Long enough that running into it means that a wake-up was lost.
const FOREVER: Duration = Duration::from_secs(30);

pub(super) fn run(make: MakeLog<'_>) {
    reads_keep_to_their_limits(make);
    reads_outside_the_log_name_what_is_missing(make);
    waiting_ends_with_an_append_or_the_timeout(make);
    no_wake_up_is_lost(make);
}

fn reads_keep_to_their_limits(make: MakeLog<'_>) {
    let log = make();
    let partition = user_events(0);
    for chunk in [0..10, 10..11, 11..30] {
        let batch = chunk.map(|n| append_to(partition, "key", &format!("{n:07}")));
        log.append(batch.collect()).expect("appended");
    }
    let check = |from, records, bytes, want: std::ops::Range<u64>| {
        let batch = log.read(partition, from, ReadLimit { records, bytes }).expect("in range");
        let got: Vec<u64> = batch.records.iter().map(|(offset, _)| *offset).collect();
        assert!(got.iter().copied().eq(want.clone()), "{from} {records} {bytes}: {got:?}");
        let numbers = want.clone().map(|n| format!("{n:07}"));
        assert!(values(&batch.records).into_iter().eq(numbers.collect::<Vec<_>>()));
        assert_eq!(batch.next, want.end, "next is where the read ended");
    };
    check(0, usize::MAX, usize::MAX, 0..30);
    check(0, 4, usize::MAX, 0..4);
    check(8, 4, usize::MAX, 8..12);
    check(29, 4, usize::MAX, 29..30);
    check(30, 4, usize::MAX, 30..30);
    check(5, 0, usize::MAX, 5..5);
    check(0, usize::MAX, 10, 0..1);
    check(0, usize::MAX, 19, 0..1);
    check(9, usize::MAX, 30, 9..12);
    check(3, usize::MAX, 0, 3..4);
}

fn reads_outside_the_log_name_what_is_missing(make: MakeLog<'_>) {
    let log = make();
    let partition = user_events(2);
    log.append(vec![append_to(partition, "", "x"); 2]).expect("appended");
    let error = log.read(partition, 5, NO_LIMIT).expect_err("the log ends at 2");
    let text = error.to_string();
    assert!(text.contains("2..5") && text.contains("user_events/2"), "{text}");
    let ReadError::OutOfRange { missing, start, end, .. } = error else { panic!("{text}") };
    assert_eq!((missing, start, end), (2..5, 0, 2));
    let unknown = user_events(9);
    let error = log.read(unknown, 0, NO_LIMIT).expect_err("there is no such partition");
    assert!(matches!(error, ReadError::UnknownPartition { partitions: 4, .. }), "{error}");
}

fn waiting_ends_with_an_append_or_the_timeout(make: MakeLog<'_>) {
    let log = make();
    let seen = log.wait(AppendVersion::default(), FOREVER);
    assert_ne!(seen, AppendVersion::default(), "the default has seen nothing");
    assert_eq!(log.wait(seen, Duration::ZERO), seen);
    assert_eq!(log.wait(seen, Duration::from_millis(5)), seen, "nothing was appended");
    log.append(vec![append_to(user_events(0), "", "x")]).expect("appended");
    let now = log.wait(seen, FOREVER);
    assert!(now > seen, "an append between two waits is seen");
    assert_eq!(log.wait(now, Duration::ZERO), now);
}

/// Two threads answer each other through the log: a lost wake-up of either stops both.
fn no_wake_up_is_lost(make: MakeLog<'_>) {
    const ROUNDS: u64 = 300;
    let log = make();
    let (ball, echo) = (user_events(0), user_events(3));
    let await_end = |partition, end| {
        let mut seen = AppendVersion::default();
        while log.end_offset(partition).expect("it exists") < end {
            let now = log.wait(seen, FOREVER);
            assert_ne!(now, seen, "a wake-up was lost");
            seen = now;
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=ROUNDS {
                await_end(ball, round);
                log.append(vec![append_to(echo, "", "x")]).expect("appended");
            }
        });
        for round in 1..=ROUNDS {
            log.append(vec![append_to(ball, "", "x")]).expect("appended");
            await_end(echo, round);
        }
    });
    let counts = [ball, echo].map(|partition| read_all(&*log, partition).len() as u64);
    assert_eq!(counts, [ROUNDS; 2]);
}
