//! `eddyline dataflow` as several processes, as a shell sees it when something is wrong: one error,
//! its exit code and its remedy, without a log.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const LOG: &str = "kafka://127.0.0.1:9/shop";

fn dataflow(folder: &Path, args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
    command.current_dir(folder).args(["dataflow", "--listen", "127.0.0.1:0"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("EDDYLINE")) {
        command.env_remove(name);
    }
    command.args(args.split_whitespace()).args(["--log-url", LOG]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// Asserts how a process ends that nobody has to end.
fn ends(args: &str, code: i32, says: &[&str]) {
    let folder = folder();
    let ran = dataflow(folder.path(), args).output().expect("the binary was built for this test");
    said(args, &ran, code, says);
}

fn said(args: &str, ran: &Output, code: i32, says: &[&str]) {
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(code), "{args}: {stderr}");
    for part in says {
        assert!(stderr.contains(part), "{args}: {part:?} is not in: {stderr}");
    }
}

#[test]
fn what_cannot_be_a_cluster_is_a_wrong_configuration() {
    let hosts = "--hosts 127.0.0.1:7000,127.0.0.1:7001";
    ends(
        "--processes 2",
        78,
        &["flag --processes: dataflow.processes: 2 processes need", "--hosts"],
    );
    ends(&format!("--processes 2 --process 2 {hosts}"), 78, &["dataflow.process: must be below 2"]);
    ends(&format!("--processes 3 {hosts}"), 78, &["dataflow.hosts: names 2 addresses for 3"]);
    ends(hosts, 78, &["dataflow.hosts: names 2 addresses for 1 processes"]);
    ends("--processes 0", 78, &["dataflow.processes: must be between 1 and 256"]);
    ends("--processes 2 --hosts a:1,a:1", 78, &["a:1 is listed twice"]);
    ends("--processes 2 --hosts a:1,b:0", 78, &["b:0 must be host:port"]);
    ends("--processes 2 --hosts a:1,b", 78, &["b must be host:port"]);
    ends("--processes 2 --workers 200 --hosts a:1,b:1", 78, &["there must be 1 to 256 in all"]);
    ends("--processes two", 2, &["--processes"]);
    let folder = folder();
    let up = ["up", "--set", "dataflow.processes=2", "--set", "dataflow.hosts=a:1,b:1"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_eddyline"));
    let ran = command.current_dir(folder.path()).args(up).output().expect("the binary was built");
    said("up", &ran, 78, &["`eddyline up` is one process", "eddyline dataflow"]);
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let follower =
        |own: &str| format!("--processes 3 --process 1 --hosts 127.0.0.1:9,{own},127.0.0.1:10");
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let held = listener.local_addr().expect("a bound socket has an address").to_string();
    ends(&follower(&held), 69, &[&format!("cannot listen on {held}"), "choose another port"]);
    drop(listener);
    ends(
        &follower("nowhere.invalid:7001"),
        69,
        &["cannot listen on nowhere.invalid:7001", "--hosts"],
    );
    let late = "--set dataflow.meeting_seconds=1 --processes 2 --process 1 --hosts";
    let nobody = format!("{late} {held},127.0.0.1:10");
    ends(&nobody, 69, &["process 0", "did not answer within 1 s", "start all processes"]);
    let nowhere = format!("{late} nowhere.invalid:7000,127.0.0.1:10");
    ends(&nowhere, 69, &["process 0 (nowhere.invalid:7000) did not answer within 1 s"]);
}

/// Killed when a test fails.
struct Running(Option<Child>);

impl Running {
    fn ended(mut self) -> Output {
        let child = self.0.take().expect("only this takes it");
        child.wait_with_output().expect("it is our child")
    }

    fn terminate(&self) {
        let id = self.0.as_ref().map_or(0, Child::id).to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("there is a kill");
        assert!(sent.success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Fails when it has ended, which is what is wanted.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_follower_that_is_told_to_end_says_what_that_means() {
    let folder = folder();
    let args = "--processes 2 --process 1 --hosts 127.0.0.1:9,127.0.0.1:10 --supervise \
                --set server.grace_ms=100";
    let child = dataflow(folder.path(), args).spawn().expect("the binary was built for this test");
    let running = Running(Some(child));
    // Until the child of the supervisor hears signals.
    std::thread::sleep(Duration::from_secs(2));
    running.terminate();
    let says = ["cannot leave alone", "exit code 69", "leaves; all other processes"];
    said(args, &running.ended(), 0, &says);
}
