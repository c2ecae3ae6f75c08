//! One file: what is pushed is read, and no change of its bytes goes unseen.

use bytes::Bytes;
use eddyline_replay::archive::{
    ArchiveError, Built, FileBuilder, HashCheck, LEVEL, LEVEL_COMPACTED, read_rows, read_rows_in,
};
use eddyline_schemas::record::Digest;
use eddyline_schemas::topic::{Topic, TopicPartition};

use crate::support::rows::{Draws, rows};

fn built(at: TopicPartition, rows: &[eddyline_replay::archive::ArchivedRow], level: i32) -> Built {
    let mut builder = FileBuilder::new(at, Digest([7; 32]), level).expect("the schema is right");
    rows.iter().for_each(|row| builder.push(row.clone()).expect("rows are in order"));
    assert_eq!(builder.rows(), rows.len() as u64);
    builder.finish().expect("there are rows")
}

#[test]
fn every_kind_of_row_comes_back() {
    for topic in Topic::ALL {
        for (seed, count) in [(1, 1), (2, 700), (3, 3_000)] {
            let at = TopicPartition { topic, partition: 3 };
            let rows = rows(topic, seed, count, topic != Topic::Bindings);
            let built = built(at, &rows, LEVEL);
            let read = read_rows(&built.entry, &built.bytes, HashCheck::Recompute);
            assert!(read.expect("it is whole") == rows, "{topic} {seed}");
            let some = read_rows_in(&built.entry, &built.bytes, 40..90, HashCheck::Trust);
            let want: Vec<_> =
                rows.iter().filter(|row| (40..90).contains(&row.offset)).cloned().collect();
            assert!(some.expect("it is whole") == want, "{topic} {seed}");
            let chain = rows.iter().fold(Digest([7; 32]), |chain, row| row.chain_after(chain));
            assert_eq!(
                (built.entry.chain_before, built.entry.chain_after),
                (Digest([7; 32]), chain)
            );
        }
    }
}

#[test]
fn many_rows_make_several_groups() {
    let at = TopicPartition { topic: Topic::Deltas, partition: 0 };
    let rows = rows(Topic::Deltas, 5, 70_000, true);
    let built = built(at, &rows, 1);
    let read = read_rows(&built.entry, &built.bytes, HashCheck::Trust).expect("it is whole");
    assert!(read == rows);
    let last = rows.last().expect("there are rows").offset;
    let tail = read_rows_in(&built.entry, &built.bytes, last..last + 1, HashCheck::Trust);
    assert_eq!(tail.expect("it is whole"), rows[rows.len() - 1..]);
}

#[test]
fn equal_rows_are_equal_bytes_and_levels_keep_the_chain() {
    let at = TopicPartition { topic: Topic::UserEvents, partition: 0 };
    let rows = rows(Topic::UserEvents, 9, 2_000, true);
    let (one, two) = (built(at, &rows, LEVEL), built(at, &rows, LEVEL));
    assert!(one.bytes == two.bytes && one.entry == two.entry);
    let smaller = built(at, &rows, LEVEL_COMPACTED);
    assert_eq!(smaller.entry.chain_after, one.entry.chain_after);
    let erased: Vec<_> = rows.iter().map(|row| row.erased()).collect();
    assert_eq!(built(at, &erased, LEVEL).entry.chain_after, one.entry.chain_after);
}

#[test]
fn rows_out_of_order_and_files_without_rows_are_refused() {
    let at = TopicPartition { topic: Topic::Feedback, partition: 0 };
    let mut rows = rows(Topic::Feedback, 1, 3, false);
    let new = || FileBuilder::new(at, Digest::default(), LEVEL).expect("the schema is right");
    let is_refused =
        |error: Option<ArchiveError>| matches!(error, Some(ArchiveError::Discontinuous { .. }));
    assert!(is_refused(new().finish().err()));
    let mut builder = new();
    builder.push(rows[1].clone()).expect("the first row");
    assert!(is_refused(builder.push(rows[1].clone()).err()));
    assert!(is_refused(builder.push(rows[0].clone()).err()));
    rows[2].epoch.0 = 0;
    assert!(is_refused(builder.push(rows[2].clone()).err()));
}

#[test]
fn a_footer_that_differs_from_its_entry_is_found() {
    let at = TopicPartition { topic: Topic::Deltas, partition: 0 };
    let mut rows = rows(Topic::Deltas, 1, 9, false);
    rows[4] = rows[4].erased();
    rows[4].record_hash = Digest([1; 32]);
    let sound = built(at, &rows, LEVEL);
    assert!(read_rows(&sound.entry, &sound.bytes, HashCheck::Recompute).is_ok(), "erased");
    let mut entry = sound.entry.clone();
    entry.chain_after = Digest([2; 32]);
    let wrong = read_rows(&entry, &sound.bytes, HashCheck::Trust).expect_err("another footer");
    assert!(wrong.to_string().contains("row_digest_after"), "{wrong}");
}

#[test]
fn flips_and_truncations_are_found() {
    let at = TopicPartition { topic: Topic::UserEvents, partition: 0 };
    let built = built(at, &rows(Topic::UserEvents, 4, 60, true), LEVEL);
    let refused = |bytes: Vec<u8>| {
        let read = read_rows(&built.entry, &Bytes::from(bytes), HashCheck::Trust);
        assert!(matches!(read, Err(ArchiveError::Damaged { .. })), "{read:?}");
    };
    let mut draws = Draws(1);
    for _ in 0..5_000 {
        let mut bytes = built.bytes.to_vec();
        let at = draws.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << draws.below(8);
        refused(bytes);
    }
    for length in 0..built.bytes.len() {
        refused(built.bytes[..length].to_vec());
    }
}
