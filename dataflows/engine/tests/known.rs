//! A fold that makes the deltas of some epochs only comes to the state of one that makes them all,
//! with the same chain, says the same of the epochs that it tells of, and notices there when what
//! was recorded is something else.

mod support {
    pub(crate) mod pinned_log;
    pub(crate) mod running;
    pub(crate) mod shop;
}

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};

use eddyline_connect::log::EventLog;
use eddyline_dataflows::{
    Committed, EngineError, KnownDigests, NoSnapshots, Replay, StateDigest, replay,
};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::delta::{Delta, EpochDeltas};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Digest;

use support::pinned_log::PinnedLog;
use support::running::{bind_all, refolded};
use support::shop::Shop;

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core
}

fn fold(
    log: &Arc<PinnedLog>,
    workers: usize,
    known: KnownDigests,
) -> (Result<StateDigest, EngineError>, Vec<EpochDeltas>) {
    let epochs: Arc<Mutex<Vec<EpochDeltas>>> = Arc::default();
    let seen = Arc::clone(&epochs);
    let sink = move |committed: Committed| {
        seen.lock().expect("nobody panics with it").push(committed.deltas);
    };
    let log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(log);
    let how = Replay {
        from: None,
        until: None,
        workers,
        snapshots: Box::new(NoSnapshots),
        known: Some(known),
    };
    let digest = replay(&core(), log, how, Box::new(sink));
    let epochs = std::mem::take(&mut *epochs.lock().expect("nobody panics with it"));
    (digest, epochs)
}

fn every(epochs: u64) -> NonZeroU64 {
    NonZeroU64::new(epochs).expect("it is not zero")
}

fn sampled(digests: Vec<Digest>, every_epochs: u64) -> KnownDigests {
    let last = Epoch(digests.len() as u64);
    let of = move |Epoch(epoch): Epoch| digests.get(epoch as usize - 1).copied();
    KnownDigests::sampled(of, (Epoch(0), last), every(every_epochs))
}

/// A stream, what it comes to, and what is made of each of its epochs.
fn recorded() -> (Arc<PinnedLog>, StateDigest, Vec<EpochDeltas>) {
    let log = PinnedLog::holding(&Shop::new(31).records(1_500));
    let bound: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&log);
    let live = bind_all(&core(), &bound, 40);
    let (digest, epochs) = refolded(&core(), &bound, 2, None).expect("folds");
    assert_eq!(digest, live);
    (log, live, epochs)
}

#[test]
fn the_state_needs_no_deltas() {
    let (log, live, all) = recorded();
    let digests: Vec<Digest> = all.iter().map(|epoch| epoch.chain).collect();
    for (workers, each) in [(1, 4), (2, 4), (2, 1_000), (2, 1)] {
        let (digest, epochs) = fold(&log, workers, sampled(digests.clone(), each));
        for (epoch, whole) in epochs.iter().zip(&all) {
            let at = epoch.epoch.0;
            if at == 1 || at == all.len() as u64 || at % each == 0 {
                let kinds = |epoch: &EpochDeltas| -> Vec<u8> {
                    epoch.deltas.iter().map(Delta::kind).collect()
                };
                assert_eq!(kinds(epoch), kinds(whole), "epoch {at}");
                assert_eq!(epoch, whole);
            } else {
                assert_eq!((epoch.deltas.len(), epoch.counts), (0, whole.counts));
            }
        }
        assert_eq!(epochs.len(), all.len());
        assert_eq!(digest.expect("folds"), live);
    }
}

#[test]
fn another_digest_is_noticed_where_deltas_are_made() {
    let (log, _, all) = recorded();
    let mut digests: Vec<Digest> = all.iter().map(|epoch| epoch.chain).collect();
    digests[7].0[3] ^= 1;
    let (digest, epochs) = fold(&log, 2, sampled(digests.clone(), 4));
    assert!(matches!(digest, Err(EngineError::Differs { epoch: Epoch(8) })), "{digest:?}");
    assert!(epochs.len() >= 8);
    // One that nothing is compared with is not noticed, unless all are asked for.
    digests[7] = all[7].chain;
    digests[8].0[0] ^= 1;
    let (digest, _) = fold(&log, 2, sampled(digests.clone(), 1));
    assert!(matches!(digest, Err(EngineError::Differs { epoch: Epoch(9) })), "{digest:?}");
}

#[test]
fn deltas_of_all_epochs_are_made_where_a_digest_is_missing() {
    let (log, live, all) = recorded();
    let digests: Vec<Digest> = all.iter().map(|epoch| epoch.chain).collect();
    let last = Epoch(digests.len() as u64);
    let of =
        move |Epoch(epoch): Epoch| digests.get(epoch as usize - 1).copied().filter(|_| epoch != 5);
    let known = KnownDigests::sampled(of, (Epoch(0), last), every(4));
    let (digest, epochs) = fold(&log, 2, known);
    assert_eq!(digest.expect("folds"), live);
    assert_eq!(epochs, all);
}
