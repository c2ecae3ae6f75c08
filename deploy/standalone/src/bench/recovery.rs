//! `bench recovery`: what a snapshot costs, and how soon the folding goes on behind it.
//!
//! The stream goes through a whole node on an embedded log, which binds it. Then, with nothing in
//! memory, all but the last epoch are folded from that log (`refold_seconds`: what a restart
//! without a snapshot takes), the state is exported while nothing is folded (`pause_seconds`) and
//! written to a folder on the same disk (`write_seconds`). A recovery reads the newest snapshot and
//! checks it (`load_seconds`), starts the workers on it and commits the last epoch
//! (`resume_seconds`). Its state must be that of the folder that never stopped (`equal`).
//!
//! Not in it: starting the process, reading bindings behind the snapshot, and filling serving; all
//! that is of memory and disk is warm.

use std::sync::Arc;
use std::time::Instant;

use eddyline_connect::layout::LogLayout;
use eddyline_connect::log::EventLog;
use eddyline_connect::objects::{Access, open_objects};
use eddyline_connect::url::open_log;
use eddyline_dataflows::bound::EpochInput;
use eddyline_dataflows::snapshot::{LogPosition, SnapshotStore};
use eddyline_dataflows::{Folder, StateDigest, for_each_bound};
use eddyline_model::config::CoreConfig;
use eddyline_schemas::binding::{BindingFold, FoldState, Term, WriterId};
use eddyline_schemas::lineage::Epoch;
use eddyline_schemas::record::Digest;
use eddyline_schemas::time::TimestampMs;
use serde::Serialize;

use super::ingest::{PATIENCE, rate, submit_all};
use super::stream::{Bodies, Stream, StreamShape};
use super::{BenchArgs, load_catalogue, memory};
use crate::config::{Config, ConfigArgs};
use crate::exit::{Exit, OrStop, Outcome, Stop, of_engine};
use crate::node::Node;
use crate::source::wall_clock;

/// Bytes of state that an event and an item of this stream make, roughly: how many are drawn.
const BYTES_PER_EVENT: u64 = 430;
const BYTES_PER_ITEM: u64 = 1_200;
/// Users by event: most are seen once or twice, as in a shop.
const EVENTS_PER_USER: f64 = 1.5;

/// Flags of `bench recovery`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RecoveryArgs {
    #[command(flatten)]
    pub common: BenchArgs,
    /// State to aim at
    #[arg(long, value_name = "N", default_value_t = 1 << 30)]
    pub state_bytes: u64,
    /// Events of the stream, whatever state they make [default: as many as the state needs]
    #[arg(long, value_name = "N")]
    pub events: Option<u64>,
    /// Items of the catalogue
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub items: usize,
}

/// What is printed.
#[derive(Clone, Debug, Serialize)]
struct Report {
    state_bytes: u64,
    events: u64,
    users: usize,
    items: usize,
    epochs: u64,
    pause_seconds: f64,
    write_seconds: f64,
    recoveries: Vec<Recovery>,
    refold_seconds: f64,
    refold_events_per_second: f64,
    refold_workers: usize,
    peak_memory_bytes: u64,
    equal: bool,
}

/// From a snapshot to the first epoch behind it.
#[derive(Clone, Debug, Serialize)]
struct Recovery {
    workers: usize,
    load_seconds: f64,
    resume_seconds: f64,
    recovery_seconds: f64,
    state_digest: String,
}

/// Runs it.
pub(crate) fn run(args: &RecoveryArgs, config: &ConfigArgs) -> Outcome {
    let (config, folder) = args.common.config(config)?;
    let of_events = args.state_bytes.saturating_sub(args.items as u64 * BYTES_PER_ITEM);
    let events = args.events.unwrap_or(of_events / BYTES_PER_EVENT).max(1);
    let users = ((events as f64 / EVENTS_PER_USER) as usize).max(1);
    let shape = StreamShape {
        users,
        items: args.items,
        user_skew: 0.0,
        item_skew: 1.0,
        seed: args.common.seed,
    };
    let (core, workers) = (config.core.clone(), config.dataflow.workers);
    let (url, layout) = (config.log.url.clone(), config.log.layout);
    bind(config, &shape, events)?;
    let log = open(&url, layout)?;
    eprintln!("folding the log again");
    let started = Instant::now();
    let (mut folding, last) = fold_all_but_one(&core, &log, workers)?;
    let refold_seconds = started.elapsed().as_secs_f64();
    drop(log);
    eprintln!("writing a snapshot");
    let started = Instant::now();
    let export = folding.export();
    let (pause_seconds, state_bytes) = (started.elapsed().as_secs_f64(), export.bytes());
    let snapshots = snapshots(&core, folder.path())?;
    let started = Instant::now();
    let position = position_at(export.epoch());
    snapshots.write(export, position).or_stop(Exit::Io, || "writing a snapshot".into())?;
    let write_seconds = started.elapsed().as_secs_f64();
    folding.feed(last.clone());
    let want = folding.end();
    let recover = |workers| recover(&core, &snapshots, (workers, last.clone()), &want);
    let recoveries = [1, 2].into_iter().map(recover).collect::<Outcome<Vec<_>>>()?;
    args.common.print(&Report {
        state_bytes,
        events,
        users,
        items: args.items,
        epochs: want.epoch.0,
        pause_seconds,
        write_seconds,
        recoveries,
        refold_seconds,
        refold_events_per_second: (events + args.items as u64) as f64 / refold_seconds,
        refold_workers: workers,
        peak_memory_bytes: memory::peak_bytes(),
        equal: true,
    })
}

/// Catalogue and events through a node, which binds them and ends: events per second, and the state
/// at the end.
pub(super) fn bind(
    config: Config,
    shape: &StreamShape,
    events: u64,
) -> Outcome<(f64, StateDigest)> {
    eprintln!("taking {events} events of {} users", shape.users);
    let mut stream = Stream::new(shape);
    let mut bodies = Bodies::events(&mut stream, events, wall_clock())
        .or_stop(Exit::Io, || "writing bodies".into())?;
    let node = Node::open(config)?;
    load_catalogue(&node, shape)?;
    let started = Instant::now();
    submit_all(&node, &mut bodies, 2)?;
    node.wait_visible(shape.items as u64 + events, PATIENCE)?;
    let live = rate(events, started.elapsed());
    eprintln!("taken and folded at {live:.0} events/s");
    Ok((live, node.close()?))
}

fn open(url: &str, layout: LogLayout) -> Outcome<Arc<dyn EventLog>> {
    open_log(url, layout).or_stop(Exit::Io, || format!("cannot open the log {url}"))
}

/// The state before the last epoch of the log, and that epoch.
fn fold_all_but_one(
    core: &CoreConfig,
    log: &Arc<dyn EventLog>,
    workers: usize,
) -> Outcome<(Folder, EpochInput)> {
    let mut folder = Folder::start(core, workers, Box::new(drop)).map_err(of_engine)?;
    let mut held: Option<EpochInput> = None;
    for_each_bound(core, Arc::clone(log), None, |_, input| {
        if let Some(before) = held.replace(input) {
            folder.feed(before);
        }
    })
    .map_err(of_engine)?;
    folder.wait();
    let last = held.ok_or_else(|| Stop::new(Exit::Bug, "the log has no epoch"))?;
    Ok((folder, last))
}

fn snapshots(core: &CoreConfig, folder: &std::path::Path) -> Outcome<SnapshotStore> {
    let url = format!("file:{}", folder.join("snapshots").display());
    let objects = open_objects(&url, Access::Write).or_stop(Exit::Io, || url.clone())?;
    Ok(SnapshotStore::new(objects, core))
}

/// Recovers with `workers`, commits the epoch after the snapshot, and compares.
fn recover(
    core: &CoreConfig,
    snapshots: &SnapshotStore,
    (workers, last): (usize, EpochInput),
    want: &StateDigest,
) -> Outcome<Recovery> {
    eprintln!("recovering on {workers} workers");
    let started = Instant::now();
    let newest = snapshots.newest_valid(core.lineage());
    let restored = newest.or_stop(Exit::Io, || "reading the snapshot".into())?;
    let restored = restored.ok_or_else(|| Stop::new(Exit::Bug, "the snapshot is gone"))?;
    let load_seconds = started.elapsed().as_secs_f64();
    let folder = Folder::start_from(core, workers, restored, Box::new(drop));
    let mut folder = folder.map_err(of_engine)?;
    folder.feed(last);
    folder.wait();
    let recovery_seconds = started.elapsed().as_secs_f64();
    let got = folder.end();
    if got != *want {
        let message = format!("recovered on {workers} workers, the state is another one: {got:?}");
        return Err(Stop::new(Exit::Mismatch, message)
            .remedy("report it with the line above: it must never happen"));
    }
    Ok(Recovery {
        workers,
        load_seconds,
        resume_seconds: recovery_seconds - load_seconds,
        recovery_seconds,
        state_digest: got.state_digest.to_string(),
    })
}

/// Where a driver would read on; the folder that is measured here reads no log.
fn position_at(epoch: Epoch) -> LogPosition {
    LogPosition {
        fold: BindingFold::from(FoldState {
            term: Term(1),
            writer: WriterId([0; 16]),
            epoch,
            chain: Digest::default(),
            logical_time: TimestampMs(0),
            bound: Default::default(),
        }),
        next_binding: 0,
        partitions: Default::default(),
        skipped: Default::default(),
    }
}
