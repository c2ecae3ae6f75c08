//! What an export says is what the state holds: oracle is the state itself, read from a snapshot.

mod support {
    pub(crate) mod tables;

    #[path = "../../../../dataflows/engine/tests/support/pinned_log.rs"]
    pub(crate) mod pinned_log;
    #[path = "../../../../dataflows/engine/tests/support/running.rs"]
    pub(crate) mod running;
    #[path = "../../../../dataflows/engine/tests/support/shop.rs"]
    pub(crate) mod shop;
}

use std::collections::BTreeMap;
use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_connect::objects::{MemoryObjects, ObjectName, ObjectStore};
use eddyline_dataflows::snapshot::{Restored, SnapshotStore, SnapshotWriter};
use eddyline_dataflows::{Replay, StateDigest, replay};
use eddyline_model::config::CoreConfig;
use eddyline_replay::export::{Exported, export, folder};
use eddyline_schemas::delta::Delta;

use support::pinned_log::PinnedLog;
use support::running::{bind_all, refolded};
use support::shop::Shop;
use support::tables::{floats, read, text};

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core
}

/// A snapshot of all that is bound.
fn restored(log: &Arc<dyn EventLog>) -> Restored {
    let memory = Arc::new(MemoryObjects::new());
    let store = || SnapshotStore::new(Arc::<MemoryObjects>::clone(&memory), &core());
    let snapshots = SnapshotWriter::start(store(), u64::MAX, None).expect("a thread");
    let how =
        Replay { from: None, until: None, workers: 2, snapshots: Box::new(snapshots), known: None };
    replay(&core(), Arc::clone(log), how, Box::new(drop)).expect("it folds");
    store().newest_valid(core().lineage()).expect("memory can be read").expect("it was written")
}

fn state() -> (StateDigest, Arc<dyn EventLog>) {
    let log: Arc<dyn EventLog> = PinnedLog::holding(&Shop::new(71).records(600));
    (bind_all(&core(), &log, 50), log)
}

fn exported(log: &Arc<dyn EventLog>) -> (Arc<MemoryObjects>, Exported) {
    let objects = Arc::new(MemoryObjects::new());
    let exported = export(&*objects, &core(), restored(log)).expect("memory takes it");
    (objects, exported)
}

#[test]
fn every_row_of_the_state_is_there_once_and_in_order() {
    let (live, log) = state();
    let (objects, said) = exported(&log);
    assert_eq!((said.epoch, said.state_digest), (live.epoch, live.state_digest));
    let (at, state) = (folder(said.lineage, said.epoch), restored(&log));
    let (mut items, mut vectors, mut neighbours) = (BTreeMap::new(), BTreeMap::new(), 0);
    let mut popular = 0;
    for delta in state.deltas(&core()) {
        match delta {
            Delta::Item { item, id, .. } => drop(items.insert(item, id.to_string())),
            Delta::ItemVector { item, vector } => drop(vectors.insert(item, vector.to_vec())),
            Delta::Popularity { .. } => popular += 1,
            Delta::Covisitation { list, .. } => neighbours += list.neighbours.len(),
            _ => {}
        }
    }
    let rows = read(&objects, &at, "items");
    let ids: Vec<&str> = rows.iter().map(|row| text(&row["item_id"])).collect();
    assert!(ids.is_sorted_by(|a, b| a < b) && ids.len() == items.len(), "each item once, by id");
    let by_id: BTreeMap<&String, &Vec<f32>> =
        items.iter().map(|(item, id)| (id, &vectors[item])).collect();
    for row in &rows {
        let want = by_id[&text(&row["item_id"]).to_owned()];
        assert_eq!(floats(&row["vector"]).as_ref(), Some(want), "bit by bit");
    }
    assert!(rows.iter().any(|row| floats(&row["context"]).is_some()));
    assert_eq!(read(&objects, &at, "popularity").len(), popular);
    assert_eq!(read(&objects, &at, "covisitation").len(), neighbours);
    assert!(popular > 10 && neighbours > 10, "the stream has both: {popular}, {neighbours}");
    let users: BTreeMap<String, Option<Vec<f32>>> = state
        .users(&core())
        .filter(|user| user.features.is_some() || user.vector.is_some())
        .map(|user| (user.user.to_string(), user.vector.map(|vector| vector.to_vec())))
        .collect();
    let rows = read(&objects, &at, "users");
    let found: Vec<(String, Option<Vec<f32>>)> =
        rows.iter().map(|row| (text(&row["user_id"]).to_owned(), floats(&row["vector"]))).collect();
    assert_eq!(found, users.into_iter().collect::<Vec<_>>());
    let counted = [("users", found.len()), ("items", ids.len()), ("popularity", popular)];
    for (table, rows) in counted.into_iter().chain([("covisitation", neighbours)]) {
        assert_eq!(said.rows[table], rows as u64, "{table}");
    }
}

#[test]
fn two_exports_of_an_epoch_are_the_same_and_nothing_is_overwritten() {
    let (_, log) = state();
    let ((first, said), (second, again)) = (exported(&log), exported(&log));
    assert_eq!(said, again);
    let place = ObjectName::new(format!("lineage={}", said.lineage)).expect("plain");
    let listed = |of: &MemoryObjects| {
        let names = of.list(&place).expect("memory").into_iter().map(|info| info.name);
        names.map(|name| (of.get(&name).expect("memory"), name)).collect::<Vec<_>>()
    };
    assert_eq!(listed(&first), listed(&second));
    assert_eq!(listed(&first).len(), 5);
    export(&*first, &core(), restored(&log)).expect("the same bytes again are no harm");
    let success = folder(said.lineage, said.epoch).join("_SUCCESS.json").expect("plain");
    first.delete(&success).expect("memory");
    first.put_if_absent(&success, "another".into()).expect("memory");
    export(&*first, &core(), restored(&log)).expect_err("what is there stays");
}

#[test]
fn the_oracle_is_that_of_live() {
    let (live, log) = state();
    assert_eq!(refolded(&core(), &log, 1, None).expect("it folds").0, live);
    assert_eq!(restored(&log).digest(&core()).state_digest, live.state_digest);
}
