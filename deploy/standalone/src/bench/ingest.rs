//! `bench ingest`: sustained events per second through everything, and what it costs.
//!
//! Timed: from the first body handed to the door until the last event is visible in serving and,
//! where there is a feature store, acknowledged by it (`served_events_per_second` leaves the store
//! out). In between each body is validated, encoded, appended to the durable log (fsync, or what
//! the log's acknowledgement means), bound, deduped, folded, learned from, and applied to serving.
//! The bodies are written to a file before the clock runs. Freshness is that of `bench freshness`,
//! measured on the same node afterwards. Memory is the process's own, the few megabytes of this benchmark included:
//! `bytes_per_item` is resident memory gained while the catalogue was loaded, by item;
//! `bytes_per_user` that gained by the events, by distinct user, so it holds a share of the log's
//! caches and of the dedupe horizon and errs to the high side.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use eddyline_dataflows::{StateDigest, Workers};
use eddyline_schemas::decode::BodyKind;
use eddyline_schemas::delta::PipelineCounts;
use serde::Serialize;

use super::determinism::{Followers, cluster};
use super::fleet::{self, FleetReport};
use super::freshness::{self, Asked, FreshnessReport};
use super::stream::{Bodies, Stream, StreamShape};
use super::{
    BackendArgs, BenchArgs, baseline, factors, fresh_name, load_catalogue, memory, with_http,
};
use crate::client::Client;
use crate::config::{Config, ConfigArgs};
use crate::exit::{Exit, OrStop, Outcome, Stop};
use crate::node::Node;
use crate::source::wall_clock;

/// A pipeline that takes longer than this to catch up has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// Events that the factors alone and the plain loop both learn: decoded ones are kept in memory.
const COMPARED: u64 = 500_000;

/// Other events per second while freshness is sampled, as in `bench freshness`.
const FRESHNESS_RATE: u64 = 2_000;

/// Flags of `bench ingest`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct IngestBenchArgs {
    #[command(flatten)]
    pub common: BenchArgs,
    #[command(flatten)]
    pub backends: BackendArgs,
    /// Processes of the dataflow, all on this machine, each with as many workers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub processes: usize,
    /// Also time a fleet: a dataflow that publishes its deltas to the log, and a replica
    #[arg(long)]
    pub fleet: bool,
    /// Samples of freshness, under 2,000 other events/s; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub freshness_samples: usize,
    /// Events that are timed in process
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    pub events: u64,
    /// Events that are timed over HTTP afterwards
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    pub http_events: u64,
    /// Users that events are drawn for
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) users: usize,
    /// Items of the catalogue
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub items: usize,
    /// Zipf exponent of users
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    pub(crate) user_skew: f64,
    /// Zipf exponent of items
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    pub item_skew: f64,
    /// Threads that hand bodies to the door
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub producers: usize,
}

/// What is printed.
#[derive(Clone, Debug, Serialize)]
struct IngestReport {
    log: String,
    features: String,
    events_per_second: f64,
    served_events_per_second: f64,
    http_events_per_second: f64,
    baseline_events_per_second: f64,
    factors_events_per_second: f64,
    ratio: f64,
    peak_memory_bytes: u64,
    bytes_per_user: f64,
    bytes_per_item: f64,
    state_digest: String,
    accepted: u64,
    applied: u64,
    duplicate: u64,
    late: u64,
    dead_letter: u64,
    events: u64,
    distinct_users: usize,
    users: usize,
    items: usize,
    user_skew: f64,
    item_skew: f64,
    dim: usize,
    workers: usize,
    processes: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    freshness: Option<FreshnessReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<FleetReport>,
}

/// What was measured on the running node.
struct Measured {
    elapsed: Duration,
    served: Duration,
    http_elapsed: Duration,
    empty_bytes: u64,
    items_bytes: u64,
    users_bytes: u64,
    peak_bytes: u64,
    counts: PipelineCounts,
    digest: StateDigest,
    freshness: Option<FreshnessReport>,
}

/// Runs it.
pub(crate) fn run(args: &IngestBenchArgs, config: &ConfigArgs) -> Outcome {
    let (config, folder, traces) = args.common.config_on(&args.backends, config)?;
    let shape = StreamShape {
        users: args.users,
        items: args.items,
        user_skew: args.user_skew,
        item_skew: args.item_skew,
        seed: args.common.seed,
    };
    let (core, workers) = (config.core.clone(), config.dataflow.workers);
    let (log, features) = (scheme(&config.log.url), scheme(&config.features.url));
    let measured = measure(args, &shape, config.clone(), folder.path());
    traces.clean_up()?;
    let measured = measured?;
    let fleet = args.fleet.then(|| measure_fleet(args, &shape, config)).transpose()?;
    drop(folder);
    let distinct_users = distinct_users(&shape, args.events);
    eprintln!("timing the sequential baseline");
    let compared = args.events.min(COMPARED);
    let baseline = baseline::run(&core, &shape, compared);
    eprintln!("timing the factors alone");
    let factors = factors::run(&core, &shape, compared, workers)?;
    let Measured { empty_bytes, items_bytes, users_bytes, counts, .. } = measured;
    args.common.print(&IngestReport {
        log,
        features,
        events_per_second: rate(args.events, measured.elapsed),
        served_events_per_second: rate(args.events, measured.served),
        http_events_per_second: rate(args.http_events, measured.http_elapsed),
        baseline_events_per_second: baseline,
        factors_events_per_second: factors,
        ratio: factors / baseline,
        peak_memory_bytes: measured.peak_bytes,
        bytes_per_user: gained(items_bytes, users_bytes) / distinct_users.max(1) as f64,
        bytes_per_item: gained(empty_bytes, items_bytes) / args.items.max(1) as f64,
        state_digest: measured.digest.state_digest.to_string(),
        accepted: counts.accepted,
        applied: counts.applied,
        duplicate: counts.duplicate,
        late: counts.late,
        dead_letter: counts.dead_letter,
        events: args.events,
        distinct_users,
        users: args.users,
        items: args.items,
        user_skew: args.user_skew,
        item_skew: args.item_skew,
        dim: core.factors.dim,
        workers,
        processes: args.processes.max(1),
        freshness: measured.freshness,
        fleet,
    })
}

/// What stands before the first colon: a URL may name hosts and users.
fn scheme(url: &str) -> String {
    url.split(':').next().unwrap_or_default().to_owned()
}

/// The events that are timed in process, those over HTTP.
fn bodies(args: &IngestBenchArgs, shape: &StreamShape) -> Outcome<[Bodies; 2]> {
    eprintln!("writing {} events to a temporary file", args.events + args.http_events);
    let mut stream = Stream::new(shape);
    let mut bodies = |events| {
        Bodies::events(&mut stream, events, wall_clock())
            .or_stop(Exit::Io, || "writing bodies".into())
    };
    Ok([bodies(args.events)?, bodies(args.http_events)?])
}

/// A node on as many processes as asked for.
fn open(
    args: &IngestBenchArgs,
    config: Config,
    folder: &Path,
) -> Outcome<(Node, Option<Followers>)> {
    if args.processes < 2 {
        return Ok((Node::open(config)?, None));
    }
    let cluster = cluster((config.dataflow.workers, args.processes), &config)?;
    let followers = Followers::start(&config.core, &cluster, folder)?;
    Ok((Node::open_on(config, Workers::Cluster(cluster))?, Some(followers)))
}

/// Catalogue, then the timed events in process, then those over HTTP, then samples of freshness,
/// on one node.
fn measure(
    args: &IngestBenchArgs,
    shape: &StreamShape,
    config: Config,
    folder: &Path,
) -> Outcome<Measured> {
    let [mut in_process, mut over_http] = bodies(args, shape)?;
    let items = args.items as u64;
    let (node, followers) = open(args, config, folder)?;
    let empty_bytes = memory::resident_bytes();
    eprintln!("loading {items} items");
    load_catalogue(&node, shape)?;
    node.wait_mirrored(PATIENCE)?;
    let items_bytes = memory::resident_bytes();
    eprintln!("timing {} events in process", args.events);
    let started = Instant::now();
    submit_all(&node, &mut in_process, args.producers)?;
    node.wait_visible(items + args.events, PATIENCE)?;
    let served = started.elapsed();
    node.wait_mirrored(PATIENCE)?;
    let elapsed = started.elapsed();
    let (users_bytes, peak_bytes) = (memory::resident_bytes(), memory::peak_bytes());
    // As serving shows them: the engine notes an epoch a moment after its sink has it.
    let (counts, digest) = (node.progress().counts, node.digest()?);
    eprintln!("timing {} events over HTTP", args.http_events);
    let http_elapsed = with_http(&node, |client| {
        let started = Instant::now();
        post_all(client, &mut over_http, args.producers)?;
        node.wait_visible(items + args.events + args.http_events, PATIENCE)?;
        node.wait_mirrored(PATIENCE)?;
        Ok(started.elapsed())
    })?;
    let freshness =
        asked(args).map(|asked| freshness::of_node(&node, *shape, asked)).transpose()?;
    node.close()?;
    followers.map_or(Ok(()), Followers::end)?;
    Ok(Measured {
        elapsed,
        served,
        http_elapsed,
        empty_bytes,
        items_bytes,
        users_bytes,
        peak_bytes,
        counts,
        digest,
        freshness,
    })
}

/// Samples behind all events of [`bodies`].
fn asked(args: &IngestBenchArgs) -> Option<Asked> {
    let from = args.events + args.http_events;
    let asked = Asked { rate: FRESHNESS_RATE, samples: args.freshness_samples, from };
    (asked.samples > 0).then_some(asked)
}

/// The same events over HTTP to a fleet, in a namespace of its own.
fn measure_fleet(
    args: &IngestBenchArgs,
    shape: &StreamShape,
    mut config: Config,
) -> Outcome<FleetReport> {
    if args.backends.log.is_none() {
        // Beside that of the node, which has the same events on it.
        config.log.url = format!("embedded:{}", config.data_dir.join("fleet").display());
    }
    let snapshots = format!("file:{}", config.data_dir.join("fleet-snapshots").display());
    config.snapshots.url = config.snapshots.url.map(|_| snapshots);
    let traces = args.backends.take(&mut config, &fresh_name())?;
    let [_, mut over_http] = bodies(args, shape)?;
    let load = fleet::Load { shape: *shape, events: args.http_events, asked: asked(args) };
    let measured =
        fleet::measure(config, load, |client| post_all(client, &mut over_http, args.producers));
    traces.clean_up()?;
    measured
}

pub(super) fn rate(events: u64, elapsed: Duration) -> f64 {
    events as f64 / elapsed.as_secs_f64().max(1e-9)
}

fn gained(before: u64, after: u64) -> f64 {
    after.saturating_sub(before) as f64
}

/// Users that occur in the first `events` events.
fn distinct_users(shape: &StreamShape, events: u64) -> usize {
    let mut stream = Stream::new(shape);
    let mut seen = vec![false; shape.users];
    for _ in 0..events {
        seen[stream.draw().user] = true;
    }
    seen.into_iter().filter(|&seen| seen).count()
}

/// Hands all bodies to the door, on `producers` threads; returns when all are durable.
pub(crate) fn submit_all(node: &Node, bodies: &mut Bodies, producers: usize) -> Outcome {
    drain(bodies, producers, |body| {
        let answer = node
            .door()
            .submit_body_blocking(body, BodyKind::Json)
            .or_stop(Exit::Failure, || "the door took no events".into())?;
        match answer.errors.first() {
            None => Ok(()),
            Some(error) => {
                Err(Stop::new(Exit::Bug, format!("an event was refused: {}", error.detail)))
            }
        }
    })
}

pub(super) fn post_all(client: &Client, bodies: &mut Bodies, producers: usize) -> Outcome {
    drain(bodies, producers, |body| client.post_events(body).map(|_| ()))
}

fn drain(bodies: &mut Bodies, producers: usize, send: impl Fn(&[u8]) -> Outcome + Sync) -> Outcome {
    let bodies = Mutex::new(bodies);
    let one = || {
        let mut body = Vec::new();
        loop {
            let more = bodies.lock().expect("a reader never panics").read(&mut body);
            match more.or_stop(Exit::Io, || "reading bodies".into())? {
                true => send(&body)?,
                false => return Ok(()),
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..producers.max(1)).map(|_| scope.spawn(one)).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}
