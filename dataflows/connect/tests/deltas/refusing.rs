//! What is wrong on the topic is named, and never applied.

use std::sync::Arc;

use eddyline_connect::deltas::{Assembler, DeltaError, Position, batch_of};
use eddyline_connect::log::Append;
use eddyline_schemas::delta::placement::chain_after;
use eddyline_schemas::delta::{Delta, EpochDeltas};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Digest;

use crate::histories::{Draws, assert_same, history, lineage, of_lineage, record_of};

const PARTITIONS: u32 = 2;

fn assembler() -> Assembler {
    Assembler::new(lineage(), PARTITIONS, Position::default())
}

fn offer(to: &mut Assembler, batch: &[Append]) -> Result<(), DeltaError> {
    for (offset, append) in (0..).zip(batch) {
        to.offer(append.partition.partition, offset, &record_of(append))?;
    }
    Ok(())
}

/// Epochs of a history with at least two rows in every partition of the first.
fn epochs() -> Vec<EpochDeltas> {
    let has_rows = |seed: &u64| {
        let first = &history(*seed, 3, 40)[0];
        first.by_partition(PARTITIONS).iter().all(|rows| rows.len() > 1)
    };
    let seed = (0..).find(has_rows).expect("most have");
    history(seed, 3, 40)
}

/// The first epoch with another gate, chained so that it is sound by itself.
fn other_first(of: &EpochDeltas) -> EpochDeltas {
    let mut other = of.clone();
    other.deltas.retain(|delta| !matches!(delta, Delta::Gate { .. }));
    other.deltas.push(Delta::Gate { values: [123.0].into() });
    let (epoch, time) = (other.epoch, other.logical_time);
    other.chain = chain_after(Digest::default(), epoch, time, &other.deltas);
    other
}

#[test]
fn another_history_of_the_same_lineage_halts_by_name() {
    let epochs = epochs();
    let mut gate = epochs[0].clone();
    gate.deltas.retain(|delta| !matches!(delta, Delta::Gate { .. }));
    gate.deltas.push(Delta::Gate { values: [7.0].into() });
    let seq = gate.by_partition(PARTITIONS)[0].len() as u32 - 1;
    let mut of_gate = assembler();
    offer(&mut of_gate, &batch_of(&gate, PARTITIONS)).expect("the first is right");
    let refused = offer(&mut of_gate, &batch_of(&other_first(&epochs[0]), PARTITIONS));
    let DeltaError::RowsDiffer { epoch, partition, seq: at } = refused.expect_err("another value")
    else {
        panic!("it names the row")
    };
    assert_eq!((epoch, partition, at), (Epoch(1), 0, seq));
}

#[test]
fn a_repeat_of_an_applied_epoch_that_differs_halts() {
    let epochs = epochs();
    let mut assembler = assembler();
    offer(&mut assembler, &batch_of(&epochs[0], PARTITIONS)).expect("right");
    assert!(assembler.next_epoch().expect("it follows").is_some());
    offer(&mut assembler, &batch_of(&epochs[0], PARTITIONS)).expect("an equal repeat");
    let refused = offer(&mut assembler, &batch_of(&other_first(&epochs[0]), PARTITIONS));
    let refused = refused.expect_err("another close").to_string();
    assert!(refused.contains("epoch 1 partition 0: it was applied"), "{refused}");
}

#[test]
fn an_epoch_that_does_not_continue_the_chain_halts() {
    let epochs = epochs();
    let mut assembler = assembler();
    offer(&mut assembler, &batch_of(&other_first(&epochs[0]), PARTITIONS)).expect("sound");
    assert!(assembler.next_epoch().expect("it follows").is_some());
    offer(&mut assembler, &batch_of(&epochs[1], PARTITIONS)).expect("sound by itself");
    let refused = assembler.next_epoch().expect_err("of another history");
    assert!(matches!(refused, DeltaError::WrongChain { epoch: Epoch(2) }), "{refused}");
}

#[test]
fn a_record_in_another_partition_or_of_another_count_halts() {
    let epochs = epochs();
    let check = |batch: Vec<Append>, want: &str| {
        let refused = offer(&mut assembler(), &batch).expect_err("misplaced").to_string();
        assert!(refused.contains(want), "{refused}");
    };
    let mut swapped = batch_of(&epochs[0], PARTITIONS);
    swapped.iter_mut().for_each(|append| append.partition.partition ^= 1);
    check(swapped, "does not belong into it");
    let idle = EpochDeltas { deltas: Vec::new(), ..epochs[0].clone() };
    let mut swapped = batch_of(&idle, PARTITIONS);
    swapped.iter_mut().for_each(|append| append.partition.partition ^= 1);
    check(swapped, "it holds the close of partition 0 of 2");
    check(batch_of(&idle, 1), "it holds the close of partition 0 of 1; there are 2");
}

/// Every record is sound, and they are not of one epoch.
#[test]
fn rows_that_do_not_fit_the_close_halt() {
    let epochs = epochs();
    let rows = batch_of(&epochs[0], 1);
    let mut other = epochs[0].clone();
    let changed = other.deltas.last_mut().expect("the epoch has rows");
    *changed = match changed.clone() {
        Delta::Gate { .. } => Delta::Gate { values: [-1.5].into() },
        Delta::UserPreferences { user, .. } => {
            Delta::UserPreferences { user, preferences: Arc::default() }
        }
        other => panic!("the sample ends with {other:?}"),
    };
    let close = batch_of(&other, 1).pop().expect("the close");
    let check = |batch: Vec<Append>, want: &str| {
        let mut assembler = Assembler::new(lineage(), 1, Position::default());
        let refused = offer(&mut assembler, &batch).expect_err("not one epoch").to_string();
        assert!(refused.contains(want), "{refused}");
    };
    let mut mixed = rows.clone();
    *mixed.last_mut().expect("the close") = close.clone();
    check(mixed, "its rows have digest");
    check([rows.clone(), vec![close]].concat(), "closed twice, differently");
    let idle = EpochDeltas { deltas: Vec::new(), ..epochs[0].clone() };
    check([batch_of(&idle, 1), rows].concat(), "and was closed with 0");
}

#[test]
fn a_gap_asks_for_a_snapshot() {
    let epochs = history(5, 9, 10);
    let check = |at: u64, from: usize, skip: usize, want: Option<u64>| {
        let at = epochs[..at as usize].last();
        let at = at
            .map_or(Position::default(), |last| Position { epoch: last.epoch, chain: last.chain });
        let mut assembler = Assembler::new(lineage(), 1, at);
        let batches = epochs[from..].iter().flat_map(|epoch| batch_of(epoch, 1));
        let batches: Vec<Append> = batches.skip(skip).collect();
        match (offer(&mut assembler, &batches), want) {
            (Ok(()), None) => {}
            (Err(DeltaError::NeedSnapshot { applied, first_available }), Some(first)) => {
                assert_eq!((applied, first_available), (at.epoch, Epoch(first)));
            }
            (got, want) => panic!("{got:?}, expected {want:?}"),
        }
    };
    check(0, 0, 0, None);
    check(4, 4, 0, None);
    check(4, 2, 0, None);
    check(4, 5, 0, Some(6));
    check(0, 6, 0, Some(7));
    let busy = epochs.iter().position(|epoch| batch_of(epoch, 1).len() > 2).expect("one is");
    check(busy as u64, busy, 1, Some(busy as u64 + 2));
}

#[test]
fn another_lineage_is_counted_and_passed_over() {
    let epochs = epochs();
    let mut assembler = assembler();
    let foreign = batch_of(&of_lineage(epochs[1].clone(), b"other"), PARTITIONS);
    offer(&mut assembler, &foreign).expect("none of ours");
    assert_eq!(assembler.tallies().foreign, foreign.len() as u64);
    offer(&mut assembler, &batch_of(&epochs[0], PARTITIONS)).expect("ours");
    let got = assembler.next_epoch().expect("it follows").expect("it is whole");
    assert_same(&[got], &epochs[..1]);
}

/// Ten thousand changed bits and every cut of a batch: an error or less than an epoch, never
/// another one.
#[test]
fn damage_is_detected_and_never_applied() {
    let epochs = epochs();
    let batch = batch_of(&epochs[0], PARTITIONS);
    let mut draws = Draws(11);
    for _ in 0..10_000 {
        let mut damaged = batch.clone();
        let append = &mut damaged[draws.below(batch.len())];
        let bit = draws.below(8 * append.payload_bytes());
        let (byte, mask) = (bit / 8, 1 << (bit % 8));
        let in_key = byte < append.key.len();
        let at = if in_key { byte } else { byte - append.key.len() };
        let part = if in_key { &mut append.key } else { &mut append.value };
        let mut bytes = part.to_vec();
        bytes[at] ^= mask;
        *part = bytes.into();
        let refused = offer(&mut assembler(), &damaged).expect_err("a bit was changed");
        assert!(matches!(refused, DeltaError::Damaged { .. }), "{refused}");
    }
    for (at, append) in batch.iter().enumerate() {
        for end in 0..append.value.len() {
            let mut cut = batch[..=at].to_vec();
            cut[at].value.truncate(end);
            assert!(offer(&mut assembler(), &cut).is_err(), "cut at {end} of record {at}");
        }
        let mut short = assembler();
        offer(&mut short, &batch[..at]).expect("a beginning");
        assert_eq!(short.next_epoch().expect("nothing is wrong"), None);
    }
}
