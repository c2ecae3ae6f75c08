//! Replicas that begin with a snapshot, or go on from one over a gap, are those that saw it all.

use std::path::{Path, PathBuf};

use eddyline_serving::door::{Door, DoorLimits};
use eddyline_serving::http::Operations;
use eddyline_serving::state::ServingState;
use eddyline_serving::state::items::ItemRow;

use super::window::{Window, deltas_end};
use super::{
    Arc, BodyKind, Config, Epoch, EventLog, Layers, Publishing, Replica, SystemClock, UserId, ask,
    config as plain, dataflow, events, is_ready, log, replica, shown, wait,
};

const WHO: [&str; 7] = ["u0", "u1", "u7", "u19", "fresh", "gone", "nobody"];

fn keeping(folder: &Path) -> Config {
    let mut layers = Layers::default();
    layers.add_flag("core.factors.dim", "16", "--set");
    let url = format!("file:{}", folder.display());
    layers.add_flag("snapshots.url", &url, "--set");
    layers.finish().check().expect("the defaults hold together")
}

/// A dataflow that folds all there is, publishes it, and leaves a snapshot where it may.
fn fold(config: &Config, log: &Arc<dyn EventLog>) -> Epoch {
    let flow = Publishing::open(config, Arc::clone(log)).expect("the folder can be used");
    wait("an empty backlog", || is_ready(&flow) && flow.pipeline().lag == 0);
    flow.close().expect("nothing was wrong").epoch
}

fn bootstrapped(config: &Config, log: Arc<dyn EventLog>) -> Replica {
    Replica::open(config.clone(), log).expect("there is a snapshot")
}

fn send(log: &Arc<dyn EventLog>, text: &str, events: usize) {
    let door = Door::new(Arc::clone(log), Arc::new(SystemClock), DoorLimits::default());
    let door = door.expect("starts");
    let answer = door.submit_body_blocking(text.as_bytes(), BodyKind::Json);
    assert_eq!(answer.expect("the door is open").accepted, events);
    door.close();
}

/// What the snapshots are about: items change and go, users are erased.
fn changes(log: &Arc<dyn EventLog>, round: u32) {
    let upsert = |k: u32| {
        format!(
            r#"{{"event_type":"item_upsert","item_id":"i{k}","item":{{"title":"Item {k} again","category":["c{}"],"price":{round}}}}}"#,
            (k + round) % 5
        )
    };
    let mut all: Vec<String> = (0..6).map(|k| upsert(k * 5 + round)).collect();
    all.push(format!(r#"{{"event_type":"item_delete","item_id":"i{}"}}"#, 20 + round));
    all.push(format!(r#"{{"event_type":"purchase","user_id":"gone","item_id":"i{round}"}}"#));
    all.push(r#"{"event_type":"erase","user_id":"gone"}"#.into());
    all.push(format!(r#"{{"event_type":"view","user_id":"fresh","item_id":"i{}"}}"#, 7 + round));
    let text = format!(r#"{{"events":[{}]}}"#, all.join(","));
    send(log, &text, 10);
}

fn tables(state: &ServingState) -> Vec<String> {
    let tables = state.tables();
    let bits = |row: &[f32]| row.iter().map(|number| number.to_bits()).collect::<Vec<_>>();
    let row = |(slot, row): (_, &ItemRow)| {
        let vectors = (bits(tables.vectors().row(slot)), bits(tables.contexts().row(slot)));
        let known = (row.item, &row.id, &row.document, row.first_seen, row.deleted);
        let counted = (&row.popularity, row.events, &row.covisited);
        format!("{known:?} {counted:?} {vectors:?}")
    };
    tables.items().iter().map(row).collect()
}

/// Equal to the bit, once both are at the head.
fn assert_equal(got: &Replica, want: &Replica) {
    let epoch = |of: &Replica| of.state().progress().epoch;
    wait("the head", || epoch(got) == epoch(want) && is_ready(got.operations()));
    let (of_got, of_want) = (got.state().progress(), want.state().progress());
    assert_eq!((of_got.counts, of_got.logical_time), (of_want.counts, of_want.logical_time));
    assert_eq!(tables(got.state()), tables(want.state()));
    let ids = (0..31).map(|k| format!("u{k}")).chain(WHO.map(str::to_owned));
    for id in ids {
        let user = UserId::new(&id).expect("a valid id");
        let document = |of: &Replica| of.state().users().get(&user).expect("memory");
        assert_eq!(document(got), document(want), "{id}");
        let (got, want) = (ask(got, &id), ask(want, &id));
        assert_eq!(shown(&got), shown(&want), "{id}");
        assert_eq!(
            (got.model.epoch, got.model.user_epoch),
            (want.model.epoch, want.model.user_epoch),
            "{id}"
        );
    }
    let users = |of: &Replica| of.state().users().users();
    assert_eq!(users(got), users(want));
}

fn objects(folder: &Path, of: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false if path.to_string_lossy().contains(of) => found.push(path),
                false => {}
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_replica_that_begins_with_a_snapshot_is_the_one_that_saw_every_epoch() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, log) = (keeping(folder.path()), log());
    let all = replica(&log);
    send(&log, &events(20), 340);
    changes(&log, 0);
    let first = fold(&config, &log);
    let behind_first = deltas_end(&*log);
    let early = bootstrapped(&config, Arc::clone(&log));
    assert_equal(&early, &all);
    send(&log, &events(31), 340);
    changes(&log, 1);
    let second = fold(&config, &log);
    assert!(second > first, "{second} follows {first}");
    let behind_second = deltas_end(&*log);
    for k in 2..5 {
        changes(&log, k);
        fold(&plain(), &log);
    }
    assert_equal(&early, &all);
    // No deltas are left of what the snapshot holds.
    let late = bootstrapped(&config, Window::from(&log, behind_second));
    assert_equal(&late, &all);

    // The newest snapshot is damaged: the one before, and more deltas.
    let manifests = objects(folder.path(), "manifests/");
    assert_eq!(manifests.len(), 2);
    let newest = objects(folder.path(), "parts/").pop().expect("parts");
    let mut bytes = std::fs::read(&newest).expect("a part");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newest, bytes).expect("written");
    let older = bootstrapped(&config, Window::from(&log, behind_first));
    assert_equal(&older, &all);
}

#[test]
fn a_gap_in_the_deltas_is_passed_over_with_a_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, log) = (keeping(folder.path()), log());
    let all = replica(&log);
    send(&log, &events(20), 340);
    let first = fold(&config, &log);
    let window = Window::from(&log, vec![0; deltas_end(&*log).len()]);
    let gapped = bootstrapped(&config, Arc::<Window>::clone(&window));
    assert_equal(&gapped, &all);
    window.close();
    send(&log, &events(31), 340);
    changes(&log, 1);
    fold(&plain(), &log);
    // The last epoch before a restart is published once more: that one is not lost.
    changes(&log, 4);
    fold(&plain(), &log);
    let lost = deltas_end(&*log);
    changes(&log, 2);
    let flow = dataflow(&log);
    window.move_to(lost);
    wait("the gap is noticed", || !is_ready(gapped.operations()));
    flow.close().expect("it ends well");
    let answer = ask(&gapped, "u7");
    assert_eq!((answer.model.epoch, answer.fallback), (first, None), "answers go on");
    let why = format!("{:?}", gapped.operations().readiness());
    assert!(why.contains("a snapshot of epoch"), "{why}");
    assert!(fold(&config, &log) > first);
    assert_equal(&gapped, &all);
    changes(&log, 3);
    fold(&plain(), &log);
    assert_equal(&gapped, &all);
}

#[test]
fn a_snapshot_of_a_log_that_is_gone_stops_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (config, old) = (keeping(folder.path()), log());
    send(&old, &events(20), 340);
    fold(&config, &old);
    let stop = Replica::open(config, log()).err().expect("it is ahead of the bindings");
    assert!(stop.to_string().contains("a snapshot"), "{stop}");
}
