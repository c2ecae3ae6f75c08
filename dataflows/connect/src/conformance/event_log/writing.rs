//! What is appended is kept as it was, in order, as a whole.

use std::collections::BTreeSet;

use bytes::Bytes;
use eddyline_schemas::topic::Topic;

use super::{MakeLog, append_to, bindings, read_all, read_everything, user_events, values};
use crate::layout::LogLayout;
use crate::log::{Append, AppendError, MAX_RECORD_BYTES, ReadError};

pub(super) fn run(make: MakeLog<'_>) {
    a_new_log_is_empty(make);
    offsets_are_contiguous_from_zero(make);
    records_are_kept_as_they_were(make);
    large_batches_are_kept(make);
    a_refused_batch_leaves_nothing(make);
    if make().guarantees().rising_append_time {
        append_time_never_goes_back(make);
    }
}

fn a_new_log_is_empty(make: MakeLog<'_>) {
    let log = make();
    let layout = LogLayout::default();
    for partition in layout.all() {
        assert_eq!(log.start_offset(partition).ok(), Some(0), "{partition} starts at 0");
        assert_eq!(log.end_offset(partition).ok(), Some(0), "{partition} is empty");
        assert_eq!(log.partitions(partition.topic), layout.partitions(partition.topic));
    }
    let ids: BTreeSet<[u8; 16]> = Topic::ALL.map(|topic| log.topic_id(topic)).into();
    assert_eq!(ids.len(), Topic::ALL.len(), "every topic has its own id");
    assert!(!ids.contains(&make().topic_id(Topic::UserEvents)), "another log has other ids");
    let beyond = user_events(log.partitions(Topic::UserEvents));
    assert!(matches!(log.end_offset(beyond), Err(ReadError::UnknownPartition { .. })));
}

fn offsets_are_contiguous_from_zero(make: MakeLog<'_>) {
    let log = make();
    let (a, b) = (user_events(0), bindings());
    assert!(log.append(Vec::new()).expect("nothing to do").is_empty());
    let batch = vec![append_to(a, "", "a0"), append_to(b, "", "b0"), append_to(a, "", "a1")];
    assert_eq!(log.append(batch).expect("appended"), [0, 0, 1]);
    let batch = vec![append_to(b, "", "b1"), append_to(a, "", "a2")];
    assert_eq!(log.append(batch).expect("appended"), [1, 2]);
    assert_eq!(values(&read_all(&*log, a)), ["a0", "a1", "a2"]);
    assert_eq!(values(&read_all(&*log, b)), ["b0", "b1"]);
    let offsets = read_all(&*log, a).into_iter().map(|(offset, _)| offset);
    assert_eq!(offsets.collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(log.end_offset(a).ok(), Some(3));
}

fn records_are_kept_as_they_were(make: MakeLog<'_>) {
    let log = make();
    let header = |name: &str, value: &[u8]| (name.to_owned(), Bytes::copy_from_slice(value));
    let with = |key: &[u8], value: &[u8], headers| Append {
        partition: user_events(1),
        key: Bytes::copy_from_slice(key),
        value: Bytes::copy_from_slice(value),
        headers,
    };
    let appends = vec![
        with(b"", b"", Vec::new()),
        with(b"key", b"", vec![header("b", b"1"), header("a", b""), header("b", b"2")]),
        with(b"", &[0, 0xff, 0xfe], vec![header("", b"x"), header("größe", &[0])]),
    ];
    log.append(appends.clone()).expect("appended");
    let read = read_all(&*log, user_events(1));
    assert_eq!(read.len(), appends.len());
    for (append, (offset, record)) in appends.into_iter().zip(read) {
        let (key, value, headers) = (record.key, record.value, record.headers);
        assert_eq!((key, value), (append.key, append.value), "offset {offset}");
        assert_eq!(headers, append.headers, "offset {offset}");
    }
}

fn large_batches_are_kept(make: MakeLog<'_>) {
    let log = make();
    let long = |digit: &str| digit.repeat(700_000);
    let batch = ["1", "2", "3"].map(|digit| append_to(user_events(0), digit, &long(digit)));
    assert_eq!(log.append(batch.into()).expect("appended"), [0, 1, 2]);
    let small = (0..5_000).map(|n| append_to(user_events(0), "", &n.to_string()));
    let offsets = log.append(small.collect()).expect("appended");
    assert!(offsets.into_iter().eq(3..5_003));
    let read = read_all(&*log, user_events(0));
    let read = values(&read);
    assert_eq!(read.len(), 5_003);
    assert!(read[..3].iter().zip(["1", "2", "3"]).all(|(got, digit)| **got == long(digit)));
    assert!(read[3..].iter().enumerate().all(|(n, got)| **got == n.to_string()));
}

fn a_refused_batch_leaves_nothing(make: MakeLog<'_>) {
    let log = make();
    let (ok, unknown) = (user_events(0), user_events(4));
    let batch = vec![append_to(ok, "", "1"), append_to(unknown, "", "2")];
    let refused = log.append(batch).expect_err("user events have four partitions");
    assert!(refused.is_certainly_not_written());
    let AppendError::UnknownPartition { partition, partitions } = refused else {
        panic!("{refused}");
    };
    assert_eq!((partition, partitions), (unknown, 4));
    let huge = Append { value: vec![0; MAX_RECORD_BYTES + 1].into(), ..append_to(ok, "", "") };
    let refused = log.append(vec![append_to(ok, "", "1"), huge]).expect_err("too large");
    assert!(matches!(refused, AppendError::TooLarge { index: 1, .. }), "{refused}");
    assert!(read_everything(&*log).is_empty(), "nothing was written");
    assert_eq!(log.append(vec![append_to(ok, "", "3")]).expect("still open"), [0]);
}

fn append_time_never_goes_back(make: MakeLog<'_>) {
    let log = make();
    for round in 0..20 {
        let partition = user_events(round % 2);
        log.append(vec![append_to(partition, "", "x"); 3]).expect("appended");
    }
    for partition in [user_events(0), user_events(1)] {
        let records = read_all(&*log, partition);
        let times: Vec<_> = records.iter().map(|(_, record)| record.append_time).collect();
        assert_eq!(times.len(), 30);
        assert!(times.is_sorted(), "{partition}: {times:?}");
    }
}
