//! An event that crashes an operator: the process ends at once and names it, and a fold without it
//! goes on where the log is.
//!
//! A test starts this very binary again as the process that crashes: [`a_process`] does as the
//! variables in its environment say.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::{Append, EventLog};
use eddyline_connect::panic_on;
use eddyline_connect::url::open_log;
use eddyline_dataflows::{
    Arrival, EngineConfig, EpochLimits, Refold, Stage, StateDigest, bound_epoch, last_bound_epoch,
    refold, skip_record, start,
};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::delta::PipelineCounts;
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::topic::{Topic, TopicPartition, partition_for};

/// The folder of the log, and workers: what a process is told in its environment.
const FOLDER: &str = "EDDYLINE_TEST_FOLDER";
const WORKERS: &str = "EDDYLINE_TEST_WORKERS";

const EVENTS: usize = 300;
const OFFSET: u64 = 11;

fn core() -> CoreConfig {
    let mut core = CoreConfig::default();
    core.factors.dim = 16;
    core.factors.replays = 1;
    core.quality.sample_one_in = 2;
    core
}

fn open(folder: &Path) -> Arc<dyn EventLog> {
    let url = format!("embedded:{}", folder.display());
    open_log(&url, LogLayout::default()).expect("no other process uses it")
}

fn at() -> TopicPartition {
    TopicPartition { topic: Topic::UserEvents, partition: 1 }
}

/// Views of a few users, spread over the partitions as a door would.
fn fill(log: &dyn EventLog) {
    let append = |n: usize| {
        let (user, item) = (n * n % 17, n * 7 % 23);
        let key = Bytes::from(format!("u{user}"));
        let value = format!(
            r#"{{"event_id":"e{n}","event_type":"view","user_id":"u{user}","item_id":"i{item}"}}"#
        );
        let partition = partition_for(&key, log.partitions(Topic::UserEvents));
        let partition = TopicPartition { topic: Topic::UserEvents, partition };
        Append { partition, key, value: value.into(), headers: Vec::new() }
    };
    log.append((0..EVENTS).map(append).collect()).expect("the folder is there");
    assert!(log.end_offset(at()).expect("it can be read") > OFFSET, "the record is there");
}

/// Folds all that lies on the log of `folder`, on `operator`'s panic.
fn run(folder: &Path, workers: usize, operator: &str) -> Output {
    let exe = std::env::current_exe().expect("a test has a binary");
    Command::new(exe)
        .args(["--exact", "a_process", "--ignored", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(WORKERS, workers.to_string())
        .env(panic_on::VARIABLE, format!("{}/{OFFSET}@{operator}", at()))
        .output()
        .expect("the test binary starts again")
}

/// Not a test of its own: a process that folds, started by the tests.
#[test]
#[ignore = "started by the other tests"]
fn a_process() {
    panic_on::arm_from_env(Stage::OF_RECORDS).expect("the other tests name a record");
    let told = |name: &str| std::env::var(name).expect("the other tests say what to do");
    let workers: usize = told(WORKERS).parse().expect("the other tests write a number");
    let epoch = EpochLimits { events: 32, wait: Duration::from_millis(2), backlog_events: 32 };
    let config = EngineConfig { core: core(), workers: workers.into(), epoch };
    let log = open(Path::new(&told(FOLDER)));
    let engine = start(config, log, Box::new(drop)).expect("the configuration is right");
    let is_done = || engine.status().counts.accepted == EVENTS as u64;
    let turns = (0..60_000).take_while(|_| !is_done());
    turns.for_each(|_| std::thread::sleep(Duration::from_millis(2)));
    assert!(is_done(), "{:?}", engine.status());
    let digest = engine.shutdown().expect("nothing was wrong");
    println!("\nresult {} {}", digest.epoch.0, digest.state_digest);
}

/// All that is bound, folded again here, where nothing panics.
fn folded(log: &Arc<dyn EventLog>, until: Option<Epoch>) -> (StateDigest, PipelineCounts) {
    let counts = Arc::new(Mutex::new(PipelineCounts::default()));
    let seen = Arc::clone(&counts);
    let keep = move |committed: eddyline_dataflows::Committed| {
        *seen.lock().expect("nobody panics with it") = committed.deltas.counts;
    };
    let how = Refold { workers: 2, until, arrival: Arrival::Shuffled(5) };
    let digest = refold(&core(), Arc::clone(log), how, Box::new(keep)).expect("it folds");
    let counts = *counts.lock().expect("the fold is over");
    (digest, counts)
}

fn check(workers: usize, operator: &str) {
    let what = format!("{operator}, {workers} workers");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    fill(&*open(folder.path()));
    for _ in 0..3 {
        let ran = run(folder.path(), workers, operator);
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(70), "{what}: {stderr}");
        let told = match operator {
            "intake" => format!("intake read offset {OFFSET} of user_events/1"),
            _ => format!("{operator} folded offset {OFFSET} of user_events/1 in epoch "),
        };
        assert!(stderr.contains(&told), "{what}: {stderr}");
        let remedy = format!("eddyline dlq skip user_events 1 {OFFSET}");
        assert!(stderr.contains(&remedy), "{what}: {stderr}");
    }
    let log = open(folder.path());
    let bound = last_bound_epoch(Arc::clone(&log)).expect("it can be read");
    let of_record = (1..=bound.0).map(Epoch).find(|&epoch| {
        let ranges = bound_epoch(&log, epoch).expect("it can be read").ranges;
        ranges.iter().any(|(partition, range)| *partition == at() && range.contains(&OFFSET))
    });
    assert_eq!(of_record.is_some(), operator != "intake", "{what}: bound before it is folded");
    let with = of_record.map(|_| folded(&log, Some(bound)).0);
    assert!(skip_record(&log, at(), OFFSET).expect("nobody else binds"), "{what}");
    let without = of_record.map(|_| folded(&log, Some(bound)).0);
    assert!(with.is_none() || with != without, "{what}: the record says something");
    if let Some(epoch) = of_record {
        let skipped = bound_epoch(&log, epoch).expect("it can be read").skipped;
        assert_eq!(skipped.into_iter().collect::<Vec<_>>(), [(at(), OFFSET)], "{what}");
    }
    drop(log);

    let ran = run(folder.path(), workers, operator);
    let stdout = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{what}: {}", String::from_utf8_lossy(&ran.stderr));
    let (digest, counts) = folded(&open(folder.path()), None);
    let want = format!("result {} {}", digest.epoch.0, digest.state_digest);
    assert!(stdout.lines().any(|line| line == want), "{what}: not {want}: {stdout}");
    assert_eq!((counts.dead_letter, counts.accepted), (1, EVENTS as u64), "{what}");
    assert_eq!(counts.applied, EVENTS as u64 - 1, "{what}");
}

#[test]
fn a_record_that_crashes_an_operator_is_named_and_can_be_passed_over() {
    check(1, "learn");
    check(3, "learn");
    check(3, "apply");
}

#[test]
fn so_is_one_that_crashes_in_front_of_them() {
    check(1, "intake");
    check(1, "dedupe");
    check(3, "resolve");
}
