//! Lineages side by side in a fleet: the dataflow folds them all, replicas answer from the one that
//! is recorded. Oracle: a fold of the whole log under the configuration of the other.

use std::path::Path;

use eddyline_connect::log::Append;
use eddyline_connect::objects::Access;
use eddyline_replay::lineages::{Action, LineagesError, Registered, Registry};
use eddyline_replay::recorded::Recorded;
use eddyline_schemas::codec::encode_epoch_digest;
use eddyline_schemas::lineage::Lineage;
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::TimestampMs;
use eddyline_schemas::topic::{Topic, TopicPartition};
use eddyline_serving::contract::{RecommendRequest, RecommendResponse, Retrieval};
use eddyline_serving::http::lineages::{Change, ChangeError, LineageReport, LineageState};
use eddyline_serving::http::{Lineages, Operations};
use eddyline_serving::recommend::Recommender;

use super::{
    Arc, Config, Epoch, EventLog, Layers, Publishing, Replica, UserId, events, log, shown, submit,
    wait,
};
use crate::lineage::register;
use crate::node::{Past, open_place};

const WHO: [&str; 4] = ["u0", "u7", "u19", "nobody"];

fn config(folder: &Path, item_rate: &str) -> Config {
    let mut layers = Layers::default();
    layers.add_flag("core.factors.dim", "16", "--set");
    layers.add_flag("core.factors.item_rate", item_rate, "--set");
    layers.add_flag("snapshots.url", &format!("file:{}", folder.display()), "--set");
    layers.finish().check().expect("the defaults hold together")
}

fn dataflow(config: &Config, log: &Arc<dyn EventLog>) -> Publishing {
    Publishing::open(config, Arc::clone(log)).expect("it starts")
}

fn replica(config: &Config, log: &Arc<dyn EventLog>) -> Replica {
    Replica::open(config.clone(), Arc::clone(log)).expect("it starts")
}

fn row(of: &Replica, lineage: Lineage) -> Option<LineageReport> {
    of.lineages().report().lineages.into_iter().find(|one| one.lineage == lineage)
}

/// Waits until a replica has a lineage at the head of what was sent, so many events.
fn wait_for(of: &Replica, lineage: Lineage, accepted: u64) {
    wait("the head", || {
        let pipeline = of.operations().pipeline();
        let is_there = |row: LineageReport| row.lag_epochs == 0 && row.epoch > Epoch(0);
        pipeline.counts.accepted == accepted
            && pipeline.lag == 0
            && row(of, lineage).is_some_and(is_there)
    });
}

fn ask(recommender: &Recommender, user: &str) -> RecommendResponse {
    let request = RecommendRequest {
        user_id: Some(UserId::new(user).expect("a valid id")),
        retrieval: Retrieval::Exact,
        ..RecommendRequest::default()
    };
    recommender.recommend(&request).expect("a valid request")
}

fn all(recommender: &Recommender) -> Vec<(Option<Lineage>, Epoch, Vec<String>)> {
    let said = |user| {
        let answer = ask(recommender, user);
        (answer.model.lineage, answer.model.epoch, shown(&answer))
    };
    WHO.map(said).into()
}

/// What a fold of the whole log under `config` answers.
fn alone(config: &Config, log: &Arc<dyn EventLog>, epoch: Epoch) -> Recommender {
    let past = Past::open(config.clone(), Arc::clone(log), (None, epoch), |_| {});
    Recommender::new(Arc::clone(past.expect("it folds").state()))
}

#[test]
fn a_fleet_folds_every_lineage_and_answers_from_the_recorded_one() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let (own, other) = (config(folder.path(), "0.05"), config(folder.path(), "0.01"));
    let (a, b) = (own.core.lineage(), other.core.lineage());
    let log = log();
    let flow = dataflow(&own, &log);
    let (first, second) = (replica(&own, &log), replica(&own, &log));
    submit(&first, &events(20), 340);
    register(&other).expect("the folder can be written");
    wait_for(&first, b, 340);
    submit(&first, &events(31), 340);
    [&first, &second].iter().for_each(|one| wait_for(one, b, 680));
    let epoch = first.operations().pipeline().bound_epoch;
    let (want_a, want_b) = (all(&alone(&own, &log, epoch)), all(&alone(&other, &log, epoch)));
    assert_ne!(want_a[0].2, want_b[0].2, "they answer differently");
    assert_eq!(all(&first.switch().active()), want_a);
    assert_eq!(all(&first.switch().find(&b.to_string()[..8]).expect("it is there")), want_b);

    first.lineages().change(Change::Activate(b)).expect("it is at the head");
    assert_eq!(all(&first.switch().active()), want_b, "at once");
    wait("the other replica", || second.switch().active_lineage() == b);
    assert_eq!(all(&second.switch().active()), want_b);

    // The dataflow goes on with both; a replica that starts now answers as recorded.
    let digest = flow.close().expect("it ends well");
    assert_eq!(digest.lineage, a, "it binds as it did");
    let flow = dataflow(&own, &log);
    submit(&second, &events(7), 340);
    let late = replica(&own, &log);
    assert_eq!(late.switch().active_lineage(), b);
    wait_for(&late, b, 1_020);
    wait("it is ready", || late.lineages().readiness().ready);
    let epoch = late.operations().pipeline().bound_epoch;
    assert_eq!(all(&late.switch().active()), all(&alone(&other, &log, epoch)));

    late.lineages().change(Change::Rollback).expect("there is a way back");
    wait("the others", || [&first, &second].iter().all(|one| one.switch().active_lineage() == a));
    late.lineages().change(Change::Retire(b)).expect("it does not answer");
    wait("it is left", || first.switch().find(&b.to_string()).is_err());
    let state = row(&first, b).expect("it is listed").state;
    assert_eq!(state, LineageState::Retired);
    flow.close().expect("it ends well");
}

/// Says of the last epoch of a lineage something else than was recorded; which epoch.
fn tamper(log: &Arc<dyn EventLog>, lineage: Lineage) -> Epoch {
    let recorded = Recorded::read(&**log, lineage).expect("it can be read");
    let epoch = Epoch(recorded.len() as u64);
    let mut wrong = recorded.whole(&**log, epoch).expect("read").expect("it was recorded");
    wrong.delta_digest = Digest::of(b"something else");
    let partition = TopicPartition { topic: Topic::Digests, partition: 0 };
    let (key, value) = (Default::default(), encode_epoch_digest(&wrong).into());
    let append = Append { partition, key, value, headers: Vec::new() };
    log.append(vec![append]).expect("memory never fails");
    epoch
}

#[test]
fn a_lineage_that_is_not_what_was_recorded_harms_nobody_else() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let without = |item_rate| {
        let mut config = config(folder.path(), item_rate);
        config.snapshots.every_events = 0;
        config
    };
    let (own, other) = (without("0.05"), without("0.01"));
    let b = other.core.lineage();
    let log = log();
    let flow = dataflow(&own, &log);
    let one = replica(&own, &log);
    submit(&one, &events(20), 340);
    register(&other).expect("the folder can be written");
    wait_for(&one, b, 340);
    flow.close().expect("it ends well");
    let epoch = tamper(&log, b);

    let flow = dataflow(&own, &log);
    let why = format!("epoch {epoch} of lineage {b} was recorded with delta digest");
    wait("it fails", || flow.readiness().iter().any(|one| one.detail.contains(&why)));
    assert!(flow.readiness().iter().all(|one| one.ready), "{:?}", flow.readiness());
    submit(&one, &events(31), 340);
    wait_for(&one, own.core.lineage(), 680);
    let behind = || row(&one, b).is_some_and(|row| row.lag_epochs > 0);
    wait("the other stays where it is", behind);
    flow.close().expect("it ends well");
}

#[test]
fn what_cannot_be_followed_says_so_and_is_not_activated() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let own = config(folder.path(), "0.05");
    let log = log();
    let flow = dataflow(&own, &log);
    let one = replica(&own, &log);
    submit(&one, &events(20), 340);
    let mut foreign = Registered::of(&config(folder.path(), "0.01").core);
    foreign.core["a_key_of_tomorrow"] = 1.into();
    let lineage = foreign.lineage;
    let objects = open_place(&own, Access::Write).expect("it opens").expect("it is configured");
    let mut registry = Registry::open(objects).expect("it is sound");
    let registered = registry.change(TimestampMs(0), |lineages| {
        let is_new = !lineages.is_kept(lineage);
        Ok::<_, LineagesError>(is_new.then(|| Action::Registered(foreign.clone())))
    });
    registered.expect("the folder can be written");
    wait("it is listed", || row(&one, lineage).is_some());
    wait("it is tried", || row(&one, lineage).is_some_and(|row| row.state == LineageState::Failed));
    let detail = row(&one, lineage).and_then(|row| row.detail).expect("it says why");
    assert!(detail.contains("a_key_of_tomorrow"), "{detail}");
    let refused = one.lineages().change(Change::Activate(lineage));
    assert!(matches!(refused, Err(ChangeError::Refused(_))), "{refused:?}");
    let refused = one.lineages().change(Change::Rollback);
    assert!(matches!(refused, Err(ChangeError::Refused(_))), "{refused:?}");
    let detail = flow.readiness().into_iter().find(|one| one.name == "lineages");
    let detail = detail.expect("the dataflow says how they are");
    wait("the dataflow has tried it too", || {
        flow.readiness().iter().any(|one| one.detail.contains("failed"))
    });
    assert!(detail.ready, "and is well itself");
    submit(&one, &events(31), 340);
    wait_for(&one, own.core.lineage(), 680);
    flow.close().expect("it ends well");
}
