//! Two halves of a fleet in one process, over one log in memory.

mod bootstrap;
mod lineages;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_connect::clock::SystemClock;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::EventLog;
use eddyline_connect::memory::MemoryLog;
use eddyline_schemas::decode::BodyKind;
use eddyline_schemas::id::{ItemId, UserId};
use eddyline_schemas::lineage::Epoch;
use eddyline_serving::contract::{RecommendRequest, RecommendResponse, Retrieval};
use eddyline_serving::http::Operations;
use eddyline_serving::recommend::Recommender;

use super::{Publishing, Replica};
use crate::config::Config;
use crate::config::layers::Layers;

const PATIENCE: Duration = Duration::from_secs(120);

fn config() -> Config {
    let mut layers = Layers::default();
    layers.add_flag("core.factors.dim", "16", "--set");
    layers.add_flag("snapshots.url", "", "--set");
    layers.finish().check().expect("the defaults hold together")
}

fn log() -> Arc<dyn EventLog> {
    Arc::new(MemoryLog::new(LogLayout::default(), Arc::new(SystemClock)))
}

fn dataflow(log: &Arc<dyn EventLog>) -> Publishing {
    Publishing::open(&config(), Arc::clone(log)).expect("nothing is on the log that is not bound")
}

fn replica(log: &Arc<dyn EventLog>) -> Replica {
    Replica::open(config(), Arc::clone(log)).expect("the log can be read")
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn is_ready(operations: &dyn Operations) -> bool {
    operations.readiness().iter().all(|one| one.ready)
}

/// A catalogue, and users who view it.
fn events(users: u32) -> String {
    let item = |k: u32| {
        format!(
            r#"{{"event_type":"item_upsert","item_id":"i{k}","item":{{"title":"Item {k}","category":["c{}"]}}}}"#,
            k % 5
        )
    };
    let view = |k: u32| {
        format!(r#"{{"event_type":"view","user_id":"u{}","item_id":"i{}"}}"#, k % users, k * 7 % 40)
    };
    let all: Vec<String> = (0..40).map(item).chain((0..300).map(view)).collect();
    format!(r#"{{"events":[{}]}}"#, all.join(","))
}

fn submit(to: &Replica, text: &str, events: usize) {
    let answer = to.door().submit_body_blocking(text.as_bytes(), BodyKind::Json);
    assert_eq!(answer.expect("the door is open").accepted, events);
}

fn ask(from: &Replica, user: &str) -> RecommendResponse {
    let request = RecommendRequest {
        user_id: Some(UserId::new(user).expect("a valid id")),
        retrieval: Retrieval::Exact,
        ..RecommendRequest::default()
    };
    let recommender = Recommender::new(Arc::clone(from.state()));
    recommender.recommend(&request).expect("a valid request")
}

fn shown(answer: &RecommendResponse) -> Vec<String> {
    let items = answer.items.iter();
    items
        .map(|item| {
            format!("{} {:08x} {:?}", item.item_id, item.score.to_bits(), item.explanations)
        })
        .collect()
}

#[test]
fn an_event_of_one_half_shows_through_the_other_and_replicas_agree() {
    let log = log();
    let (first, second) = (replica(&log), replica(&log));
    wait("nothing to catch up with", || is_ready(first.operations()));
    submit(&first, &events(20), 340);
    let flow = dataflow(&log);
    wait("the first events", || first.state().progress().counts.applied == 340);

    submit(&first, r#"{"event_type":"view","user_id":"fresh","item_id":"i7"}"#, 1);
    wait("one view", || first.state().progress().counts.applied == 341);
    let answer = ask(&first, "fresh");
    assert_eq!(answer.fallback, None, "the user is known");
    let seven = ItemId::new("i7").expect("a valid id");
    assert!(answer.items.iter().all(|item| item.item_id != seven), "seen, so not again");
    let why = format!("{:?}", answer.items);
    assert!(why.contains("Item 7") || why.contains("c2"), "a reason is the view: {why}");

    // The dataflow ends and another one goes on; a third replica joins late.
    let digest = flow.close().expect("it ends well");
    assert_eq!(first.state().progress().epoch, digest.epoch);
    let flow = dataflow(&log);
    submit(&second, &events(31), 340);
    let late = replica(&log);
    wait("the second events", || {
        [&first, &second, &late].iter().all(|one| {
            let counts = one.state().progress().counts;
            counts.applied + counts.duplicate == 681
        })
    });
    wait("the late one is ready", || is_ready(late.operations()));
    for user in ["fresh", "u0", "u7", "u19", "u30", "nobody"] {
        let want = ask(&first, user);
        for other in [&second, &late] {
            let got = ask(other, user);
            assert_eq!(got.model.epoch, want.model.epoch);
            assert_eq!(shown(&got), shown(&want), "{user}");
        }
    }
    assert!(first.operations().pipeline().bound_epoch > Epoch(1));
    flow.close().expect("it ends well");
    first.close();
    second.close();
}

#[test]
fn a_dataflow_that_was_stopped_amid_an_epoch_goes_on_without_a_gap() {
    let log = log();
    let flow = dataflow(&log);
    let follower = replica(&log);
    submit(&follower, &events(9), 340);
    wait("some epochs", || follower.state().progress().epoch > Epoch(0));
    drop(flow);
    let flow = dataflow(&log);
    submit(&follower, &events(11), 340);
    wait("all of it", || {
        let counts = follower.state().progress().counts;
        counts.applied + counts.duplicate == 680
    });
    assert!(is_ready(&flow), "{:?}", flow.readiness());
    let digest = flow.close().expect("it ends well");
    assert_eq!(follower.state().progress().epoch, digest.epoch);
}
