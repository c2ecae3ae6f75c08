//! `eddyline replay rebuild`: all state from recorded history, as a snapshot that the live dataflow
//! goes on from at the exact next offset.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use eddyline_connect::log::EventLog;
use eddyline_connect::objects::Access;
use eddyline_dataflows::snapshot::{Restored, SnapshotWriter};
use eddyline_dataflows::{Committed, KnownDigests, Replay, StateDigest, replay_on};
use eddyline_model::config::{CoreConfig, Descent};
use eddyline_replay::recorded::Recorded;
use eddyline_schemas::lineage::Epoch;
use serde_json::json;

use super::processes::{Part, ProcessesArgs};
use super::span::{Span, last_epoch};
use super::{HistoryArgs, of_replay};
use crate::config::{Config, ConfigArgs};
use crate::exit::{Exit, OrStop, Outcome, Stop, of_engine};
use crate::node::open_snapshots;
use crate::output::{Format, Progress, print_json, print_json_line, print_table};

/// Flags of `replay rebuild`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RebuildArgs {
    #[command(flatten)]
    pub history: HistoryArgs,
    /// The last epoch to fold [default: the last one that is bound]
    #[arg(long, value_name = "EPOCH")]
    pub until: Option<u64>,
    /// Begin at the start of history even if there are snapshots
    #[arg(long)]
    pub from_start: bool,
    /// Begin behind the snapshot of this epoch [default: the newest one]
    #[arg(long, value_name = "EPOCH", conflicts_with = "from_start")]
    pub from_snapshot: Option<u64>,
    /// Make the deltas of one epoch in N and hold them against what live recorded; 1 does so for
    /// all, as `replay verify` does, and takes longer
    #[arg(long, value_name = "N", default_value_t = CHECK_EVERY)]
    pub check_every: NonZeroU64,
    #[command(flatten)]
    pub processes: ProcessesArgs,
    /// How the result is printed
    #[arg(long, value_enum, default_value = "table")]
    pub output: Format,
}

/// Epochs of which one is held against its recorded digest. A state that went wrong would change
/// rows in most epochs after, so this notices soon and costs little.
pub(crate) const CHECK_EVERY: NonZeroU64 = NonZeroU64::new(32).expect("it is not zero");

/// What live recorded of the epochs behind `from`, up to `until`.
pub(crate) fn recorded(
    core: &CoreConfig,
    log: &Arc<dyn EventLog>,
    (from, until): (Option<&Restored>, Epoch),
    every: NonZeroU64,
) -> Outcome<KnownDigests> {
    let recorded = Recorded::read(&**log, core.lineage()).map_err(of_replay)?;
    let from = from.map_or(Epoch(0), Restored::epoch);
    Ok(KnownDigests::sampled(move |epoch| recorded.delta_digest(epoch), (from, until), every))
}

/// Runs the verb. Interrupted, it goes on from the snapshot that it wrote last.
pub(super) fn run(args: &RebuildArgs, config: &ConfigArgs) -> Outcome {
    let config = args.history.load_with(config, &args.processes.flags())?;
    let Part::Lead(workers) = args.processes.take_part(&config, "rebuild")? else { return Ok(()) };
    let history = args.history.open(&config)?;
    let until = last_epoch(args.until, &history.log)?;
    let config = Config { core: history.core(&config.core, until), ..config };
    let Some(store) = open_snapshots(&config, Access::Write)? else {
        return Err(Stop::new(
            Exit::Config,
            "snapshots.url is empty: there is no place for the state",
        )
        .remedy("set snapshots.url to the place that the live dataflow starts from"));
    };
    let log = history.log;
    let Span { from, until } = match args.from_snapshot {
        Some(epoch) => Span::behind(&config, &log, until, Epoch(epoch))?,
        None => Span::choose(&config, &log, until, !args.from_start)?,
    };
    let known = recorded(&config.core, &log, (from.as_ref(), until), args.check_every)?;
    let began = from.as_ref().map_or(0, |from| from.counts().accepted);
    // Where live writes none by itself, one at the end is what is asked for.
    let every = match config.snapshots.every_events {
        0 => u64::MAX,
        every => every,
    };
    let snapshots = SnapshotWriter::start(store, every, from.as_ref())
        .or_stop(Exit::Io, || "starting a thread".into())?;
    let how = Replay {
        from,
        until: Some(until),
        workers: config.dataflow.workers,
        snapshots: Box::new(snapshots),
        known: Some(known),
    };
    let folded = Arc::new(AtomicU64::new(began));
    let started = Instant::now();
    let digest = replay_on(&config.core, log, (workers, how), counting(Arc::clone(&folded)))
        .map_err(of_engine)?;
    let seconds = started.elapsed().as_secs_f64();
    match config.core.descent {
        None => crate::lineage::register(&config)?,
        Some(Descent { parent, .. }) => tracing::warn!(
            lineage = %digest.lineage, %parent,
            "rows were erased: this snapshot is of a child lineage. `up` and `dataflow` go on in the \
             lineage of their configuration, from its own snapshots or from the log, and neither use \
             nor follow it; `replay as-of` does"
        ),
    }
    print(&digest, (folded.load(Ordering::Acquire) - began, seconds), args.output)
}

/// Tells on stderr how far the fold is.
fn counting(folded: Arc<AtomicU64>) -> Box<dyn FnMut(Committed) + Send> {
    let mut progress = Progress::new("events", 0);
    Box::new(move |committed| {
        let accepted = committed.deltas.counts.accepted;
        folded.store(accepted, Ordering::Release);
        progress.set(accepted);
    })
}

fn print(digest: &StateDigest, (events, seconds): (u64, f64), format: Format) -> Outcome {
    let shown = json!({
        "lineage": digest.lineage,
        "epoch": digest.epoch,
        "state_digest": digest.state_digest,
        "delta_digest": digest.delta_digest,
        "events": events,
        "seconds": seconds,
        "events_per_second": events as f64 / seconds.max(1e-9),
    });
    match format {
        Format::Json => print_json(&shown),
        Format::Ndjson => print_json_line(&shown),
        Format::Table => print_table(
            &["epoch", "state digest", "events", "events/s"],
            &[vec![
                digest.epoch.to_string(),
                digest.state_digest.to_string(),
                events.to_string(),
                format!("{:.0}", events as f64 / seconds.max(1e-9)),
            ]],
        ),
    }
}
