//! Several processes: the same digests as one, and an end of all when one is gone.
//!
//! A test starts this very binary again as each process of a cluster: [`a_process`] does as the
//! variables in its environment say.

mod support {
    pub(crate) mod golden_stream;
    pub(crate) mod pinned_log;
    pub(crate) mod position;
    pub(crate) mod rebind;
    pub(crate) mod restored;
    pub(crate) mod snapshots;
}

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use eddyline_dataflows::bound::EpochInput;
use eddyline_dataflows::{
    Arrival, ClusterConfig, EngineConfig, EngineError, EpochLimits, Folder, Patience, Refold,
    Workers, follow, refold_on, start,
};
use eddyline_model::config::CoreConfig;

use support::golden_stream::{core, golden_log, path};
use support::restored::restored;
use support::snapshots::{epochs_of, exports_at, fold_rest};

/// What a process is told in its environment: its part, then how it differs.
const PART: &str = "EDDYLINE_TEST_PART";
/// Longest life of a cluster in these tests.
const PATIENCE: Duration = Duration::from_secs(240);

/// A cluster, and what its processes do.
#[derive(Clone)]
struct Cast {
    workers: usize,
    hosts: Vec<String>,
    patience: Patience,
}

impl Cast {
    fn new(processes: usize, workers: usize) -> Self {
        // Ports that were free a moment ago.
        let sockets: Vec<_> = (0..processes)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("loopback has free ports"))
            .collect();
        let host = |socket: &TcpListener| {
            socket.local_addr().expect("a bound socket has an address").to_string()
        };
        let hosts = sockets.iter().map(host).collect();
        let patience = Patience { meeting_seconds: 60, silence_seconds: 60, stall_seconds: 120 };
        Self { workers, hosts, patience }
    }

    /// Starts process `index`, which does `part` and says so on stdout.
    fn process(&self, index: usize, part: &str) -> Child {
        let patience = self.patience;
        let seconds = [patience.meeting_seconds, patience.silence_seconds, patience.stall_seconds];
        let told = serde_json::json!([part, index, self.workers, self.hosts, seconds]);
        let exe = std::env::current_exe().expect("a test has a binary");
        Command::new(exe)
            .args(["--exact", "a_process", "--ignored", "--nocapture", "--test-threads=1"])
            .env(PART, told.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the test binary starts again")
    }
}

/// Not a test of its own: a process of a cluster, started by the tests.
#[test]
#[ignore = "started by the other tests"]
fn a_process() {
    let told = std::env::var(PART).expect("the other tests say what to do");
    type Told = (String, usize, usize, Vec<String>, [u32; 3]);
    let (part, index, workers, hosts, seconds): Told =
        serde_json::from_str(&told).expect("the other tests write it");
    let [meeting_seconds, silence_seconds, stall_seconds] = seconds;
    let patience = Patience { meeting_seconds, silence_seconds, stall_seconds };
    let mut cluster =
        ClusterConfig { workers, index, hosts, deployment: "golden".into(), patience };
    let mut core = core();
    match part.as_str() {
        "golden" => fold_golden(&core, cluster),
        "golden in parts" => fold_golden_in_parts(&core, cluster),
        "for ever" => fold_for_ever(&core, cluster),
        "engine" => run_engine(&core, cluster),
        "follow" => or_exit(follow(&core, &cluster)),
        "follow another shop" => {
            cluster.deployment = "another shop".into();
            refused(&core, &cluster);
        }
        "follow with another core" => {
            core.seed += 1;
            refused(&core, &cluster);
        }
        other => panic!("no part is called {other}"),
    }
}

/// Says an error as the command line would.
fn or_exit<T>(result: Result<T, EngineError>) -> T {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        std::process::exit(1)
    })
}

fn fold_golden(core: &CoreConfig, cluster: ClusterConfig) {
    let how = Refold { workers: 1, until: None, arrival: Arrival::Shuffled(3) };
    let workers = Workers::Cluster(cluster);
    let digest = or_exit(refold_on(core, golden_log(), (workers, how), Box::new(drop)));
    println!("\nresult {} {} {}", digest.epoch.0, digest.state_digest, digest.delta_digest);
}

/// One process, then the cluster, then one process again, each on the state that the one before
/// left.
fn fold_golden_in_parts(core: &CoreConfig, cluster: ClusterConfig) {
    let inputs = epochs_of(core, &golden_log());
    let (first, second) = (inputs.len() / 3, inputs.len() * 2 / 3);
    let alone = exports_at(core, 3, &inputs, &[first, second]);
    let from = restored(core, &alone[0]);
    let mut folder =
        or_exit(Folder::start_from(core, Workers::Cluster(cluster), from, Box::new(drop)));
    let begun = folder.digest();
    assert_eq!(
        begun,
        restored(core, &alone[0]).digest(core),
        "what was handed over is what there was"
    );
    inputs[first..second].iter().for_each(|input| {
        folder.feed(input.clone());
    });
    let export = folder.export();
    assert_eq!(export.sections(), alone[1].sections(), "the sections of one process");
    let digest = folder.end();
    assert_eq!(digest, restored(core, &alone[1]).digest(core));
    let (digest, _) = fold_rest(core, 1, restored(core, &export), &inputs);
    println!("\nresult {} {} {}", digest.epoch.0, digest.state_digest, digest.delta_digest);
}

fn run_engine(core: &CoreConfig, cluster: ClusterConfig) {
    let workers = Workers::Cluster(cluster);
    let config = EngineConfig { core: core.clone(), workers, epoch: EpochLimits::default() };
    let engine = or_exit(start(config, golden_log(), Box::new(drop)));
    let digest = or_exit(engine.shutdown());
    println!("\nresult {} {} {}", digest.epoch.0, digest.state_digest, digest.delta_digest);
}

fn fold_for_ever(core: &CoreConfig, cluster: ClusterConfig) {
    let mut folder = or_exit(Folder::start(core, Workers::Cluster(cluster), Box::new(drop)));
    for epoch in 1_u64.. {
        if epoch == 20 {
            println!("\nresult folding");
        }
        folder.feed(EpochInput::default());
        folder.wait();
    }
}

fn refused(core: &CoreConfig, cluster: &ClusterConfig) {
    let error = follow(core, cluster).expect_err("it must not take part");
    println!("\nresult {error}");
}

/// The line that begins with `result`, once it is said.
fn result(child: &mut Child) -> String {
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut lines = lines.map_while(Result::ok);
    let line = lines.find_map(|line| line.strip_prefix("result ").map(str::to_owned));
    // Else a process that says more would find nobody reading.
    std::thread::spawn(move || lines.for_each(drop));
    line.unwrap_or_else(|| {
        let mut said = String::new();
        let stderr = child.stderr.as_mut().expect("it is piped");
        let _ = std::io::Read::read_to_string(stderr, &mut said);
        panic!("the process ended without a result: {said}")
    })
}

/// Waits for the end of a process.
fn ended(child: Child) -> Output {
    let id = child.id();
    let (to, output) = mpsc::channel();
    std::thread::spawn(move || to.send(child.wait_with_output()));
    match output.recv_timeout(PATIENCE) {
        Ok(output) => output.expect("a process can be waited for"),
        Err(_) => {
            signal("-KILL", id);
            panic!("process {id} hangs")
        }
    }
}

/// Asserts that a process said why it stopped, and stopped with that code.
fn stopped(child: Child, code: i32, why: &str) {
    let output = ended(child);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(why), "expected {why:?} in: {said}");
    assert_eq!(output.status.code(), Some(code), "{said}");
}

fn signal(which: &str, id: u32) {
    let status = Command::new("kill").args([which, &id.to_string()]).status();
    assert!(status.expect("there is a kill").success());
}

/// Kills and reaps a process that may hang in a stop.
fn kill(mut child: Child) {
    child.kill().expect("it is ours");
    drop(child.wait());
}

fn golden_last() -> (u64, String, String) {
    let text = std::fs::read_to_string(path("stream.digests.json")).expect("it is committed");
    let golden: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let last = golden["epochs"].as_array().and_then(|epochs| epochs.last()).expect("it has epochs");
    let text = |name: &str| last[name].as_str().expect("digests are texts").to_owned();
    let epoch = last["epoch"].as_u64().expect("epochs are numbers");
    (epoch, text("state_digest"), text("delta_digest"))
}

#[test]
fn several_processes_give_the_golden_digests() {
    let (epoch, state, delta) = golden_last();
    for (processes, workers) in [(2, 1), (2, 2), (3, 1)] {
        let cast = Cast::new(processes, workers);
        let followers: Vec<Child> =
            (1..processes).map(|index| cast.process(index, "follow")).collect();
        let mut lead = cast.process(0, "golden");
        let said = result(&mut lead);
        assert_eq!(said, format!("{epoch} {state} {delta}"), "{processes} × {workers}");
        assert!(ended(lead).status.success());
        for follower in followers {
            let output = ended(follower);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "a follower ends with process 0: {said}");
        }
    }
}

#[test]
fn a_cluster_goes_on_from_a_snapshot_and_leaves_one() {
    let (epoch, state, delta) = golden_last();
    for (processes, workers) in [(2, 1), (3, 2)] {
        let cast = Cast::new(processes, workers);
        let followers: Vec<Child> =
            (1..processes).map(|index| cast.process(index, "follow")).collect();
        let mut lead = cast.process(0, "golden in parts");
        let said = result(&mut lead);
        assert_eq!(said, format!("{epoch} {state} {delta}"), "{processes} × {workers}");
        assert!(ended(lead).status.success());
        followers.into_iter().for_each(|follower| assert!(ended(follower).status.success()));
    }
}

#[test]
fn an_engine_that_is_shut_down_ends_the_other_process_well() {
    let (epoch, state, delta) = golden_last();
    let cast = Cast::new(2, 1);
    let follower = cast.process(1, "follow");
    let mut lead = cast.process(0, "engine");
    assert_eq!(result(&mut lead), format!("{epoch} {state} {delta}"));
    assert!(ended(lead).status.success());
    let output = ended(follower);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "a follower ends with the engine: {said}");
}

/// Two processes that fold for ever.
fn two(cast: &Cast) -> (Child, Child) {
    let follower = cast.process(1, "follow");
    let mut lead = cast.process(0, "for ever");
    assert_eq!(result(&mut lead), "folding");
    (lead, follower)
}

#[test]
fn a_killed_process_ends_the_other_at_once() {
    let (lead, follower) = two(&Cast::new(2, 1));
    kill(follower);
    stopped(lead, 69, "error: lost process 1 (127.0.0.1:");
    let (lead, follower) = two(&Cast::new(2, 2));
    kill(lead);
    stopped(follower, 69, "error: lost process 0 (127.0.0.1:");
}

#[test]
fn a_process_that_hangs_ends_the_other() {
    let mut cast = Cast::new(2, 1);
    cast.patience.stall_seconds = 3;
    let (lead, follower) = two(&cast);
    signal("-STOP", follower.id());
    stopped(lead, 69, "error: the dataflow stalls");
    kill(follower);
    let mut cast = Cast::new(2, 1);
    cast.patience.silence_seconds = 3;
    let (lead, follower) = two(&cast);
    signal("-STOP", lead.id());
    stopped(follower, 69, "no sign of life for 3 s");
    kill(lead);
}

#[test]
fn who_does_not_belong_is_refused() {
    let cast = Cast::new(2, 1);
    let lead = cast.process(0, "for ever");
    let mut stranger = cast.process(1, "follow another shop");
    let said = result(&mut stranger);
    assert!(said.contains("refused this process: it belongs to another deployment"), "{said}");
    drop(ended(stranger));
    // The stranger kept nobody from taking part; one of ours with another configuration ends it.
    let mut unfit = cast.process(1, "follow with another core");
    let said = result(&mut unfit);
    assert!(said.contains("its [core] configuration has the hash"), "{said}");
    drop(ended(unfit));
    let output = ended(lead);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("process 1 must not take part"), "{said}");
}

#[test]
fn who_does_not_come_is_named() {
    let mut cast = Cast::new(2, 1);
    cast.patience.meeting_seconds = 1;
    let lead = cast.process(0, "golden");
    let said = String::from_utf8_lossy(&ended(lead).stderr).into_owned();
    assert!(said.contains("did not join within 1 s"), "{said}");
    let follower = cast.process(1, "follow");
    let said = String::from_utf8_lossy(&ended(follower).stderr).into_owned();
    assert!(said.contains("process 0 (127.0.0.1:"), "{said}");
    assert!(said.contains("did not answer within 1 s"), "{said}");
}
