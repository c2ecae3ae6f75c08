//! The oracle: whatever repeats, restarts and zombies leave in the partitions, and in whatever
//! interleaving the partitions are read, the assembler gives the published history.

use std::collections::VecDeque;

use eddyline_connect::deltas::{Assembler, Position, batch_of};
use eddyline_connect::log::Append;
use eddyline_schemas::delta::EpochDeltas;
use proptest::prelude::{any, proptest};

use crate::histories::{Draws, assert_same, history, lineage, of_lineage, record_of};

/// What several writers leave on the topic: each epoch whole before the next begins, with torn
/// attempts, repeats of a restart, epochs of a zombie and another lineage's in between.
fn written(history: &[EpochDeltas], partitions: u32, draws: &mut Draws) -> Vec<Append> {
    let mut all = Vec::new();
    for (at, epoch) in history.iter().enumerate() {
        let batch = batch_of(epoch, partitions);
        match draws.below(5) {
            0 => all.extend_from_slice(&batch[..draws.below(batch.len() + 1)]),
            1 => {
                // Two writers at once, each in its own order.
                let zombie = batch_of(&history[draws.below(at + 1)], partitions);
                all.extend(merged(batch.clone(), zombie, draws));
            }
            2 => {
                let from = at - draws.below(at + 1);
                let again = history[from..at].iter();
                all.extend(again.flat_map(|epoch| batch_of(epoch, partitions)));
            }
            3 => all.extend(batch_of(&of_lineage(epoch.clone(), b"other"), partitions)),
            _ => {}
        }
        all.extend(batch);
    }
    all
}

fn merged(a: Vec<Append>, b: Vec<Append>, draws: &mut Draws) -> Vec<Append> {
    let (mut a, mut b) = (VecDeque::from(a), VecDeque::from(b));
    let mut merged = Vec::new();
    while !a.is_empty() || !b.is_empty() {
        let from = if draws.below(2) == 0 { &mut a } else { &mut b };
        merged.extend(from.pop_front());
    }
    merged
}

/// Reads the partitions in random turns, as the assembler wants them.
fn read(written: &[Append], partitions: u32, draws: &mut Draws) -> (Vec<EpochDeltas>, Assembler) {
    let mut queues: Vec<VecDeque<(u64, &Append)>> = vec![VecDeque::new(); partitions as usize];
    for append in written {
        let queue = &mut queues[append.partition.partition as usize];
        queue.push_back((queue.len() as u64, append));
    }
    let mut assembler = Assembler::new(lineage(), partitions, Position::default());
    let mut epochs = Vec::new();
    loop {
        let open = |at: &usize| !queues[*at].is_empty() && assembler.wants(*at as u32);
        let open: Vec<usize> = (0..queues.len()).filter(open).collect();
        if open.is_empty() {
            let before = epochs.len();
            take(&mut assembler, &mut epochs);
            if epochs.len() == before {
                return (epochs, assembler);
            }
            continue;
        }
        let at = open[draws.below(open.len())];
        for _ in 0..=draws.below(20) {
            if !assembler.wants(at as u32) {
                break;
            }
            let Some((offset, append)) = queues[at].pop_front() else { break };
            let offered = assembler.offer(at as u32, offset, &record_of(append));
            offered.expect("nothing contradicts");
        }
        if draws.below(4) == 0 {
            take(&mut assembler, &mut epochs);
        }
    }
}

fn take(from: &mut Assembler, epochs: &mut Vec<EpochDeltas>) {
    while let Some(epoch) = from.next_epoch().expect("it follows") {
        epochs.push(epoch);
    }
}

proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(300))]

    #[test]
    fn what_is_read_is_what_was_published(
        seed in any::<u64>(),
        partitions in 1_u32..=8,
        epochs in 0_u64..20,
    ) {
        let mut draws = Draws(seed ^ 0xfeed);
        let history = history(seed, epochs, 30);
        let written = written(&history, partitions, &mut draws);
        let (got, assembler) = read(&written, partitions, &mut draws);
        assert_same(&got, &history);
        let last = history.last().map(|epoch| (epoch.epoch, epoch.chain)).unwrap_or_default();
        assert_eq!((assembler.at().epoch, assembler.at().chain), last);
    }

    /// Whatever is cut off the end, what is given is a beginning of the history.
    #[test]
    fn a_topic_that_ends_early_gives_whole_epochs_only(
        seed in any::<u64>(),
        partitions in 1_u32..=8,
    ) {
        let mut draws = Draws(seed);
        let history = history(seed, 6, 20);
        let batches: Vec<Append> =
            history.iter().flat_map(|epoch| batch_of(epoch, partitions)).collect();
        let kept = draws.below(batches.len() + 1);
        let (got, _) = read(&batches[..kept], partitions, &mut draws);
        assert_same(&got, &history[..got.len()]);
        assert!(kept == batches.len() || got.len() < history.len());
    }
}
