//! The binary as a shell sees it: exit codes, what goes to stdout and what to stderr, and one
//! process from start to a clean end.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn eddyline(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
    command.current_dir(folder);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("EDDYLINE")) {
        command.env_remove(name);
    }
    command
}

fn run(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let ran = eddyline(folder).args(args).output().expect("the binary was built for this test");
    let Output { status, stdout, stderr } = ran;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

#[test]
fn wrong_configuration_is_78_with_file_key_and_remedy() {
    let folder = folder();
    let file = "[server]\nlisten = \"nowhere\"\n[dataflow]\nworker = 2\n";
    std::fs::write(folder.path().join("eddyline.toml"), file).expect("it can be written");
    for verb in [&["up"][..], &["config", "check"], &["digest"]] {
        let (code, stdout, stderr) = run(folder.path(), verb);
        assert_eq!((code, stdout.as_str()), (78, ""), "{verb:?}: {stderr}");
        assert!(stderr.contains("eddyline.toml:4:1: dataflow.worker: unknown key; did you mean"));
        assert!(stderr.contains("eddyline.toml:2:1: server.listen: "), "{stderr}");
        assert!(stderr.contains("try: "), "{stderr}");
    }
}

#[test]
fn init_writes_the_defaults_once() {
    let folder = folder();
    assert_eq!(run(folder.path(), &["config", "init"]).0, 0);
    let (code, stdout, _) = run(folder.path(), &["config", "check"]);
    assert_eq!((code, stdout.as_str()), (0, "the configuration is right\n"));
    let (code, _, stderr) = run(folder.path(), &["config", "init"]);
    assert_eq!(code, 74, "{stderr}");
}

#[test]
fn each_failure_has_its_exit_code() {
    let folder = folder();
    std::fs::write(folder.path().join("bad.csv"), "user_id\nx\n").expect("it can be written");
    let check = |args: &[&str], want: i32| {
        let (code, _, stderr) = run(folder.path(), args);
        assert_eq!(code, want, "{args:?}: {stderr}");
    };
    check(&["nonsense"], 2);
    check(&["ingest"], 2);
    check(&["ingest", "bad.csv", "--map", "userid=1", "--dry-run"], 2);
    check(&["ingest", "bad.csv", "--map", "user_id=user_idd", "--dry-run"], 2);
    check(&["ingest", "missing.csv", "--dry-run"], 74);
    check(&["ingest", "bad.csv", "--dry-run"], 65);
    check(&["recommend", "u1", "--server", "http://127.0.0.1:9"], 69);
    check(&["up", "--listen", "0.0.0.0:0"], 78);
    check(&["version"], 0);
}

#[test]
fn roles_ask_for_a_log_that_processes_share() {
    let folder = folder();
    for verb in [&["serve"][..], &["dataflow"], &["serve", "--log-url", "memory:"]] {
        let (code, stdout, stderr) = run(folder.path(), verb);
        assert_eq!((code, stdout.as_str()), (78, ""), "{verb:?}: {stderr}");
        assert!(stderr.contains("is a log of one process"), "{stderr}");
        assert!(stderr.contains("kafka://") && stderr.contains("eddyline up"), "{stderr}");
    }
}

/// A running `up`, killed when a test fails.
struct Up {
    child: Child,
    address: String,
}

impl Up {
    fn start(folder: &Path) -> Self {
        let args =
            ["up", "--listen", "127.0.0.1:0", "--data", "data", "--set", "core.factors.dim=16"];
        let mut child = eddyline(folder)
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary was built for this test");
        let stdout = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("it prints its address");
        let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        Self { child, address }
    }

    fn terminate(mut self) -> i32 {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("there is a kill");
        assert!(sent.success());
        self.child.wait().expect("it is our child").code().unwrap_or(-1)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Fails when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Rows of a small shop: even users take even items.
fn rows() -> String {
    let mut rows = String::from("who,what,when\n");
    for number in 0..600_u32 {
        let (user, item) = (number % 40, number * 7 % 60);
        let item = item - item % 2 + user % 2;
        rows.push_str(&format!("u{user},i{item},{}\n", 1_700_000_000 + number * 60));
    }
    rows.push_str("u1,,1700000000\n");
    rows
}

#[test]
fn up_ingest_ask_kill_restart_and_the_same_digest_everywhere() {
    let folder = folder();
    let here = folder.path();
    std::fs::write(here.join("events.csv"), rows()).expect("it can be written");
    let up = Up::start(here);
    let map = "user_id=who,item_id=what,timestamp=when,event_type=:view";
    let ingest = ["ingest", "events.csv", "--map", map, "--data", "data", "--output", "json"];
    let (code, stdout, stderr) = run(here, &ingest);
    assert_eq!(code, 0, "{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).expect("it is JSON");
    assert_eq!((&report["accepted"], &report["rejected_rows"]), (&600.into(), &1.into()));
    assert!(here.join("events.csv.rejected.jsonl").exists());
    assert!(stderr.contains("--shift-time-to-now"), "the events are of 2023: {stderr}");
    let (code, stdout, stderr) = run(here, &["recommend", "u2", "--server", &up.address]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.lines().count() > 1, "{stdout}");

    drop(up); // kill -9
    let up = Up::start(here);
    let (code, stdout, _) = run(here, &ingest);
    let again: serde_json::Value = serde_json::from_str(&stdout).expect("it is JSON");
    assert_eq!((code, &again["accepted"]), (0, &600.into()), "{again}");
    assert_eq!(up.terminate(), 0);
    assert!(!here.join("data/server.json").exists());

    let digest = |more: &[&str]| {
        let set = ["digest", "--data", "data", "--set", "core.factors.dim=16"];
        let (code, stdout, stderr) = run(here, &[&set[..], more].concat());
        assert_eq!(code, 0, "{stderr}");
        let json: serde_json::Value = serde_json::from_str(&stdout).expect("it is JSON");
        (json["state_digest"].clone(), json["source"].clone())
    };
    let (noted, source) = digest(&[]);
    assert_eq!(source, "clean close");
    for workers in ["1", "2", "4"] {
        let recomputed = digest(&["--recompute", "--workers", workers]);
        assert_eq!(recomputed, (noted.clone(), "recomputed".into()), "{workers} workers");
    }
}
