//! `bench determinism`: one stream, bound once, folded again in every way that must not matter.
//!
//! Numbers of workers and processes, the order of arrival and the size of fetches differ from run
//! to run; digests of state, deltas and features must not. Further processes are this same binary,
//! started on loopback as followers. A run's rate counts from its first committed epoch to its
//! last: how fast the folds are, without the time in which processes start and meet.

mod folding;
mod narrow;
mod stream_log;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eddyline_connect::log::EventLog;
use eddyline_dataflows::{Arrival, ClusterConfig, Patience};
use eddyline_model::config::CoreConfig;
use serde::{Deserialize, Serialize};

use super::BenchArgs;
use super::stream::StreamShape;
use crate::config::{Config, ConfigArgs};
use crate::exit::{Exit, OrStop, Outcome, Stop};
use folding::Folding;
pub(super) use folding::Followers;
use narrow::Narrow;

/// Flags of `bench determinism`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DeterminismArgs {
    #[command(flatten)]
    pub common: BenchArgs,
    /// Events of the stream, beside the catalogue
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    pub events: u64,
    /// Users that events are drawn for
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) users: usize,
    /// Items of the catalogue
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub items: usize,
    /// Skip the runs over several processes
    #[arg(long)]
    pub one_process: bool,
}

/// Flags of the hidden `bench follower`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FollowerArgs {
    /// What process 0 wrote for its followers
    #[arg(long, value_name = "FILE")]
    pub cluster: PathBuf,
    /// Which process this is
    #[arg(long, value_name = "I")]
    pub index: usize,
    /// Start again after a loss, until process 0 ends well
    #[arg(long)]
    pub supervise: bool,
}

/// What is printed.
#[derive(Clone, Debug, Serialize)]
struct Report {
    runs: Vec<Run>,
    /// All digests are those of the first run.
    equal: bool,
    records: u64,
    epochs: u64,
}

/// One way to fold the stream, and what came out.
#[derive(Clone, Debug, Serialize)]
struct Run {
    run: String,
    workers: usize,
    processes: usize,
    state_digest: String,
    delta_digest: String,
    feature_digest: String,
    events_per_second: f64,
}

impl Run {
    fn digests(&self) -> (&str, &str, &str) {
        (&self.state_digest, &self.delta_digest, &self.feature_digest)
    }
}

/// What followers are told, in a file.
#[derive(Serialize, Deserialize)]
struct ClusterFile {
    core: CoreConfig,
    workers: usize,
    hosts: Vec<String>,
    deployment: String,
}

/// A way to fold.
struct Way {
    run: &'static str,
    workers: usize,
    processes: usize,
    arrival: Arrival,
    /// Most records of a fetch; `None` as many as the engine likes.
    fetch: Option<usize>,
}

impl Way {
    fn plain(workers: usize, processes: usize) -> Self {
        let run = if processes > 1 { "processes" } else { "workers" };
        Self { run, workers, processes, arrival: Arrival::ByPartition, fetch: None }
    }
}

fn ways(one_process: bool) -> Vec<Way> {
    let mut ways: Vec<Way> = [1, 2, 3, 4, 8].map(|workers| Way::plain(workers, 1)).into();
    ways.extend([2, 3].map(|workers| Way {
        run: "shuffled arrival",
        arrival: Arrival::Shuffled(7),
        ..Way::plain(workers, 1)
    }));
    ways.extend([1, 97].map(|records| Way {
        run: if records == 1 { "fetches of 1" } else { "fetches of 97" },
        fetch: Some(records),
        ..Way::plain(2, 1)
    }));
    if !one_process {
        ways.push(Way::plain(1, 2));
        ways.push(Way::plain(2, 2));
        let arrival = Arrival::Shuffled(11);
        ways.push(Way { run: "processes, shuffled arrival", arrival, ..Way::plain(1, 2) });
    }
    ways
}

/// Runs it.
pub(crate) fn run(args: &DeterminismArgs, config: &ConfigArgs) -> Outcome {
    let (config, folder) = args.common.config(config)?;
    let shape = StreamShape {
        users: args.users,
        items: args.items,
        user_skew: 1.0,
        item_skew: 1.0,
        seed: args.common.seed,
    };
    let log = stream_log::write(&shape, args.events)?;
    let (live, records) = stream_log::bind(&config, &log)?;
    let mut runs = vec![live];
    for way in ways(args.one_process) {
        eprintln!("folding: {}, {} × {}", way.run, way.processes, way.workers);
        runs.push(fold(&way, &log, (&config, folder.path()))?);
    }
    let epochs = stream_log::epochs(&log)?;
    let equal = runs.iter().all(|run| run.digests() == runs[0].digests());
    args.common.print(&Report { runs, equal, records, epochs })?;
    if equal {
        return Ok(());
    }
    Err(Stop::new(Exit::Mismatch, "the same bindings gave different digests")
        .remedy("report it with the output above: it must never happen"))
}

fn fold(way: &Way, log: &Arc<dyn EventLog>, (config, folder): (&Config, &Path)) -> Outcome<Run> {
    let log = match way.fetch {
        Some(records) => Arc::new(Narrow { inner: Arc::clone(log), records }),
        None => Arc::clone(log),
    };
    let folding = Folding { core: &config.core, log, arrival: way.arrival };
    let run = if way.processes == 1 {
        folding.run(way.workers.into())?
    } else {
        let cluster = cluster((way.workers, way.processes), config)?;
        folding.run_with_followers(cluster, folder)?
    };
    Ok(Run { run: way.run.into(), workers: way.workers, processes: way.processes, ..run })
}

/// So many processes of so many workers, on ports of loopback that were free a moment ago.
pub(super) fn cluster(
    (workers, processes): (usize, usize),
    config: &Config,
) -> Outcome<ClusterConfig> {
    let listen = |_| std::net::TcpListener::bind("127.0.0.1:0");
    let bound: std::io::Result<Vec<_>> = (0..processes).map(listen).collect();
    let bound = bound.or_stop(Exit::Io, || "looking for free ports of loopback".into())?;
    let address = |socket: &std::net::TcpListener| socket.local_addr().map(|at| at.to_string());
    let hosts: std::io::Result<Vec<_>> = bound.iter().map(address).collect();
    Ok(ClusterConfig {
        workers,
        index: 0,
        hosts: hosts.or_stop(Exit::Io, || "looking for free ports of loopback".into())?,
        deployment: config.data_dir.display().to_string(),
        patience: Patience { stall_seconds: config.dataflow.stall_seconds, ..Patience::default() },
    })
}

/// Runs the hidden `bench follower`.
pub(crate) fn follow(args: &FollowerArgs) -> Outcome {
    if args.supervise {
        return crate::supervise::this_command_without("--supervise");
    }
    let shown = args.cluster.display();
    let bytes = std::fs::read(&args.cluster).or_stop(Exit::Io, || format!("reading {shown}"))?;
    let file: ClusterFile =
        serde_json::from_slice(&bytes).or_stop(Exit::BadData, || format!("reading {shown}"))?;
    let ClusterFile { core, workers, hosts, deployment } = file;
    let patience = Patience::default();
    let cluster = ClusterConfig { workers, index: args.index, hosts, deployment, patience };
    eddyline_dataflows::follow(&core, &cluster).map_err(crate::exit::of_engine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_cover_what_the_report_promises() {
        let ways = ways(false);
        let has = |processes, workers| {
            ways.iter().any(|way| (way.processes, way.workers) == (processes, workers))
        };
        assert!([1, 2, 3, 4, 8].into_iter().all(|workers| has(1, workers)));
        assert!(has(2, 1) && has(2, 2));
        assert!(ways.iter().any(|way| way.arrival != Arrival::ByPartition));
        assert!(ways.iter().any(|way| way.fetch.is_some()));
    }
}
