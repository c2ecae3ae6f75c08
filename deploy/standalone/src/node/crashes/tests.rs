//! What a start makes of the notes, without any panic.

use eddyline_connect::clock::SystemClock;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::Append;
use eddyline_connect::memory::MemoryLog;
use eddyline_dataflows::Stage;

use super::*;
use crate::config::layers::Layers;
use crate::node::Publishing;

const PARTITION: TopicPartition = TopicPartition { topic: Topic::UserEvents, partition: 0 };

fn config(folder: &tempfile::TempDir) -> Config {
    let mut layers = Layers::default();
    layers.add_flag("core.factors.dim", "16", "--set");
    layers.add_flag("snapshots.url", "", "--set");
    layers.add_flag("data.dir", &folder.path().to_string_lossy(), "--data");
    layers.finish().check().expect("the defaults hold together")
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// A log of ten views.
fn log() -> Arc<dyn EventLog> {
    let log = MemoryLog::new(LogLayout::default(), Arc::new(SystemClock));
    let append = |n: u32| Append {
        partition: PARTITION,
        key: "u".into(),
        value: format!(r#"{{"event_type":"view","user_id":"u","item_id":"i{n}"}}"#).into(),
        headers: Vec::new(),
    };
    log.append((0..10).map(append).collect()).expect("memory never fails");
    Arc::new(log)
}

fn crash(offset: Option<Offset>, epoch: Option<u64>) -> Crash {
    let record = offset.map(|offset| RecordAt { partition: PARTITION, offset });
    let at = AtWork { operator: Stage::Learn, epoch: epoch.map(Epoch), record };
    Crash::new(at, "as a bug would")
}

/// Notes crashes as panics would.
fn note(config: &Config, crashes: impl IntoIterator<Item = Crash>) {
    let path = path_of(config);
    let mut notes = Notes::read(&path);
    crashes.into_iter().for_each(|crash| notes.count(crash));
    notes.write(&path).expect("the folder is there");
}

fn noted(config: &Config) -> Vec<(Option<Offset>, u32)> {
    let crashes = Notes::read(&path_of(config)).crashes;
    crashes.iter().map(|crash| (crash.record().map(|at| at.offset), crash.times)).collect()
}

fn bound_by_now(config: &Config, log: &Arc<dyn EventLog>) -> Arc<Publishing> {
    let dataflow = Arc::new(Publishing::open(config, Arc::clone(log)).expect("it starts"));
    wait("ten records", || dataflow.pipeline().counts.accepted == 10);
    dataflow
}

fn wait(what: &str, is_so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_third_crash_on_a_record_passes_it_over_and_others_do_not_count_for_it() {
    let (folder, log) = (folder(), log());
    let config = config(&folder);
    let open = || Ok(Arc::clone(&log));
    drop(begin(&config, || panic!("nothing is noted")).expect("nothing is noted"));
    note(&config, [crash(Some(3), Some(1)), crash(Some(4), Some(1)), crash(Some(3), Some(1))]);
    drop(begin(&config, || panic!("nothing is to be said")).expect("a warning is enough"));
    assert_eq!(noted(&config), [(Some(3), 2), (Some(4), 1)]);
    note(&config, [crash(Some(3), None)]);
    drop(begin(&config, open).expect("it says so and goes on"));
    assert_eq!(noted(&config), [(Some(4), 1)]);

    let dataflow = bound_by_now(&config, &log);
    assert_eq!(dataflow.pipeline().counts.dead_letter, 1);
    let skipped = bound_epoch(&log, Epoch(1)).expect("memory can be read").skipped;
    assert!(skipped.contains(&(PARTITION, 3)), "{skipped:?}");
    dataflow.close().expect("it ends well");
}

#[test]
fn a_note_goes_when_its_epoch_is_committed_and_not_before() {
    let (folder, log) = (folder(), log());
    let config = config(&folder);
    note(&config, [crash(Some(3), Some(1)), crash(Some(4), None), crash(Some(5), Some(1_000))]);
    let pending = begin(&config, || panic!("nothing is to be said")).expect("a warning");
    let dataflow = bound_by_now(&config, &log);
    let committing: Arc<dyn Operations> = Arc::clone(&dataflow) as _;
    pending.until_committed(Arc::downgrade(&committing)).expect("threads can be started");
    wait("an end of the first two notes", || noted(&config) == [(Some(5), 1)]);
    drop(committing);
    let epoch = dataflow.close().expect("it ends well").epoch;
    assert_eq!(noted(&config), [(Some(5), 1)]);
    note(&config, [crash(Some(6), Some(1)), crash(None, Some(1)), crash(Some(7), None)]);
    closed(&config, epoch).expect("it can be written");
    assert_eq!(noted(&config), [(Some(5), 1), (Some(7), 1)], "an end knows what it committed");
}

#[test]
fn what_no_record_is_at_fault_for_stops_the_start_until_one_is_chosen() {
    let (folder, log) = (folder(), log());
    let config = config(&folder);
    bound_by_now(&config, &log).close().expect("it ends well");
    let open = || Ok(Arc::clone(&log));
    note(&config, (0..3).map(|_| crash(None, Some(1))));
    let stop = begin(&config, open).err().expect("nobody knows what to pass over");
    assert_eq!(stop.exit, Exit::BadData, "a supervisor must not start it again");
    let told = stop.to_string();
    for part in ["3 times in epoch 1", "offsets 0..", "of user_events/0", "eddyline dlq skip"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert_eq!(noted(&config), [(None, 3)], "nothing is forgotten");

    assert!(say(&log, RecordAt { partition: PARTITION, offset: 0 }).expect("nobody else binds"));
    drop(begin(&config, open).expect("it may be that one"));
    assert_eq!(noted(&config), [(None, 0)]);
    note(&config, (0..3).map(|_| crash(None, Some(1))));
    assert!(begin(&config, open).is_err(), "it was not");
}

#[test]
fn the_verb_forgets_what_it_passes_over_and_broken_notes_count_nothing() {
    let folder = folder();
    let config = config(&folder);
    note(&config, [crash(Some(3), Some(1)), crash(Some(4), Some(1))]);
    forget(&config, RecordAt { partition: PARTITION, offset: 3 }).expect("it can be written");
    assert_eq!(noted(&config), [(Some(4), 1)]);
    forget(&config, RecordAt { partition: PARTITION, offset: 4 }).expect("it can be written");
    assert!(!path_of(&config).exists());
    std::fs::write(path_of(&config), "{half a no").expect("the folder is there");
    drop(begin(&config, || panic!("nothing is noted")).expect("it counts anew"));
    assert_eq!(noted(&config), []);
}
