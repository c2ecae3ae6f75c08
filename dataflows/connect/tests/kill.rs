//! kill -9 at any moment loses nothing that was acknowledged.
//!
//! The test starts this very binary again as a child that appends and prints what was
//! acknowledged, kills it, and holds what it printed against what a new open finds.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use eddyline_connect::clock::SystemClock;
use eddyline_connect::conformance::event_log::{append_to, read_all, user_events};
use eddyline_connect::embedded::EmbeddedLog;
use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::EventLog;
use eddyline_schemas::record::Offset;

const CHILD: &str = "EDDYLINE_KILL_TEST_FOLDER";
const ROUNDS: u64 = 16;
const THREADS: u64 = 4;

type Acknowledged = BTreeMap<(u32, Offset), String>;

fn open(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::open(folder, LogLayout::default(), Arc::new(SystemClock)).expect("it opens")
}

/// Not a test by itself: the child of the test below.
#[test]
fn child() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let log = open(Path::new(&folder));
    let out = Mutex::new(std::io::stdout());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (log, out) = (&log, &out);
            scope.spawn(move || {
                (0..).try_for_each(|batch| append_and_tell(log, out, thread, batch))
            });
        }
    });
}

/// Appends one batch over all partitions and prints what was acknowledged; `Err` when nobody reads.
fn append_and_tell(
    log: &EmbeddedLog,
    out: &Mutex<std::io::Stdout>,
    thread: u64,
    batch: u64,
) -> std::io::Result<()> {
    let pid = std::process::id();
    let value = |n: u64| format!("{pid}-{thread}-{batch}-{n}-{}", "x".repeat(batch as usize % 700));
    let count = 1 + batch % 9;
    let partition = |n: u64| ((thread + n) % 4) as u32;
    let appends = (0..count).map(|n| append_to(user_events(partition(n)), "", &value(n)));
    let offsets = log.append(appends.collect()).expect("appended");
    let told = (0..count).zip(offsets);
    let lines: String =
        told.map(|(n, offset)| format!("ack {} {offset} {}\n", partition(n), value(n))).collect();
    out.lock().expect("nobody panics").write_all(lines.as_bytes())
}

#[test]
fn killed_at_any_moment_it_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut acknowledged = Acknowledged::new();
    for round in 0..ROUNDS {
        let before = acknowledged.len();
        run_and_kill(folder.path(), kill_after(round), &mut acknowledged);
        assert!(acknowledged.len() > before, "round {round} got something done");
        check(folder.path(), &acknowledged, round);
    }
}

/// Acknowledged records after which the child of `round` is killed: from its first to some
/// thousands.
fn kill_after(round: u64) -> usize {
    let mixed = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    1 + (mixed as usize % 6_000) * (round as usize % 4)
}

fn run_and_kill(folder: &Path, kill_after: usize, acknowledged: &mut Acknowledged) {
    let binary = std::env::current_exe().expect("this test");
    let mut child = Command::new(binary)
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let mut told = 0;
    for line in output.split(b'\n') {
        let line = line.expect("readable");
        // The last line may have been cut by the kill: then nobody was told.
        let Some((partition, offset, value)) = parse(&line) else { continue };
        let twice = acknowledged.insert((partition, offset), value);
        assert_eq!(twice, None, "{partition}/{offset} was acknowledged twice");
        told += 1;
        if told == kill_after {
            child.kill().expect("SIGKILL");
        }
    }
    child.wait().expect("it is dead");
    assert!(told >= kill_after, "the child died early");
}

fn parse(line: &[u8]) -> Option<(u32, Offset, String)> {
    let line = std::str::from_utf8(line).ok()?;
    // The harness prints the name of the test in front of the first line.
    let mut words = line[line.find("ack ")?..].split(' ').skip(1);
    let (partition, offset) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let value = words.next()?;
    let batch: usize = value.split('-').nth(2)?.parse().ok()?;
    let padding = value.split('-').nth(4)?;
    (padding.len() == batch % 700).then(|| (partition, offset, value.to_owned()))
}

/// Every acknowledged record is there exactly once, and offsets have no gap.
fn check(folder: &Path, acknowledged: &Acknowledged, round: u64) {
    let log = open(folder);
    let mut found = 0;
    for partition in 0..4 {
        let mut values = std::collections::BTreeSet::new();
        for (at, (offset, record)) in read_all(&log, user_events(partition)).into_iter().enumerate()
        {
            assert_eq!(offset, at as Offset, "round {round}: no gap");
            let value = String::from_utf8(record.value.to_vec()).expect("text");
            if let Some(told) = acknowledged.get(&(partition, offset)) {
                assert_eq!(&value, told, "round {round}: {partition}/{offset}");
                found += 1;
            }
            assert!(values.insert(value), "round {round}: {partition}/{offset} is there twice");
        }
    }
    assert_eq!(found, acknowledged.len(), "round {round}: nothing acknowledged is lost");
}
