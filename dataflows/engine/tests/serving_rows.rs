//! The rows of a snapshot are what all deltas up to its epoch left behind, bit for bit.

mod support {
    pub(crate) mod contents;
    pub(crate) mod golden_stream;
    pub(crate) mod pinned_log;
    pub(crate) mod position;
    pub(crate) mod rebind;
    pub(crate) mod restored;
    pub(crate) mod running;
    pub(crate) mod shop;
    pub(crate) mod snapshots;
}

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use eddyline_connect::features::mirror::user_writes;
use eddyline_connect::features::{EmbeddedFeatureStore, FeatureStore, ShardRefill, UserRow};
use eddyline_connect::log::EventLog;
use eddyline_dataflows::snapshot::Restored;
use eddyline_schemas::delta::canonical::write_canonical;
use eddyline_schemas::delta::{Delta, EpochDeltas};
use eddyline_schemas::features::UserFeatures;
use eddyline_schemas::id::{ItemRef, UserId};

use support::contents::binding_values;
use support::golden_stream::{core, golden_log, path};
use support::pinned_log::PinnedLog;
use support::restored::restored;
use support::running::{bind_all, refolded};
use support::shop::Shop;
use support::snapshots::{epochs_of, exports_at, fold_rest};

/// A log whose catalogue goes on changing while users go on: records are bound as they come.
fn shop_log() -> Arc<dyn EventLog> {
    let pinned = PinnedLog::holding(&[]);
    let log: Arc<dyn EventLog> = Arc::<PinnedLog>::clone(&pinned);
    for slice in Shop::new(7).records(2_400).chunks(200) {
        slice.iter().for_each(|stored| pinned.store(stored));
        bind_all(&core(), &log, 100);
    }
    log
}

fn all_deltas(log: &Arc<dyn EventLog>) -> Vec<EpochDeltas> {
    refolded(&core(), log, 2, None).expect("the log is as it was bound").1
}

/// Canonical bytes by key, without what an empty table holds anyway.
fn by_key(deltas: impl Iterator<Item = Delta>) -> BTreeMap<(u8, String), Vec<u8>> {
    let mut rows = BTreeMap::new();
    for delta in deltas {
        let key = (delta.kind(), delta.topic_key());
        let mut bytes = Vec::new();
        write_canonical(&delta, &mut bytes);
        match &delta {
            Delta::ItemContext { context, .. } if context.iter().all(|n| n.to_bits() == 0) => {
                drop(rows.remove(&key));
            }
            _ => drop(rows.insert(key, bytes)),
        }
    }
    rows
}

fn is_of_a_user(delta: &Delta) -> bool {
    (6..=8).contains(&delta.kind())
}

/// What a store holds after all these epochs.
fn users_after(epochs: &[EpochDeltas]) -> EmbeddedFeatureStore {
    let store = EmbeddedFeatureStore::new();
    for epoch in epochs {
        let applied = store.apply(epoch.lineage, epoch.epoch, &user_writes(epoch));
        applied.expect("memory does not fail");
    }
    store
}

fn users_of(restored: &Restored, rows: Vec<UserRow>) -> EmbeddedFeatureStore {
    let store = EmbeddedFeatureStore::new();
    let refill = ShardRefill { rows, ..ShardRefill::default() };
    let filled = store.refill(restored.lineage(), restored.epoch(), &[refill]);
    filled.expect("memory does not fail");
    store
}

fn check(restored: &Restored, rows: (Vec<Delta>, Vec<UserRow>), before: &[EpochDeltas]) {
    let at = restored.epoch();
    let last = before.last();
    assert_eq!(restored.delta_digest(), last.map_or_else(Default::default, |last| last.chain));
    assert_eq!(restored.counts(), last.map_or_else(Default::default, |last| last.counts));
    assert_eq!(restored.logical_time().0, last.map_or(0, |last| last.logical_time.0));
    let firsts = rows.0.iter().map(|delta| delta.kind() != 1);
    assert!(firsts.is_sorted(), "items come first");
    let told = before.iter().flat_map(|epoch| &epoch.deltas);
    let items = by_key(told.clone().filter(|delta| !is_of_a_user(delta)).cloned());
    let mut got = by_key(rows.0.into_iter());
    if !items.contains_key(&(9, "gate".to_owned())) {
        got.remove(&(9, "gate".to_owned()));
    }
    assert_eq!(got.len(), items.len(), "epoch {at}");
    assert!(got == items, "epoch {at}: items");

    let (followed, seeded) = (users_after(before), users_of(restored, rows.1));
    let ids: BTreeSet<&UserId> = told
        .filter_map(|delta| match delta {
            Delta::UserFeatures { user, .. } => Some(user),
            _ => None,
        })
        .collect();
    for user in ids {
        let get = |store: &EmbeddedFeatureStore| store.get(user).expect("memory does not fail");
        assert_eq!(get(&seeded), get(&followed), "epoch {at}, {user}");
    }
    assert_eq!(seeded.users(), followed.users(), "epoch {at}");
    if at.0 > 0 {
        assert_eq!(seeded.watermark(), followed.watermark(), "epoch {at}");
    }
}

fn check_all(log: &Arc<dyn EventLog>, moves: &[usize]) {
    let core = core();
    let (inputs, epochs) = (epochs_of(&core, log), all_deltas(log));
    for export in exports_at(&core, 3, &inputs, moves) {
        let at = export.epoch().0 as usize;
        let (state, mut drained) = (restored(&core, &export), restored(&core, &export));
        let rows: (Vec<Delta>, Vec<UserRow>) =
            (state.deltas(&core).collect(), state.users(&core).collect());
        let (deltas, users) = drained.drain(&core);
        assert!(deltas.eq(rows.0.iter().cloned()), "drained at {at}");
        assert!(users.eq(rows.1.iter().cloned()), "drained at {at}");
        check(&state, rows, &epochs[..at]);
        // What is told after a move, and kept for the next snapshot, is the same too.
        let (_, rest) = fold_rest(&core, 2, state, &inputs);
        assert!(rest == epochs[at..], "epochs after {at}");
    }
}

#[test]
fn rows_of_a_snapshot_are_what_the_deltas_left_behind() {
    let log = golden_log();
    assert_eq!(binding_values(&*log).len(), 51, "{}", path("stream.bindings.hex").display());
    check_all(&log, &[0, 1, 9, 27, 50]);
}

#[test]
fn rows_of_a_snapshot_are_what_the_deltas_of_a_changing_catalogue_left_behind() {
    let log = shop_log();
    let epochs = all_deltas(&log).len();
    check_all(&log, &[1, 4, epochs / 2, epochs * 3 / 4, epochs]);
}

/// The stream is worth its place: it holds what only the past deltas knew.
#[test]
fn the_stream_tells_what_the_rest_of_the_state_does_not_say() {
    let epochs = all_deltas(&shop_log());
    let mut prices = BTreeMap::new();
    let mut features: BTreeMap<UserId, UserFeatures> = BTreeMap::new();
    let mut vectors = BTreeSet::new();
    let (mut erased, mut outdated, mut without) = (0, 0, 0);
    for epoch in &epochs {
        for delta in &epoch.deltas {
            match delta {
                Delta::Item { item, document, .. } => {
                    prices.insert(*item, document.as_ref().and_then(|document| document.price));
                }
                Delta::UserFeatures { user, features: Some(told) } => {
                    features.insert(user.clone(), (**told).clone());
                }
                Delta::UserFeatures { user, features: None } => {
                    erased += 1;
                    features.remove(user);
                }
                Delta::UserVector { user, vector: Some(_) } => drop(vectors.insert(user.clone())),
                Delta::UserVector { user, vector: None } => drop(vectors.remove(user)),
                _ => {}
            }
        }
        outdated += features.values().filter(|told| is_outdated(told, &prices)).count();
        without += features.keys().filter(|user| !vectors.contains(*user)).count();
    }
    assert!(outdated > 3, "{outdated} times a price changed after it was told");
    assert!(without > 3, "{without} times a user had no vector");
    assert!(erased > 3, "{erased} erasures");
}

fn is_outdated(told: &UserFeatures, prices: &BTreeMap<ItemRef, Option<f64>>) -> bool {
    let now = told.recent_views.iter().take(5).filter_map(|item| prices[item]);
    let now = now.fold(None, |range: Option<(f64, f64)>, price| match range {
        None => Some((price, price)),
        Some((low, high)) => Some((low.min(price), high.max(price))),
    });
    now != told.price_range
}
