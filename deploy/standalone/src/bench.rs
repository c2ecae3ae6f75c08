//! `eddyline bench`: the numbers of the README, measured on this machine.
//!
//! Each benchmark prints one JSON object with `--json`, its baseline in the same run.

mod backends;
mod baseline;
mod crashes;
#[cfg(test)]
mod delta_sizes;
mod determinism;
mod factors;
mod fleet;
pub(crate) mod freshness;
mod ingest;
mod memory;
mod recovery;
mod replay;
mod stream;
mod zipf;

use std::path::PathBuf;

use serde::Serialize;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::client::Client;
use crate::config::{Config, ConfigArgs, load};
use crate::exit::{Exit, OrStop, Outcome};
use crate::node::Node;
use crate::output::{Format, print_json, print_json_line, print_table};
use crate::up::Stopping;
use backends::{BackendArgs, Traces, fresh_name};
use crashes::CrashesArgs;
use determinism::{DeterminismArgs, FollowerArgs};
use freshness::Asked;
use ingest::IngestBenchArgs;
use recovery::RecoveryArgs;
use replay::ReplayBenchArgs;
use stream::{Bodies, StreamShape};

/// What to measure.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum BenchVerb {
    /// Events per second through door, log, all folds, learning and serving
    Ingest(IngestBenchArgs),
    /// Milliseconds from an accepted event to an answer that reflects it
    Freshness(FreshnessBenchArgs),
    /// Crashes, lost replies, zombies: seeded schedules against the epoch protocol
    Crashes(CrashesArgs),
    /// Seconds from a snapshot to the first epoch behind it, and what a snapshot costs
    Recovery(RecoveryArgs),
    /// Events per second of a rebuild from the archive, against live, folding and reading alone
    Replay(ReplayBenchArgs),
    /// Digests of one stream, folded in every way that must not matter
    Determinism(DeterminismArgs),
    /// A further process of `bench determinism`
    #[command(hide = true)]
    Follower(FollowerArgs),
}

/// Flags that all benchmarks take.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Folder inside which the temporary log is made [default: ./eddyline-data]
    #[arg(long, value_name = "DIR", env = "EDDYLINE__DATA__DIR")]
    pub data: Option<PathBuf>,
    /// Worker threads of the dataflow [default: 2]
    #[arg(long, value_name = "N", env = "EDDYLINE__DATAFLOW__WORKERS")]
    pub workers: Option<usize>,
    /// Seeds the stream
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
    /// The same as --output json
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

/// Flags of `bench freshness`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FreshnessBenchArgs {
    #[command(flatten)]
    pub common: BenchArgs,
    #[command(flatten)]
    pub backends: BackendArgs,
    /// Other events per second that stream in meanwhile
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub rate: u64,
    /// How many samples are taken
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub samples: usize,
    /// Users of the background load
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) users: usize,
    /// Items of the catalogue
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub items: usize,
}

/// Runs one of them.
pub(crate) fn run(verb: &BenchVerb, config: &ConfigArgs) -> Outcome {
    match verb {
        BenchVerb::Ingest(args) => ingest::run(args, config),
        BenchVerb::Freshness(args) => run_freshness(args, config),
        BenchVerb::Crashes(args) => crashes::run(args),
        BenchVerb::Recovery(args) => recovery::run(args, config),
        BenchVerb::Replay(args) => replay::run(args, config),
        BenchVerb::Determinism(args) => determinism::run(args, config),
        BenchVerb::Follower(args) => determinism::follow(args),
    }
}

impl BenchArgs {
    /// A configuration whose data lies in a fresh folder, which is removed with the second value.
    fn config(&self, config: &ConfigArgs) -> Outcome<(Config, TempDir)> {
        let mut flags = vec![("server.listen", "127.0.0.1:0".to_owned(), "--listen")];
        if let Some(dir) = &self.data {
            flags.push(("data.dir", dir.to_string_lossy().into_owned(), "--data"));
        }
        if let Some(workers) = self.workers {
            flags.push(("dataflow.workers", workers.to_string(), "--workers"));
        }
        let mut config = load(config, &flags)?;
        let parent = config.data_dir.clone();
        let made = std::fs::create_dir_all(&parent)
            .and_then(|()| tempfile::Builder::new().prefix("bench-").tempdir_in(&parent));
        let folder =
            made.or_stop(Exit::Io, || format!("making a folder in {}", parent.display()))?;
        config.log.url = format!("embedded:{}", folder.path().join("log").display());
        // Snapshots of a log that is gone afterwards would be in the way of the next one.
        let snapshots = format!("file:{}", folder.path().join("snapshots").display());
        config.snapshots.url = config.snapshots.url.map(|_| snapshots);
        config.archive.url = None;
        config.data_dir = folder.path().to_owned();
        Ok((config, folder))
    }

    /// The same on the servers that are asked for.
    fn config_on(
        &self,
        backends: &BackendArgs,
        config: &ConfigArgs,
    ) -> Outcome<(Config, TempDir, Traces)> {
        let (mut config, folder) = self.config(config)?;
        let traces = backends.take(&mut config, &fresh_name())?;
        Ok((config, folder, traces))
    }

    fn print<T: Serialize>(&self, report: &T) -> Outcome {
        match self.output {
            _ if self.json => print_json(report),
            Format::Json => print_json(report),
            Format::Ndjson => print_json_line(report),
            Format::Table => print_members(report),
        }
    }
}

fn print_members(report: &impl Serialize) -> Outcome {
    let json = serde_json::to_value(report).or_stop(Exit::Bug, || "writing JSON".into())?;
    let members = json.as_object().into_iter().flatten();
    let rows: Vec<Vec<String>> = members
        .map(|(name, value)| {
            let shown = value.as_f64().filter(|_| value.is_f64()).map(|v| format!("{v:.3}"));
            vec![name.clone(), shown.unwrap_or_else(|| value.to_string())]
        })
        .collect();
    print_table(&["what", "value"], &rows)
}

/// A node that answers HTTP on a free port of loopback, for as long as `run` takes.
fn with_http<T: Send>(node: &Node, run: impl FnOnce(&Client) -> Outcome<T> + Send) -> Outcome<T> {
    let serve = |listener, stopping: Stopping| {
        node.serve(listener, None, async move { stopping.wait_for_signal().await })
    };
    while_serving(serve, run)
}

/// Whatever `serve` answers with on a free port of loopback, for as long as `run` takes.
fn while_serving<T: Send, F: Future<Output = Outcome>>(
    serve: impl FnOnce(TcpListener, Stopping) -> F,
    run: impl FnOnce(&Client) -> Outcome<T> + Send,
) -> Outcome<T> {
    let runtime =
        tokio::runtime::Runtime::new().or_stop(Exit::Io, || "starting the runtime".into())?;
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .or_stop(Exit::Io, || "listening on loopback".into())?;
    let address = listener.local_addr().or_stop(Exit::Io, || "reading the port".into())?;
    let client = Client::new(&format!("http://{address}"), None);
    let stopping = Stopping::default();
    std::thread::scope(|scope| {
        let ends = stopping.clone();
        let measured = scope.spawn(move || {
            let measured = run(&client);
            ends.stop();
            measured
        });
        let served = runtime.block_on(serve(listener, stopping));
        let measured = match measured.join() {
            Ok(measured) => measured?,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        served.map(|()| measured)
    })
}

/// Puts the catalogue of `shape` through the door and waits until it is visible.
fn load_catalogue(node: &Node, shape: &StreamShape) -> Outcome {
    let mut bodies = Bodies::catalogue(shape).or_stop(Exit::Io, || "writing bodies".into())?;
    ingest::submit_all(node, &mut bodies, 1)?;
    node.wait_visible(shape.items as u64, ingest::PATIENCE)
}

fn run_freshness(args: &FreshnessBenchArgs, config: &ConfigArgs) -> Outcome {
    let (config, folder, traces) = args.common.config_on(&args.backends, config)?;
    let shape = StreamShape {
        users: args.users,
        items: args.items,
        user_skew: 1.0,
        item_skew: 1.0,
        seed: args.common.seed,
    };
    let asked = Asked { rate: args.rate, samples: args.samples.max(1), from: 0 };
    let node = Node::open(config)?;
    let measured =
        load_catalogue(&node, &shape).and_then(|()| freshness::of_node(&node, shape, asked));
    let closed = node.close();
    drop(folder);
    traces.clean_up()?;
    closed?;
    args.common.print(&measured?)
}
